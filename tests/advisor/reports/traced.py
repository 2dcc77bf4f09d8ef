"""Documents of traces, every figure invented; sums of causes and busy classes are exact."""

from __future__ import annotations

from typing import Any

import msgspec

from advisor.document import Diagnosis
from rules.traces.kernel_records import ChainFigures, CopyRow, FamilyRow, KernelRow
from rules.traces.records import (
    BUSY,
    CAUSES,
    CollectiveRow,
    DeviceTrace,
    GapRow,
    HostFigures,
    HostRow,
    RankFigures,
    RankRow,
    StepFigures,
    StepRow,
    Strip,
    TraceFile,
    TraceLoss,
    TraceReport,
)
from tests.factories import DEVICE_NAME, device_key, make_diagnosis, make_provenance, make_verdict

CAUSES_US = {
    "host_launch": 300_000.0,
    "data_loading": 120_000.0,
    "synchronisation": 60_000.0,
    "unknown": 20_000.0,
}
BUSY_US = {
    "compute": 260_000.0,
    "memory": 180_000.0,
    "latency": 40_000.0,
    "communication": 15_000.0,
    "copy": 5_000.0,
}
GEMM = "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_32x3_nn_align8>(Params)"
ELEMENTWISE = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, "
    "std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>)"
)


def make_kernel(name: str = GEMM, **changes: Any) -> KernelRow:
    """One kernel that is half of busy time."""
    row = KernelRow(
        name=name,
        family="gemm",
        nature="compute",
        nature_basis="measured",
        count=1_200,
        total_us=250_000.0,
        busy_frac=0.5,
        mean_us=208.3,
        median_us=205.0,
        p90_us=240.0,
        max_us=310.0,
        precision="bf16",
        tensor="used",
        blocks=264,
        threads=256,
        waves=2.0,
        tail_frac=0.04,
        occupancy=0.25,
        occupancy_unknown_frac=0.0,
        flops=8.1e13,
        bytes=4.0e11,
        work_basis="invented",
        known_frac=1.0,
        compute_frac=0.41,
        memory_frac=0.55,
        intensity=202.5,
        gap_before_us=12.5,
        op="aten::mm",
    )
    return msgspec.structs.replace(row, **changes)


def make_steps(count: int = 6) -> StepFigures:
    """Even steps, of which the last is slow."""
    rows = tuple(
        StepRow(
            number=i,
            start_us=i * 100_000.0,
            duration_us=100_000.0 if i < count - 1 else 200_000.0,
            busy_us=50_000.0,
            causes={"host_launch": 50_000.0},
            busy={"compute": 50_000.0},
            outlier=i == count - 1,
        )
        for i in range(count)
    )
    return StepFigures(
        source="ProfilerStep",
        count=count,
        median_us=100_000.0,
        p90_us=150_000.0,
        max_us=200_000.0,
        trend=0.02,
        trend_noise=0.05,
        phases={"forward": 40_000.0, "backward": 35_000.0, "optimizer": 10_000.0},
        outliers=(count - 1,),
        outlier_because={str(count - 1): "100 ms more, of it 95 % waiting for data"},
        rows=rows,
    )


def make_device_trace(gpu: int = 0, **changes: Any) -> DeviceTrace:
    """A device that is idle half of its second."""
    idle, busy = sum(CAUSES_US.values()), sum(BUSY_US.values())
    device = DeviceTrace(
        key=device_key(gpu),
        file=0,
        device=gpu,
        span_us=idle + busy,
        busy_us=busy,
        idle_us=idle,
        idle_frac=idle / (idle + busy),
        causes={name: CAUSES_US.get(name, 0.0) for name in CAUSES},
        busy={name: BUSY_US.get(name, 0.0) for name in BUSY},
        causes_frac={name: CAUSES_US.get(name, 0.0) / idle for name in CAUSES},
        name=DEVICE_NAME,
        events=4_800,
        streams=3,
        communication_us=45_000.0,
        communication_exposed_us=15_000.0,
        communication_overlapped_us=30_000.0,
        tensor_us=250_000.0,
        uncorrelated_us=1_000.0,
        kernels=(make_kernel(), _elementwise()),
        kernels_left=37,
        kernels_left_us=90_000.0,
        families=(
            _family("gemm", "bf16", "used", "compute", 250_000.0, 0.5),
            _family("elementwise", "fp32", "not-eligible", "memory", 180_000.0, 0.36),
        ),
        copies=(
            CopyRow(
                kind="h2d",
                memory="pageable",
                count=12,
                total_us=9_000.0,
                exposed_us=5_000.0,
                bytes=2**26,
                bytes_s=7.4e9,
                ceiling_frac=0.14,
            ),
            CopyRow(kind="d2h", memory=None, count=3, total_us=90.0, exposed_us=0.0),
        ),
        chains=ChainFigures(
            chains=41,
            kernels=3_100,
            of=4_800,
            median_length=57,
            kernel_us=90_000.0,
            gap_us=140_000.0,
            saved_low_us=60_000.0,
            saved_high_us=120_000.0,
            saved_low_by={"host_launch": 60_000.0},
            saved_high_by={"host_launch": 120_000.0},
            graphed=12,
            longest=(ELEMENTWISE, GEMM),
            basis="gaps between them, less what a graph itself takes",
        ),
        gaps=(
            GapRow(
                start_us=2_000.0,
                duration_us=41_000.0,
                causes={"data_loading": 40_000.0, "host_launch": 1_000.0},
                before=GEMM,
                after=ELEMENTWISE,
                host="enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__",
            ),
            GapRow(start_us=500_000.0, duration_us=800.0, causes={"unknown": 800.0}),
        ),
        steps=make_steps(),
        host=make_host(),
        strip=make_strip(),
        ceilings_label="typical",
        unknown={"roofline of 40 % of kernels": "the trace was made without record_shapes=True"},
    )
    return msgspec.structs.replace(device, **changes)


def make_host() -> HostFigures:
    """What the host was in while the device waited."""
    rows = (
        HostRow(cause="host_launch", name="aten::copy_", idle_us=200_000.0, count=900),
        HostRow(cause="data_loading", name="enumerate(DataLoader)#__next__", idle_us=120_000.0, count=12),
    )
    return HostFigures(calls={"launch": 4_700}, steps=6, gaps=1_900, rows=rows, named_frac=0.9)


def make_strip(stretches: int = 20) -> Strip:
    """The sums of the device, waiting for data in its first stretches and launching in the rest."""
    width = (sum(CAUSES_US.values()) + sum(BUSY_US.values())) / stretches
    causes = {name: tuple(CAUSES_US.get(name, 0.0) / stretches for _ in range(stretches)) for name in CAUSES}
    busy = {name: tuple(BUSY_US.get(name, 0.0) / stretches for _ in range(stretches)) for name in BUSY}
    return Strip(width_us=width, causes=causes, busy=busy)


def _elementwise() -> KernelRow:
    return make_kernel(
        ELEMENTWISE,
        family="elementwise",
        nature="memory",
        nature_basis="family",
        count=3_100,
        total_us=160_000.0,
        busy_frac=0.32,
        mean_us=51.6,
        precision="fp32",
        tensor="not-eligible",
        occupancy=None,
        occupancy_unknown_frac=1.0,
        waves=0.3,
        tail_frac=None,
        flops=None,
        bytes=None,
        known_frac=0.0,
        compute_frac=None,
        memory_frac=None,
        intensity=None,
        unknown={"occupancy": "the profiler wrote 0"},
    )


def _family(name: str, precision: str, tensor: Any, nature: Any, total_us: float, frac: float) -> FamilyRow:
    return FamilyRow(
        family=name,
        precision=precision,
        tensor=tensor,
        nature=nature,
        count=1_000,
        total_us=total_us,
        busy_frac=frac,
    )


def make_trace_file(name: str = "synthetic.pt.trace.json", **changes: Any) -> TraceFile:
    """A file of which all was read."""
    file = TraceFile(
        name=name,
        format="kineto",
        size_bytes=12_300_000,
        events={"kernel": 4_700, "cpu_op": 21_000, "cuda_runtime": 9_400},
        facts={"schema": "1", "torch": "2.7"},
    )
    return msgspec.structs.replace(file, **changes)


def make_ranks() -> RankFigures:
    """Two of four ranks, of which the second is late."""
    rows = tuple(
        RankRow(
            rank=i,
            device=0,
            file=i,
            span_us=1_000_000.0,
            busy_us=500_000.0,
            work_us=400_000.0 + 50_000.0 * i,
            exposed_us=15_000.0,
            wait_us=40_000.0 * (1 - i),
            last_frac=float(i),
            step_us=100_000.0,
        )
        for i in range(2)
    )
    return RankFigures(
        rows=rows,
        world_size=4,
        missing=2,
        imbalance_frac=0.06,
        straggler=1,
        straggler_because="it came last to 97 % of collectives",
        wait_frac=0.02,
        exposed_frac=0.015,
        collectives=(
            CollectiveRow(
                name="ncclDevKernel_AllReduce_Sum_bf16_RING_LL",
                count=40,
                total_us=45_000.0,
                wait_us=40_000.0,
                last_rank=1,
            ),
        ),
    )


def make_trace(*devices: DeviceTrace, **changes: Any) -> TraceReport:
    """What one file shows, of one device unless more are given."""
    report = TraceReport(files=(make_trace_file(),), devices=devices or (make_device_trace(),))
    return msgspec.structs.replace(report, **changes)


def traced(report: TraceReport | None = None, **changes: Any) -> Diagnosis:
    """A document of traces: a verdict and a row of the ladder for each device."""
    report = make_trace() if report is None else report
    verdicts = tuple(
        make_verdict("host", gpu=d.device, key=d.key, tier="trace", workload=None) for d in report.devices
    )
    provenance = make_provenance(verdicts, source="trace", command="advisor trace synthetic.pt.trace.json")
    made = make_diagnosis(verdicts=verdicts, provenance=provenance)
    return msgspec.structs.replace(made, **{"trace": report, **changes})


def ranked() -> Diagnosis:
    """Two ranks of one job, the first of which was cut off."""
    lost = TraceLoss(code="truncated", message="the file ends within an event", count=3, offset=4096)
    files = (
        make_trace_file("rank0.json", rank=0, world_size=4, losses=(lost,)),
        make_trace_file("rank1.json", rank=1, world_size=4),
    )
    devices = (
        make_device_trace(0, rank=0),
        make_device_trace(1, file=1, rank=1, device=0),
    )
    return traced(
        TraceReport(
            files=files, devices=devices, ranks=make_ranks(), notes=("clocks of two hosts are not compared",)
        )
    )

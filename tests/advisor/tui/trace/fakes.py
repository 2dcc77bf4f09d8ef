"""Made-up tracks: hand-made timelines, attributed by the real code. No device produced these figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advisor.document import Diagnosis
from advisor.traces.attribution import Attribution, attribute
from advisor.traces.timeline import (
    GpuKind,
    HostKind,
    Op,
    Thread,
    Timeline,
    TraceDevice,
    TraceMeta,
    gpu_table,
    host_table,
    step_table,
)
from advisor.tui.trace.track import Track
from rules.traces.host_names import host_role
from rules.traces.kernel_records import KernelRow, Nature
from rules.traces.records import (
    BUSY,
    CAUSES,
    DeviceTrace,
    RankFigures,
    RankRow,
    StepFigures,
    StepRow,
    TraceFile,
    TraceReport,
)
from tests import factories as make

US = 1000
MODEL = "Simulated X100 80GB"
NAMES: tuple[str, ...] = (
    "synthetic_gemm",
    "void at::native::vectorized_elementwise_kernel<4>",
    "Memcpy HtoD (Pageable -> Device)",
    "cudaLaunchKernel",
    "cudaMemcpyAsync",
    "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__",
    "aten::mm",
    "ncclDevKernel_AllReduce",
)
NATURES: tuple[Nature, ...] = (
    "compute", "memory", "copy", "other", "other", "other", "other", "communication",
)  # fmt: skip
STEP_US = 1000


def training(
    steps: int = 4, *, names: Sequence[str] = NAMES, host: bool = True, devices: int = 1
) -> Timeline:
    """Steps of 1 ms each: 400 µs of loading, a copy of 100 µs, 300 µs of gemm, 100 µs of elementwise, the
    rest launches. Device 1 does the same 50 µs later, with a collective of 40 µs on a second stream."""
    gpu: list[tuple[int, int, int, int, int, int, int]] = []
    calls: list[tuple[int, int, int, int]] = []
    for step in range(steps):
        at = step * STEP_US
        calls += [(at, at + 400, 5, HostKind.ANNOTATION), (at + 400, at + 900, 6, HostKind.OP)]
        calls += [
            (at + 410, at + 420, 4, HostKind.RUNTIME),
            (at + 440, at + 450, 3, HostKind.RUNTIME),
            (at + 590, at + 600, 3, HostKind.RUNTIME),
        ]
        for device in range(devices):
            late = at + 50 * device
            gpu += [
                (late + 420, late + 520, device, 7, GpuKind.MEMCPY, 2, step * 10 + 1),
                (late + 520, late + 820, device, 7, GpuKind.KERNEL, 0, step * 10 + 2),
                (late + 830, late + 930, device, 7, GpuKind.KERNEL, 1, step * 10 + 3),
            ]
            if device:
                gpu.append((late + 930, late + 970, device, 20, GpuKind.KERNEL, 7, -1))
    return _timeline(gpu, calls if host else [], steps, names)


def _timeline(gpu: list[Any], calls: list[Any], steps: int, names: Sequence[str]) -> Timeline:
    columns = np.array(gpu, np.int64).T
    hosts = np.array(calls, np.int64).reshape(-1, 4).T
    host = host_table(
        start_ns=hosts[0] * US, end_ns=hosts[1] * US, name=hosts[2], kind=hosts[3],
        thread=np.zeros(hosts.shape[1], np.int64),
        role=np.array([host_role(NAMES[n]) for n in hosts[2]], np.uint8),
    )  # fmt: skip
    apis = np.flatnonzero(host.kind == HostKind.RUNTIME)
    # Every call of the runtime caused the GPU row of its number, counted by step.
    number = {
        place // 3 * 10 + place % 3 + 1: call for place, call in enumerate(apis.tolist())
    }  # fmt: skip
    launch = [number.get(int(link), -1) for link in columns[6]]
    table = gpu_table(
        start_ns=columns[0] * US, end_ns=columns[1] * US, device=columns[2], stream=columns[3],
        kind=columns[4], name=columns[5], correlation=columns[6], launch=launch,
        op=np.where(columns[5] == 0, 0, -1), blocks=np.full(len(gpu), 1024), threads=np.full(len(gpu), 256),
        occupancy=np.where(columns[5] == 0, 0.5, np.nan),
    )  # fmt: skip
    marks = [step * STEP_US * US for step in range(steps)]
    step_rows = step_table(
        start_ns=marks, end_ns=[at + STEP_US * US for at in marks], number=list(range(5, 5 + steps))
    )
    return Timeline(
        meta=TraceMeta(path="/home/someone/synthetic.json.gz", format="kineto", size_bytes=1),
        gpu=table, host=host, steps=step_rows, names=tuple(names),
        ops=(Op("aten::mm", ((128, 64), (64, 32)), ("float", "float")),),
        threads=(Thread(4242, 4242, "trainer"),), devices=(TraceDevice(0, MODEL),),
    )  # fmt: skip


def natures(timeline: Timeline) -> Any:
    """The class of each GPU row, by its name's place."""
    by_name = np.array([BUSY.index(nature) for nature in NATURES], np.uint8)
    return by_name[timeline.gpu.name]


def figures(
    timeline: Timeline, attribution: Attribution, file: int = 0, rank: int | None = None, **changes: Any
) -> DeviceTrace:
    """The device's record, as far as the screen reads it."""
    causes = dict(zip(CAUSES, (attribution.causes_ns() / US).tolist(), strict=True))
    busy = dict(zip(BUSY, (attribution.busy_ns() / US).tolist(), strict=True))
    idle = sum(causes.values())
    span = attribution.span_ns / US
    made = DeviceTrace(
        key=make.device_key(attribution.device), file=file, device=attribution.device, span_us=span,
        busy_us=sum(busy.values()), idle_us=idle, idle_frac=idle / span, causes=causes, busy=busy,
        name=MODEL, rank=rank, kernels=kernels(timeline), steps=step_figures(timeline, attribution),
    )  # fmt: skip
    import msgspec

    return msgspec.structs.replace(made, **changes)


def kernels(timeline: Timeline) -> tuple[KernelRow, ...]:
    """Three kernels whose orders by total, count, mean, roofline and occupancy all differ."""
    rows = (
        (0, 1200.0, 4, 300.0, 0.6, 0.2, 0.5),
        (1, 400.0, 40, 10.0, 0.02, 0.9, None),
        (7, 160.0, 2, 80.0, None, None, 0.1),
    )
    return tuple(
        KernelRow(
            name=timeline.names[name], family="synthetic", nature=NATURES[name], nature_basis="family",
            count=count, total_us=total, busy_frac=total / 2000, mean_us=mean, median_us=mean, p90_us=mean,
            max_us=mean, compute_frac=compute, memory_frac=memory, occupancy=occupancy,
        )
        for name, total, count, mean, compute, memory, occupancy in rows
    )  # fmt: skip


def step_figures(timeline: Timeline, attribution: Attribution) -> StepFigures:
    """Steps as they are marked; the second is an outlier."""
    rows = []
    for place, number in enumerate(timeline.steps.number.tolist()):
        start, end = int(timeline.steps.start_ns[place]), int(timeline.steps.end_ns[place])
        idle, busy = attribution.between(start, end)
        rows.append(
            StepRow(
                number=number, start_us=start / US, duration_us=(end - start) / US,
                busy_us=float(busy.sum()) / US, outlier=place == 1,
                causes=dict(zip(CAUSES, (idle / US).tolist(), strict=True)),
            )
        )  # fmt: skip
    return StepFigures(
        source="ProfilerStep", count=len(rows), rows=tuple(rows), outlier_because={"6": "data loading"}
    )


def track(timeline: Timeline | None = None, device: int = 0, file: int = 0, **changes: Any) -> Track:
    """One device of a made-up timeline."""
    timeline = training() if timeline is None else timeline
    judged = natures(timeline)
    attribution = attribute(timeline, device, judged)
    made = figures(timeline, attribution, file, **changes)
    named = TraceFile(name="synthetic.json.gz", format="kineto", size_bytes=1)
    return Track(timeline, attribution, made, named, judged)


def diagnosis(tracks: Sequence[Track], ranks: bool = False, **changes: Any) -> Diagnosis:
    """A document of these tracks with a verdict, a ladder and a finding of the first."""
    rows = tuple(
        RankRow(
            rank=place, device=each.figures.device, file=each.figures.file, span_us=4000.0, busy_us=2000.0,
            work_us=1800.0, exposed_us=40.0, wait_us=10.0 * place, last_frac=0.75 - place / 2,
        )
        for place, each in enumerate(tracks)
    )  # fmt: skip
    figures = RankFigures(rows=rows, straggler=0, straggler_because="the others wait for it")
    report = TraceReport(
        files=tuple(each.file for each in tracks if each.file is not None),
        devices=tuple(each.figures for each in tracks),
        ranks=figures if ranks else None,
    )
    return make.make_diagnosis(trace=report, **changes)

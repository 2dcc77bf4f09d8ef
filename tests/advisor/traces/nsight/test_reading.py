from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advisor.traces.attribution import attribute
from advisor.traces.nsight import read_nsight
from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind, HostKind, Timeline
from rules.traces.host_names import HostRole
from rules.traces.records import BUSY, CAUSES
from tests.advisor.traces.nsight.export import (
    GRAPH,
    MEMSET,
    PID,
    SYNC,
    UTC_NS,
    Export,
    global_pid,
    global_tid,
    training,
)
from tests.advisor.traces.real import trace


def read(export: Export, folder: Path) -> Timeline:
    return read_nsight(export.write(folder / "synthetic.sqlite"))


def idle_percent(timeline: Timeline, device: int) -> float:
    rows = timeline.gpu.device == device
    start, end = timeline.gpu.start_ns[rows], np.maximum.accumulate(timeline.gpu.end_ns[rows])
    gaps = np.maximum(start[1:] - end[:-1], 0).sum()
    return float(100 * gaps / (end[-1] - start[0]))


@pytest.fixture(scope="module")
def real() -> Timeline:
    return read_nsight(trace("nsys_2gpu.sqlite"))


def test_a_real_export_has_the_reference_idle_time(real: Timeline) -> None:
    assert [round(idle_percent(real, d), 3) for d in real.device_numbers()] == [8.681, 10.509]
    assert real.losses == ()


def test_a_real_export_holds_two_processes_with_a_gpu_each(real: Timeline) -> None:
    assert real.meta.facts["processes"] == "pid 144: GPU 0; pid 145: GPU 1"
    assert real.meta.rank is None
    assert real.meta.pid is None
    for device, pid in ((0, 144), (1, 145)):
        launch = real.gpu.launch[(real.gpu.device == device) & (real.gpu.launch != UNKNOWN)]
        assert {real.threads[t].pid for t in np.unique(real.host.thread[launch])} == {pid}


def test_a_real_export_keeps_no_environment_variable(real: Timeline) -> None:
    assert "WANDB" not in repr(real.meta)
    assert set(real.meta.facts) <= {"profiler", "schema", "driver", "os", "cuda_graph_trace", "processes"}


def test_a_real_export_tells_the_operator_of_most_kernels(real: Timeline) -> None:
    known = real.gpu.op != UNKNOWN
    assert known.mean() > 0.95
    assert {real.ops[i].name for i in np.unique(real.gpu.op[known])} >= {"aten::addmm", "aten::copy_"}
    assert len(real.names) < 500


def test_kernels_carry_their_shape(tmp_path: Path) -> None:
    gpu = read(Export().kernel(10, 30), tmp_path).gpu
    assert (gpu.start_ns[0], gpu.end_ns[0], gpu.device[0], gpu.stream[0]) == (10, 30, 0, 7)
    assert (gpu.blocks[0], gpu.threads[0], gpu.registers[0], gpu.shared_bytes[0]) == (64, 256, 32, 3072)
    assert (gpu.kind[0], gpu.graph[0], gpu.correlation[0]) == (GpuKind.KERNEL, UNKNOWN, UNKNOWN)
    assert np.isnan(gpu.occupancy[0])


def test_an_old_export_without_most_columns_is_read(tmp_path: Path) -> None:
    timeline = read(Export().old_kernel(10, 30, "old_kernel"), tmp_path)
    assert timeline.names[timeline.gpu.name[0]] == "old_kernel"
    assert (timeline.gpu.blocks[0], timeline.gpu.threads[0], timeline.gpu.registers[0]) == (-1, -1, -1)
    assert [loss.code for loss in timeline.losses] == ["no-cpu-side"]


def test_the_full_name_is_taken_before_the_short_one(tmp_path: Path) -> None:
    export = Export()
    export.kernel(1, 2, demangledName=export.text("gemm<float>(int)"), shortName=export.text("gemm"))
    timeline = read(export, tmp_path)
    assert timeline.names[timeline.gpu.name[0]] == "gemm<float>(int)"


@pytest.mark.parametrize(
    ("kind", "source", "target", "expected", "name"),
    [
        (1, 0, 2, CopyKind.H2D_PAGEABLE, "Memcpy HtoD (Pageable -> Device)"),
        (1, 1, 2, CopyKind.H2D_PINNED, "Memcpy HtoD (Pinned -> Device)"),
        (1, None, None, CopyKind.H2D, "Memcpy HtoD"),
        (2, 2, 0, CopyKind.D2H_PAGEABLE, "Memcpy DtoH (Device -> Pageable)"),
        (2, 2, 1, CopyKind.D2H_PINNED, "Memcpy DtoH (Device -> Pinned)"),
        (2, 2, 7, CopyKind.D2H, "Memcpy DtoH (Device -> Unknown)"),
        (8, 2, 2, CopyKind.D2D, "Memcpy DtoD (Device -> Device)"),
        (10, 2, 2, CopyKind.P2P, "Memcpy PtoP (Device -> Device)"),
        (11, 4, 2, CopyKind.H2D, "Memcpy HtoD, unified memory (Managed -> Device)"),
        (99, None, None, CopyKind.OTHER, "Memcpy"),
    ],
)
def test_copies_have_direction_and_memory(
    tmp_path: Path, kind: int, source: int | None, target: int | None, expected: CopyKind, name: str
) -> None:
    timeline = read(Export().copy(5, 9, kind, source, target), tmp_path)
    assert timeline.gpu.copy[0] == expected
    assert timeline.gpu.kind[0] == GpuKind.MEMCPY
    assert timeline.gpu.bytes[0] == 4096
    assert timeline.names[timeline.gpu.name[0]] == name


def test_sets_count(tmp_path: Path) -> None:
    export = Export().add(MEMSET, start=3, end=4, deviceId=1, streamId=7, correlationId=0, bytes=64, value=0)
    gpu = read(export, tmp_path).gpu
    assert (gpu.kind[0], gpu.device[0], gpu.bytes[0]) == (GpuKind.MEMSET, 1, 64)


def test_launches_are_found_by_correlation_and_process(tmp_path: Path) -> None:
    export = Export().launched(0, 10, 20, 5, pid=1).launched(1, 11, 21, 5, pid=2, deviceId=1)
    timeline = read(export, tmp_path)
    rows = timeline.gpu.launch
    assert [timeline.threads[timeline.host.thread[row]].pid for row in rows] == [1, 2]
    assert len(np.unique(timeline.gpu.correlation)) == 2
    assert list(timeline.gpu.correlation) == list(timeline.host.correlation[rows])


def test_calls_have_kind_role_and_a_name_without_version(tmp_path: Path) -> None:
    expected = {
        "cudaLaunchKernel_v7000": ("cudaLaunchKernel", HostKind.RUNTIME, HostRole.LAUNCH),
        "cudaLaunchKernel_ptsz_v7000": ("cudaLaunchKernel", HostKind.RUNTIME, HostRole.LAUNCH),
        "cuLaunchKernelEx": ("cuLaunchKernelEx", HostKind.DRIVER, HostRole.LAUNCH),
        "cudaMemcpyAsync_v3020": ("cudaMemcpyAsync", HostKind.RUNTIME, HostRole.COPY),
        "cuMemAlloc_v2": ("cuMemAlloc_v2", HostKind.DRIVER, HostRole.ALLOC),
        "cudaStreamSynchronize_v3020": ("cudaStreamSynchronize", HostKind.RUNTIME, HostRole.SYNC),
        "cudaStreamGetCaptureInfo_v2_v11030": (
            "cudaStreamGetCaptureInfo_v2",
            HostKind.RUNTIME,
            HostRole.OTHER,
        ),
    }
    export = Export()
    for number, name in enumerate(expected):
        export.call(10 * number, 10 * number + 5, name, number + 1)
    timeline = read(export, tmp_path)
    host = timeline.host
    got = [(timeline.names[n], k, r) for n, k, r in zip(host.name, host.kind, host.role, strict=True)]
    assert got == list(expected.values())


def test_operators_come_from_ranges_that_torch_wrote(tmp_path: Path) -> None:
    timeline = read(training(2), tmp_path)
    assert {timeline.ops[i].name for i in timeline.gpu.op} == {"aten::mm"}
    assert timeline.ops[timeline.gpu.op[0]].dims == ((8, 16), (16, 4))
    ops = timeline.host.kind == HostKind.OP
    assert {timeline.names[n] for n in timeline.host.name[ops]} == {"aten::mm"}


def test_the_innermost_operator_launched_the_kernel(tmp_path: Path) -> None:
    export = Export().range(0, 100, "aten::linear, op_id = 1").range(10, 30, "aten::addmm, op_id = 2")
    export.launched(15, 200, 210, 1).launched(50, 220, 230, 2).launched(150, 240, 250, 3)
    timeline = read(export, tmp_path)
    names = [timeline.ops[i].name if i != UNKNOWN else None for i in timeline.gpu.op]
    assert names == ["aten::addmm", "aten::linear", None]


def test_ranges_with_registered_text_and_roles(tmp_path: Path) -> None:
    export = Export().kernel(0, 9)
    name = export.text("DataLoader.next")
    export.add(
        "NVTX_EVENTS", start=1, end=5, eventType=59, text=None, globalTid=global_tid(), textId=name
    )  # fmt: skip
    export.range(2, None, "never ended").range(3, 4, "a mark", kind=34).range(1, 9, "free", kind=60)
    timeline = read(export, tmp_path)
    assert [timeline.names[n] for n in timeline.host.name] == ["DataLoader.next"]
    assert timeline.host.role[0] == HostRole.DATA


def test_synchronisations_lie_on_the_thread_that_called(tmp_path: Path) -> None:
    export = Export().kernel(0, 9).call(5, 50, "cudaStreamSynchronize_v3020", 3, tid=77)
    for kind, correlation in ((3, 3), (2, 3), (3, 999)):
        export.add(
            SYNC, start=6, end=40, deviceId=0, streamId=7, correlationId=correlation,
            globalPid=global_pid(), syncType=kind,
        )  # fmt: skip
    timeline = read(export, tmp_path)
    sync = timeline.host.kind == HostKind.SYNC
    assert sorted(timeline.host.role[sync]) == [HostRole.SYNC, HostRole.OTHER]
    assert {timeline.threads[t].tid for t in timeline.host.thread} == {77}


def test_overhead_is_the_profilers_own_work_only(tmp_path: Path) -> None:
    export = Export().kernel(0, 9)
    for number, kind in enumerate((3, 7)):
        export.add(
            "PROFILER_OVERHEAD", start=number, end=number + 1, globalTid=global_tid(),
            nameId=export.text("Buffer flush"), overheadType=kind,
        )  # fmt: skip
    timeline = read(export, tmp_path)
    assert [HostRole(r) for r in timeline.host.role] == [HostRole.OVERHEAD, HostRole.OTHER]
    assert [timeline.names[n] for n in timeline.host.name] == ["Buffer flush", "CUDA: lazy function loading"]


def test_operating_system_calls_on_files_are_io_and_short_others_are_left_out(tmp_path: Path) -> None:
    export = Export().kernel(0, 9)
    calls = (("read", 10), ("pwrite64", 10), ("fsync", 10), ("poll", 10), ("poll", 50_000), ("ioctl", 5))
    for number, (name, length) in enumerate(calls):
        start = 100_000 * number
        export.add(
            "OSRT_API", start=start, end=start + length, eventClass=27, globalTid=global_tid(),
            nameId=export.text(name),
        )  # fmt: skip
    timeline = read(export, tmp_path)
    got = [(timeline.names[n], r) for n, r in zip(timeline.host.name, timeline.host.role, strict=True)]
    io, other = HostRole.IO, HostRole.OTHER
    assert got == [("read", io), ("pwrite64", io), ("fsync", io), ("poll", other)]
    assert set(timeline.host.kind) == {HostKind.OS}


def test_graphs_traced_as_a_whole_keep_the_device_busy(tmp_path: Path) -> None:
    export = Export().kernel(0, 10)
    for start, end in ((20, 90), (0, 0)):
        export.add(
            GRAPH, start=start, end=end, deviceId=0, contextId=1, streamId=7, correlationId=4,
            globalPid=global_pid(), graphId=12, graphExecId=3,
        )  # fmt: skip
    timeline = read(export, tmp_path)
    assert list(timeline.gpu.end_ns - timeline.gpu.start_ns) == [10, 70]
    assert timeline.names[timeline.gpu.name[1]] == "CUDA graph"
    assert timeline.gpu.graph[1] == 12
    losses = {loss.code: loss.count for loss in timeline.losses}
    assert losses["graph-level"] == 1
    assert losses["damaged"] == 1
    assert any("cuda-graph-trace=node" in loss.message for loss in timeline.losses)


def test_kernels_of_graphs_say_which(tmp_path: Path) -> None:
    export = Export().kernel(0, 1, graphId=5, graphNodeId=9).kernel(2, 3, graphNodeId=(6 << 32) | 1)
    assert list(read(export, tmp_path).gpu.graph) == [5, 6]


def two_ranks() -> Export:
    """Two processes that each see one GPU, as their device 0, on the same stream number."""
    return Export().launched(0, 10, 20, 1, pid=1).launched(1, 15, 40, 1, pid=2)


def test_devices_are_gpus_and_not_what_each_process_calls_them(tmp_path: Path) -> None:
    export = two_ranks()
    for pid, gpu in ((1, 4), (2, 5)):
        export.add("TARGET_INFO_CUDA_DEVICE", gpuId=gpu, cudaId=0, pid=pid, numMultiprocessors=100 + gpu)
    timeline = read(export, tmp_path)
    assert timeline.device_numbers() == (4, 5)
    assert [device.sm_count for device in timeline.devices] == [104, 105]
    assert timeline.meta.facts["processes"] == "pid 1: GPU 4; pid 2: GPU 5"
    assert list(timeline.gpu.stream) == [7, 7]
    assert timeline.losses == ()


def test_processes_that_may_share_a_gpu_are_told(tmp_path: Path) -> None:
    timeline = read(two_ranks(), tmp_path)
    assert [loss.code for loss in timeline.losses] == ["devices-merged"]
    assert len(np.unique(timeline.gpu.stream)) == 2


def test_what_the_file_says_of_a_gpu(tmp_path: Path) -> None:
    export = Export().kernel(0, 1).call(0, 1, "cudaLaunchKernel", 3)
    export.add(
        "TARGET_INFO_GPU", id=0, name="Synthetic GPU", smCount=132, totalMemory=80 << 30, computeMajor=9,
        computeMinor=0, maxWarpsPerSm=64, threadsPerWarp=32, maxRegistersPerSm=65536, maxShmemPerSm=233472,
    )  # fmt: skip
    (device,) = read(export, tmp_path).devices
    assert (device.name, device.sm_count, device.compute_capability) == ("Synthetic GPU", 132, "9.0")
    assert (device.max_threads_per_sm, device.warp_size, device.memory_bytes) == (2048, 32, 80 << 30)


def test_time_zero_is_the_start_of_the_capture(tmp_path: Path) -> None:
    meta = read(Export().about().kernel(5, 6), tmp_path).meta
    assert (meta.zero_ns, meta.file_zero_ns, meta.format) == (UTC_NS, 0, "nsight")
    assert meta.facts["schema"] == "3.25.0"
    assert meta.events == {"kernel": 1}


@pytest.mark.parametrize(
    ("export", "base"),
    [
        (Export().about(EXPORT_PARAM_TIME_SHIFT="1000").kernel(1005, 1006), 1000),
        (Export().about(EXPORT_PARAM_TIME_SHIFT="-1000").kernel(-995, -994), -1000),
        (Export().about(EXPORT_PARAM_TIME_NORMALIZE="true").kernel(UTC_NS + 5, UTC_NS + 6), UTC_NS),
    ],
    ids=["shifted", "shifted back", "normalised"],
)
def test_shifted_times_are_shifted_back(tmp_path: Path, export: Export, base: int) -> None:
    timeline = read(export, tmp_path)
    assert (timeline.gpu.start_ns[0], timeline.gpu.end_ns[0]) == (5, 6)
    assert (timeline.meta.zero_ns, timeline.meta.file_zero_ns) == (UTC_NS, base)


def test_rank_comes_from_the_launchers_variables_and_nothing_else_does(tmp_path: Path) -> None:
    export = Export().kernel(0, 1)
    for value in ('RANK="3"', 'WORLD_SIZE="8"', 'HF_API_KEY="secret"', 'RANKED="9"'):
        export.add("META_DATA_CAPTURE", name="PROCESS_0:ENVIRONMENT_VARIABLE", value=value)
    export.add("TARGET_INFO_SYSTEM_ENV", name="Hostname", value="node7")
    meta = read(export, tmp_path).meta
    assert (meta.rank, meta.world_size, meta.host, meta.pid) == (3, 8, "node7", PID)
    assert "secret" not in repr(meta)


def test_warnings_of_the_profiler_are_losses(tmp_path: Path) -> None:
    export = Export().kernel(0, 1).call(0, 1, "cudaLaunchKernel", 3)
    export.add("DIAGNOSTIC_EVENT", severity=1, text="Profiling has started.")
    export.add("DIAGNOSTIC_EVENT", severity=2, text="Not all CUDA events might have been collected.")
    losses = read(export, tmp_path).losses
    assert [loss.code for loss in losses] == ["profiler-warning"]
    assert "Not all CUDA events" in losses[0].message


def test_threads_have_their_names(tmp_path: Path) -> None:
    export = Export().launched(0, 5, 9, 1)
    export.add("ThreadNames", nameId=export.text("pt_main"), priority=20, globalTid=global_tid())
    (thread,) = read(export, tmp_path).threads
    assert (thread.pid, thread.tid, thread.label) == (PID, PID, "pt_main")


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = training().write(tmp_path / "synthetic.sqlite")
    told: list[tuple[int, int | None]] = []
    read_nsight(path, progress=lambda done, size: told.append((done, size)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_idle_time_of_an_export_is_attributed(tmp_path: Path) -> None:
    timeline = read(training(5), tmp_path)
    done = attribute(timeline, 0, np.full(len(timeline.gpu), BUSY.index("other"), np.uint8))
    causes = dict(zip(CAUSES, done.causes_ns().tolist(), strict=True))
    assert causes["data_loading"] == 4 * 300  # the ranges named DataLoader, between kernels
    assert sum(causes.values()) == 4 * 500


def test_a_kernel_whose_process_is_not_told_is_linked_to_the_call_before_it(tmp_path: Path) -> None:
    export = Export()
    for pid, base in ((100, 0), (200, 1000)):
        for i in range(3):
            export.call(base + 100 * i, base + 100 * i + 5, "cudaLaunchKernel_v7000", 1 + i, pid=pid, tid=pid)
            export.old_kernel(base + 100 * i + 20, base + 100 * i + 60, correlationId=1 + i)
    timeline = read(export, tmp_path)
    assert (timeline.gpu.launch >= 0).all()
    assert timeline.host.start_ns[timeline.gpu.launch].tolist() == [0, 100, 200, 1000, 1100, 1200]


def test_ids_that_start_again_belong_to_the_call_before_the_kernel(tmp_path: Path) -> None:
    export = Export()
    for base in (0, 1000):
        for i in range(3):
            export.launched(base + 100 * i, base + 100 * i + 20, base + 100 * i + 60, 1 + i)
    timeline = read(export, tmp_path)
    assert timeline.host.start_ns[timeline.gpu.launch].tolist() == [0, 100, 200, 1000, 1100, 1200]

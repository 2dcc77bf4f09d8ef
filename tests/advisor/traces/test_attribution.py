"""Each cause of idle time by hand, in ns; then what must hold of any timeline."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.traces.attribution import Attribution, attribute
from advisor.traces.lanes import MARGIN_NS
from advisor.traces.timeline import CopyKind, GpuKind, HostKind, Timeline, gpu_table, host_table
from rules.thresholds_trace import TRACE_AWAY_US
from rules.traces.host_names import HostRole
from rules.traces.records import BUSY, CAUSES
from tests.advisor.traces.plain_attribution import Plain
from tests.advisor.traces.scene import AUTOGRAD, MAIN, NOBODY, OTHER_PROCESS, THREADS, Scene, causes, natures

US = 1000


def two(call: tuple[int, int] = (70, 80), *, second: int = 100, **gpu: Any) -> Scene:
    """Kernels at [0, 10) and [100, 110) µs; the second one's launch call as given."""
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    return scene.launched((call[0] * US, call[1] * US), (second * US, (second + 10) * US), **gpu)


def check(scene: Scene, **expected: int) -> Attribution:
    """The causes in µs are those expected, and all of them; the sums fill the span."""
    made = scene.attributed()
    assert causes(made) == {name: us * US for name, us in expected.items()}
    assert int(made.causes_ns().sum() + made.busy_ns().sum()) == made.span_ns
    return made


# What the host did until it issued the work


def test_a_launch_that_comes_late_is_host_launch_with_its_latency() -> None:
    made = check(two(), host_launch=90)
    assert not made.idle.after_sync.any()


def test_a_kernel_that_starts_within_its_launch_call() -> None:
    check(two((95, 105)), host_launch=90)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", "data_loading"),
        ("torch.save", "checkpoint_io"),
        ("gloo:all_reduce", "communication_wait"),
        ("cudaMalloc", "allocator"),
        ("cudaMemcpy", "copy_wait"),
        ("cudaStreamSynchronize", "synchronisation"),
        ("Buffer Flush", "profiler_overhead"),
        ("aten::mm", "host_launch"),
        ("cudaMemcpyAsync", "host_launch"),
        ("cudaEventQuery", "host_launch"),
    ],
)
def test_what_the_launching_thread_did_is_the_cause(name: str, cause: str) -> None:
    kind = HostKind.RUNTIME if name.startswith("cuda") else HostKind.ANNOTATION
    made = two().call(name, 30 * US, 50 * US, kind=kind).attributed()
    expected = (
        {"host_launch": 90 * US} if cause == "host_launch" else {"host_launch": 70 * US, cause: 20 * US}
    )
    assert causes(made) == expected


def test_roles_that_nest_go_to_the_outer_reason() -> None:
    scene = two().range("enumerate(DataLoader)", 20 * US, 60 * US)
    scene.call("cudaMemcpy", 30 * US, 40 * US).call("cudaStreamSynchronize", 40 * US, 50 * US)
    check(scene, data_loading=40, host_launch=50)


def test_a_checkpoint_contains_its_copies_and_an_allocation_its_synchronisation() -> None:
    scene = two().range("save_checkpoint", 12 * US, 30 * US).call("cudaMemcpy", 20 * US, 30 * US)
    scene.call("cudaFree", 40 * US, 60 * US).call("cudaStreamSynchronize", 45 * US, 55 * US)
    check(scene, checkpoint_io=18, allocator=20, host_launch=52)


def test_an_operator_that_reads_a_value_is_synchronisation_only_inside_the_call() -> None:
    scene = two().op("aten::item", 20 * US, 60 * US).call("cudaStreamSynchronize", 30 * US, 50 * US)
    check(scene, synchronisation=20, host_launch=70)


def test_time_to_issue_again_after_a_synchronisation_is_told_apart() -> None:
    made = check(two().call("cudaStreamSynchronize", 2 * US, 15 * US), synchronisation=5, host_launch=85)
    assert made.after_sync_ns() == 85 * US


def test_a_synchronisation_that_began_when_nothing_was_left_drained_nothing() -> None:
    made = check(two().call("cudaDeviceSynchronize", 20 * US, 25 * US), synchronisation=5, host_launch=85)
    assert made.after_sync_ns() == 0


def test_what_the_profiler_did_comes_first() -> None:
    scene = two().range("enumerate(DataLoader)", 20 * US, 60 * US)
    scene.call("Instrumentation", 30 * US, 40 * US, kind=HostKind.OVERHEAD)
    check(scene, data_loading=30, profiler_overhead=10, host_launch=50)


def test_overhead_under_no_real_thread_counts_for_all() -> None:
    scene = two().call("Resource", 30 * US, 40 * US, kind=HostKind.OVERHEAD, thread=NOBODY)
    check(scene, profiler_overhead=10, host_launch=80)


def test_overhead_that_a_program_has_without_a_profiler_is_its_own() -> None:
    check(two().call("Lazy Function Loading", 30 * US, 40 * US, kind=HostKind.OVERHEAD), host_launch=90)


def test_a_profilers_thread_holds_up_only_those_who_stand_in_a_call() -> None:
    scene = two((70, 80)).call("cudaFuncGetAttributes", 30 * US, 50 * US)
    scene.call("CUPTI Buffer flush", 40 * US, 60 * US, kind=HostKind.OVERHEAD, thread=AUTOGRAD)
    check(scene, profiler_overhead=10, host_launch=80)


def test_a_profilers_thread_of_another_process_holds_up_nobody() -> None:
    scene = two((30, 80)).call("read", 0, 5, thread=OTHER_PROCESS)
    scene.host.append({**scene.host[-1], "start_ns": 40 * US, "end_ns": 60 * US, "kind": HostKind.OVERHEAD})
    check(scene, host_launch=90)


# Copies


def copying(call: tuple[int, int], copy: CopyKind, api: str = "cudaMemcpyAsync") -> Scene:
    return two(call, api=api, kind=GpuKind.MEMCPY, copy=copy)


def test_a_pageable_copy_is_waited_for_within_its_call() -> None:
    check(copying((70, 120), CopyKind.H2D_PAGEABLE), host_launch=60, copy_wait=30)


def test_a_pinned_copy_is_issued_like_a_kernel() -> None:
    check(copying((70, 80), CopyKind.H2D_PINNED), host_launch=90)


def test_a_copy_of_unknown_memory_that_returned_after_the_copy_was_waited_for() -> None:
    check(copying((70, 120), CopyKind.D2H), host_launch=60, copy_wait=30)
    check(copying((70, 105), CopyKind.D2H), host_launch=90)


def test_a_copy_that_says_so_waits() -> None:
    check(copying((70, 80), CopyKind.H2D_PINNED, "cudaMemcpy"), host_launch=80, copy_wait=10)


# Other threads


def test_the_thread_that_rested_waited_for_the_one_that_worked() -> None:
    """The first backward kernel after a batch was loaded on the main thread."""
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    scene.range("enumerate(DataLoader)", 5 * US, 900 * US)
    scene.launched((960 * US, 970 * US), (980 * US, 990 * US), thread=AUTOGRAD)
    scene.op("autograd::backward", 950 * US, 975 * US, thread=AUTOGRAD)
    check(scene, data_loading=890, host_launch=80)


def test_a_thread_at_work_is_not_explained_by_another() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    scene.range("enumerate(DataLoader)", 5 * US, 900 * US)
    scene.op("autograd::backward", 5 * US, 975 * US, thread=AUTOGRAD)
    scene.launched((960 * US, 970 * US), (980 * US, 990 * US), thread=AUTOGRAD)
    check(scene, host_launch=970)


def test_short_absences_are_the_interpreter_at_work() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US)).op("aten::add", 0, 12 * US)
    scene.range("enumerate(DataLoader)", 5 * US, 60 * US, thread=AUTOGRAD)
    scene.launched((-5 * US, -4 * US), (105 * US, 110 * US), thread=AUTOGRAD)
    scene.launched((70 * US, 80 * US), (90 * US, 100 * US))
    assert causes(scene.attributed())["host_launch"] == 80 * US


def test_a_thread_that_drives_nothing_explains_nothing() -> None:
    """A pin_memory thread always sits in the loader's code."""
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    scene.range("torch/utils/data/_utils/pin_memory.py(1): do_one_step", 0, 5000 * US, thread=AUTOGRAD)
    scene.launched((960 * US, 970 * US), (980 * US, 990 * US))
    check(scene, host_launch=970)


def test_a_thread_in_a_system_call_may_wait_for_another() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US), thread=AUTOGRAD)
    scene.call("pthread_cond_wait", 0, 900 * US, kind=HostKind.OS)
    scene.call("cudaStreamSynchronize", 5 * US, 800 * US, thread=AUTOGRAD)
    scene.launched((960 * US, 970 * US), (980 * US, 990 * US))
    check(scene, synchronisation=790, host_launch=180)


def test_threads_of_other_processes_explain_nothing() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    scene.launched((2000 * US, 2010 * US), (2015 * US, 2020 * US), thread=OTHER_PROCESS)
    scene.range("enumerate(DataLoader)", 0, 5000 * US, thread=OTHER_PROCESS)
    scene.launched((960 * US, 970 * US), (980 * US, 990 * US))
    made = scene.attributed()
    assert made.between(0, 990 * US)[0].tolist()[CAUSES.index("host_launch")] == 970 * US


# Queued work


def test_queued_on_the_same_stream_is_the_devices_turnaround() -> None:
    check(two((-5, -3), second=13), kernel_gap=3)


def test_queued_behind_another_stream_depends_on_it() -> None:
    scene = Scene().launched((-20 * US, -19 * US), (-9 * US, 0), stream=20)
    scene.launched((-20 * US, -10 * US), (-9 * US, 10 * US))
    check(scene.launched((-8 * US, -7 * US), (14 * US, 20 * US), stream=20), stream_dependency=4)


def test_queued_for_long_without_a_reason_is_unknown() -> None:
    made = check(two((-5, -3)), unknown=90)
    assert made.idle.queued.all()


def test_queued_for_long_while_the_profiler_worked() -> None:
    scene = two((-5, -3)).call("Buffer Flush", 20 * US, 60 * US, kind=HostKind.OVERHEAD)
    check(scene, unknown=50, profiler_overhead=40)


def test_queued_for_long_while_another_thread_freed_memory() -> None:
    scene = two((-5, -3)).launched((190 * US, 191 * US), (110 * US, 111 * US), thread=AUTOGRAD)
    check(scene.call("cudaFree", 12 * US, 95 * US, thread=AUTOGRAD), allocator=83, unknown=7)


def test_queued_for_long_behind_an_event() -> None:
    check(two((-5, -3)).call("cudaStreamWaitEvent", -8 * US, -7 * US), stream_dependency=90)
    check(two((-5, -3)).call("cudaStreamWaitEvent", -30 * US, -29 * US), unknown=90)


def test_all_kernels_of_a_graph_share_its_launch() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US), api="cudaGraphLaunch")
    link = scene.gpu[0]["correlation"]
    scene.ran(12 * US, 20 * US, link=link).ran(23 * US, 30 * US, link=link)
    check(scene, kernel_gap=5)


def test_a_long_way_from_the_launch_to_an_idle_device_is_unknown() -> None:
    check(two((20, 30)), host_launch=20, unknown=70)


# Without a launch in the trace


def bare(**gpu: Any) -> Scene:
    return Scene().launched((-20 * US, -10 * US), (0, 10 * US)).ran(100 * US, 110 * US, **gpu)


def test_without_a_launch_the_driving_thread_is_asked() -> None:
    scene = bare().call("cudaStreamSynchronize", 30 * US, 50 * US).op("aten::mm", 50 * US, 60 * US)
    check(scene, synchronisation=20, unknown=70)


def test_what_precedes_launched_work_on_its_stream_was_queued_too() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US)).ran(13 * US, 15 * US)
    check(scene.launched((-9 * US, -8 * US), (17 * US, 20 * US)), kernel_gap=5)


def test_without_any_host_side_all_is_unknown() -> None:
    made = Scene().ran(0, 10 * US).ran(100 * US, 110 * US).attributed()
    assert causes(made) == {"unknown": 90 * US}


# Odd intervals


def test_empty_and_negative_intervals_take_no_time_but_open_and_close_the_span() -> None:
    scene = Scene().ran(-5 * US, -5 * US).ran(0, 10 * US).ran(50 * US, 40 * US).ran(60 * US, 60 * US)
    made = scene.attributed()
    assert (made.start_ns, made.end_ns) == (-5 * US, 60 * US)
    assert (int(made.busy_ns().sum()), causes(made)) == (10 * US, {"unknown": 55 * US})


def test_a_device_on_which_nothing_took_time() -> None:
    made = Scene().ran(5, 5).attributed()
    assert (made.span_ns, len(made.idle), len(made.busy)) == (0, 0, 0)


def test_a_device_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="device 3"):
        Scene().ran(0, 5).attributed(3)


def test_natures_must_fit() -> None:
    with pytest.raises(ValueError, match="2 natures"):
        attribute(Scene().ran(0, 5).timeline(), 0, np.zeros(2, np.uint8))


@pytest.mark.parametrize("far", [1 << 61, (1 << 62) + 7])
def test_times_far_apart_do_not_overflow(far: int) -> None:
    scene = Scene().launched((-5, -4), (0, 10)).launched((far, far + 5), (far + 6, far + 9))
    made = scene.launched((20, 25), (30, 40), thread=AUTOGRAD).attributed()
    assert int(made.causes_ns().sum() + made.busy_ns().sum()) == made.span_ns == far + 9


def test_lanes_stay_apart_however_long_absences_are() -> None:
    assert round(TRACE_AWAY_US.value * 1000) < MARGIN_NS


# Any timeline

TIMES = st.integers(0, 400)
GPU_ROWS = st.lists(
    st.tuples(
        TIMES,
        st.integers(-3, 60),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(-1, 9),
    ),
    min_size=1,
    max_size=20,
)
ROLES = st.sampled_from(list(HostRole))
HOST_ROWS = st.lists(
    st.tuples(st.integers(-50, 450), st.integers(0, 120), st.integers(0, 3), ROLES, st.integers(0, 7)),
    max_size=20,
)
NAMES = ("a", "cudaMemcpyAsync", "cudaMemcpy", "cudaStreamWaitEvent", "Buffer Flush", "ProfilerStep#1")


def random_timeline(
    gpu: list[tuple[int, ...]], host: list[tuple[int, ...]], scale: int, shift: int = 0
) -> Timeline:
    made = host_table(
        start_ns=[row[0] * scale + shift for row in host],
        end_ns=[(row[0] + row[1]) * scale + shift for row in host],
        thread=[row[2] for row in host],
        role=[int(row[3]) for row in host],
        kind=[row[4] for row in host],
        name=[(row[0] + row[1]) % len(NAMES) for row in host],
    )
    base = Scene().ran(0, 1).timeline()
    table = gpu_table(
        start_ns=[row[0] * scale + shift for row in gpu],
        end_ns=[(row[0] + row[1]) * scale + shift for row in gpu],
        device=[row[2] for row in gpu],
        stream=[row[3] for row in gpu],
        kind=[row[4] % 3 for row in gpu],
        copy=[row[4] for row in gpu],
        launch=[row[5] if row[5] < len(host) else -1 for row in gpu],
    )
    return replace(base, gpu=table, host=made, names=NAMES, threads=THREADS)


def every(timeline: Timeline) -> list[Attribution]:
    kinds = (timeline.gpu.copy % len(BUSY)).astype(np.uint8)
    return [attribute(timeline, device, kinds) for device in timeline.device_numbers()]


def assert_exact(timeline: Timeline, made: Attribution) -> None:
    """Segments cover the span once, busy where anything ran and as its first class, idle elsewhere."""
    rows = (timeline.gpu.device == made.device) & (timeline.gpu.end_ns > timeline.gpu.start_ns)
    start = np.concatenate((made.idle.start_ns, made.busy.start_ns))
    end = np.concatenate((made.idle.end_ns, made.busy.end_ns))
    order = np.argsort(start)
    assert (end > start).all()
    edges = np.concatenate(([made.start_ns], end[order]))
    assert (edges[:-1] == start[order]).all() and edges[-1] == made.end_ns
    for begin, stop, nature in zip(made.busy.start_ns, made.busy.end_ns, made.busy.nature, strict=True):
        over = rows & (timeline.gpu.start_ns < stop) & (timeline.gpu.end_ns > begin)
        assert int((timeline.gpu.copy[over] % len(BUSY)).min()) == nature
    for begin, stop in zip(made.idle.start_ns, made.idle.end_ns, strict=True):
        assert not (rows & (timeline.gpu.start_ns < stop) & (timeline.gpu.end_ns > begin)).any()
    assert (made.idle.cause >= 0).all() and (made.idle.cause < len(CAUSES)).all()


@given(GPU_ROWS, HOST_ROWS, st.sampled_from([1, 1000, 70_000]))
@settings(max_examples=120, deadline=None)
def test_causes_and_busy_fill_the_span_exactly(
    gpu: list[tuple[int, ...]], host: list[tuple[int, ...]], scale: int
) -> None:
    timeline = random_timeline(gpu, host, scale)
    for made in every(timeline):
        assert_exact(timeline, made)
        middle = (made.start_ns + made.end_ns) // 2
        halves = [made.between(made.start_ns, middle), made.between(middle, made.end_ns)]
        assert (halves[0][0] + halves[1][0]).tolist() == made.causes_ns().tolist()
        assert (halves[0][1] + halves[1][1]).tolist() == made.busy_ns().tolist()


@given(GPU_ROWS, HOST_ROWS, st.sampled_from([1, 700, 9_000, 70_000]))
@settings(max_examples=150, deadline=None)
def test_every_moment_has_the_cause_that_the_rules_tell(
    gpu: list[tuple[int, ...]], host: list[tuple[int, ...]], scale: int
) -> None:
    timeline = random_timeline(gpu, host, scale)
    edges = np.unique(np.concatenate((timeline.host.start_ns, timeline.host.end_ns)))
    for made in every(timeline):
        plain, idle = Plain(timeline, made.device), made.idle
        for gap in np.unique(idle.gap):
            inside = np.flatnonzero(idle.gap == gap)
            whole = (int(idle.start_ns[inside[0]]), int(idle.end_ns[inside[-1]]))
            for n in inside.tolist():
                low, high = int(idle.start_ns[n]), int(idle.end_ns[n])
                cuts = [low, *edges[(edges > low) & (edges < high)].tolist(), high]
                told = {plain.cause(whole, (a + b) / 2) for a, b in pairwise(cuts)}
                assert told == {CAUSES[idle.cause[n]]}


@given(GPU_ROWS, HOST_ROWS, st.integers(-(10**15), 10**15))
@settings(max_examples=50, deadline=None)
def test_nothing_depends_on_where_the_zero_is(
    gpu: list[tuple[int, ...]], host: list[tuple[int, ...]], shift: int
) -> None:
    here, there = random_timeline(gpu, host, 1000), random_timeline(gpu, host, 1000, shift)
    for one, other in zip(every(here), every(there), strict=True):
        assert one.causes_ns().tolist() == other.causes_ns().tolist()
        assert (one.idle.start_ns + shift).tolist() == other.idle.start_ns.tolist()
        assert one.idle.cause.tolist() == other.idle.cause.tolist()
        assert one.busy_ns().tolist() == other.busy_ns().tolist()


@given(GPU_ROWS, HOST_ROWS)
@settings(max_examples=50, deadline=None)
def test_another_device_that_nobody_launched_on_changes_nothing(
    gpu: list[tuple[int, ...]], host: list[tuple[int, ...]]
) -> None:
    alone = [(*row[:2], 0, *row[3:5], row[5]) for row in gpu]
    linked = any(0 <= row[5] < len(host) for row in gpu)
    beside = [(*row[:2], 1, *row[3:5], -1) for row in gpu]
    one = every(random_timeline(alone, host, 1000))[0]
    other = every(random_timeline(alone + beside, host, 1000))[0]
    if linked:
        assert one.causes_ns().tolist() == other.causes_ns().tolist()
    assert one.busy_ns().tolist() == other.busy_ns().tolist()


def test_natures_of_a_scene_are_told_by_kind() -> None:
    timeline = Scene().ran(0, 5).ran(6, 7, kind=GpuKind.MEMSET).timeline()
    assert natures(timeline).tolist() == [BUSY.index("other"), BUSY.index("copy")]
    assert THREADS[MAIN].pid == THREADS[AUTOGRAD].pid

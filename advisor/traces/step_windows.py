"""Which stretch of device time belongs to which step.

A host runs ahead of its device, so that a step's marks on the host say little of when the device did its
work. A step's rows are those that were launched between its marks; its window is from the end of the previous
step's work to the end of its own, both on the main stream. Windows therefore follow each other without a gap,
and the wait for a step's first kernel, for its batch say, is in its own window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN, GpuKind, HostKind, Ints, Timeline
from rules import thresholds_trace as tt
from rules.traces.host_names import HostRole
from rules.traces.kernel_names import kernel_class

Mask = NDArray[np.bool_]
_BY_OPTIMIZER = "no step is marked: each ends with a step of the optimizer, which PyTorch records by itself"
# How many steps the last one's launches are held against.
_STEPS_BEFORE = 8


@dataclass(frozen=True, slots=True)
class Marks:
    """Steps as the host marked them, in order and disjoint. threads: of the process that marked them."""

    number: Ints
    start_ns: Ints
    end_ns: Ints
    thread: int
    threads: Ints

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


@dataclass(frozen=True, slots=True)
class Windows:
    """Steps with their device time: step i is from edges_ns[i] to edges_ns[i + 1].

    source, window: as in StepFigures. events: rows per step, None where launches do not tell. cut: steps that
    the profiler cut. marks: None where the program marked nothing. lost_at_end: some of the last step's work
    is missing. beyond_ns: by CAUSES, time of the first step outside of the device's span; None without any.
    """

    source: str
    window: str
    number: Ints
    edges_ns: Ints
    cut: Mask
    events: Ints | None = None
    marks: Marks | None = None
    notes: tuple[str, ...] = ()
    lost_at_end: bool = False
    beyond_ns: Ints | None = None

    def __len__(self) -> int:
        return int(self.number.shape[0])


def marks(timeline: Timeline, device: int) -> Marks | None:
    """The steps of the process that works on a device: of its thread with the most."""
    steps = timeline.steps
    if len(steps) == 0:
        return None
    own = _process_threads(timeline, device)
    mine = np.isin(steps.thread, own)
    candidates = steps.thread[mine] if mine.any() else steps.thread
    threads, counts = np.unique(candidates, return_counts=True)
    chosen = int(threads[np.argmax(counts)])
    rows = np.flatnonzero(steps.thread == chosen)
    start = steps.start_ns[rows]
    following = np.append(start[1:], np.iinfo(np.int64).max)
    return Marks(_numbers(steps.number[rows]), start, np.minimum(steps.end_ns[rows], following), chosen, own)


def _numbers(given: Ints) -> Ints:
    """As the program numbers them; in order where it does not, or uses a number twice."""
    if (given == UNKNOWN).any() or np.unique(given).shape[0] < given.shape[0]:
        return np.arange(given.shape[0], dtype=np.int64)
    return given


def _process_threads(timeline: Timeline, device: int) -> Ints:
    """Threads of the process that launched most of what ran on the device; all where that is not told."""
    gpu = timeline.gpu
    launch = gpu.launch[(gpu.device == device) & (gpu.launch >= 0)]
    used = timeline.host.thread[launch]
    pids = np.array([thread.pid for thread in timeline.threads], np.int64)
    everyone = np.arange(pids.shape[0], dtype=np.int64)
    known = used[(used >= 0) & (used < pids.shape[0])]
    if known.shape[0] == 0:
        return everyone
    found, counts = np.unique(pids[known], return_counts=True)
    busiest = int(found[np.argmax(counts)])
    return np.flatnonzero(pids == busiest).astype(np.int64)


def main_stream(timeline: Timeline, rows: NDArray[np.intp]) -> int:
    """The stream with the most kernel time that is no collective's; of all rows where there is no kernel."""
    gpu = timeline.gpu
    names, which = np.unique(gpu.name[rows], return_inverse=True)
    collective = np.array(
        [0 <= name < len(timeline.names) and kernel_class(timeline.names[name]).collective for name in names]
    )
    counted = (gpu.kind[rows] == GpuKind.KERNEL) & ~collective[which]
    kept = rows[counted] if counted.any() else rows
    streams, which = np.unique(gpu.stream[kept], return_inverse=True)
    busy = np.zeros(streams.shape[0], np.int64)
    np.add.at(busy, which, gpu.end_ns[kept] - gpu.start_ns[kept])
    return int(streams[np.argmax(busy)])


def launched_windows(timeline: Timeline, device: int, marked: Marks, first_ns: int) -> Windows | None:
    """Windows by launches; None where too few rows have one. first_ns: where the device's span begins."""
    gpu, host = timeline.gpu, timeline.host
    rows = np.flatnonzero(gpu.device == device)
    known = rows[gpu.launch[rows] >= 0]
    if known.shape[0] < tt.TRACE_LAUNCHES_KNOWN.value * rows.shape[0]:
        return None
    step = step_of(marked, host.start_ns[gpu.launch[known]])
    on_main = gpu.stream[known] == main_stream(timeline, rows)
    count = len(marked)
    ends = np.full(count + 2, first_ns, np.int64)  # before the first step, each step, after the last
    np.maximum.at(ends, step[on_main] + 1, gpu.end_ns[known[on_main]])
    edges = np.maximum.accumulate(ends)[:-1]
    if not (np.diff(edges) > 0).any():
        return None
    inside = step[(step >= 0) & (step < count)]
    events = np.bincount(inside, minlength=count).astype(np.int64)
    cut = np.diff(edges) == 0
    cut[0] |= not (on_main & (step < 0)).any()
    lost = _lost_at_end(timeline, known, marked)
    cut[-1] |= lost
    return Windows(
        _source(timeline), "launches", marked.number, edges, cut, events, marked, _notes(timeline), lost
    )


def step_of(marked: Marks, at_ns: Ints) -> Ints:
    """The step in or after which each moment lies: -1 before the first, their count after the last."""
    step = np.searchsorted(marked.start_ns, at_ns, side="right").astype(np.int64) - 1
    step[at_ns >= marked.end_ns[-1]] = len(marked)
    return step


def _lost_at_end(timeline: Timeline, known: NDArray[np.intp], marked: Marks) -> bool:
    """Whether the last step has launches of which nothing was recorded, more than other steps have."""
    if any(loss.code == "truncated" for loss in timeline.losses):
        return True
    host = timeline.host
    calls = (host.role == HostRole.LAUNCH) & (host.correlation >= 0)
    calls &= (host.kind == HostKind.RUNTIME) | (host.kind == HostKind.DRIVER)
    last = len(marked) - 1
    calls &= host.start_ns >= marked.start_ns[max(0, last - _STEPS_BEFORE)]
    at = np.flatnonzero(calls)
    at = at[np.isin(host.thread[at], marked.threads)]
    ran = np.isin(host.correlation[at], timeline.gpu.correlation[known])
    step = step_of(marked, host.start_ns[at])
    if not (step < last).any():
        return _ends_unrun(ran[step == last], host.start_ns[at][step == last])
    lost = [
        float(1.0 - ran[chosen].mean()) if chosen.any() else 0.0 for chosen in (step == last, step < last)
    ]
    return lost[0] > lost[1] + tt.TRACE_STEP_LOST.value


def _ends_unrun(ran: Mask, starts_ns: Ints) -> bool:
    """Whether none of a step's last launches ran: a step alone has no other to be held against, and calls
    that never leave a record (sets of nothing) are spread over it."""
    in_order = ran[np.argsort(starts_ns, kind="stable")]
    seen = np.flatnonzero(in_order)
    unrun = in_order.shape[0] - (int(seen[-1]) + 1 if seen.shape[0] else 0)
    return bool(unrun > tt.TRACE_STEP_LOST.value * in_order.shape[0])


def host_windows(timeline: Timeline, marked: Marks, first_ns: int, last_ns: int) -> Windows | None:
    """Windows as the host marked them, from mark to mark, as far as the device's span goes."""
    edges = np.append(marked.start_ns, marked.end_ns[-1])
    held = np.clip(edges, first_ns, last_ns)
    length = np.diff(held)
    if not (length > 0).any():
        return None
    cut = length < (1.0 - tt.TRACE_STEP_LOST.value) * np.diff(edges)
    note = "the trace does not tell what launched what: steps are as the host marked them; the device may lag"
    return Windows(
        _source(timeline), "host", marked.number, held, cut, None, marked, (*_notes(timeline), note)
    )


def _notes(timeline: Timeline) -> tuple[str, ...]:
    return (_BY_OPTIMIZER,) if timeline.steps.source == "optimizer" else ()


def _source(timeline: Timeline) -> str:
    if timeline.steps.source:
        return timeline.steps.source
    return "nvtx" if timeline.meta.format == "nsight" else "ProfilerStep"

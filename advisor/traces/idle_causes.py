"""What each gap of a device is due to.

A gap ends when a row starts. That row's launch call and the thread that made it tell the cause, stretch by
stretch:

- Until the launch call began, the host had not issued the work. What the thread did meanwhile is the cause,
  by the order of HostRole; with nothing better known it was on its way to the launch (host_launch). Only the
  part of a synchronisation in which the device is idle already counts as synchronisation; the time that the
  host then takes to issue work again is host_launch, with `after_sync` set. Where the thread did nothing at
  all for long, other threads that drive the device are asked: it was waiting for them.
- During the launch call it is host_launch too, unless the call is a copy that waits (copy_wait).
- After the call the work was queued. If the call ended before the gap began, either the same stream had been
  busy until then (kernel_gap), or it took its turn after another one (stream_dependency). If not, it is
  launch latency (host_launch). Queued for longer than TRACE_QUEUED_US, the cause is what held up the process
  (overhead, allocations) or an event that the stream was made to wait for. With neither it is unknown: no
  stream of an idle device can be waited for, so that records may be missing from the trace.
- Without a launch in the trace the work was queued all the same if what follows it on its stream had been
  launched: streams keep their order. Else the thread that launches most is asked, and what it does not tell
  is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.host_lanes import HERE, HostView, view
from advisor.traces.host_roles import drivers, event_waits
from advisor.traces.intervals import NONE, Ints, Spans
from advisor.traces.lanes import Stretches, concat
from advisor.traces.timeline import UNKNOWN, Timeline
from rules.thresholds_trace import TRACE_QUEUED_US, TRACE_SAME_END_US
from rules.traces.host_names import HostRole
from rules.traces.records import CAUSES

Mask = NDArray[np.bool_]

_CAUSE = {name: index for index, name in enumerate(CAUSES)}
_OF_ROLE = {
    HostRole.OVERHEAD: "profiler_overhead",
    HostRole.DATA: "data_loading",
    HostRole.IO: "checkpoint_io",
    HostRole.COMM: "communication_wait",
    HostRole.ALLOC: "allocator",
    HostRole.COPY: "copy_wait",
    HostRole.SYNC: "synchronisation",
    HostRole.LAUNCH: "host_launch",
}
_CAUSE_OF_LABEL = np.array([_CAUSE[_OF_ROLE[HostRole(label)]] for label in range(HERE + 1)], np.int64)
_QUEUED_NS = round(TRACE_QUEUED_US.value * 1000)
_SAME_END_NS = round(TRACE_SAME_END_US.value * 1000)


def cause_of_label(labels: Ints) -> Ints:
    """The index into CAUSES of what a thread did: a HostRole up to HERE."""
    return _CAUSE_OF_LABEL[labels]


@dataclass(frozen=True, slots=True)
class Idle:
    """Idle segments, sorted, disjoint. cause: index into CAUSES. gap: number of the gap they are part of.
    next_row: row of GpuTable whose start ended the gap. thread: that was asked, UNKNOWN where none.
    after_sync: host_launch that follows a synchronisation or waiting copy, which had drained the queue.
    queued: the work that ended the gap had been issued already."""

    start_ns: Ints
    end_ns: Ints
    cause: Ints
    gap: Ints
    next_row: Ints
    thread: Ints
    after_sync: Mask
    queued: Mask

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps of a device. next_row: the GPU row that ended each. known: whether it is known when that was
    issued. thread: that launched it, else the busiest one, else UNKNOWN. launched_ns: when the launch call
    ended; the gap's end where that is not known. before: the row before it on its stream, or UNKNOWN.
    free_ns: when that one ended; long before the gap where there is none."""

    spans: Spans
    next_row: Ints
    known: Mask
    thread: Ints
    launched_ns: Ints
    before: Ints
    free_ns: Ints


def idle_causes(
    timeline: Timeline, device: int, rows: tuple[int, int], idle: Spans, window: tuple[int, int]
) -> Idle:
    """The causes of a device's gaps. rows: its part [low, high) of the GPU table; window: its span."""
    if len(idle) == 0:
        none = np.zeros(0, np.int64)
        return Idle(none, none, none, none, none, none, none > 0, none > 0)
    gaps = _gaps(timeline, device, rows, idle)
    seen = view(timeline, device, *window)
    start, end = idle.start_ns, idle.end_ns
    issued = np.clip(gaps.launched_ns, start, end)
    number, open_ = np.arange(len(idle)), np.full(len(idle), NONE)
    host = _unissued(seen, gaps, Stretches(start, issued, number, open_))
    queued = _queued(timeline, seen, gaps, Stretches(issued, end, number, open_))
    return _assembled(concat(host, queued), gaps, seen)


def _gaps(timeline: Timeline, device: int, rows: tuple[int, int], idle: Spans) -> Gaps:
    gpu, host = timeline.gpu, timeline.host
    order = _by_stream(timeline, rows)
    next_row = _ending_rows(timeline, rows, idle.end_ns)
    launch = _launches(timeline, rows, order, next_row, idle.start_ns)
    known = launch != UNKNOWN
    driving = drivers(timeline, device) if not known.all() else np.zeros(0, np.int64)
    thread = np.full(len(idle), driving[0] if driving.shape[0] else UNKNOWN, np.int64)
    thread[known] = host.thread[launch[known]]
    launched_ns = idle.end_ns.copy()
    launched_ns[known] = np.maximum(host.end_ns[launch[known]], host.start_ns[launch[known]])
    before = _rows_before(timeline, rows, order)[next_row - rows[0]]
    free_ns = np.where(before == UNKNOWN, idle.start_ns - 2 * _SAME_END_NS, gpu.end_ns[before])
    return Gaps(idle, next_row, known, thread, launched_ns, before, free_ns)


def _launches(timeline: Timeline, rows: tuple[int, int], order: Ints, next_row: Ints, gap_ns: Ints) -> Ints:
    """The launch of each row that ends a gap. Where the trace holds none: that of the next row on its stream
    that has one, if its call had ended when the gap began."""
    low, high = rows
    own = timeline.gpu.launch[next_row]
    if (own != UNKNOWN).all() or len(timeline.host) == 0:
        return own
    launch, stream = timeline.gpu.launch[low:high][order], timeline.gpu.stream[low:high][order]
    places = np.where(launch != UNKNOWN, np.arange(high - low), high - low - 1)
    follower = np.minimum.accumulate(places[::-1])[::-1]
    found = np.where(stream[follower] == stream, launch[follower], UNKNOWN)
    following = np.empty(high - low, np.int64)
    following[order] = found
    implied = following[next_row - low]
    ahead = (implied != UNKNOWN) & (timeline.host.end_ns[implied] <= gap_ns)
    return np.where((own == UNKNOWN) & ahead, implied, own)


def _ending_rows(timeline: Timeline, rows: tuple[int, int], ends: Ints) -> Ints:
    """The row that starts at each gap's end; of several the first whose launch is known."""
    low, high = rows
    start = timeline.gpu.start_ns[low:high]
    first = np.minimum(np.searchsorted(start, ends, "left"), high - low - 1)
    linked = np.flatnonzero(timeline.gpu.launch[low:high] != UNKNOWN)
    if linked.shape[0] == 0:
        return first + low
    better = linked[np.minimum(np.searchsorted(start[linked], ends, "left"), linked.shape[0] - 1)]
    return np.where(start[better] == ends, better, first) + low


def _by_stream(timeline: Timeline, rows: tuple[int, int]) -> Ints:
    """The device's rows, counted from its first, in order of stream, then time."""
    return np.argsort(timeline.gpu.stream[rows[0] : rows[1]], kind="stable")


def _rows_before(timeline: Timeline, rows: tuple[int, int], order: Ints) -> Ints:
    """The row before each on its stream, UNKNOWN for the first."""
    low, high = rows
    stream = timeline.gpu.stream[low:high][order]
    same = stream[1:] == stream[:-1]
    before = np.full(high - low, UNKNOWN, np.int64)
    before[order[1:][same]] = order[:-1][same] + low
    return before


def _unissued(seen: HostView, gaps: Gaps, given: Stretches) -> Stretches:
    """Causes of the time until the launch call returned."""
    cuts = seen.explain(given.where(given.end_ns > given.start_ns), gaps.thread)
    cause = np.where(cuts.label == NONE, _CAUSE["host_launch"], _CAUSE_OF_LABEL[cuts.label])
    untold = ~gaps.known[cuts.gap] & ((cuts.label == NONE) | (cuts.label == HERE))
    cause[untold] = _CAUSE["unknown"]
    return Stretches(cuts.start_ns, cuts.end_ns, cuts.gap, cause)


def _queued(timeline: Timeline, seen: HostView, gaps: Gaps, given: Stretches) -> Stretches:
    """Causes of the time from there until the row started."""
    lasting = given.where(given.end_ns > given.start_ns)
    ahead = gaps.launched_ns <= gaps.spans.start_ns
    same = gaps.free_ns >= gaps.spans.start_ns - _SAME_END_NS
    usual = np.where(
        ahead, np.where(same, _CAUSE["kernel_gap"], _CAUSE["stream_dependency"]), _CAUSE["host_launch"]
    )
    long = lasting.end_ns - lasting.start_ns > _QUEUED_NS
    short = lasting.where(~long)
    short = Stretches(short.start_ns, short.end_ns, short.gap, usual[short.gap])
    if not long.any():
        return short
    cuts = seen.explain_queued(lasting.where(long), gaps.thread)
    rest = np.where(_made_to_wait(timeline, gaps), _CAUSE["stream_dependency"], _CAUSE["unknown"])[cuts.gap]
    cause = np.where(cuts.label == NONE, rest, _CAUSE_OF_LABEL[cuts.label])
    return concat(short, Stretches(cuts.start_ns, cuts.end_ns, cuts.gap, cause))


def _made_to_wait(timeline: Timeline, gaps: Gaps) -> Mask:
    """Whether, between the launch of the row before on its stream and its own, the thread made a stream wait
    for an event."""
    host, gpu = timeline.host, timeline.gpu
    waits = np.flatnonzero(event_waits(timeline))
    previous = np.where(gaps.before == UNKNOWN, UNKNOWN, gpu.launch[gaps.before])
    own = gpu.launch[gaps.next_row]
    both = (previous != UNKNOWN) & (own != UNKNOWN)
    both[both] = host.thread[previous[both]] == host.thread[own[both]]
    result = np.zeros(both.shape[0], np.bool_)
    result[both] = np.searchsorted(waits, own[both]) > np.searchsorted(waits, previous[both])
    return result


def _assembled(parts: Stretches, gaps: Gaps, seen: HostView) -> Idle:
    """Sorted segments; neighbours of one gap and cause become one, unless one was queued."""
    order = np.argsort(parts.start_ns, kind="stable")
    start, end, gap, cause = parts.start_ns[order], parts.end_ns[order], parts.gap[order], parts.label[order]
    queued = start >= gaps.launched_ns[gap]
    opens = np.ones(start.shape[0], np.bool_)
    opens[1:] = (gap[1:] != gap[:-1]) | (cause[1:] != cause[:-1]) | (queued[1:] != queued[:-1])
    heads = np.flatnonzero(opens)
    tails = np.append(heads[1:], start.shape[0]) - 1
    gap, cause = gap[heads], cause[heads]
    drained = seen.blocked_at(gaps.spans.start_ns, gaps.thread)
    after = drained[gap] & (cause == _CAUSE["host_launch"])
    thread, next_row = gaps.thread[gap], gaps.next_row[gap]
    return Idle(start[heads], end[tails], cause, gap, next_row, thread, after, queued[heads])

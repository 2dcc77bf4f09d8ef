"""The longest gaps of a device: what ran before and after, and what the host did meanwhile."""

from __future__ import annotations

import numpy as np

from advisor.traces.attribution import Attribution, rows_of
from advisor.traces.intervals import Ints, totals
from advisor.traces.timeline import UNKNOWN, Timeline
from rules.traces.host_names import HostRole
from rules.traces.records import CAUSES, GapRow

LONGEST = 10
# Roles whose interval names a cause better than what is nested inside it.
_NAMED_BY = {
    "profiler_overhead": HostRole.OVERHEAD,
    "data_loading": HostRole.DATA,
    "checkpoint_io": HostRole.IO,
    "communication_wait": HostRole.COMM,
    "allocator": HostRole.ALLOC,
    "copy_wait": HostRole.COPY,
    "synchronisation": HostRole.SYNC,
}


def gap_rows(timeline: Timeline, attribution: Attribution, count: int = LONGEST) -> tuple[GapRow, ...]:
    """The longest gaps, longest first; of equal ones the earlier first."""
    idle = attribution.idle
    if len(idle) == 0:
        return ()
    heads = np.flatnonzero(np.append(True, idle.gap[1:] != idle.gap[:-1]))
    tails = np.append(heads[1:], len(idle))
    lengths = idle.end_ns[tails - 1] - idle.start_ns[heads]
    longest = np.argsort(-lengths, kind="stable")[:count]
    return tuple(_row(timeline, attribution, int(heads[n]), int(tails[n])) for n in longest)


def _row(timeline: Timeline, attribution: Attribution, head: int, tail: int) -> GapRow:
    idle = attribution.idle
    start, end = int(idle.start_ns[head]), int(idle.end_ns[tail - 1])
    lengths = idle.end_ns[head:tail] - idle.start_ns[head:tail]
    sums = totals(lengths, idle.cause[head:tail], len(CAUSES))
    longest = head + int(np.argmax(lengths))
    return GapRow(
        start_us=start / 1000,
        duration_us=(end - start) / 1000,
        causes={CAUSES[n]: int(sums[n]) / 1000 for n in np.flatnonzero(sums)},
        before=_ended_at(timeline, attribution.device, start),
        after=_name(timeline, int(timeline.gpu.name[idle.next_row[head]])),
        host=_host(timeline, attribution, longest),
    )


def _ended_at(timeline: Timeline, device: int, at_ns: int) -> str | None:
    low, high = rows_of(timeline, device)
    found = np.flatnonzero(timeline.gpu.end_ns[low:high] == at_ns)
    return _name(timeline, int(timeline.gpu.name[low + found[-1]])) if found.shape[0] else None


def _host(timeline: Timeline, attribution: Attribution, segment: int) -> str | None:
    """What the asked thread did in a segment: the interval that gave the cause; else the innermost of those
    that last for half of it; else the one that takes most of it, if a quarter. Marks of steps tell nothing,
    nor does the host where work was queued."""
    idle, host = attribution.idle, timeline.host
    if idle.queued[segment]:
        return None
    start, end = int(idle.start_ns[segment]), int(idle.end_ns[segment])
    rows = _rows_on(timeline, int(idle.thread[segment]), start, end)
    role = _NAMED_BY.get(CAUSES[int(idle.cause[segment])])
    telling = rows[host.role[rows] == role] if role is not None else rows[:0]
    if role is not None and telling.shape[0] == 0:
        anywhere = np.flatnonzero((host.start_ns < end) & (host.end_ns > start) & (host.role == role))
        return _most(timeline, anywhere, start, end)
    if telling.shape[0]:
        return _most(timeline, telling, start, end)
    marks = [n for n in rows.tolist() if not _is_mark(timeline, n)]
    rows = np.array(marks, np.int64)
    overlap = _overlap(timeline, rows, start, end)
    lasting = rows[overlap * 2 >= end - start]
    if lasting.shape[0]:
        inner = lasting[np.argmin(host.end_ns[lasting] - host.start_ns[lasting])]
        return _name(timeline, int(host.name[inner]))
    return _most(timeline, rows[overlap * 4 >= end - start], start, end)


def _rows_on(timeline: Timeline, thread: int, start: int, end: int) -> Ints:
    host = timeline.host
    low = int(np.searchsorted(host.thread, thread, "left")) if thread != UNKNOWN else 0
    high = int(np.searchsorted(host.thread, thread, "right")) if thread != UNKNOWN else 0
    inside = (host.start_ns[low:high] < end) & (host.end_ns[low:high] > start)
    return np.flatnonzero(inside) + low


def _most(timeline: Timeline, rows: Ints, start: int, end: int) -> str | None:
    """Of rows, the one with most of the time; of nested ones that share it all, the outermost."""
    if rows.shape[0] == 0:
        return None
    best = rows[np.argmax(_overlap(timeline, rows, start, end))]
    return _name(timeline, int(timeline.host.name[best]))


def _overlap(timeline: Timeline, rows: Ints, start: int, end: int) -> Ints:
    host = timeline.host
    result: Ints = np.minimum(host.end_ns[rows], end) - np.maximum(host.start_ns[rows], start)
    return result


def _is_mark(timeline: Timeline, row: int) -> bool:
    name = _name(timeline, int(timeline.host.name[row]))
    return name is None or name.startswith("ProfilerStep")


def _name(timeline: Timeline, number: int) -> str | None:
    return timeline.names[number] if number >= 0 else None

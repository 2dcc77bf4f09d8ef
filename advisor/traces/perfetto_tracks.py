"""Our tracks of one device: idle causes, busy classes, and the share of each cause over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution
from advisor.traces.nesting import innermost
from advisor.traces.perfetto_events import (
    Clean,
    Ids,
    counter_event,
    process_events,
    shortened,
    slice_event,
    thread_events,
)
from advisor.traces.timeline import UNKNOWN, Timeline
from rules.traces.records import BUSY, CAUSES

Ints = NDArray[np.int64]
_WINDOWS = 500  # points of a counter track: about the pixels that it is drawn on
_TOP = -1_000_000  # processes of the original sort by their ids, from 0
_CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class Track:
    """What the tracks of one device are made of. shift_ns: from the timeline's zero to the output's."""

    timeline: Timeline
    attribution: Attribution
    label: str
    position: int
    shift_ns: int
    clean: Clean


def device_tracks(track: Track, ids: Ids) -> Iterator[bytes]:
    """All events of one device's tracks."""
    pid, idle, busy = ids.take(), ids.take(), ids.take()
    yield from process_events(pid, f"advisor: {shortened(track.label, track.clean)}", _TOP + track.position)
    yield from thread_events(pid, idle, "idle causes", 0)
    yield from thread_events(pid, busy, "busy class", 1)
    yield from _idle_slices(track, pid, idle)
    yield from _busy_slices(track, pid, busy)
    yield from _counters(track, pid)


def _idle_slices(track: Track, pid: int, tid: int) -> Iterator[bytes]:
    idle, timeline = track.attribution.idle, track.timeline
    doing = host_rows_at(timeline, idle.thread, idle.start_ns + (idle.end_ns - idle.start_ns) // 2)
    names = Shown(track)
    for low in range(0, len(idle), _CHUNK):
        part = slice(low, low + _CHUNK)
        columns = (idle.start_ns, idle.end_ns, idle.cause, idle.gap, idle.next_row, idle.thread, doing)
        for start, end, cause, gap, row, thread, host in zip(
            *(c[part].tolist() for c in columns), strict=True
        ):
            args: dict[str, object] = {"cause": CAUSES[cause], "gap": gap}
            args["ended by"] = names.of(int(timeline.gpu.name[row])) if row != UNKNOWN else "unknown"
            args["the host was in"] = (
                names.of(int(timeline.host.name[host])) if host != UNKNOWN else "nothing recorded"
            )
            if thread != UNKNOWN:
                args["host thread"] = names.thread(thread)
            yield slice_event(CAUSES[cause], pid, tid, start + track.shift_ns, end - start, args)


def _busy_slices(track: Track, pid: int, tid: int) -> Iterator[bytes]:
    busy = track.attribution.busy
    for low in range(0, len(busy), _CHUNK):
        part = slice(low, low + _CHUNK)
        columns = (busy.start_ns[part].tolist(), busy.end_ns[part].tolist(), busy.nature[part].tolist())
        for start, end, nature in zip(*columns, strict=True):
            yield slice_event(BUSY[nature], pid, tid, start + track.shift_ns, end - start)


class Shown:
    """Names of a timeline, made safe once each."""

    def __init__(self, track: Track) -> None:
        self._timeline = track.timeline
        self._clean = track.clean
        self._names: dict[int, str] = {}

    def of(self, index: int) -> str:
        if index not in self._names:
            known = 0 <= index < len(self._timeline.names)
            self._names[index] = shortened(self._timeline.names[index] if known else "?", self._clean)
        return self._names[index]

    def thread(self, index: int) -> str:
        thread = self._timeline.threads[index]
        label = f" {shortened(thread.label, self._clean)}" if thread.label else ""
        return f"{thread.tid}{label}"


def host_rows_at(timeline: Timeline, threads: Ints, times: Ints) -> Ints:
    """The innermost host interval at each time on each thread; UNKNOWN where there was none."""
    host = timeline.host
    found = np.full(len(times), UNKNOWN, np.int64)
    for thread in np.unique(threads[threads != UNKNOWN]):
        low, high = np.searchsorted(host.thread, [thread, thread + 1])
        wanted = np.flatnonzero(threads == thread)
        inner = innermost(host.start_ns[low:high], host.end_ns[low:high], times[wanted])
        found[wanted] = np.where(inner == UNKNOWN, UNKNOWN, inner + low)
    return found


def _counters(track: Track, pid: int) -> Iterator[bytes]:
    """The share of each window that was idle, by cause, in percent; 0 from the end on."""
    done = track.attribution
    edges = np.unique(np.linspace(done.start_ns, done.end_ns, _WINDOWS + 1).astype(np.int64))
    present = np.flatnonzero(done.causes_ns())
    if len(edges) < 2 or not len(present):
        return
    shares = [100.0 * np.diff(_idle_before(done, int(c), edges)) / np.diff(edges) for c in present]
    columns = np.round(np.stack(shares, axis=1), 3).tolist()
    labels = [CAUSES[int(c)] for c in present]
    for at, row in zip(edges[:-1].tolist(), columns, strict=True):
        yield counter_event("idle %", pid, at + track.shift_ns, dict(zip(labels, row, strict=True)))
    yield counter_event("idle %", pid, done.end_ns + track.shift_ns, dict.fromkeys(labels, 0.0))


def _idle_before(done: Attribution, cause: int, times: Ints) -> Ints:
    """Idle ns of a cause before each of the times."""
    mine = done.idle.cause == cause
    start, end = done.idle.start_ns[mine], done.idle.end_ns[mine]
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(end - start)])
    at = np.searchsorted(start, times, side="right")
    inside = np.where(at > 0, np.maximum(end[np.maximum(at - 1, 0)] - times, 0), 0)
    return sums[at] - inside

"""What stands in a lane of the timeline: intervals of one stream or one thread, by what they are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import Spans, paint, union
from advisor.traces.timeline import Timeline
from advisor.tui.trace.cover import Cover, Ints
from rules.traces.host_names import HostRole
from rules.traces.records import BUSY


@dataclass(frozen=True)
class Rows:
    """Intervals of a table by their start. at: their rows of that table."""

    at: NDArray[np.intp]
    start_ns: Ints
    end_ns: Ints
    reach_ns: Ints = field(repr=False)

    @classmethod
    def of(cls, at: NDArray[np.intp], start_ns: Ints, end_ns: Ints) -> Rows:
        """These rows of a table with these columns."""
        at = at[np.argsort(start_ns[at], kind="stable")]
        ends = end_ns[at]
        return cls(at, start_ns[at], ends, np.maximum.accumulate(ends) if ends.size else ends)

    def __len__(self) -> int:
        return int(self.at.shape[0])

    def overlapping(self, start_ns: int, end_ns: int) -> NDArray[np.intp]:
        """Places (in `at`) of those that reach into [start, end)."""
        low = int(np.searchsorted(self.reach_ns, start_ns, side="right"))
        high = int(np.searchsorted(self.start_ns, end_ns, side="left"))
        return low + np.flatnonzero(self.end_ns[low:high] > start_ns)


@dataclass(frozen=True)
class StreamLane:
    """One stream of one device. covers: class -> the time in which such a thing ran there."""

    stream: int
    rows: Rows
    covers: dict[str, Cover]
    busy: Cover


@dataclass(frozen=True)
class ThreadLane:
    """One host thread. covers: role -> the time it was in such a call and in none that wins over it."""

    thread: int
    rows: Rows
    covers: dict[HostRole, Cover]


def stream_lanes(timeline: Timeline, rows: NDArray[np.intp], natures: NDArray[np.uint8]) -> list[StreamLane]:
    """Lanes of these GPU rows, busiest first. natures: index into BUSY of every row of the GPU table."""
    gpu = timeline.gpu
    streams = gpu.stream[rows]
    lanes = []
    for stream in np.unique(streams):
        mine = Rows.of(rows[streams == stream], gpu.start_ns, gpu.end_ns)
        kinds = natures[mine.at]
        covers = {
            name: Cover.of(mine.start_ns[kinds == number], mine.end_ns[kinds == number])
            for number, name in enumerate(BUSY)
            if (kinds == number).any()
        }
        lanes.append(StreamLane(int(stream), mine, covers, Cover.of(mine.start_ns, mine.end_ns)))
    return sorted(lanes, key=lambda lane: -lane.busy.spans.total_ns)


def thread_rows(timeline: Timeline, thread: int) -> Rows:
    """All intervals of one host thread."""
    host = timeline.host
    low, high = (int(np.searchsorted(host.thread, thread, side=side)) for side in ("left", "right"))
    return Rows.of(np.arange(low, high), host.start_ns, host.end_ns)


def thread_lane(timeline: Timeline, thread: int) -> ThreadLane:
    """One thread's time by role; where calls are nested the role that explains idle time best wins."""
    rows = thread_rows(timeline, thread)
    roles = timeline.host.role[rows.at]
    layers = [union(rows.start_ns[roles == role], rows.end_ns[roles == role]) for role in HostRole]
    painted = paint(layers)
    covers = {
        role: Cover(Spans(painted.start_ns[painted.label == number], painted.end_ns[painted.label == number]))
        for number, role in enumerate(HostRole)
        if len(layers[number])
    }
    return ThreadLane(thread, rows, covers)


def busy_threads(timeline: Timeline, rows: NDArray[np.intp]) -> list[int]:
    """Threads in the order in which they matter to these GPU rows: by launches, then by intervals."""
    host, launches = timeline.host, timeline.gpu.launch[rows]
    if not len(host):
        return []
    size = int(host.thread.max()) + 1
    issued = np.bincount(host.thread[launches[launches >= 0]], minlength=size)
    held = np.bincount(host.thread[host.thread >= 0], minlength=size)
    order = sorted(range(size), key=lambda thread: (-int(issued[thread]), -int(held[thread])))
    return [thread for thread in order if held[thread]]

"""Stretches of time on lanes: threads laid one behind the other on one axis.

All of them are then painted and cut in one pass over columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import NONE, Ints, Painted, Spans, cut, union
from advisor.traces.timeline import UNKNOWN, HostTable

Mask = NDArray[np.bool_]
# Where a thread without a lane is.
NOWHERE = np.iinfo(np.int64).min
# Between two lanes, so that spans of one never touch those of the next, even lengthened by as much.
MARGIN_NS = 1_000_000

_AXIS_NS = 1 << 62  # how far lanes may reach


@dataclass(frozen=True, slots=True)
class Stretches:
    """Sorted or unsorted disjoint stretches of time, each with the gap it is in and a label (NONE: open)."""

    start_ns: Ints
    end_ns: Ints
    gap: Ints
    label: Ints

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])

    def where(self, mask: Mask) -> Stretches:
        """Those that the mask holds."""
        return Stretches(self.start_ns[mask], self.end_ns[mask], self.gap[mask], self.label[mask])


@dataclass(frozen=True, slots=True)
class Lanes:
    """One lane for each of some threads or processes, `stride_ns` apart. of: thread -> lane, NONE where it
    has none. low_ns, high_ns: the window; what lies outside it is cut off."""

    of: Ints
    count: int
    low_ns: int
    high_ns: int

    @property
    def stride_ns(self) -> int:
        """From one lane's zero to the next, wide enough that lanes never touch."""
        return min(self.high_ns - self.low_ns + 2 * MARGIN_NS, _AXIS_NS)

    def place(self, host: HostTable, rows: Mask) -> Spans:
        """The union of host rows, clipped to the window, on their lanes."""
        lane = np.where(rows, self.of[host.thread], NONE)
        kept = np.flatnonzero((lane != NONE) & (host.start_ns < self.high_ns) & (host.end_ns > self.low_ns))
        shift = lane[kept] * self.stride_ns - self.low_ns
        return union(
            np.maximum(host.start_ns[kept], self.low_ns) + shift,
            np.minimum(host.end_ns[kept], self.high_ns) + shift,
        )


def lanes(keys: Ints, wanted: Ints, low_ns: int, high_ns: int) -> Lanes:
    """Lanes by key of a thread (itself, or its process): keys[thread] is found in `wanted`, most important
    first. Where times are so far apart that lanes would not fit into 64 bits, the last ones get none."""
    fitting = wanted[: _AXIS_NS // (high_ns - low_ns + 2 * MARGIN_NS)]
    order = np.argsort(fitting, kind="stable")
    of = np.full(keys.shape[0], NONE, np.int64)
    if fitting.shape[0]:
        at = np.minimum(np.searchsorted(fitting[order], keys), fitting.shape[0] - 1)
        found: Mask = fitting[order][at] == keys
        of[found] = order[at[found]]
    return Lanes(of, int(fitting.shape[0]), low_ns, high_ns)


def shifts(placed: Lanes, thread: Ints) -> Ints:
    """What to add to a time to find it on the thread's lane; NOWHERE without one."""
    known = thread != UNKNOWN
    lane = np.full(thread.shape[0], NONE, np.int64)
    lane[known] = placed.of[thread[known]]
    return np.where(lane == NONE, NOWHERE, lane * placed.stride_ns - placed.low_ns)


def cut_all(given: Stretches, painted: Painted, moved: Ints | None) -> Stretches:
    """Open stretches cut along what was painted, moved by their gap's shift (None: not at all)."""
    is_open = given.label == NONE
    if moved is not None:
        is_open &= moved[given.gap] != NOWHERE
    if len(painted) == 0 or not is_open.any():
        return given
    todo, done = given.where(is_open), given.where(~is_open)
    shift = np.zeros(len(todo), np.int64) if moved is None else moved[todo.gap]
    start, end = todo.start_ns + shift, todo.end_ns + shift
    order = np.argsort(start, kind="stable")
    starts, ends, owner, label = cut(start[order], end[order], painted)
    source = order[owner]
    made = Stretches(starts - shift[source], ends - shift[source], todo.gap[source], label)
    return concat(made, done)


def concat(*parts: Stretches) -> Stretches:
    """All stretches, one part after the other."""
    return Stretches(
        np.concatenate([part.start_ns for part in parts]),
        np.concatenate([part.end_ns for part in parts]),
        np.concatenate([part.gap for part in parts]),
        np.concatenate([part.label for part in parts]),
    )

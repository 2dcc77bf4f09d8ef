"""Algebra of time intervals: sorted, disjoint spans of whole nanoseconds, whole columns at once.

Spans are half-open, [start, end). Every function returns normalised spans: sorted, disjoint, none empty, and
none touching its neighbour unless it says otherwise. Sums of lengths are exact integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Labels = NDArray[np.int64]

NONE = -1


@dataclass(frozen=True, slots=True)
class Spans:
    """Sorted, disjoint, non-empty intervals [start, end) in nanoseconds."""

    start_ns: Ints
    end_ns: Ints

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])

    @property
    def total_ns(self) -> int:
        """The sum of all lengths, in ns."""
        return int((self.end_ns - self.start_ns).sum())


@dataclass(frozen=True, slots=True)
class Painted:
    """Sorted, disjoint intervals with a label each; neighbours may touch where labels differ."""

    start_ns: Ints
    end_ns: Ints
    label: Labels

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


def empty() -> Spans:
    """No time at all."""
    return Spans(np.zeros(0, np.int64), np.zeros(0, np.int64))


def spans(pairs: Iterable[tuple[int, int]]) -> Spans:
    """Spans of a few pairs, in any order and overlapping; for tests and short lists."""
    listed = list(pairs)
    return union(
        np.array([start for start, _ in listed], np.int64), np.array([end for _, end in listed], np.int64)
    )


def union(start_ns: Ints, end_ns: Ints) -> Spans:
    """The time that any of the intervals covers. Those that end at or before their start cover none."""
    kept = end_ns > start_ns
    if not kept.all():
        start_ns, end_ns = start_ns[kept], end_ns[kept]
    if start_ns.shape[0] == 0:
        return empty()
    if (start_ns[1:] < start_ns[:-1]).any():
        order = np.argsort(start_ns, kind="stable")
        start_ns, end_ns = start_ns[order], end_ns[order]
    reach = np.maximum.accumulate(end_ns)
    opens = np.flatnonzero(start_ns[1:] > reach[:-1]) + 1
    return Spans(
        np.concatenate((start_ns[:1], start_ns[opens])), np.concatenate((reach[opens - 1], reach[-1:]))
    )


def join(*many: Spans) -> Spans:
    """The time that any of several spans covers."""
    return union(
        np.concatenate([one.start_ns for one in many]) if many else empty().start_ns,
        np.concatenate([one.end_ns for one in many]) if many else empty().end_ns,
    )


def complement(given: Spans, start_ns: int, end_ns: int) -> Spans:
    """The time of the window [start, end) that `given` does not cover."""
    if end_ns <= start_ns:
        return empty()
    inside = clip(given, start_ns, end_ns)
    starts = np.concatenate((np.array([start_ns], np.int64), inside.end_ns))
    ends = np.concatenate((inside.start_ns, np.array([end_ns], np.int64)))
    kept = ends > starts
    return Spans(starts[kept], ends[kept])


def gaps(given: Spans) -> Spans:
    """The time between the first start and the last end that `given` does not cover."""
    return Spans(given.end_ns[:-1], given.start_ns[1:])


def clip(given: Spans, start_ns: int, end_ns: int) -> Spans:
    """What of `given` lies inside the window [start, end)."""
    low = int(np.searchsorted(given.end_ns, start_ns, side="right"))
    high = int(np.searchsorted(given.start_ns, end_ns, side="left"))
    if high <= low or end_ns <= start_ns:
        return empty()
    return Spans(np.maximum(given.start_ns[low:high], start_ns), np.minimum(given.end_ns[low:high], end_ns))


def intersect(one: Spans, other: Spans) -> Spans:
    """The time that both cover."""
    first = np.searchsorted(other.end_ns, one.start_ns, side="right")
    after = np.searchsorted(other.start_ns, one.end_ns, side="left")
    mine, theirs = pairs(first, after)
    return Spans(
        np.maximum(one.start_ns[mine], other.start_ns[theirs]),
        np.minimum(one.end_ns[mine], other.end_ns[theirs]),
    )


def subtract(one: Spans, other: Spans) -> Spans:
    """The time of `one` that `other` does not cover."""
    if len(one) == 0 or len(other) == 0:
        return one
    start, end = int(one.start_ns[0]), int(one.end_ns[-1])
    return intersect(one, complement(other, start, end))


def pairs(first: NDArray[np.intp], after: NDArray[np.intp]) -> tuple[Ints, Ints]:
    """All (i, j) with first[i] <= j < after[i], as two columns; i ascending, then j."""
    counts = np.maximum(after - first, 0)
    rows = np.repeat(np.arange(counts.shape[0]), counts)
    before = np.cumsum(counts) - counts
    return rows, np.arange(rows.shape[0]) - before[rows] + first[rows]


def paint(layers: Sequence[Spans]) -> Painted:
    """All time that any layer covers, labelled with the first layer that covers it."""
    if not layers:
        return Painted(empty().start_ns, empty().start_ns, np.zeros(0, np.int64))
    covered, parts = empty(), []
    for number, layer in enumerate(layers):
        parts.append((subtract(layer, covered), number))
        covered = join(covered, layer)
    starts = np.concatenate([part.start_ns for part, _ in parts])
    order = np.argsort(starts, kind="stable")
    ends = np.concatenate([part.end_ns for part, _ in parts])
    labels = np.concatenate([np.full(len(part), number, np.int64) for part, number in parts])
    return Painted(starts[order], ends[order], labels[order])


def cut(start_ns: Ints, end_ns: Ints, painted: Painted) -> tuple[Ints, Ints, Ints, Labels]:
    """Cut sorted, disjoint segments along `painted`: (starts, ends, which segment, label) that cover them
    exactly, in order. Where nothing was painted the label is NONE (-1)."""
    first = np.searchsorted(painted.end_ns, start_ns, side="right")
    after = np.searchsorted(painted.start_ns, end_ns, side="left")
    counts = np.maximum(after - first, 0)
    rows, which = pairs(first, after)
    inner_start = np.maximum(painted.start_ns[which], start_ns[rows])
    inner_end = np.minimum(painted.end_ns[which], end_ns[rows])
    before = np.cumsum(counts) - counts
    previous = np.empty_like(inner_start)
    previous[1:] = inner_end[:-1]
    heads = before[counts > 0]
    previous[heads] = start_ns[counts > 0]
    last = start_ns.copy()
    last[counts > 0] = inner_end[(before + counts - 1)[counts > 0]]
    blank = np.full(inner_start.shape[0], NONE, np.int64)
    starts = np.concatenate((inner_start, previous, last))
    ends = np.concatenate((inner_end, inner_start, end_ns))
    owner = np.concatenate((rows, rows, np.arange(start_ns.shape[0])))
    label = np.concatenate((painted.label[which], blank, np.full(start_ns.shape[0], NONE, np.int64)))
    kept = ends > starts
    starts, ends, owner, label = starts[kept], ends[kept], owner[kept], label[kept]
    order = np.argsort(starts, kind="stable")
    return starts[order], ends[order], owner[order], label[order]


def within(start_ns: Ints, end_ns: Ints, low_ns: int, high_ns: int) -> Ints:
    """The length in ns of each segment's part inside the window [low, high)."""
    lengths: Ints = np.maximum(np.minimum(end_ns, high_ns) - np.maximum(start_ns, low_ns), 0)
    return lengths


def totals(lengths_ns: Ints, labels: NDArray[np.integer], count: int) -> Ints:
    """Exact sums of lengths by label, 0 to count - 1."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, labels, lengths_ns)
    return sums

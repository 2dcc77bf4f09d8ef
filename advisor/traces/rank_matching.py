"""The same collective on several ranks, found by when it ends.

All ranks leave a collective at nearly the same moment, whenever they came to it. The difference of two hosts'
clocks is therefore the one at which most ends agree; ends that agree at it are one collective. Order alone is
not enough: a capture may lose some, or begin elsewhere, and then every pair after that is a wrong one. Kinds
are kept apart, and steps where both ranks number theirs. Ranks of which few ends agree do not share a process
group, or a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import Ints
from advisor.traces.rank_members import NO_STEP, Collectives, Member
from rules import thresholds_trace as tt

_MOST_PAIRS = 2_000_000
_TIGHT = 20  # parts of the usual distance of two ends, within which ends agree
_LEAST_NS = 5_000


@dataclass(frozen=True, slots=True)
class Matched:
    """Rows of two ranks' collectives that are the same ones. skew_ns: median distance of their ends."""

    mine: NDArray[np.intp]
    theirs: NDArray[np.intp]
    skew_ns: float


@dataclass(frozen=True, slots=True)
class Group:
    """Ranks that share collectives. rows[i, j]: row of member j's table that is collective i, else -1."""

    members: tuple[Member, ...]
    rows: NDArray[np.int64]
    skew_ns: float


def groups(found: Sequence[Member]) -> tuple[list[Group], dict[int, str]]:
    """Ranks by what they share, and why a rank stands alone."""
    left = [member for member in found if len(member.collectives)]
    alone = {m.rank: "it has no collectives" for m in found if not len(m.collectives)}
    made = []
    while left:
        head, others, left = left[0], left[1:], []
        joined, columns, skews = [head], [np.arange(len(head.collectives), dtype=np.int64)], [0.0]
        for other in others:
            pair = match(head.collectives, other.collectives)
            if not enough(pair, head.collectives, other.collectives):
                left.append(other)
                continue
            column = np.full(len(head.collectives), -1, np.int64)
            column[pair.mine] = pair.theirs
            joined.append(other)
            columns.append(column)
            skews.append(pair.skew_ns)
        if len(joined) == 1:
            alone[head.rank] = _why_alone(head, [m for m in found if m is not head and len(m.collectives)])
            continue
        made.append(Group(tuple(joined), np.stack(columns, axis=1), max(skews)))
    return made, alone


def _why_alone(head: Member, others: Sequence[Member]) -> str:
    if not others:
        return "no other rank has collectives"
    best = max(others, key=lambda other: match(head.collectives, other.collectives).mine.shape[0])
    shared = match(head.collectives, best.collectives).mine.shape[0]
    return (
        f"{shared} of its {len(head.collectives):,} collectives end together with one of rank {best.rank}'s "
        f"{len(best.collectives):,}: too few to tell which is which"
    )


def enough(pair: Matched, a: Collectives, b: Collectives) -> bool:
    """Whether so many ends agree that it is no chance."""
    shared = pair.mine.shape[0]
    least = min(len(a), len(b))
    return bool(shared >= max(tt.TRACE_MATCH_LEAST.value, tt.TRACE_MATCHED.value * least))


def match(a: Collectives, b: Collectives) -> Matched:
    """Collectives of two ranks whose ends agree, at the clock difference at which most do."""
    lots = _lots(a, b)
    tolerance = _tolerance(a, b, lots)
    offset = _offset(a, b, lots, tolerance)
    if offset is None:
        nothing = np.zeros(0, np.intp)
        return Matched(nothing, nothing, 0.0)
    mine, theirs = _nearest(a, b, lots, np.full(len(a), offset, np.float64), tolerance)
    if (
        np.unique(a.end_ns[mine]).shape[0] >= 8
    ):  # clocks drift: a line through what agrees finds what has drifted away
        off = (b.end_ns[theirs] - a.end_ns[mine]).astype(np.float64)
        slope, base = np.polyfit(a.end_ns[mine] - a.end_ns[mine[0]], off, 1)
        line = base + slope * (a.end_ns - a.end_ns[mine[0]])
        again = _nearest(a, b, lots, line, tolerance)
        mine, theirs = again if again[0].shape[0] >= mine.shape[0] else (mine, theirs)
    off = (b.end_ns[theirs] - a.end_ns[mine]).astype(np.float64)
    skew = float(np.median(np.abs(off - np.median(off)))) if off.shape[0] else 0.0
    return Matched(mine, theirs, skew)


Lots = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def _lots(a: Collectives, b: Collectives) -> Lots:
    """Rows of both that can be the same one: of one kind, and of one step where both have steps."""
    common = np.intersect1d(a.step[a.step != NO_STEP], b.step[b.step != NO_STEP])
    lots: Lots = []
    for kind in np.intersect1d(a.kind, b.kind):
        mine, theirs = np.flatnonzero(a.kind == kind), np.flatnonzero(b.kind == kind)
        if common.shape[0] == 0:
            lots.append((mine, theirs))
            continue
        for step in common:
            lots.append((mine[a.step[mine] == step], theirs[b.step[theirs] == step]))
    return [(mine, theirs) for mine, theirs in lots if mine.shape[0] and theirs.shape[0]]


def _tolerance(a: Collectives, b: Collectives, lots: Lots) -> int:
    """A small part of the usual distance of two ends of one lot, so that few agree by chance."""
    apart = [np.diff(side.end_ns[rows]) for pair in lots for side, rows in zip((a, b), pair, strict=True)]
    every = np.concatenate(apart) if apart else np.zeros(0, np.int64)
    most = round(tt.TRACE_END_SKEW_US.value * 1000)
    if every.shape[0] == 0:
        return most
    return int(np.clip(np.median(every) / _TIGHT, _LEAST_NS, most))


def _offset(a: Collectives, b: Collectives, lots: Lots, tolerance: int) -> float | None:
    """The clock difference at which most ends agree; of several the one at which they agree best."""
    pairs = sum(mine.shape[0] * theirs.shape[0] for mine, theirs in lots)
    every = max(1, -(-pairs // _MOST_PAIRS))
    off = [(b.end_ns[theirs][None, :] - a.end_ns[mine[::every]][:, None]).ravel() for mine, theirs in lots]
    if not off:
        return None
    found: Ints = np.sort(np.concatenate(off))
    until = np.searchsorted(found, found + 2 * tolerance, side="right")
    counts = until - np.arange(found.shape[0])
    best = np.flatnonzero(counts == counts.max())
    spread = found[until[best] - 1] - found[best]
    first = int(best[np.argmin(spread)])
    return float(np.median(found[first : until[first]]))


def _nearest(
    a: Collectives, b: Collectives, lots: Lots, offset: NDArray[np.float64], tolerance: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs that are each other's nearest, within the tolerance."""
    mine_, theirs_ = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for mine, theirs in lots:
        there = a.end_ns[mine] + offset[mine]
        ends = b.end_ns[theirs].astype(np.float64)
        near = _closest(ends, there)
        back = _closest(there, ends)
        kept = (back[near] == np.arange(mine.shape[0])) & (np.abs(ends[near] - there) <= tolerance)
        mine_.append(mine[kept])
        theirs_.append(theirs[near[kept]])
    return np.concatenate(mine_), np.concatenate(theirs_)


def _closest(sorted_: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(sorted_, to), 1, max(1, sorted_.shape[0] - 1))
    left = right - 1
    right = np.minimum(right, sorted_.shape[0] - 1)
    return np.where(to - sorted_[left] <= sorted_[right] - to, left, right)

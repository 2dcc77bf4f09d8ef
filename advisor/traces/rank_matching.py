"""The same collective on several ranks, found by when it ends.

All ranks leave a collective at nearly the same moment, whenever they came to it. The difference of two hosts'
clocks is therefore the one at which most ends agree; ends that agree at it are one collective. Order alone is
not enough: a capture may lose some, or begin elsewhere, and then every pair after that is a wrong one. Kinds
are kept apart, and steps where both ranks number theirs, and process groups where the traces name them: only
collectives of equal groups are held against each other. Ranks of which few ends agree do not share a process
group, or a moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import Ints, pairs
from advisor.traces.rank_members import NO_STEP, Collectives
from rules import thresholds_trace as tt

_MOST_PAIRS = 400_000
_TIGHT = 20  # parts of the usual distance of two ends, within which ends agree
_LEAST_NS = 5_000
_AXIS_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Matched:
    """Rows of two ranks' collectives that are the same ones. skew_ns: median distance of their ends."""

    mine: NDArray[np.intp]
    theirs: NDArray[np.intp]
    skew_ns: float


@dataclass(frozen=True, slots=True)
class Lots:
    """Rows of both that can be the same one, by lot, then by end: of one kind, and of one step where both
    have steps. Lots are numbered from 0."""

    mine: NDArray[np.intp]
    mine_lot: Ints
    theirs: NDArray[np.intp]
    their_lot: Ints


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
    # Clocks drift: a line through what agrees finds what has drifted away.
    if np.unique(a.end_ns[mine]).shape[0] >= 8:
        off = (b.end_ns[theirs] - a.end_ns[mine]).astype(np.float64)
        slope, base = np.polyfit(a.end_ns[mine] - a.end_ns[mine[0]], off, 1)
        line = base + slope * (a.end_ns - a.end_ns[mine[0]])
        again = _nearest(a, b, lots, line, tolerance)
        mine, theirs = again if again[0].shape[0] >= mine.shape[0] else (mine, theirs)
    off = (b.end_ns[theirs] - a.end_ns[mine]).astype(np.float64)
    skew = float(np.median(np.abs(off - np.median(off)))) if off.shape[0] else 0.0
    return Matched(mine, theirs, skew)


def _lots(a: Collectives, b: Collectives) -> Lots:
    common = np.intersect1d(a.step[a.step != NO_STEP], b.step[b.step != NO_STEP])
    keys = _keys(a, common), _keys(b, common)
    shared = np.setdiff1d(np.intersect1d(*keys), [-1])
    mine, mine_lot = _in_lots(a, keys[0], shared)
    theirs, their_lot = _in_lots(b, keys[1], shared)
    return Lots(mine, mine_lot, theirs, their_lot)


def _keys(one: Collectives, steps: Ints) -> Ints:
    """A number of kind and step; -1 where the step is not one of both. Of the kind alone without steps."""
    if steps.shape[0] == 0:
        return one.kind
    place = np.minimum(np.searchsorted(steps, one.step), steps.shape[0] - 1)
    return np.where(steps[place] == one.step, one.kind * steps.shape[0] + place, -1)


def _in_lots(one: Collectives, keys: Ints, shared: Ints) -> tuple[NDArray[np.intp], Ints]:
    rows = np.flatnonzero(np.isin(keys, shared))
    lot = np.searchsorted(shared, keys[rows]).astype(np.int64)
    order = np.lexsort((one.end_ns[rows], lot))
    return rows[order], lot[order]


def _tolerance(a: Collectives, b: Collectives, lots: Lots) -> int:
    """A small part of the usual distance of two ends of one lot, so that few agree by chance."""
    sides = ((a, lots.mine, lots.mine_lot), (b, lots.theirs, lots.their_lot))
    apart = [np.diff(side.end_ns[rows])[np.diff(lot) == 0] for side, rows, lot in sides]
    every = np.concatenate(apart)
    most = round(tt.TRACE_END_SKEW_US.value * 1000)
    if every.shape[0] == 0:
        return most
    return int(np.clip(np.median(every) / _TIGHT, _LEAST_NS, most))


def _offset(a: Collectives, b: Collectives, lots: Lots, tolerance: int) -> float | None:
    """The clock difference at which most ends agree; of several the one at which they agree best."""
    first = np.searchsorted(lots.their_lot, lots.mine_lot, "left")
    after = np.searchsorted(lots.their_lot, lots.mine_lot, "right")
    every = max(1, -(-int((after - first).sum()) // _MOST_PAIRS))
    rows, which = pairs(first[::every], after[::every])
    if rows.shape[0] == 0:
        return None
    found: Ints = np.sort(b.end_ns[lots.theirs[which]] - a.end_ns[lots.mine[::every][rows]])
    until = np.searchsorted(found, found + 2 * tolerance, side="right")
    counts = until - np.arange(found.shape[0])
    best = np.flatnonzero(counts == counts.max())
    spread = found[until[best] - 1] - found[best]
    chosen = int(best[np.argmin(spread)])
    return float(np.median(found[chosen : until[chosen]]))


def _nearest(
    a: Collectives, b: Collectives, lots: Lots, offset: NDArray[np.float64], tolerance: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs that are each other's nearest, within the tolerance. Lots lie one behind the other on an axis."""
    there = a.end_ns[lots.mine] + np.rint(offset[lots.mine]).astype(np.int64)
    ends = b.end_ns[lots.theirs]
    low = min(int(there.min()), int(ends.min()))
    stride = max(int(there.max()), int(ends.max())) - low + 2 * tolerance + 2
    fits = max(1, _AXIS_NS // stride)
    in_a, in_b = np.flatnonzero(lots.mine_lot < fits), np.flatnonzero(lots.their_lot < fits)
    mine_at = there[in_a] - low + lots.mine_lot[in_a] * stride
    their_at = ends[in_b] - low + lots.their_lot[in_b] * stride
    order = np.argsort(mine_at, kind="stable")
    mine, mine_at = lots.mine[in_a][order], mine_at[order]
    near, back = _closest(their_at, mine_at), _closest(mine_at, their_at)
    kept = (back[near] == np.arange(mine.shape[0])) & (np.abs(their_at[near] - mine_at) <= tolerance)
    return mine[kept], lots.theirs[in_b][near[kept]]


def _closest(sorted_: Ints, to: Ints) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(sorted_, to), 1, max(1, sorted_.shape[0] - 1))
    left = right - 1
    right = np.minimum(right, sorted_.shape[0] - 1)
    return np.where(to - sorted_[left] <= sorted_[right] - to, left, right)

"""Nested intervals: which is the innermost, and which the outermost one at a time."""

from __future__ import annotations

import numpy as np

from advisor.traces.intervals import Ints, Painted
from advisor.traces.timeline import UNKNOWN


def innermost(starts: Ints, ends: Ints, times: Ints) -> Ints:
    """The innermost of nested intervals (sorted by start, then -end) around each time; UNKNOWN for none.

    An interval still holds the moment of its end. Of those that cross, the one that began last. One pass over
    intervals and times, however deep they are nested.
    """
    found = np.full(len(times), UNKNOWN, np.int64)
    order = np.argsort(times, kind="stable")
    asked = times[order]
    last, row = ends.tolist(), 0
    open_rows: list[int] = []
    inner: list[int] = []
    for time, begun in zip(asked.tolist(), np.searchsorted(starts, asked, "right").tolist(), strict=True):
        open_rows.extend(range(row, begun))
        row = begun
        while open_rows and last[open_rows[-1]] < time:
            open_rows.pop()
        inner.append(open_rows[-1] if open_rows else UNKNOWN)
    found[order] = inner
    return found


def flat(starts: Ints, ends: Ints) -> Painted:
    """All time that nested intervals (sorted by start, then -end) cover, labelled with the innermost."""
    edges = np.unique(np.concatenate((starts, ends)))
    label = innermost(starts, ends - 1, edges[:-1])
    covered = label != UNKNOWN
    return Painted(edges[:-1][covered], edges[1:][covered], label[covered])


def outermost(starts: Ints, ends: Ints) -> Painted:
    """The same (sorted by start, then -end), labelled with the outermost: of those that cross, the first."""
    reach = np.maximum.accumulate(ends)
    before = np.append(starts[:1], reach[:-1])
    rows = np.flatnonzero(ends > before)
    return Painted(np.maximum(starts, before)[rows], ends[rows], rows.astype(np.int64))

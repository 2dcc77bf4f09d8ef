"""Nested intervals of one host thread: which is the innermost one at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN

Ints = NDArray[np.int64]


def innermost(starts: Ints, ends: Ints, times: Ints) -> Ints:
    """The innermost of nested intervals (sorted by start, then -end) around each time; UNKNOWN for none."""
    if not len(starts):
        return np.full(len(times), UNKNOWN, np.int64)
    parents = _parents(starts, ends)
    at = np.searchsorted(starts, times, side="right") - 1
    while True:
        outside = (at != UNKNOWN) & (ends[np.maximum(at, 0)] < times)
        if not outside.any():
            return at
        at = np.where(outside, parents[np.maximum(at, 0)], at)


def _parents(starts: Ints, ends: Ints) -> Ints:
    parents: list[int] = []
    open_rows: list[int] = []
    last = ends.tolist()
    for row, start in enumerate(starts.tolist()):
        while open_rows and last[open_rows[-1]] < start:
            open_rows.pop()
        parents.append(open_rows[-1] if open_rows else UNKNOWN)
        open_rows.append(row)
    return np.asarray(parents, np.int64)

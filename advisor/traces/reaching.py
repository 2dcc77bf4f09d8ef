"""Which of many intervals is the last that reaches a time: the innermost of nested ones around it."""

from __future__ import annotations

import numpy as np

from advisor.traces.timeline import UNKNOWN, Ints


def last_reaching(ends: Ints, low: Ints, at: Ints, times: Ints) -> Ints:
    """Per time the last of the rows low..at that ends at it or later; UNKNOWN where none does.

    Takes (rows + times) * log(rows), however deep the rows are nested.
    """
    found = np.where(at >= low, at, UNKNOWN).astype(np.int64)
    known = np.flatnonzero(found != UNKNOWN)
    short = known[ends[found[known]] < times[known]]
    if len(short):
        deeper = _last(_maxima(ends), at[short], times[short])
        found[short] = np.where(deeper >= low[short], deeper, UNKNOWN)
    return found


def _maxima(ends: Ints) -> list[Ints]:
    """The greatest of 1, 2, 4, ... neighbours, level by level up to one of all."""
    levels = [ends]
    while len(levels[-1]) > 1:
        below = levels[-1]
        even = below[: len(below) // 2 * 2].reshape(-1, 2).max(axis=1)
        levels.append(np.append(even, below[-1]) if len(below) % 2 else even)
    return levels


def _last(levels: list[Ints], at: Ints, times: Ints) -> Ints:
    """Up from each row to the first block before it that reaches the time, then down into that block."""
    block, level = np.full(len(at), UNKNOWN, np.int64), np.zeros(len(at), np.int64)
    behind, open_ = np.asarray(at, np.int64) + 1, np.arange(len(at))
    for height, greatest in enumerate(levels):
        odd = behind[open_] % 2 == 1
        reached = np.zeros(len(open_), np.bool_)
        reached[odd] = greatest[behind[open_[odd]] - 1] >= times[open_[odd]]
        hit = open_[reached]
        block[hit], level[hit] = behind[hit] - 1, height
        behind[open_] //= 2
        open_ = open_[~reached & (behind[open_] > 0)]
        if not len(open_):
            break
    for height in range(len(levels) - 1, 0, -1):
        rows = np.flatnonzero((block != UNKNOWN) & (level == height))
        right, below = block[rows] * 2 + 1, levels[height - 1]
        takes = below[np.minimum(right, len(below) - 1)] >= times[rows]
        takes &= right < len(below)
        block[rows], level[rows] = np.where(takes, right, right - 1), height - 1
    return block

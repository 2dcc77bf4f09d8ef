"""Rows in groups, whole columns at once: sums, medians and quantiles per group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import Ints

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows that are equal in all keys. order: rows, group by group; first: where each begins in it; of: the
    group of each row."""

    order: Ints
    first: Ints
    of: Ints

    @property
    def sizes(self) -> Ints:
        """Rows in each."""
        return np.diff(np.append(self.first, len(self.order)))

    def rows(self, group: int) -> Ints:
        """Rows of one."""
        end = self.first[group + 1] if group + 1 < len(self.first) else len(self.order)
        return self.order[self.first[group] : end]

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sums; exact for integers."""
        return np.add.reduceat(values[self.order], self.first) if len(self.first) else values[:0]

    def known(self, values: Doubles) -> Doubles:
        """Sums without NaN."""
        return np.asarray(self.total(np.nan_to_num(values, nan=0.0)))


def groups(*keys: NDArray[Any]) -> Groups:
    """Groups of equal keys, ordered by the first key, then the next."""
    count = len(keys[0])
    order = np.lexsort(keys[::-1])
    new = np.zeros(count, np.bool_)
    new[:1] = True
    for key in keys:
        sorted_key = key[order]
        new[1:] |= sorted_key[1:] != sorted_key[:-1]
    of = np.empty(count, np.int64)
    of[order] = np.cumsum(new) - 1
    return Groups(order, np.flatnonzero(new), of)


def quantile(sorted_values: Ints, part: float) -> int:
    """By nearest rank: the least value that at least this part of all does not exceed."""
    return int(sorted_values[max(0, int(np.ceil(part * len(sorted_values))) - 1)])


def median(sorted_values: Ints) -> float:
    """The middle value, or the mean of the two in the middle."""
    middle = len(sorted_values) // 2
    if len(sorted_values) % 2:
        return float(sorted_values[middle])
    return (int(sorted_values[middle - 1]) + int(sorted_values[middle])) / 2.0

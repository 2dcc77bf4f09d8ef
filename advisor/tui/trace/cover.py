"""How much of each column of a timeline something covers: exact, and fast with millions of intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import Spans, union

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cover:
    """Sorted, disjoint intervals, of which any stretch's covered time is two look-ups."""

    spans: Spans

    @classmethod
    def of(cls, start_ns: Ints, end_ns: Ints) -> Cover:
        """The time that any of the intervals covers; they may overlap and stand in any order."""
        return cls(union(start_ns, end_ns))

    def __len__(self) -> int:
        return len(self.spans)

    @cached_property
    def _sums(self) -> Ints:
        """Covered time before each interval, and at last all of it."""
        lengths = self.spans.end_ns - self.spans.start_ns
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))

    def until(self, at_ns: Ints) -> Ints:
        """Covered ns before each of these times."""
        if not len(self.spans):
            return np.zeros(at_ns.shape[0], np.int64)
        begun = np.searchsorted(self.spans.start_ns, at_ns, side="right")
        last = np.maximum(begun - 1, 0)
        ahead = np.maximum(self.spans.end_ns[last] - at_ns, 0)
        return self._sums[begun] - np.where(begun > 0, ahead, 0)

    def columns(self, edges_ns: Ints) -> Ints:
        """Covered ns between each edge and the next."""
        return np.diff(self.until(edges_ns))

    def between(self, start_ns: int, end_ns: int) -> int:
        """Covered ns of the window [start, end)."""
        return int(self.columns(np.array([start_ns, end_ns], np.int64))[0])


def edges(start_ns: int, end_ns: int, columns: int) -> Ints:
    """The borders of equal columns, whole ns, the first and the last exact; none is narrower than 0."""
    steps = np.arange(columns + 1, dtype=np.int64)
    length = end_ns - start_ns
    # In two parts, so that no product leaves 64 bits.
    whole, rest = divmod(length, columns)
    return start_ns + steps * whole + steps * rest // columns

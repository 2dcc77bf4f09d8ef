"""Samples of hardware counters, gathered as columns per counter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kineto.numbers import whole
from advisor.traces.kineto.spans import LONGEST_NS
from advisor.traces.timeline import Ints, Small

Columns = tuple[Small, Ints, NDArray[np.float64]]


class Counters:
    """Takes samples (name, device, ns, value) of at most so many counters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: dict[str, list[Columns]] = {}

    def add(self, rows: Sequence[tuple[str, int, int, float]]) -> int:
        """Some samples; how many of them were one counter too many."""
        by: dict[str, list[tuple[int, int, float]]] = {}
        for name, device, at, value in rows:
            by.setdefault(name, []).append((device, at, value))
        beyond = 0
        for name, found in by.items():
            if name not in self._parts and len(self._parts) >= self._most:
                beyond += len(found)
                continue
            devices, times, values = zip(*found, strict=True)
            columns = (whole(devices, np.int32), np.array(times, np.int64), np.array(values, np.float64))
            self._parts.setdefault(name, []).append(columns)
        return beyond

    def columns(self, zero: int) -> dict[str, Columns]:
        """Each counter's samples by device and time, since `zero`; without those far off the events."""
        return {name: _sorted(self._parts[name], zero) for name in sorted(self._parts)}


def _sorted(parts: Sequence[Columns], zero: int) -> Columns:
    device, at, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    near = np.flatnonzero(np.abs(at.astype(np.float64) - zero) < LONGEST_NS)
    order = near[np.lexsort((at[near], device[near]))]
    return device[order], at[order] - zero, value[order]

"""Steps: NVTX ranges that say so by name, or that repeat under one name and tile the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.nsight.annotations import Ranges
from advisor.traces.nsight.host import Reading
from advisor.traces.timeline import UNKNOWN, StepTable, step_table

_NUMBERED = (
    re.compile(r"^ProfilerStep#(\d{1,12})$"),
    re.compile(
        r"^(?:train(?:ing)?|global)?[ _./:-]*(?:step|iteration|iter)[ _#:=\-]*(\d{1,12})$", re.IGNORECASE
    ),
    re.compile(r"^batch[ _#:=\-]*(\d{1,12})$", re.IGNORECASE),
)
# Ranges of one name are steps where at least so many follow each other on a thread, without overlapping, and
# fill so much of the time from the first to the last: a phase of a step leaves room for the other phases.
_MIN_REPEATS = 4
_MIN_TILED_FRAC = 0.8

Mask = NDArray[np.bool_]


def read_steps(reading: Reading, ranges: Ranges | None) -> tuple[StepTable, str]:
    """The steps of every thread that marks any, and where they came from ("ProfilerStep", "nvtx", "none")."""
    if ranges is None or not len(ranges.name):
        return step_table(), "none"
    names = reading.names.all()
    for number, pattern in enumerate(_NUMBERED):
        steps = _numbered(ranges, names, pattern)
        if steps is not None:
            return _table(reading, ranges, *steps), "nvtx" if number else "ProfilerStep"
    steps = _repeated(ranges)
    return (_table(reading, ranges, *steps), "nvtx") if steps is not None else (step_table(), "none")


def _numbered(
    ranges: Ranges, names: Sequence[str], pattern: re.Pattern[str]
) -> tuple[Mask, NDArray[np.int64]] | None:
    numbers = np.full(len(names), UNKNOWN, np.int64)
    for index in np.unique(ranges.name):
        match = pattern.match(names[int(index)])
        if match:
            numbers[index] = int(match.group(1))
    own = numbers[ranges.name]
    chosen = own != UNKNOWN
    return (chosen, own) if chosen.any() else None


def _repeated(ranges: Ranges) -> tuple[Mask, NDArray[np.int64]] | None:
    """The name whose ranges tile most time, per thread; numbers count from 0."""
    chosen = np.zeros(len(ranges.name), bool)
    numbers = np.full(len(ranges.name), UNKNOWN, np.int64)
    threads = ranges.columns["globalTid"]
    plain = ranges.op == UNKNOWN
    for thread in np.unique(threads[plain]):
        rows = np.flatnonzero(plain & (threads == thread))
        best = _tiling(ranges, rows)
        if best is not None:
            chosen[best] = True
            numbers[best] = np.arange(len(best))
    return (chosen, numbers) if chosen.any() else None


def _tiling(ranges: Ranges, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    order = np.lexsort((ranges.columns["start"][rows], ranges.name[rows]))
    rows = rows[order]
    cuts = np.flatnonzero(np.diff(ranges.name[rows])) + 1
    best: tuple[int, NDArray[np.int64]] | None = None
    for group in np.split(rows, cuts):
        filled = _tiled_ns(ranges.columns["start"][group], ranges.columns["end"][group])
        if filled > (best[0] if best else 0):
            best = (filled, group)
    return best[1] if best else None


def _tiled_ns(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    """Time that the ranges fill, or 0 where they do not look like steps."""
    if len(starts) < _MIN_REPEATS or bool((starts[1:] < ends[:-1]).any()):
        return 0
    span, filled = int(ends[-1] - starts[0]), int((ends - starts).sum())
    return filled if span > 0 and filled >= _MIN_TILED_FRAC * span else 0


def _table(reading: Reading, ranges: Ranges, chosen: Mask, numbers: NDArray[np.int64]) -> StepTable:
    columns: dict[str, Any] = {
        "start_ns": ranges.columns["start"][chosen],
        "end_ns": ranges.columns["end"][chosen],
        "number": numbers[chosen],
        "thread": reading.threads.column(ranges.columns["globalTid"][chosen]),
    }
    return step_table(**columns)

"""Times of a file since its first event, so bounded that no sum of them overflows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kineto.columns import Columns
from advisor.traces.timeline import Ints

# 104 days. No trace is that long, and a double holds whole nanoseconds up to here.
LONGEST_NS = 1 << 53
_MOST_NS = 1 << 61


def shifted(gpu: Columns, host: Columns) -> tuple[tuple[Columns, Columns], int, int]:
    """Both tables since their first start; that start; and how many rows were left out.

    Left out is what lasts, or is away from most others, longer than LONGEST_NS; and where all durations
    together are beyond what an integer holds, the longest.
    """
    gpu, host, far = _plausible(gpu, host)
    parts = [part for part in (gpu, host) if _rows(part)]
    zero = min((int(part["start_ns"].min()) for part in parts), default=0)
    for part in parts:
        for key in ("start_ns", "end_ns"):
            part[key] -= zero
    return (gpu, host), zero, far


def _rows(part: Columns) -> int:
    return len(part["start_ns"]) if part else 0


def _plausible(gpu: Columns, host: Columns) -> tuple[Columns, Columns, int]:
    parts = [part for part in (gpu, host) if _rows(part)]
    if not parts or _fits(parts):
        return gpu, host, 0
    starts = np.concatenate([part["start_ns"][_short(part, LONGEST_NS)] for part in parts])
    if not len(starts):
        starts = np.zeros(1, np.int64)
    # Half, so that two rows are no farther from each other than LONGEST_NS.
    middle, half = int(np.partition(starts, len(starts) // 2)[len(starts) // 2]), LONGEST_NS // 2
    most = _MOST_NS // len(starts)
    masks = [_near(part, middle - half, middle + half) for part in parts]
    if _total(parts, masks) > _MOST_NS:
        masks = [
            m & (part["end_ns"] - part["start_ns"] <= most) for m, part in zip(masks, parts, strict=True)
        ]
    far = sum(int((~mask).sum()) for mask in masks)
    kept = [{key: c[mask] for key, c in part.items()} for part, mask in zip(parts, masks, strict=True)]
    by = dict(zip(map(id, parts), kept, strict=True))
    return by.get(id(gpu), gpu), by.get(id(host), host), far


def _short(part: Columns, most: int) -> NDArray[np.bool_]:
    return np.asarray(part["end_ns"] - part["start_ns"] <= most, np.bool_)


def _fits(parts: list[Columns]) -> bool:
    first = min(int(part["start_ns"].min()) for part in parts)
    last = max(int(part["end_ns"].max()) for part in parts)
    every = [np.ones(_rows(part), np.bool_) for part in parts]
    return last - first <= LONGEST_NS and _total(parts, every) <= _MOST_NS


def _near(part: Columns, low: int, high: int) -> NDArray[np.bool_]:
    start: Ints = part["start_ns"]
    near = (start >= low) & (start <= high)
    # Times are below 4.6e18, and so is a duration: the end of a row may lie beyond, but does not overflow.
    return np.asarray(near & (part["end_ns"] <= high), np.bool_)


def _total(parts: list[Columns], masks: list[NDArray[np.bool_]]) -> float:
    """All durations together; in doubles, which do not overflow."""
    lengths = (part["end_ns"].astype(np.float64) - part["start_ns"] for part in parts)
    return sum(float(length[mask].sum()) for length, mask in zip(lengths, masks, strict=True))

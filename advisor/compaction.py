"""Compaction: a whole run in bounded memory. When a series is full, neighbours are merged in pairs.

Seconds per share add up exactly; counters become means by time. Only the resolution halves, and only of
what was kept so far: an hour is then looked at in sub-windows of a few seconds, a minute in 200 ms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

from rules.classify import Split
from rules.evidence import SubWindow

# About 14 minutes of 200 ms sub-windows, or over an hour of 1 s samples.
FULL = 4096

_Item = TypeVar("_Item")
_MEANS = tuple(
    name
    for name in SubWindow.__struct_fields__
    if name not in ("t_s", "duration_s", "has_process", "throttle_reasons", "lost")
)


def thin(series: deque[_Item]) -> None:
    """Drop every other item of a full series; the newest stays."""
    if len(series) >= FULL:
        kept = list(series)[::-1][::2][::-1]
        series.clear()
        series.extend(kept)


def halve(series: deque[tuple[SubWindow, Split]]) -> None:
    """Merge neighbouring sub-windows of a full series that are of a kind."""
    if len(series) >= FULL:
        merged = list(_pairs(series))
        series.clear()
        series.extend(merged)


def _pairs(series: Iterable[tuple[SubWindow, Split]]) -> Iterable[tuple[SubWindow, Split]]:
    """Neighbours merged two by two; where the two differ in kind, both stay as they are."""
    waiting: tuple[SubWindow, Split] | None = None
    for item in series:
        if waiting is None:
            waiting = item
        elif _alike(waiting[1], item[1]):
            yield merge_windows(waiting[0], item[0]), merge_splits(waiting[1], item[1])
            waiting = None
        else:
            yield waiting
            waiting = item
    if waiting is not None:
        yield waiting


def _alike(a: Split, b: Split) -> bool:
    """Runs of quiet and of missing data keep their edges: their length decides what they are."""
    return a.quiet == b.quiet and a.seen == b.seen


def merge_splits(a: Split, b: Split) -> Split:
    """One split for the time of both."""
    seconds = {key: a.seconds.get(key, 0.0) + b.seconds.get(key, 0.0) for key in {**a.seconds, **b.seconds}}
    return Split(
        b.t_s,
        a.duration_s + b.duration_s,
        seconds,
        useful_s=a.useful_s + b.useful_s,
        busy_s=a.busy_s + b.busy_s,
        dram_s=_added(a.dram_s, b.dram_s),
        pipe_s=_added(a.pipe_s, b.pipe_s),
        pipe=a.pipe if (a.pipe_s or 0.0) >= (b.pipe_s or 0.0) else b.pipe,
        quiet=b.quiet,
        seen=b.seen,
    )


def merge_windows(a: SubWindow, b: SubWindow) -> SubWindow:
    """One sub-window for the time of both: counters are means by time, reasons are those of either."""
    seconds = a.duration_s + b.duration_s
    means: dict[str, Any] = {
        name: _weighted(getattr(a, name), a.duration_s, getattr(b, name), b.duration_s) for name in _MEANS
    }
    return SubWindow(
        t_s=b.t_s,
        duration_s=seconds,
        has_process=b.has_process if b.has_process is not None else a.has_process,
        throttle_reasons=tuple(sorted({*a.throttle_reasons, *b.throttle_reasons})),
        lost=a.lost and b.lost,
        **means,
    )


def _weighted(a: float | None, a_s: float, b: float | None, b_s: float) -> float | None:
    if a is None or b is None or a_s + b_s <= 0:
        return b if a is None else a
    return (a * a_s + b * b_s) / (a_s + b_s)


def _added(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else a + b

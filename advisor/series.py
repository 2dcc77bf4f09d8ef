"""Series: one device's window in a few dozen equal stretches, for charts and for intervals of differences.

Stretches are classified sub-window by sub-window, as the verdict is; a verdict may move time between two
classes afterwards, for reasons that only the whole window shows, so that sums can differ from it a little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from advisor.compaction import Piece
from advisor.document import SERIES_POINTS, TimeSeries
from advisor.telemetry.records import Sample
from rules import thresholds as th
from rules.split import Split
from rules.verdict import SHARES

_COUNTERS = ("gr_active", "sm_active", "tensor_active", "dram_active", "power_w", "sm_mhz")
_GAUGES = ("temp_c", "mem_used_bytes")
_DIGITS = 5


def time_series(
    pieces: Sequence[Piece], samples: Sequence[Sample], points: int = SERIES_POINTS
) -> TimeSeries | None:
    """The window as at most `points` stretches; None where it has no length."""
    held = _held([part for _, part in pieces])
    whole_s = math.fsum(w.duration_s for w, _ in pieces)
    if whole_s <= 0.0:
        return None
    columns: dict[int, list[int]] = {}
    done_s = 0.0
    for number, (window, _) in enumerate(pieces):
        middle = (done_s + window.duration_s / 2) / whole_s
        columns.setdefault(min(points - 1, int(middle * points)), []).append(number)
        done_s += window.duration_s
    groups = [[pieces[i] for i in numbers] for numbers in columns.values()]
    idle = [math.fsum(held[i] for i in numbers) for numbers in columns.values()]
    return TimeSeries(
        t_s=tuple(round(group[-1][0].t_s, 3) for group in groups),
        duration_s=tuple(round(_length(group), 4) for group in groups),
        shares=_shares(groups, idle),
        useful_frac=tuple(_rounded(_useful(group)) for group in groups),
        figures=_figures(groups, samples),
    )


def _length(group: Sequence[Piece]) -> float:
    return math.fsum(window.duration_s for window, _ in group)


def _useful(group: Sequence[Piece]) -> float:
    return min(1.0, math.fsum(part.useful_s for _, part in group) / _length(group))


def _shares(groups: Sequence[Sequence[Piece]], idle: Sequence[float]) -> dict[str, tuple[float, ...]]:
    """Share by share; time that is idle-held is taken from the host's, where splits keep quiet time."""
    rows = []
    for group, held_s in zip(groups, idle, strict=True):
        seconds = {name: math.fsum(part.seconds.get(name, 0.0) for _, part in group) for name in SHARES}
        moved = min(held_s, seconds["host"])
        seconds["host"] -= moved
        seconds["idle_held"] += moved
        length = math.fsum(seconds.values()) or 1.0
        rows.append({name: value / length for name, value in seconds.items()})
    return {name: tuple(_rounded(row[name]) for row in rows) for name in SHARES}


def _held(parts: Sequence[Split]) -> list[float]:
    """Of each split, the seconds in quiet runs long enough to be idle-held, or all where nothing else was."""
    found = [part.held_s for part in parts]
    if all(part.quiet or part.seen_s == 0.0 for part in parts):
        return [part.quiet_s for part in parts]
    for is_quiet, run in groupby(range(len(parts)), key=lambda i: parts[i].quiet):
        members = list(run)
        if is_quiet and _run_length(parts, members) >= th.IDLE_HELD_MIN_S.value:
            found = [parts[i].quiet_s if i in members else value for i, value in enumerate(found)]
    return found


def _run_length(parts: Sequence[Split], members: Sequence[int]) -> float:
    """A quiet run with what its neighbours' ends add to it."""
    first, last = members[0], members[-1]
    before = parts[first - 1].tail_quiet_s if first else 0.0
    after = parts[last + 1].head_quiet_s if last + 1 < len(parts) else 0.0
    return before + math.fsum(parts[i].duration_s for i in members) + after


def _figures(
    groups: Sequence[Sequence[Piece]], samples: Sequence[Sample]
) -> dict[str, tuple[float | None, ...]]:
    found: dict[str, tuple[float | None, ...]] = {
        name: tuple(_mean((getattr(w, name), w.duration_s) for w, _ in group) for group in groups)
        for name in _COUNTERS
    }
    spans = [(group[0][0].t_s - group[0][0].duration_s, group[-1][0].t_s) for group in groups]
    for name in _GAUGES:
        found[name] = tuple(
            _mean((getattr(s, name), 1.0) for s in samples if start < s.t_s <= end) for start, end in spans
        )
    return {name: column for name, column in found.items() if any(value is not None for value in column)}


def _mean(weighted: Iterable[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in weighted if value is not None]
    weight = math.fsum(w for _, w in known)
    return _rounded(math.fsum(v * w for v, w in known) / weight) if weight > 0.0 else None


def _rounded(value: float) -> float:
    """Five significant digits: a chart shows three, and the document stays small."""
    return float(f"{value:.{_DIGITS}g}")

"""History charts: stacked columns of shares, and a one-line sparkline. Time without data is a hole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from advisor.snapshot import HistoryPoint
from advisor.tui.glyphs import Glyphs, grouped
from advisor.tui.rows import GROUPS, Row, Span

STEPS_S: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60, 120, 300, 600)


# The end of a silence may be told before its beginning; further back than this, the clock was set.
CLOCK_SET_S = 10.0


def _since_clock_was_set(points: Sequence[HistoryPoint]) -> Sequence[HistoryPoint]:
    """The newest points among which time goes on; what lies before a clock that was set back has no place."""
    steps = (at for at in range(len(points) - 1, 0, -1) if points[at - 1].t_s - points[at].t_s > CLOCK_SET_S)
    return points[next(steps, 0) :]


def column_seconds(points: Sequence[HistoryPoint], width: int) -> float:
    """Time one column stands for: the smallest step at which all points fit, not below their spacing."""
    points = _since_clock_was_set(points)
    if len(points) < 2 or width <= 0:
        return float(STEPS_S[0])
    gaps = sorted(after.t_s - before.t_s for before, after in pairwise(points))
    needed = max((points[-1].t_s - points[0].t_s) / width, gaps[len(gaps) // 2] * 0.99)
    return float(next((step for step in STEPS_S if step >= needed), STEPS_S[-1]))


def buckets(points: Sequence[HistoryPoint], width: int) -> list[list[HistoryPoint]]:
    """The points by column, oldest first. Columns are cut on whole steps of time, so they do not shimmer
    as time goes on, and one in which nothing arrived is empty."""
    if not points or width <= 0:
        return []
    points = _since_clock_was_set(points)
    step = column_seconds(points, width)
    last = int(max(point.t_s for point in points) // step)
    first = max(int(min(point.t_s for point in points) // step), last - width + 1)
    columns: list[list[HistoryPoint]] = [[] for _ in range(last - first + 1)]
    for point in points:
        at = int(point.t_s // step) - first
        if at >= 0:
            columns[at].append(point)
    return columns


def mean_shares(points: Sequence[HistoryPoint]) -> dict[str, float] | None:
    """The mean of the points that have shares; None for a column without data."""
    known = [point.shares for point in points if point.shares and not point.gap]
    if not known:
        return None
    if len(known) == 1:
        return known[0]
    names = set().union(*known)
    return {name: sum(shares.get(name, 0.0) for shares in known) / len(known) for name in names}


def stacked(points: Sequence[HistoryPoint], width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """Columns of stacked shares, newest at the right edge; a column without data stays blank."""
    columns = [_column(mean_shares(bucket), height) for bucket in buckets(points, width)]
    blank: list[str | None] = [None] * height
    columns = [blank] * (width - len(columns)) + columns
    return [_merge([column[y] for column in columns], glyphs) for y in range(height)]


def _column(shares: dict[str, float] | None, height: int) -> list[str | None]:
    """One column's groups from top to bottom; useful work lies at the bottom, idle on top.

    Boundaries are rounded where they lie, so that one group's change does not move the others.
    """
    if shares is None:
        return [None] * height
    sums = grouped(shares)
    stack: list[str | None] = []
    reached = 0.0
    for name in reversed(GROUPS):
        reached += sums.get(name, 0.0)
        stack += [name] * (min(height, round(reached * height)) - len(stack))
    return [None] * (height - len(stack)) + stack[::-1]


def _merge(names: Sequence[str | None], glyphs: Glyphs) -> Row:
    """A glyph a column, a span for each run of the same group."""
    return tuple(
        Span((glyphs.group[name] if name else glyphs.hole) * sum(1 for _ in run), name or "")
        for name, run in groupby(names)
    )


# A group with less of a tick than this is not drawn; the bar of a minute has no cell for it either.
# Multiples of the golden ratio's fraction fall evenly into 0 to 1, whichever stretch of them is looked at.
LEAST_SHOWN = 0.05
GOLDEN = 0.6180339887498949


def trend(points: Sequence[HistoryPoint], width: int, glyphs: Glyphs) -> Row:
    """One glyph a tick, newest at the right edge: each group in proportion to its share of the time.

    A tick keeps its glyph as time goes on, and a stretch of ticks shows the groups that its shares hold.
    """
    shown = points[-width:] if width > 0 else ()
    names = [None if point.gap else _picked(point) for point in shown]
    return _merge([None] * (width - len(names)) + names, glyphs)


def _picked(point: HistoryPoint) -> str | None:
    """The group whose part of 0 to 1 holds the tick's own number in that range."""
    whole = grouped(point.shares)
    sums = {name: share for name, share in whole.items() if share >= LEAST_SHOWN} or whole
    at = (round(point.t_s) * GOLDEN) % 1.0 * sum(sums.values())
    for name, share in sums.items():
        if at < share:
            return name
        at -= share
    return next(reversed(sums), None)


def sparkline(values: Sequence[float | None], width: int, top: float, glyphs: Glyphs) -> str:
    """Newest values as bar heights below `top`, newest at the right; None is a hole, 0 the lowest bar."""
    shown = list(values[-width:]) if width > 0 else []
    text = "".join(_level(value, top, glyphs) for value in shown)
    return " " * (width - len(shown)) + text


def _level(value: float | None, top: float, glyphs: Glyphs) -> str:
    if value is None:
        return glyphs.hole
    steps = len(glyphs.levels)
    share = value / top if top > 0 else 0.0
    return glyphs.levels[min(steps - 1, max(0, int(share * steps)))]


def column_means(columns: Sequence[Sequence[HistoryPoint]], field: str) -> list[float | None]:
    """The mean of one figure in each column; None where none is known."""
    return [_mean([v for point in column if (v := getattr(point, field)) is not None]) for column in columns]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

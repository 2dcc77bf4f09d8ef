"""History charts: stacked columns of shares, and a one-line sparkline. Time without data is a hole."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.snapshot import HistoryPoint
from advisor.tui.charts.share_bar import apportion, dominant
from advisor.tui.glyphs import Glyphs, grouped
from advisor.tui.rows import GROUPS, Row, Span


def buckets(points: Sequence[HistoryPoint], width: int) -> list[list[HistoryPoint]]:
    """The newest points in `width` columns, oldest first; each column holds the same number of points."""
    if not points or width <= 0:
        return []
    per_column = -(-len(points) // width)
    newest_first = [list(points[max(0, end - per_column) : end]) for end in range(len(points), 0, -per_column)]
    return newest_first[::-1]


def mean_shares(points: Sequence[HistoryPoint]) -> dict[str, float] | None:
    """The mean of the points that have shares; None for a column without data."""
    known = [point.shares for point in points if point.shares and not point.gap]
    if not known:
        return None
    names = set().union(*known)
    return {name: sum(shares.get(name, 0.0) for shares in known) / len(known) for name in names}


def stacked(points: Sequence[HistoryPoint], width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """Columns of stacked shares, newest at the right edge; a column without data stays blank."""
    columns = [_column(mean_shares(bucket), height) for bucket in buckets(points, width)]
    blank: list[str | None] = [None] * height
    columns = [blank] * (width - len(columns)) + columns
    return [_merge([column[y] for column in columns], glyphs) for y in range(height)]


def _column(shares: dict[str, float] | None, height: int) -> list[str | None]:
    """One column's groups from top to bottom; useful work lies at the bottom, idle on top."""
    if shares is None:
        return [None] * height
    cells = apportion(grouped(shares), height)
    stack: list[str | None] = [name for name in GROUPS for _ in range(cells.get(name, 0))]
    return [None] * (height - len(stack)) + stack


def _merge(names: Sequence[str | None], glyphs: Glyphs) -> Row:
    out: list[Span] = []
    for name in names:
        glyph, role = (glyphs.group[name], name) if name else (glyphs.hole, "")
        if out and out[-1].role == role:
            out[-1] = Span(out[-1].text + glyph, role)
        else:
            out.append(Span(glyph, role))
    return tuple(out)


def trend(points: Sequence[HistoryPoint], width: int, glyphs: Glyphs) -> Row:
    """One glyph a column: what dominated then. Newest at the right edge."""
    names = [dominant(mean_shares(bucket) or {}) for bucket in buckets(points, width)]
    return _merge([None] * (width - len(names)) + names, glyphs)


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


def resample(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` values, each the mean of its known ones, newest kept at the end."""
    if not values or width <= 0:
        return []
    per_column = -(-len(values) // width)
    chunks = [values[max(0, end - per_column) : end] for end in range(len(values), 0, -per_column)][::-1]
    return [_mean([value for value in chunk if value is not None]) for chunk in chunks]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

"""The share bar: one line split by shares of time, widest remainder first, always exactly full."""

from __future__ import annotations

from advisor.tui.glyphs import Glyphs, grouped
from advisor.tui.labels import GROUP_WORDS
from advisor.tui.rows import GROUPS, Row, Span


def apportion(shares: dict[str, float], width: int) -> dict[str, int]:
    """Cells for each group by largest remainder, so that they sum to `width` when the shares sum to 1."""
    exact = {name: max(0.0, share) * width for name, share in shares.items()}
    cells = {name: int(size) for name, size in exact.items()}
    spare = min(width, round(sum(exact.values()))) - sum(cells.values())
    by_remainder = sorted(exact, key=lambda name: cells[name] - exact[name])
    for name in by_remainder[: max(0, spare)]:
        cells[name] += 1
    return cells


def share_bar(shares: dict[str, float], width: int, glyphs: Glyphs) -> Row:
    """One bar of `width` cells. Empty shares give an empty bar: nothing is known."""
    cells = apportion(grouped(shares), width)
    spans = [Span(glyphs.group[name] * count, name) for name, count in cells.items() if count]
    used = sum(cells.values())
    return (*spans, Span(" " * (width - used))) if used < width else tuple(spans)


def legend(glyphs: Glyphs, gap: str = "  ") -> Row:
    """Which glyph means which group."""
    out: list[Span] = []
    for group in GROUPS:
        words = f" {GROUP_WORDS[group]}"
        out += [Span(gap if out else ""), Span(glyphs.group[group], group), Span(words, "dim")]
    return tuple(out)

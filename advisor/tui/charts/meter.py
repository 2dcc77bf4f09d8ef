"""A meter: a counter against its ceiling. The full length is what the counter shows at the ceiling."""

from __future__ import annotations

from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span


def meter(frac: float | None, width: int, glyphs: Glyphs, role: str = "") -> Row:
    """A bar of `width` cells filled to `frac` (clipped to 1); blank when the figure is unknown."""
    if frac is None:
        return (Span(" " * width),)
    filled = round(min(1.0, max(0.0, frac)) * width)
    return (Span(glyphs.full * filled, role), Span(glyphs.empty * (width - filled), "dim"))

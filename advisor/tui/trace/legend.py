"""What the glyphs in view mean, with their exact shares of it."""

from __future__ import annotations

from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, width_of
from advisor.tui.trace import palette
from advisor.tui.trace.palette import LOOKS
from advisor.tui.trace.scene import Scene
from rules.economics import divide


def tenths(parts: dict[str, int]) -> dict[str, int]:
    """Parts of time as tenths of a per cent that sum to 1,000, by largest remainders."""
    whole = sum(parts.values())
    if not whole:
        return dict.fromkeys(parts, 0)
    given = divide([ns * 1000 / whole for ns in parts.values()], 1000)
    return dict(zip(parts, given, strict=True))


def per_cent(count: int) -> str:
    """412 tenths -> "41.2 %"."""
    return f"{count / 10:.1f} %"


def legend_row(scene: Scene, width: int, glyphs: Glyphs) -> Row:
    """One line: classes and causes in view, largest first, in as many words as fit."""
    window = scene.window
    shares = tenths(scene.shares(window.start_ns, window.end_ns))
    order = sorted(shares, key=lambda name: -shares[name])
    for short in (False, True):
        line = _line(order, shares, width, glyphs, short=short)
        if line is not None:
            return line
    return _cut(order, shares, width, glyphs)


def _item(name: str, count: int, glyphs: Glyphs, short: bool) -> Row:
    look = LOOKS[name]
    words = look.short if short else look.words
    return (
        Span(palette.glyph(look, glyphs.ascii), look.role),
        Span(f" {words} ", "dim"),
        Span(per_cent(count)),
    )


def _line(order: list[str], shares: dict[str, int], width: int, glyphs: Glyphs, *, short: bool) -> Row | None:
    row: Row = (Span(" "),)
    for name in order:
        row = (*row, *_item(name, shares[name], glyphs, short), Span("  "))
    return row if width_of(row) <= width else None


def _cut(order: list[str], shares: dict[str, int], width: int, glyphs: Glyphs) -> Row:
    """As many as fit, and how many do not."""
    row: Row = (Span(" "),)
    for place, name in enumerate(order):
        more = (*row, *_item(name, shares[name], glyphs, True), Span("  "))
        left = len(order) - place
        if width_of(more) > width - len(f"+{left} more"):
            return (*row, Span(f"+{left} more", "dim"))
        row = more
    return row

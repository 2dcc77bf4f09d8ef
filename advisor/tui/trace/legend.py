"""What the glyphs in view mean, with their exact shares of it."""

from __future__ import annotations

from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, width_of
from advisor.tui.trace import palette
from advisor.tui.trace.palette import LOOKS
from advisor.tui.trace.scene import Scene
from rules.economics import divide


def divided(parts: dict[str, int], into: int) -> dict[str, int]:
    """Parts of time in whole numbers that sum to `into`, by largest remainders."""
    whole = sum(parts.values())
    given = divide([ns / max(1, whole) for ns in parts.values()], into)
    return dict(zip(parts, given, strict=True))


def tenths(parts: dict[str, int]) -> dict[str, int]:
    """Parts of time as tenths of a per cent that sum to 1,000."""
    return divided(parts, 1000)


def per_cent(count: int) -> str:
    """412 tenths -> "41.2 %"."""
    return f"{count / 10:.1f} %"


def legend_row(scene: Scene, width: int, glyphs: Glyphs) -> Row:
    """One line: classes and causes in view, largest first, in as many words as fit; it sums to 100 %."""
    window = scene.window
    found = scene.shares(window.start_ns, window.end_ns)
    order = sorted(found, key=lambda name: -found[name])
    exact, whole = tenths(found), divided(found, 100)
    full = [_item(name, LOOKS[name].words, per_cent(exact[name]), glyphs) for name in order]
    short = [_item(name, LOOKS[name].short, _percent(whole[name]), glyphs) for name in order]
    for items in (full, short):
        line: Row = (Span(" "), *(span for item in items for span in item))
        if width_of(line) <= width:
            return line
    return _cut(short, width)


def _percent(count: int) -> str:
    return f"{count} %" if count else "<1 %"


def _item(name: str, words: str, share: str, glyphs: Glyphs) -> Row:
    look = LOOKS[name]
    lead = Span(palette.glyph(look, glyphs.ascii), look.role)
    return (lead, Span(f" {words} ", "dim"), Span(share), Span("  "))


def _cut(items: list[Row], width: int) -> Row:
    """As many as fit, and how many do not."""
    row: Row = (Span(" "),)
    for place, item in enumerate(items):
        more = f"+{len(items) - place} more"
        if width_of((*row, *item)) > width - len(more):
            return (*row, Span(more, "dim"))
        row = (*row, *item)
    return row

"""Parts that every section is made of: its first line, wrapped text, two blocks side by side."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, clip, wrap
from advisor.tui.text import safe


def heading(text: str, width: int, glyphs: Glyphs, remark: str = "") -> Row:
    """A section's first line: a rule with the title in it."""
    lead = f"{glyphs.rule} "
    tail = f"  {remark} " if remark else " "
    room = width - len(lead) - len(text) - len(tail)
    return (
        Span(lead, "dim"),
        Span(text, "title"),
        Span(tail, "dim"),
        Span(glyphs.rule * max(0, room), "dim"),
    )


def beside(first: Sequence[Row], second: Sequence[Row], width: int, gap: int = 2) -> list[Row]:
    """Two blocks next to each other; the first is `width` cells wide."""
    out: list[Row] = []
    for number in range(max(len(first), len(second))):
        start = first[number] if number < len(first) else ()
        end = second[number] if number < len(second) else ()
        out.append((*clip(start, width), Span(" " * gap), *end))
    return out


def paragraph(text: str, width: int, role: str) -> list[Row]:
    """Untrusted text as lines of one colour."""
    return [(Span(line, role),) for line in wrap(safe(text), width)]

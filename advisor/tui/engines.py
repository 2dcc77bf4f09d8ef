"""What an inference engine on a device says of itself, in a few lines of its detail."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.reports.common import Style
from advisor.reports.serving import heading as engine_name
from advisor.reports.serving import lines
from advisor.tui.blocks import heading
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left
from advisor.tui.text import safe
from rules.serving import ServingFigures

_STYLE = Style(safe, safe)
# Of an engine's lines a screen has room for these; reports have them all.
_SHOWN = (
    "tokens",
    "requests",
    "memory",
    "to the first token",
    "between tokens",
    "objective",
    "cost",
    "energy",
)
_LABEL = 20


def engine_rows(engines: Sequence[ServingFigures], width: int, glyphs: Glyphs) -> list[Row]:
    """A block for each engine that holds the device; nothing where none was asked."""
    rows: list[Row] = []
    for made in engines:
        rows.append(heading(left(engine_name(made, _STYLE), max(8, width - 8)).strip(), width, glyphs))
        for what, text in lines(made, _STYLE):
            if what in _SHOWN:
                label = f"{what:<{_LABEL}}"
                rows.append((Span(label, "dim"), Span(left(text, max(8, width - _LABEL)).rstrip())))
        rows.append(())
    return rows

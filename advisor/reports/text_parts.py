"""What a text report is drawn with: lines, headings, invisible tables, bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

BAR_WIDTH = 20


def text(said: str, style: str = "") -> Text:
    """Text that is ready to show; nothing in it is markup."""
    from rich.text import Text

    return Text(said, style=style)


def head(title: str) -> Text:
    """A heading, after an empty line."""
    return text(f"\n{title}", "bold")


def grid(*columns: str) -> Table:
    """An invisible table; each column is "left", "right" or "fill" (takes the rest, wraps)."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2, 0, 0))
    for kind in columns:
        made.add_column(
            justify="right" if kind == "right" else "left", no_wrap=kind != "fill", overflow="fold"
        )
    return made


def bar(frac: float, colour: str) -> Text:
    """A part of a whole."""
    full = round(min(1.0, max(0.0, frac)) * BAR_WIDTH)
    return text("█" * full, colour).append("░" * (BAR_WIDTH - full), "bright_black")


def indented(part: RenderableType, columns: int = 2) -> RenderableType:
    """The part, moved to the right; what wraps stays there."""
    from rich.padding import Padding

    return Padding(part, (0, 0, 0, columns))

"""ASCII for the parts of the screen that the toolkit draws itself."""

from __future__ import annotations

from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender


class AsciiScrollBarRender(ScrollBarRender):
    """A scroll bar of plain cells: no eighth blocks at its ends."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def use_ascii_scrollbars() -> None:
    """Draw every scroll bar with plain cells."""
    ScrollBar.renderer = AsciiScrollBarRender

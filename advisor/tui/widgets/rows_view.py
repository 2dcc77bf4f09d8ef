"""RowsView: paints rows built by pure functions, and repaints only the lines that changed."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from advisor.tui.glyphs import UNICODE, Glyphs, to_ascii
from advisor.tui.rows import GROUPS, ROLES, Row


class Painter(Widget):
    """Turns a row into a strip in the current theme. Roles are component classes, coloured in app.tcss."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"role--{role}" for role in ROLES}

    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self.glyphs = glyphs
        self._styles_by_role: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """Forget styles resolved under the previous theme."""
        self._styles_by_role.clear()
        super().notify_style_update()

    def style_of(self, role: str) -> Style:
        """The style of one or several roles over the widget's own."""
        style = self._styles_by_role.get(role)
        if style is None:
            style = self.rich_style
            for name in role.split():
                style += self.get_component_rich_style(f"role--{name}", partial=True)
            self._styles_by_role[role] = style
        return style

    def paint(self, line: Row, width: int, under: str = "") -> Strip:
        """The row as a strip of `width` cells. under: a role laid over all but bars (the cursor's)."""
        segments = [
            Segment(
                to_ascii(span.text) if self.glyphs.ascii else span.text, self._role_style(span.role, under)
            )
            for span in line
            if span.text
        ]
        return Strip(segments).adjust_cell_length(width, self._role_style("", under))

    def _role_style(self, role: str, under: str) -> Style:
        return self.style_of(f"{role} {under}") if under and role not in GROUPS else self.style_of(role)


class RowsView(Painter):
    """A block of rows as high as its content. Subclasses say what the rows are at a width."""

    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__(glyphs)
        self._rows: list[Row] = []

    def build(self, width: int) -> list[Row]:
        """The rows at this width."""
        raise NotImplementedError

    def rebuild(self) -> None:
        """Build again and repaint what changed; call it when the data did."""
        if not self.size.width:
            self.refresh(layout=True)
            return
        rows = self.build(self.size.width)
        before, self._rows = self._rows, rows
        if len(rows) != len(before):
            self.refresh(layout=True)
            return
        for y, (old, new) in enumerate(zip(before, rows, strict=True)):
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self, event: Resize) -> None:
        """Another width means other rows."""
        self._rows = self.build(event.size.width)
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """As many lines as there are rows."""
        return len(self.build(width))

    def render_line(self, y: int) -> Strip:
        """One line of the block."""
        width = self.size.width
        return self.paint(self._rows[y] if y < len(self._rows) else (), width)

"""KeyedTable: a scrolling list of rows with a cursor that stays on its key while rows move and change."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from advisor.tui.glyphs import UNICODE, Glyphs
from advisor.tui.rows import Row, Span
from advisor.tui.widgets.rows_view import Painter


class KeyedTable(Painter, ScrollView, can_focus=True):
    """Rows with keys under a fixed head line. Subclasses build both at a width."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("home,g", "move(-9999)", "First", show=False),
        Binding("end,G", "move(9999)", "Last", show=False),
        Binding("enter", "open", "Open", key_display="enter"),
    ]

    class Highlighted(Message):
        """The cursor is on another key, or on none."""

        def __init__(self, table: KeyedTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> KeyedTable:
            """The table it came from, for `@on` selectors."""
            return self.table

    class Opened(Highlighted):
        """Enter or a second click on a row."""

    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__(glyphs)
        self.cursor_key: str | None = None
        self.empty = ""
        self.margin_below = 0
        self.moved = False
        self._keys: list[str] = []
        self._lines: dict[str, Row] = {}
        self._head: Row = ()

    def say_when_empty(self, words: str) -> None:
        """What stands in place of rows when there are none."""
        if words != self.empty:
            self.empty = words
            self._refresh_screen_line(1)

    def build_head(self, width: int) -> Row:
        """The head line."""
        raise NotImplementedError

    def build_lines(self, width: int) -> dict[str, Row]:
        """Key to row, in the order shown, without the cursor's margin of two cells."""
        raise NotImplementedError

    @property
    def keys(self) -> list[str]:
        """Keys of the rows, in the order shown."""
        return list(self._keys)

    def rebuild(self) -> None:
        """Build again and repaint what changed; call it when the data did."""
        width = self.scrollable_content_region.width
        head, lines = self.build_head(width), self.build_lines(width)
        keys, before, old_keys = list(lines), self._lines, self._keys
        changed_head = head != self._head
        self._head, self._lines, self._keys = head, lines, keys
        self._keep_cursor(old_keys)
        if len(keys) != len(old_keys) or not self.virtual_size.height:
            self.virtual_size = Size(width, max(1, len(keys)) + 1)
            self.refresh(layout=True)
            return
        if changed_head:
            self._refresh_screen_line(0)
        for number, key in enumerate(keys):
            if key != old_keys[number] or lines[key] != before[key]:
                self._refresh_screen_line(self._screen_y(number))

    def _keep_cursor(self, old_keys: list[str]) -> None:
        """The cursor stays on its key; when that is gone, it goes to what now stands in its place.

        Until the person moves it, it is on the first row, whatever that is.
        """
        if not self.moved:
            self._set_cursor(self._keys[0] if self._keys else None)
        if self.cursor_key in self._lines:
            return
        at = old_keys.index(self.cursor_key) if self.cursor_key in old_keys else 0
        self._set_cursor(self._keys[min(at, len(self._keys) - 1)] if self._keys else None)

    def _screen_y(self, number: int) -> int:
        return number + 1 - self.scroll_offset.y

    def _refresh_screen_line(self, y: int) -> None:
        if y == 0 or 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _set_cursor(self, key: str | None) -> None:
        if key == self.cursor_key:
            return
        before, self.cursor_key = self.cursor_key, key
        for moved in (before, key):
            if moved in self._lines:
                self._refresh_screen_line(self._screen_y(self._keys.index(moved)))
        self.post_message(self.Highlighted(self, key))

    def select(self, key: str) -> None:
        """Put the cursor on a key, if it is shown, and scroll to it."""
        if key not in self._lines:
            return
        self.moved = True
        self._set_cursor(key)
        at, room = self._keys.index(key), max(1, self.size.height - 1)
        top = min(max(self.scroll_offset.y, at - room + 1), at)
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, immediate=True)

    def action_move(self, by: int) -> None:
        """Move the cursor by rows, stopping at both ends."""
        if not self._keys:
            return
        at = self._keys.index(self.cursor_key) if self.cursor_key in self._lines else 0
        self.select(self._keys[min(len(self._keys) - 1, max(0, at + by))])

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.cursor_key is not None:
            self.post_message(self.Opened(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        """A click selects; a click on the selected row, or a double click, opens."""
        number = event.y - 1 + self.scroll_offset.y
        if event.y < 1 or not 0 <= number < len(self._keys):
            return
        key = self._keys[number]
        again = key == self.cursor_key and event.chain > 1
        self.select(key)
        if again:
            self.action_open()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """A line a row under the head line, as far as there is room beside `margin_below` lines."""
        return min(max(1, len(self._keys)) + 1, max(2, container.height - self.margin_below))

    def on_resize(self) -> None:
        """Another width means other columns; the cursor stays in sight."""
        self.rebuild()
        self.refresh()
        if self.moved and self.cursor_key is not None:
            self.select(self.cursor_key)

    def on_focus(self) -> None:
        """The cursor looks different with focus."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor looks different without focus."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The head line, or the row scrolled to that place."""
        width = self.scrollable_content_region.width
        if y == 0:
            return self.paint(self._head, width)
        number = y - 1 + self.scroll_offset.y
        if not 0 <= number < len(self._keys):
            message = f"  {self.empty}" if y == 1 and not self._keys else ""
            return self.paint((Span(message, "dim"),), width)
        key = self._keys[number]
        if key != self.cursor_key:
            return self.paint((Span("  "), *self._lines[key]), width)
        line = (Span(f"{self.glyphs.cursor} ", "strong"), *self._lines[key])
        return self.paint(line, width, "cursor" if self.has_focus else "")

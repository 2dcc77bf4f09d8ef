"""FilterBar: the line that `/` opens. The input is made when it is first opened."""

from __future__ import annotations

from textual import events
from textual.containers import Horizontal
from textual.message import Message


class FilterBar(Horizontal):
    """Types a filter; Enter keeps it, Esc drops it."""

    class Changed(Message):
        """The text is another."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """The line is gone again."""

    def open(self, text: str) -> None:
        """Show the line with this text and take the keys."""
        from textual.widgets import Input

        self.add_class("-open")
        found = self.query(Input)
        if found:
            found.first().focus()
            return
        field = Input(
            text,
            placeholder="filter by name, job, user, verdict or GPU index",
            select_on_focus=False,
            compact=True,
        )
        field.cursor_blink = False
        self.mount(field)
        field.focus()

    def close(self) -> None:
        """Hide the line and give the keys back."""
        from textual.widgets import Input

        for field in self.query(Input):
            field.value = ""
        self._hide()

    def _hide(self) -> None:
        if self.has_class("-open"):
            self.remove_class("-open")
            self.post_message(self.Closed())

    def on_input_changed(self, event: events.Event) -> None:
        """Pass the text on as it is typed."""
        event.stop()
        self.post_message(self.Changed(getattr(event, "value", "")))

    def on_input_submitted(self, event: events.Event) -> None:
        """Enter keeps the filter."""
        event.stop()
        self._hide()

    def on_key(self, event: events.Key) -> None:
        """Esc drops the filter."""
        if event.key == "escape":
            event.stop()
            self.close()

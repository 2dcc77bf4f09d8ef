"""Widgets of the trace screen that draw the scene: header, timeline, legend, panel names, what is where."""

from __future__ import annotations

from textual import events
from textual.message import Message

from advisor.document import Diagnosis
from advisor.tui.glyphs import UNICODE, Glyphs
from advisor.tui.rows import Row, Span, spread, width_of, wrap
from advisor.tui.trace import times
from advisor.tui.trace.header import header_rows
from advisor.tui.trace.legend import legend_row
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.strips import GUTTER, Layout, columns_of, layout_for, timeline_rows
from advisor.tui.trace.under import under_rows
from advisor.tui.widgets.rows_view import RowsView

PANELS: tuple[str, ...] = ("here", "causes", "kernels", "steps", "ranks", "findings")


class SceneView(RowsView):
    """Rows made from the scene."""

    def __init__(self, scene: Scene, glyphs: Glyphs = UNICODE) -> None:
        super().__init__(glyphs)
        self.scene = scene


class TraceHeader(SceneView):
    """File, device, verdict, idle time and what is wasted."""

    def __init__(self, scene: Scene, diagnosis: Diagnosis, glyphs: Glyphs = UNICODE) -> None:
        super().__init__(scene, glyphs)
        self.diagnosis = diagnosis

    def build(self, width: int) -> list[Row]:
        """Two lines."""
        return header_rows(self.scene, self.diagnosis, width, self.glyphs)


class TimelineView(SceneView):
    """The timeline. A click puts the cursor there, the wheel zooms."""

    small = False

    class Zoomed(Message):
        """The wheel was turned. by: 1 closer, -1 away."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Pointed(Message):
        """A column was clicked."""

        def __init__(self, column: int) -> None:
            super().__init__()
            self.column = column

    @property
    def columns(self) -> int:
        """Columns of time."""
        return columns_of(self.app.size.width)

    def build(self, width: int) -> list[Row]:
        """As many lines as a terminal of this height leaves."""
        layout: Layout = layout_for(self.app.size.height, self.small)
        return timeline_rows(self.scene, width, layout, self.glyphs)

    def on_click(self, event: events.Click) -> None:
        """The cursor goes there."""
        if event.x >= GUTTER:
            self.post_message(self.Pointed(event.x - GUTTER))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer."""
        event.stop()
        self.post_message(self.Zoomed(1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Away."""
        event.stop()
        self.post_message(self.Zoomed(-1))


class LegendLine(SceneView):
    """What the glyphs in view mean."""

    def build(self, width: int) -> list[Row]:
        """One line."""
        return [legend_row(self.scene, width, self.glyphs)]


class PanelNames(SceneView):
    """Which panels there are, which is open, and how much is in view."""

    panel = PANELS[0]

    def build(self, width: int) -> list[Row]:
        """One line."""
        start: Row = ()
        for number, name in enumerate(PANELS, start=1):
            open_ = name == self.panel
            start = (*start, Span(" "), Span(f" {number} {name} ", "badge title" if open_ else "dim"))
        return [spread(start, (Span(self._view_words(width - width_of(start)), "dim"),), width)]

    def _view_words(self, room: int) -> str:
        """How much is in view, in as many words as fit."""
        window = self.scene.window
        whole = window.high_ns - window.low_ns
        view = times.duration(window.length_ns)
        if window.length_ns == whole:
            return f"all {view} "
        words = (f"{view} of {times.duration(whole)} ", f"{view} ", "")
        return next(text for text in words if len(text) <= room)


class HereBody(SceneView):
    """What is under the cursor."""

    def build(self, width: int) -> list[Row]:
        """All of it."""
        return under_rows(self.scene, columns_of(self.app.size.width), width - 1, self.glyphs)


class Note(RowsView):
    """A sentence in place of what is not there."""

    words = ""

    def build(self, width: int) -> list[Row]:
        """In as many lines as it needs."""
        return [(Span(f" {line}", "warn"),) for line in wrap(self.words, max(1, width - 2))]

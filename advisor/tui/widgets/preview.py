"""Preview: what the overview shows of the selected GPU where the terminal is tall enough."""

from __future__ import annotations

from advisor.snapshot import DeviceView
from advisor.tui.rows import Row
from advisor.tui.sections import preview_rows
from advisor.tui.widgets.rows_view import RowsView


class Preview(RowsView):
    """History, counters and the ladder of one device, as many lines as there is room for."""

    view: DeviceView | None = None

    def show(self, view: DeviceView | None) -> None:
        """Draw this device."""
        self.view = view
        self.rebuild()

    def build(self, width: int, height: int) -> list[Row]:
        """As many lines as fit; nothing when there is room for less than a chart."""
        if self.view is None or height < 8:
            return [()] * height
        rows = preview_rows(self.view, width, height, self.glyphs)
        return [*rows, *[()] * (height - len(rows))]

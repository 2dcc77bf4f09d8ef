"""Preview: what the overview shows of the selected GPU where the terminal is tall enough."""

from __future__ import annotations

from advisor.tui.rows import Row
from advisor.tui.sections import preview_rows
from advisor.tui.widgets.device_rows import DeviceRows


class Preview(DeviceRows):
    """History, counters and the ladder of one device, as many lines as there is room for."""

    def build(self, width: int) -> list[Row]:
        """As many lines as fit; nothing when there is room for less than a chart."""
        height = self.size.height
        if self.view is None or height < 5:
            return [()] * height
        rows = preview_rows(self.view, self.findings, width, height, self.glyphs)
        return [*rows, *[()] * (height - len(rows))]

"""DeviceBody: everything about one device."""

from __future__ import annotations

from advisor.tui.rows import Row, Span
from advisor.tui.sections import detail_rows
from advisor.tui.widgets.device_rows import DeviceRows


class DeviceBody(DeviceRows):
    """Rows of `sections.detail_rows`; the chart is higher on a taller terminal."""

    def build(self, width: int) -> list[Row]:
        """All sections."""
        if self.view is None:
            return [(Span(" this GPU is no longer listed: Esc goes back", "warn"),)]
        lines = self.app.size.height
        return detail_rows(self.view, self.findings, width, min(16, max(6, lines // 4)), self.glyphs)

"""DeviceBody: everything about one device."""

from __future__ import annotations

from advisor.tui.engines import engine_rows
from advisor.tui.inside import inside_rows
from advisor.tui.rows import Row, Span
from advisor.tui.sections import detail_rows
from advisor.tui.widgets.device_rows import DeviceRows
from rules.serving import ServingFigures

# What stands above everything else: name, verdict, an empty line.
TITLE_ROWS = 3


class DeviceBody(DeviceRows):
    """Rows of `sections.detail_rows`; the chart is higher on a taller terminal.

    looking: somebody asked for a look inside its process, and it is being taken. engines: inference engines
    that hold the device.
    """

    looking = False
    engines: tuple[ServingFigures, ...] = ()

    def build(self, width: int) -> list[Row]:
        """All sections."""
        if self.view is None:
            return [(Span(" this GPU is no longer listed: Esc goes back", "warn"),)]
        lines = self.app.size.height
        rows = detail_rows(self.view, self.findings, width, min(16, max(6, lines // 4)), self.glyphs)
        # Below the title, since somebody has just asked for it.
        inside = inside_rows(self.view.inside, self.looking, width, self.glyphs)
        engines = engine_rows(self.engines, width, self.glyphs)
        return [*rows[:TITLE_ROWS], *inside, *engines, *rows[TITLE_ROWS:]]

"""Preview: what the overview shows of the selected GPU where the terminal is tall enough."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.snapshot import DeviceView
from advisor.tui.rows import Row
from advisor.tui.sections import preview_rows
from advisor.tui.widgets.rows_view import RowsView
from rules.finding import Finding


class Preview(RowsView):
    """History, counters and the ladder of one device, as many lines as there is room for."""

    view: DeviceView | None = None
    findings: Sequence[Finding] = ()

    def show(self, view: DeviceView | None, findings: Sequence[Finding]) -> None:
        """Draw this device and its findings."""
        self.view, self.findings = view, findings
        self.rebuild()

    def build(self, width: int) -> list[Row]:
        """As many lines as fit; nothing when there is room for less than a chart."""
        height = self.size.height
        if self.view is None or height < 5:
            return [()] * height
        rows = preview_rows(self.view, self.findings, width, height, self.glyphs)
        return [*rows, *[()] * (height - len(rows))]

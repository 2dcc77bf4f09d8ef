"""DeviceBody: everything about one device."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.snapshot import DeviceView
from advisor.tui.rows import Row, Span
from advisor.tui.sections import detail_rows
from advisor.tui.widgets.rows_view import RowsView
from rules.finding import Finding


class DeviceBody(RowsView):
    """Rows of `sections.detail_rows`; the chart is higher on a taller terminal."""

    view: DeviceView | None = None
    findings: Sequence[Finding] = ()

    def show(self, view: DeviceView | None, findings: Sequence[Finding]) -> None:
        """Draw this device; None says it is gone."""
        self.view, self.findings = view, findings
        self.rebuild()

    def build(self, width: int) -> list[Row]:
        """All sections."""
        if self.view is None:
            return [(Span(" this GPU is no longer listed: Esc goes back", "warn"),)]
        lines = self.app.size.height
        return detail_rows(self.view, self.findings, width, min(16, max(6, lines // 4)), self.glyphs)

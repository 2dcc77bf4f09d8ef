"""DeviceRows: rows about one device, the base of the overview's preview and the detail screen's body."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.snapshot import DeviceView
from advisor.tui.widgets.rows_view import RowsView
from rules.finding import Finding


class DeviceRows(RowsView):
    """Holds the device to draw; subclasses say how."""

    view: DeviceView | None = None
    findings: Sequence[Finding] = ()

    def show(self, view: DeviceView | None, findings: Sequence[Finding]) -> None:
        """Draw this device and its findings; None says that there is none, or that it is gone."""
        self.view, self.findings = view, findings
        self.rebuild()

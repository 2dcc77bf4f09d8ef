"""ProbeBody: what is known of one device's limits."""

from __future__ import annotations

from advisor.snapshot import DeviceView
from advisor.tui.probes import probe_rows
from advisor.tui.rows import Row
from advisor.tui.widgets.rows_view import RowsView


class ProbeBody(RowsView):
    """Rows of `probes.probe_rows`."""

    view: DeviceView | None = None
    live = True

    def show(self, view: DeviceView | None, *, live: bool) -> None:
        """Draw this device; None says that there is none, or that it is gone. live: not a recording."""
        self.view, self.live = view, live
        self.rebuild()

    def build(self, width: int) -> list[Row]:
        """All of it."""
        return probe_rows(self.view, width, self.glyphs, live=self.live)

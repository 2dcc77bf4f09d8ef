"""GPU detail: history, counters against ceilings, verdict, money, findings, processes."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from advisor.snapshot import Snapshot
from advisor.tui.banner import finding_weight
from advisor.tui.devices import find_view, shown_devices
from advisor.tui.screens.base import DataScreen
from advisor.tui.widgets.banner_view import HeaderBar
from advisor.tui.widgets.device_body import DeviceBody
from advisor.tui.widgets.scroller import Scroller


class DetailScreen(DataScreen):
    """One device. Left and right go to its neighbours."""

    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", key_display="esc"),
        Binding("left,h", "neighbour(-1)", "Previous", show=False),
        Binding("right,l", "neighbour(1)", "Next", show=False),
    ]

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def compose(self) -> ComposeResult:
        """Header, everything, keys."""
        yield HeaderBar(self.glyphs)
        with Scroller():
            yield DeviceBody(self.glyphs)
        yield Footer(compact=True, show_command_palette=False)

    def draw(self, snapshot: Snapshot) -> None:
        """This device's part of the snapshot."""
        header = self.query_one(HeaderBar)
        header.recording = self.advisor.recording is not None
        header.show(snapshot)
        view = find_view(snapshot, self.key)
        found = [finding for finding in snapshot.diagnosis.findings if finding.key == self.key]
        self.query_one(DeviceBody).show(view, sorted(found, key=finding_weight, reverse=True))

    def action_neighbour(self, by: int) -> None:
        """The next device by index, round and round."""
        snapshot = self.advisor.snapshot
        keys = [view.info.key for view in shown_devices(snapshot)] if snapshot else []
        if snapshot is None or not keys:
            return
        at = keys.index(self.key) if self.key in keys else 0
        self.key = keys[(at + by) % len(keys)]
        self.query_one(Scroller).scroll_home(animate=False)
        self.show(snapshot)

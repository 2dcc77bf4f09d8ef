"""Probes: the ceilings of one GPU, how each came about, and which command measures them."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer

from advisor.snapshot import Snapshot
from advisor.tui.devices import find_view
from advisor.tui.screens.base import OneDeviceScreen
from advisor.tui.widgets.banner_view import HeaderBar
from advisor.tui.widgets.probe_body import ProbeBody
from advisor.tui.widgets.scroller import Scroller


class ProbesScreen(OneDeviceScreen):
    """Shows what is stored and measures nothing, which would disturb what is being watched."""

    ACTION = "probes"

    def compose(self) -> ComposeResult:
        """Header, everything, keys."""
        yield HeaderBar(self.glyphs)
        with Scroller():
            yield ProbeBody(self.glyphs)
        yield Footer(compact=True, show_command_palette=False)

    def draw(self, snapshot: Snapshot) -> None:
        """This device's ceilings."""
        header = self.query_one(HeaderBar)
        header.recording = self.advisor.recording is not None
        header.show(snapshot)
        live = snapshot.mode == "live"
        self.query_one(ProbeBody).show(find_view(snapshot, self.key), live=live)

"""GPU detail: history, counters against ceilings, verdict, money, findings, processes."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from advisor.snapshot import Snapshot
from advisor.tui.banner import by_weight
from advisor.tui.devices import find_view
from advisor.tui.screens.base import OneDeviceScreen
from advisor.tui.widgets.banner_view import HeaderBar
from advisor.tui.widgets.device_body import DeviceBody
from advisor.tui.widgets.scroller import Scroller


class DetailScreen(OneDeviceScreen):
    """Everything about one device."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("s", "app.stacks", "Stacks")]

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
        body = self.query_one(DeviceBody)
        body.looking = self.key in self.advisor.looking
        body.engines = tuple(made for made in snapshot.diagnosis.serving if self.key in made.keys)
        body.show(view, by_weight(found))

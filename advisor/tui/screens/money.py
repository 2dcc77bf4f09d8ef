"""Money: where every dollar of every GPU goes, and the node's sum."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from advisor.snapshot import Snapshot
from advisor.tui.money import money_rows
from advisor.tui.rows import Row
from advisor.tui.screens.base import DataScreen
from advisor.tui.widgets.banner_view import HeaderBar, MoneyLine, SnapshotView
from advisor.tui.widgets.scroller import Scroller


class MoneyBody(SnapshotView):
    """The table and its bars."""

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """All of it."""
        return money_rows(snapshot.diagnosis, width, self.glyphs)


class MoneyScreen(DataScreen):
    """The ladder of the whole node."""

    AUTO_FOCUS = "Scroller"
    ACTION: ClassVar[str] = "money"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back", key_display="esc")]

    def compose(self) -> ComposeResult:
        """Header, the one line, the table, keys."""
        yield HeaderBar(self.glyphs)
        yield MoneyLine(self.glyphs)
        with Scroller():
            yield MoneyBody(self.glyphs)
        yield Footer(compact=True, show_command_palette=False)

    def draw(self, snapshot: Snapshot) -> None:
        """Give each widget its part."""
        header = self.query_one(HeaderBar)
        header.recording = self.advisor.recording is not None
        header.show(snapshot)
        self.query_one(MoneyLine).show(snapshot)
        self.query_one(MoneyBody).show(snapshot)

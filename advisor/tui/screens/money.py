"""Money: where every dollar goes, by GPU, job or term, and what of it is recoverable."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from advisor.snapshot import Snapshot
from advisor.tui.money import HORIZONS, VIEWS, View, money_rows
from advisor.tui.rows import Row
from advisor.tui.screens.base import DataScreen
from advisor.tui.widgets.banner_view import HeaderBar, MoneyLine, SnapshotView
from advisor.tui.widgets.scroller import Scroller
from rules.cents import Horizon


class MoneyBody(SnapshotView):
    """The table and its bars. by: what a line of the table is. horizon: what its dollars are of."""

    by: View = VIEWS[0]
    horizon: Horizon = HORIZONS[0]

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """All of it."""
        return money_rows(snapshot.diagnosis, width, self.glyphs, self.by, self.horizon)


class MoneyScreen(DataScreen):
    """The ladder of the whole node, its GPUs and its jobs."""

    AUTO_FOCUS = "Scroller"
    ACTION: ClassVar[str] = "money"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", key_display="esc"),
        Binding("b", "by", "By"),
        Binding("t", "time", "Time"),
    ]

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

    def action_by(self) -> None:
        """The next way to divide the money: by GPU, by job, by term."""
        body = self.query_one(MoneyBody)
        body.by = VIEWS[(VIEWS.index(body.by) + 1) % len(VIEWS)]
        self._redraw()

    def action_time(self) -> None:
        """The next length of time: an hour, a day, a month."""
        body = self.query_one(MoneyBody)
        body.horizon = HORIZONS[(HORIZONS.index(body.horizon) + 1) % len(HORIZONS)]
        self._redraw()

    def _redraw(self) -> None:
        self.query_one(Scroller).scroll_home(animate=False)
        self.query_one(MoneyBody).rebuild()

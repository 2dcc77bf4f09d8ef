"""Findings: the list by dollars an hour, with the one under the cursor in full."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Footer

from advisor.snapshot import Snapshot
from advisor.tui.rows import Row, Span, left
from advisor.tui.screens.base import DataScreen
from advisor.tui.widgets.banner_view import HeaderBar
from advisor.tui.widgets.finding_body import FindingBody
from advisor.tui.widgets.finding_table import FindingTable
from advisor.tui.widgets.keyed_table import KeyedTable
from advisor.tui.widgets.rows_view import RowsView
from advisor.tui.widgets.scroller import Scroller


class OverlapNote(RowsView):
    """Why the dollars of the list must not be added up."""

    def build(self, width: int) -> list[Row]:
        """One line."""
        words = " dollars of findings overlap; only the ladder sums to the bill"
        return [(Span(left(words, width), "dim"),)]


class FindingsScreen(DataScreen):
    """Enter gives the finding the whole screen, Esc gives it back."""

    CSS_PATH = "findings.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # noqa: RUF012 - as the toolkit has it
    ACTION: ClassVar[str] = "findings"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", key_display="esc"),
        Binding("x", "explain", "Explain"),
    ]

    def compose(self) -> ComposeResult:
        """Header, list and detail, keys."""
        yield HeaderBar(self.glyphs)
        yield OverlapNote(self.glyphs)
        with Container(id="split"):
            yield FindingTable(self.glyphs)
            with Scroller():
                yield FindingBody(self.glyphs)
        yield Footer(compact=True, show_command_palette=False)

    @property
    def table(self) -> FindingTable:
        """The list."""
        return self.query_one(FindingTable)

    @property
    def device_key(self) -> str | None:
        """The device of the finding under the cursor."""
        return self.table.selected.key if self.table.selected else None

    def draw(self, snapshot: Snapshot) -> None:
        """The list, and the finding under the cursor with its newest figures."""
        header = self.query_one(HeaderBar)
        header.recording = self.advisor.recording is not None
        header.show(snapshot)
        table = self.table
        table.say_when_empty("no findings: nothing stands out so far")
        table.show(snapshot.diagnosis.findings)
        self.query_one(FindingBody).show(table.selected)

    @on(KeyedTable.Highlighted)
    def follow_cursor(self) -> None:
        """Show the finding under the cursor from its beginning."""
        self.query_one(FindingBody).show(self.table.selected)
        self.query_one(Scroller).scroll_home(animate=False)

    @on(KeyedTable.Opened)
    def open_finding(self) -> None:
        """Give the finding the whole screen, and the keys."""
        if self.table.selected is not None:
            self.add_class("-open")
            self.query_one(Scroller).focus()

    def action_back(self) -> None:
        """To the list, or to where one came from."""
        if self.has_class("-open"):
            self.remove_class("-open")
            self.table.focus()
        else:
            self.app.pop_screen()

    def action_explain(self) -> None:
        """The rule's page."""
        finding = self.table.selected
        if finding is not None:
            self.advisor.open_page(finding.code)

"""One finding on a screen of its own, and what is shown of a trace in which no device ran anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer

from advisor.document import Diagnosis
from advisor.tui.text import safe
from advisor.tui.trace.widgets import Note
from advisor.tui.widgets.finding_body import FindingBody
from advisor.tui.widgets.finding_table import FindingTable
from advisor.tui.widgets.keyed_table import KeyedTable
from advisor.tui.widgets.scroller import Scroller
from rules.finding import Finding

if TYPE_CHECKING:
    from advisor.tui.trace.app import TraceApp


class FindingPage(Screen[None]):
    """The finding in full; Esc goes back."""

    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", key_display="esc"),
        Binding("x", "explain", "Explain"),
    ]

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding

    def compose(self) -> ComposeResult:
        """The finding, then keys."""
        with Scroller():
            body = FindingBody(cast("TraceApp", self.app).glyphs)
            body.finding = self.finding
            yield body
        yield Footer(compact=True, show_command_palette=False)

    def action_explain(self) -> None:
        """The rule's page."""
        cast("TraceApp", self.app).open_page(self.finding.code)


class NoDeviceScreen(Screen[None]):
    """Why there is no timeline, and what was found all the same."""

    AUTO_FOCUS = "FindingTable"

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__()
        self.diagnosis = diagnosis

    def compose(self) -> ComposeResult:
        """The reason, findings, keys."""
        glyphs = cast("TraceApp", self.app).glyphs
        note = Note(glyphs)
        report = self.diagnosis.trace
        notes = " ".join(safe(text) for text in report.notes) if report else ""
        note.words = f"No device ran anything in this trace, so there is no timeline. {notes}".strip()
        yield note
        yield FindingTable(glyphs)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """What was found."""
        table = self.query_one(FindingTable)
        table.say_when_empty("no findings")
        table.show(self.diagnosis.findings)

    @on(KeyedTable.Opened)
    def open_finding(self) -> None:
        """The finding in full."""
        found = self.query_one(FindingTable).selected
        if found is not None:
            self.app.push_screen(FindingPage(found))

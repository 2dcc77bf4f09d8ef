"""Overview: which GPU, what limits it, how sure, dollars wasted an hour, and what to do first."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Footer

from advisor.snapshot import DeviceView, Snapshot
from advisor.tui.banner import by_weight
from advisor.tui.devices import find_view, gpu_row, shown_devices
from advisor.tui.ordering import SORT_KEYS, SORT_WORDS, SortKey, matches, ordered
from advisor.tui.screens.base import DataScreen
from advisor.tui.widgets.banner_view import DoFirst, HeaderBar, HostStrip, Legend, MoneyLine
from advisor.tui.widgets.filter_bar import FilterBar
from advisor.tui.widgets.gpu_table import GpuTable
from advisor.tui.widgets.keyed_table import KeyedTable
from advisor.tui.widgets.preview import Preview


class OverviewScreen(DataScreen):
    """The first screen. The table keeps its order while figures change a little."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("o", "sort", "Order", show=False),
        Binding("escape", "clear_filter", "Clear filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.sort_key: SortKey = SORT_KEYS[0]
        self.needle = ""

    def compose(self) -> ComposeResult:
        """From top to bottom, as it is read."""
        yield HeaderBar(self.glyphs)
        yield MoneyLine(self.glyphs)
        with Vertical(id="middle"):
            table = GpuTable(self.glyphs)
            table.margin_below = 1
            yield table
            yield Legend(self.glyphs)
            yield Preview(self.glyphs)
        yield DoFirst(self.glyphs)
        yield HostStrip(self.glyphs)
        yield FilterBar()
        yield Footer(compact=True, show_command_palette=False)

    @property
    def table(self) -> GpuTable:
        """The table of GPUs."""
        return self.query_one(GpuTable)

    def draw(self, snapshot: Snapshot) -> None:
        """Give each widget its part."""
        header = self.query_one(HeaderBar)
        header.recording = self.advisor.recording is not None
        header.show(snapshot)
        self.query_one(MoneyLine).show(snapshot)
        self.query_one(DoFirst).show(snapshot)
        self.query_one(HostStrip).show(snapshot)
        self._draw_table(snapshot)
        self._draw_preview()

    def _draw_table(self, snapshot: Snapshot, *, resort: bool = False) -> None:
        views = shown_devices(snapshot)
        kept = [view for view in views if matches(view, self.needle)]
        table = self.table
        previous = [] if resort else table.keys
        stale = bool(snapshot.stale)
        critical = {found.key for found in snapshot.diagnosis.findings if found.severity == "critical"}
        in_order = ordered(kept, self.sort_key, previous, critical)
        rows = [gpu_row(view, stale=stale) for view in in_order]
        table.say_when_empty(self._empty_words(len(views)))
        table.show(rows)
        self.query_one(Legend).set_note(
            self._note(len(kept), len(views), any(row.substitute for row in rows))
        )

    def _empty_words(self, count: int) -> str:
        return (
            f'no GPU matches "{self.needle}": Esc clears the filter'
            if count
            else "no GPU is visible to this process"
        )

    def _note(self, kept: int, count: int, substitute: bool) -> str:
        notes = [f"sort: {SORT_WORDS[self.sort_key]}"]
        if self.needle:
            notes.insert(0, f'filter "{self.needle}": {kept} of {count}')
        if substitute:
            notes.append("u utilisation, m memory-controller time (no GPM)")
        return "  ".join(notes)

    @property
    def device_key(self) -> str | None:
        """The device under the cursor."""
        return self.table.cursor_key

    @property
    def selected(self) -> DeviceView | None:
        """The device under the cursor."""
        snapshot = self.advisor.snapshot
        return None if snapshot is None else find_view(snapshot, self.table.cursor_key)

    def _draw_preview(self) -> None:
        view, snapshot = self.selected, self.advisor.snapshot
        key = view.info.key if view else ""
        findings = [found for found in snapshot.diagnosis.findings if found.key == key] if snapshot else []
        self.query_one(Preview).show(view, by_weight(findings))

    @on(KeyedTable.Highlighted)
    def follow_cursor(self) -> None:
        """The preview shows the row under the cursor."""
        self._draw_preview()

    @on(KeyedTable.Opened)
    def open_row(self, message: KeyedTable.Opened) -> None:
        """Enter on a row opens its detail."""
        if message.key is not None:
            self.advisor.open_detail(message.key)

    def action_sort(self) -> None:
        """The next order: dollars, index, verdict."""
        self.sort_key = SORT_KEYS[(SORT_KEYS.index(self.sort_key) + 1) % len(SORT_KEYS)]
        self._redraw(resort=True)

    def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterBar).open(self.needle)

    def action_clear_filter(self) -> None:
        """Show every row again."""
        self.query_one(FilterBar).close()
        self._set_needle("")

    @on(FilterBar.Changed)
    def filter_changed(self, message: FilterBar.Changed) -> None:
        """Filter as it is typed."""
        self._set_needle(message.text)

    @on(FilterBar.Closed)
    def filter_closed(self) -> None:
        """Keys go to the table again."""
        self.table.focus()

    def _set_needle(self, text: str) -> None:
        if text != self.needle:
            self.needle = text
            self._redraw(resort=True)

    def _redraw(self, *, resort: bool = False) -> None:
        if self.advisor.snapshot is not None:
            self._draw_table(self.advisor.snapshot, resort=resort)
            self._draw_preview()

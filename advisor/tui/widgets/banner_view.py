"""Widgets for the lines of `advisor.tui.banner`: each holds the snapshot and draws its part of it."""

from __future__ import annotations

from advisor.snapshot import Snapshot
from advisor.tui import banner
from advisor.tui.charts.share_bar import legend
from advisor.tui.rows import Row, Span, spread, width_of
from advisor.tui.widgets.rows_view import RowsView


class SnapshotView(RowsView):
    """Rows made from a snapshot. Nothing is drawn before there is one."""

    snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot."""
        self.snapshot = snapshot
        self.rebuild()

    def build(self, width: int) -> list[Row]:
        """Blank until there is data."""
        return self.draw(self.snapshot, width) if self.snapshot is not None else [()]

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """The rows at this width."""
        raise NotImplementedError


class HeaderBar(SnapshotView):
    """What node this is, where data comes from, and a notice when something is wrong with it."""

    recording = False

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """The header line, and the notice when there is one."""
        head = banner.header_row(snapshot, width, self.glyphs, recording=self.recording)
        notice = banner.notice_row(snapshot, width)
        return [head] if notice is None else [head, notice]

    def build(self, width: int) -> list[Row]:
        """The program's name before any data came."""
        if self.snapshot is None:
            return [(Span(" advisor ", "title"), Span("  starting", "dim"))]
        return super().build(width)


class MoneyLine(SnapshotView):
    """What the node wastes an hour."""

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """One line."""
        return [banner.money_row(snapshot, width)]


class DoFirst(SnapshotView):
    """The finding worth most, in three lines."""

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """Always three lines, so that nothing below moves."""
        rows = banner.do_first_rows(snapshot, width, 3)
        return [*rows, *[()] * (3 - len(rows))]


class HostStrip(SnapshotView):
    """The host in one line."""

    def draw(self, snapshot: Snapshot, width: int) -> list[Row]:
        """One line."""
        return banner.host_rows(snapshot.host, width, self.glyphs)


class Legend(RowsView):
    """Which glyph means what, and what marks on figures mean."""

    note = ""

    def set_note(self, note: str) -> None:
        """A remark after the legend."""
        if note != self.note:
            self.note = note
            self.rebuild()

    def build(self, width: int) -> list[Row]:
        """One line."""
        end: Row = (Span(f"{self.note} ", "dim"),)
        wide = (Span("  "), *legend(self.glyphs))
        narrow = (Span("  "), *legend(self.glyphs, " "))
        if width_of(narrow) + width_of(end) > width:
            return [spread((), end, width)]
        return [spread(wide if width_of(wide) + width_of(end) < width else narrow, end, width)]

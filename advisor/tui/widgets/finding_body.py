"""One finding in full."""

from __future__ import annotations

from advisor.tui.findings import full_rows
from advisor.tui.rows import Row
from advisor.tui.widgets.rows_view import RowsView
from rules.finding import Finding


class FindingBody(RowsView):
    """Claim, evidence, why, what to do, effect."""

    finding: Finding | None = None

    def show(self, finding: Finding | None) -> None:
        """Draw this finding."""
        self.finding = finding
        self.rebuild()

    def build(self, width: int) -> list[Row]:
        """All of it."""
        return full_rows(self.finding, width, self.glyphs)

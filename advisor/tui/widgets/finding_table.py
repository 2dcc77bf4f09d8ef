"""The list of findings."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.tui.findings import finding_key, list_head, list_row, ranked
from advisor.tui.rows import Row
from advisor.tui.widgets.keyed_table import KeyedTable
from rules.finding import Finding


class FindingTable(KeyedTable):
    """By dollars an hour; the order holds while the same findings are listed."""

    findings: Sequence[Finding] = ()

    def show(self, findings: Sequence[Finding]) -> None:
        """Replace the findings."""
        self.findings = ranked(findings, self.keys)
        self.rebuild()

    @property
    def selected(self) -> Finding | None:
        """The finding under the cursor."""
        return next((found for found in self.findings if finding_key(found) == self.cursor_key), None)

    def build_head(self, width: int) -> Row:
        """Column names."""
        return list_head(width)

    def build_lines(self, width: int) -> dict[str, Row]:
        """One line a finding."""
        return {finding_key(found): list_row(found, width - 2) for found in self.findings}

"""The overview's table: a row a GPU or MIG instance."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.tui.columns import Layout, body_row, fit, head_row
from advisor.tui.devices import GpuRow
from advisor.tui.rows import Row
from advisor.tui.widgets.keyed_table import KeyedTable


class GpuTable(KeyedTable):
    """Shows the rows it is given, in the order given."""

    gpus: Sequence[GpuRow] = ()

    def show(self, gpus: Sequence[GpuRow]) -> None:
        """Replace the rows."""
        self.gpus = gpus
        self.rebuild()

    def build_head(self, width: int) -> Row:
        """Column names that fit."""
        return head_row(self._layout_for(width))

    def build_lines(self, width: int) -> dict[str, Row]:
        """One line a device."""
        layout = self._layout_for(width)
        return {gpu.key: body_row(gpu, layout, self.glyphs) for gpu in self.gpus}

    def _layout_for(self, width: int) -> Layout:
        users = any(gpu.user for gpu in self.gpus)
        return fit(width, without=frozenset() if users else frozenset({"user"}))

"""Help: keys, glyphs and words, over whatever is on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from advisor.tui.charts.share_bar import legend
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left
from advisor.tui.widgets.rows_view import RowsView
from advisor.tui.widgets.scroller import Scroller

if TYPE_CHECKING:
    from advisor.tui.app import AdvisorApp

KEYS: tuple[tuple[str, str], ...] = (
    ("up down, j k", "select; scroll"),
    ("Enter", "open the GPU or the finding"),
    ("Esc", "back; clear the filter"),
    ("Tab", "next pane"),
    ("left right", "previous or next GPU, in its detail"),
    ("/", "filter by name, job, user, verdict or GPU index"),
    ("s", "sort by $/h, index, verdict"),
    ("f", "findings, by dollars an hour"),
    ("x", "explain the finding's rule"),
    ("$", "money: where every dollar goes"),
    ("space", "pause and go on"),
    ("e", "export Markdown and JSON into the current folder, redacted"),
    ("r", "record; again: stop"),
    ("Ctrl+P", "command palette, themes"),
    ("q", "quit"),
)

WORDS: tuple[tuple[str, str], ...] = (
    ("HOST", "the GPU waits: input pipeline, launches, transfers, CPU limits"),
    ("MEMORY", "DRAM is near what this card's counter shows at its ceiling"),
    ("COMPUTE", "a pipe is near its ceiling"),
    ("DEVICE", "busy, yet near neither roof: latency, occupancy, grid size"),
    ("LINK", "NVLink or PCIe is near its ceiling and both roofs are low"),
    ("IDLE", "nothing runs: free, or memory is held"),
    ("sure", "confidence in the verdict, 0 to 1"),
    ("SM TC DRAM", "% of time SMs, tensor cores and DRAM are active"),
    ("measured", "a ceiling probed on this very card; typical: of the model; assumed: data sheet"),
)


def help_rows(width: int, glyphs: Glyphs) -> list[Row]:
    """All of the help text."""
    rows: list[Row] = [(Span("keys", "title"),)]
    rows += [(Span(left(key, 14), "strong"), Span(left(words, max(8, width - 14)))) for key, words in KEYS]
    rows += [(), (Span("words", "title"),)]
    rows += [(Span(left(word, 14), "strong"), Span(left(text, max(8, width - 14)))) for word, text in WORDS]
    return [*rows, (), (Span("bars", "title"),), legend(glyphs, " ")]


class HelpBody(RowsView):
    """The text."""

    def build(self, width: int) -> list[Row]:
        """All of it."""
        return help_rows(width, self.glyphs)


class HelpScreen(ModalScreen[None]):
    """Any of the usual keys closes it."""

    CSS_PATH = "help.tcss"
    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "close", "Close")]

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Scroller(id="box") as box:
            box.border_title = "advisor"
            box.border_subtitle = "Esc closes"
            yield HelpBody(cast("AdvisorApp", self.app).glyphs)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()

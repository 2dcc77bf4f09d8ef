"""Help: keys, glyphs and words, over whatever is on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import GROUP_WORDS
from advisor.tui.rows import GROUPS, Row, Span, left, width_of, wrap
from advisor.tui.widgets.rows_view import RowsView
from advisor.tui.widgets.scroller import Scroller

if TYPE_CHECKING:
    from advisor.tui.app import AdvisorApp

KEYS: tuple[tuple[str, str], ...] = (
    ("up down, j k", "select; scroll"),
    ("Enter", "open the GPU or the finding"),
    ("Esc", "back; clear the filter"),
    ("Tab", "next pane"),
    ("left right", "previous or next GPU, in its detail and its probes"),
    ("/", "filter by name, job, user, verdict or GPU index"),
    ("o", "order by $/h, index, verdict"),
    ("s", "stacks: look inside the selected GPU's process with py-spy"),
    ("f", "findings, by dollars an hour"),
    ("x", "explain the finding's rule"),
    ("$, b, t", "money; by GPU, job or term; per hour, day or month"),
    ("p", "probes: the selected GPU's ceilings, and how to measure them"),
    ("space", "pause and go on"),
    ("e", "export Markdown and JSON into the current folder, redacted"),
    ("r", "record; again: stop"),
    ("Ctrl+P", "command palette, themes"),
    ("q, Ctrl+C", "quit"),
)

# Cells before the explanations.
LEAD = 14

WORDS: tuple[tuple[str, str], ...] = (
    ("HOST", "the GPU waits: input pipeline, launches, transfers, CPU limits"),
    ("MEMORY", "DRAM is near what this card's counter shows at its ceiling"),
    ("COMPUTE", "a pipe is near its ceiling"),
    ("DEVICE", "busy, yet near neither roof: latency, occupancy, grid size"),
    ("LINK", "NVLink or PCIe is near its ceiling and both roofs are low"),
    ("IDLE", "nothing runs: free, or memory is held"),
    ("recoverable", "of what is wasted, what known fixes would save"),
    ("sure", "confidence in the verdict, 0 to 1"),
    ("SM TC DRAM", "% of time SMs, tensor cores and DRAM are active"),
    ("measured", "a ceiling probed on this very card; typical: of the model; assumed: data sheet"),
)


def help_rows(width: int, glyphs: Glyphs) -> list[Row]:
    """All of the help text."""
    rows: list[Row] = [(Span("keys", "title"),)]
    rows += [line for key, words in KEYS for line in entry(key, words, width)]
    rows += [(), (Span("words", "title"),)]
    rows += [line for word, text in WORDS for line in entry(word, text, width)]
    return [*rows, (), (Span("bars", "title"),), *_legend_rows(width, glyphs)]


def entry(lead: str, text: str, width: int) -> list[Row]:
    """What is explained, and beside it the text in as many lines as it needs."""
    lines = wrap(text, width - LEAD)
    return [
        (Span(left(lead if number == 0 else "", LEAD), "strong"), Span(line))
        for number, line in enumerate(lines)
    ]


def _legend_rows(width: int, glyphs: Glyphs) -> list[Row]:
    """Which glyph means which group, in as many lines as it needs."""
    rows: list[Row] = [()]
    for group in GROUPS:
        piece: Row = (Span(glyphs.group[group], group), Span(f" {GROUP_WORDS[group]} ", "dim"))
        if rows[-1] and width_of(rows[-1]) + width_of(piece) - 1 > width:
            rows.append(())
        rows[-1] = (*rows[-1], *piece)
    return rows


class HelpBody(RowsView):
    """The text."""

    def build(self, width: int) -> list[Row]:
        """All of it."""
        return help_rows(width, self.glyphs)


class HelpScreen(ModalScreen[None]):
    """Any of the usual keys closes it. BODY: what it shows."""

    CSS_PATH = "help.tcss"
    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "close", "Close")]

    BODY: ClassVar[type[RowsView]] = HelpBody

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Scroller(id="box") as box:
            box.border_title = "advisor"
            box.border_subtitle = "Esc closes"
            yield self.BODY(cast("AdvisorApp", self.app).glyphs)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()

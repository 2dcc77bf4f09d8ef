"""Help of the trace screen: keys, and what glyphs mean."""

from __future__ import annotations

from typing import ClassVar

from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span
from advisor.tui.screens.help import HelpScreen, entry
from advisor.tui.trace import palette
from advisor.tui.trace.palette import HOST_LOOKS, LOOKS, Look
from advisor.tui.widgets.rows_view import RowsView

KEYS: tuple[tuple[str, str], ...] = (
    ("left right, h l", "the cursor by a column; with shift (H L) by half of the view"),
    ("+ -", "closer and away, around the cursor; the wheel does it too"),
    ("z", "close-up of the gap or kernel under the cursor"),
    ("0", "all of it again"),
    ("[ ]", "previous and next long gap: the longest ones, at most 100, which hold half of the idle time"),
    ("n p", "next and previous step"),
    (", .", "previous and next place of what is highlighted"),
    ("tab", "next device, of this file or of the next one"),
    ("1 ... 6, f", "panels: here, causes, kernels, steps, ranks, findings"),
    ("up down, j k", "select in a list; scroll"),
    ("Enter", "highlight the cause or kernel; go to the step or rank; open the finding"),
    ("Esc", "no highlight; back"),
    ("o", "order kernels by total, count, mean, roofline, occupancy"),
    ("v", "a smaller timeline, and more room for the list"),
    ("x", "explain the finding's rule"),
    ("e", "export Markdown and JSON into the current folder, redacted"),
    ("q, Ctrl+C", "quit"),
)

WORDS: tuple[tuple[str, str], ...] = (
    ("chart", "each column is a stretch of time; its height is divided as that time was, busy at the bottom"),
    ("all", "the whole trace in one line, by what took most of each column; the view is marked"),
    ("stream", "how busy one stream was, coloured by what it did most; long kernels bear their names"),
    ("host", "what the thread that launches was in for most of each column"),
    ("found", "how much of each column is the highlighted kernel or cause"),
    ("roofline", "the part of the card's compute (C) or memory (M) ceiling that a kernel reaches"),
)


def help_rows(width: int, glyphs: Glyphs) -> list[Row]:
    """All of the help text."""
    rows: list[Row] = [(Span("keys", "title"),)]
    rows += [line for key, words in KEYS for line in entry(key, words, width)]
    rows += [(), (Span("words", "title"),)]
    rows += [line for word, text in WORDS for line in entry(word, text, width)]
    rows += [(), (Span("device: blocks are work, letters are waits", "title"),)]
    rows += [_look_row(look, glyphs) for look in LOOKS.values()]
    rows += [(), (Span("host", "title"),)]
    return rows + [_look_row(look, glyphs) for look in HOST_LOOKS.values()]


def _look_row(look: Look, glyphs: Glyphs) -> Row:
    return (Span(f"{palette.glyph(look, glyphs.ascii)}  ", look.role), Span(look.words))


class TraceHelpBody(RowsView):
    """The text."""

    def build(self, width: int) -> list[Row]:
        """All of it."""
        return help_rows(width, self.glyphs)


class TraceHelpScreen(HelpScreen):
    """Any of the usual keys closes it."""

    CSS_PATH = "../screens/help.tcss"
    BODY: ClassVar[type[RowsView]] = TraceHelpBody

"""A ServingReport for a terminal: one block an engine, wrapped to the width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from advisor.reports.common import Style
from advisor.reports.escape import as_ascii, terminal
from advisor.reports.serving import heading, lines

if TYPE_CHECKING:
    from advisor.serving.document import ServingReport

_STYLE = Style(terminal, lambda raw: f"`{terminal(raw)}`")
_MIN_WIDTH = 40
_MAX_WIDTH = 140


def render_serving(report: ServingReport, *, width: int, color: bool, unicode: bool) -> str:
    """The report as lines of at most `width` columns (40 to 140); no text of others drives the terminal."""
    columns = min(_MAX_WIDTH, max(_MIN_WIDTH, width))
    text = "\n".join(_lines(report, columns, color)).rstrip("\n") + "\n"
    return text if unicode else as_ascii(text)


def _lines(report: ServingReport, columns: int, color: bool) -> Iterator[str]:
    if report.synthetic:
        yield _bold("SYNTHETIC: no GPU produced what is said of GPUs", color)
    for made in report.engines:
        for line in textwrap.wrap(heading(made, _STYLE), columns) or [""]:
            yield _bold(line, color)
        for what, text in lines(made, _STYLE):
            yield from _pair(what, text, columns)
        yield ""
    for found in report.findings:
        yield _bold(f"{found.code} {terminal(found.title)}", color)
        yield from _indented(terminal(found.claim), columns)
        for action in found.actions:
            yield from _indented(f"- {terminal(action)}", columns)
        yield ""
    for unread in report.unread:
        yield from textwrap.wrap(
            f"{terminal(unread.endpoint)} was not read: {terminal(unread.reason)}", columns
        )
    if report.no_gpu is not None:
        yield from textwrap.wrap(f"GPUs were not watched: {terminal(report.no_gpu)}", columns)
    for note in report.notes:
        yield from textwrap.wrap(terminal(note), columns)


def _pair(what: str, text: str, columns: int) -> Iterator[str]:
    """A label and its text, hanging beside it where there is room, below it elsewhere."""
    label = f"  {what:<22}"
    if columns >= 70:
        yield from textwrap.wrap(
            text, columns, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False
        )
        return
    yield f"  {what}"
    yield from textwrap.wrap(text, columns, initial_indent="    ", subsequent_indent="    ")


def _indented(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color and text else text

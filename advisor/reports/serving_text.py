"""A ServingReport for a terminal: one block an engine, wrapped to the width."""

from __future__ import annotations

import datetime
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from advisor.reports.common import Style
from advisor.reports.escape import as_ascii, terminal
from advisor.reports.figures import instant
from advisor.reports.serving import heading, lines

if TYPE_CHECKING:
    from advisor.serving.document import ServingReport

_STYLE = Style(terminal, lambda raw: f"`{terminal(raw)}`")
_MIN_WIDTH = 40
_MAX_WIDTH = 140
# Lines that say what holds of an engine rather than what it does now.
_CONSTANT = frozenset({"note", "unknown"})
_FIGURE = re.compile(r"\d[\d.,]*")


class Series:
    """Reports printed one below the other: each has its time, and what stays the same is said once."""

    def __init__(self, *, screen: bool = False) -> None:
        self._said: set[str] | None = None if screen else set()

    def is_new(self, text: str) -> bool:
        """Whether to say it: a screen that is drawn anew says all, and other figures in it are no news."""
        known = _FIGURE.sub("#", text)
        if self._said is None or known not in self._said:
            if self._said is not None:
                self._said.add(known)
            return True
        return False


def render_serving(
    report: ServingReport, *, width: int, color: bool, unicode: bool, series: Series | None = None
) -> str:
    """The report as lines of at most `width` columns (40 to 140); no text of others drives the terminal.

    series: those that it is printed among.
    """
    columns = min(_MAX_WIDTH, max(_MIN_WIDTH, width))
    stamp = [] if series is None else [_bold(_time(report.created), color)]
    made = [*stamp, *_lines(report, columns, color, series or Series(screen=True))]
    text = "\n".join(made).rstrip("\n") + ("\n" if series is None else "\n\n")
    return text if unicode else as_ascii(text)


def _time(created: str) -> str:
    try:
        return instant(datetime.datetime.fromisoformat(created).timestamp())
    except (ValueError, OverflowError):
        return terminal(created[:40])


def _lines(report: ServingReport, columns: int, color: bool, series: Series) -> Iterator[str]:
    if report.synthetic:
        yield _bold("SYNTHETIC: no GPU produced what is said of GPUs", color)
    lost = {unread.endpoint for unread in report.unread}
    for made in report.engines:
        name = heading(made, _STYLE)
        old = f" (last read at {instant(made.t_end_s)})" if made.endpoint in lost else ""
        for line in textwrap.wrap(f"{name}{old}", columns) or [""]:
            yield _bold(line, color)
        for what, text in lines(made, _STYLE):
            if what not in _CONSTANT or series.is_new(f"{name}: {text}"):
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
    if report.no_gpu is not None and series.is_new(report.no_gpu):
        yield from textwrap.wrap(f"GPUs were not watched: {terminal(report.no_gpu)}", columns)
    for note in filter(series.is_new, report.notes):
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

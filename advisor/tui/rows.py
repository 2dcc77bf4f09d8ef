"""Rows: lines of text with a role for each piece, before any terminal or theme is known.

Everything on a screen is first built as rows by pure functions, so a test can read what a person would
see, and a widget repaints only the lines that changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size


class Span(NamedTuple):
    """A piece of a line. role: a name from ROLES, or several separated by spaces."""

    text: str
    role: str = ""


Row = tuple[Span, ...]

# The groups a share belongs to, then what a text says about itself.
GROUPS: tuple[str, ...] = ("idle", "host", "link", "device", "memory", "compute", "unknown")
ROLES: tuple[str, ...] = (
    *GROUPS,
    "title",
    "strong",
    "dim",
    "good",
    "warn",
    "bad",
    "money",
    "badge",
    "cursor",
)


def row(*pieces: Span | str) -> Row:
    """A row from spans and plain strings."""
    return tuple(piece if isinstance(piece, Span) else Span(piece) for piece in pieces)


def text_of(line: Row) -> str:
    """The line as a terminal without colour shows it."""
    return "".join(span.text for span in line)


def width_of(line: Row) -> int:
    """Cells the line takes."""
    return sum(cell_len(span.text) for span in line)


def left(text: str, width: int, ellipsis: str = "…") -> str:
    """Exactly `width` cells, cut with an ellipsis when too long."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    if width <= cell_len(ellipsis):
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - cell_len(ellipsis)) + ellipsis


def right(text: str, width: int) -> str:
    """Exactly `width` cells, flush right; cut at its end when too long."""
    size = cell_len(text)
    return " " * (width - size) + text if size <= width else left(text, width)


def clip(line: Row, width: int) -> Row:
    """The line cut or padded to exactly `width` cells."""
    out: list[Span] = []
    used = 0
    for span in line:
        size = cell_len(span.text)
        if used + size > width:
            out.append(Span(left(span.text, width - used), span.role))
            return tuple(out)
        out.append(span)
        used += size
    if used < width:
        out.append(Span(" " * (width - used)))
    return tuple(out)


def spread(start: Row, end: Row, width: int) -> Row:
    """`start` flush left and `end` flush right on one line; `start` gives way when both do not fit."""
    room = max(0, width - width_of(end))
    return (*clip(start, room), *end)


def join(lines: Iterable[Row], separator: str) -> Row:
    """The rows one after another on one line."""
    out: list[Span] = []
    for line in lines:
        if out:
            out.append(Span(separator))
        out.extend(line)
    return tuple(out)


def wrap(text: str, width: int, *, limit: int | None = None) -> list[str]:
    """Lines of at most `width` characters; the last allowed line ends in an ellipsis when text is left."""
    import textwrap

    lines = textwrap.wrap(text, max(8, width), break_on_hyphens=False) or [""]
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[: limit - 1], left(" ".join(lines[limit - 1 :]), width).rstrip()]

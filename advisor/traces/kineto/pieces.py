"""Where a text is divided: between two events, about every few MB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from advisor.traces.kineto import meta, scan
from advisor.traces.kineto.source import Source
from advisor.traces.limits import Limits

_ARRAY = re.compile(rb'"traceEvents"\s*:\s*\[')
_FIRST_LOOK = 1 << 16
_HARDEST = 64 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the events. events: where their array starts. bare: whether it is all there is."""

    text: bytes
    events: int
    bare: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text from an event to before another one."""

    index: int
    start: int
    end: int
    last: bool


def head(source: Source, limits: Limits) -> Head | None:
    """What stands before the events; None where no array of events is found."""
    size = _FIRST_LOOK
    while True:
        text = source.window(0, size)
        found = _array(text)
        if found is not None or len(text) < size or size >= limits.header_bytes:
            return found
        size *= 8


def pieces(source: Source, begin: int, limits: Limits, size: int) -> Iterator[Piece]:
    """The text behind `begin`, divided into stretches of about `size` bytes."""
    start, index, last = begin, 0, False
    while not last:
        end, last = _cut(source, start, size, limits)
        yield Piece(index, start, end, last)
        source.forget(end)
        start, index = end, index + 1


def _cut(source: Source, start: int, size: int, limits: Limits) -> tuple[int, bool]:
    """Where the stretch that starts here ends, and whether the text does. A stretch of _HARDEST in which no
    event starts is cut where it is."""
    target, look = start + size, _FIRST_LOOK
    while True:
        text = source.window(target, look)
        found = scan.event_start(text)
        if found >= 0:
            return target + found, False
        if len(text) < look:
            return (target + len(text) if text else _end(source, start, size)), True
        if look < limits.event_bytes:
            look *= 4
        elif target + look - start > _HARDEST:
            return target + look, False
        else:
            target += look // 2


def _end(source: Source, start: int, size: int) -> int:
    return start + len(source.window(start, size))


def _array(text: bytes) -> Head | None:
    lead = text.lstrip(b"\xef\xbb\xbf" + scan.WHITESPACE)
    if lead.startswith(b"["):
        at = len(text) - len(lead)
        return Head(b"", at + 1, True)
    for found in islice(_ARRAY.finditer(text), 8):
        if _closes(text[: found.end()]):
            return Head(text[: found.end()], found.end(), False)
    first = _ARRAY.search(text)
    return Head(text[: first.end()], first.end(), False) if first else None


def _closes(text: bytes) -> bool:
    """Whether the array stands in the outermost object: closing both makes a document."""
    try:
        found = meta.loads(text.lstrip(b"\xef\xbb\xbf") + b"]}")
    except ValueError:
        return False
    return isinstance(found, dict)

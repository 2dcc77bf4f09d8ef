"""Where objects of a JSON text start and end, without decoding it; robust against damage.

In valid JSON `{"ph"` can stand in no string, for a quote in a string is escaped: where `},{"ph"` is met an
object starts. That it is an event, and no object nested in one, is seen by decoding it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

WHITESPACE = b" \t\r\n\x0b\x0c\x00"
_KEYS = rb"ph|name|cat|pid|tid|ts|dur|args|id|s|bp"
_START = re.compile(rb'\}\s*,\s*(?=\{\s*"(?:' + _KEYS + rb')"\s*:)')
# After damage an event may start where the one before never ended.
_ANYWHERE = re.compile(rb'\{\s*"(?:' + _KEYS + rb')"\s*:')
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_DEEPEST = 256
_LONGEST = 1 << 20
_NEAR_END = 4 << 20
_TRIES = 64


class _Phase(msgspec.Struct):
    ph: str


_phase = msgspec.json.Decoder(_Phase)


def object_end(text: bytes, start: int) -> int:
    """Where the object that starts here ends (past its brace); -1 where the text ends before, or the nesting
    is beyond what any event has."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = text[token.start()]
        if mark in b"{[":
            depth += 1
            if depth > _DEEPEST:
                return -1
        elif mark in b"}]":
            depth -= 1
            if depth <= 0:
                return token.end()
    return -1


def event_start(text: bytes) -> int:
    """The first place at which an event starts behind another object, and stands whole; -1 without."""
    return next((at for at in islice(starts(text), _TRIES) if _is_event(text, at)), -1)


def last_event(text: bytes) -> tuple[int, int]:
    """Where the last whole event starts and ends; (-1, -1) where none is found near the end."""
    found = [match.start() for match in _ANYWHERE.finditer(text, max(0, len(text) - _NEAR_END))]
    at = next((at for at in islice(reversed(found), _TRIES) if _is_event(text, at)), -1)
    return (at, object_end(text, at)) if at >= 0 else (-1, -1)


def starts(text: bytes) -> Iterator[int]:
    """Places where an object with a key of events starts behind another object."""
    return (match.end() for match in _START.finditer(text))


def resync(text: bytes, start: int) -> int:
    """The first place from here where something that looks like an event starts; -1 without."""
    match = _ANYWHERE.search(text, start)
    return match.start() if match else -1


def _is_event(text: bytes, start: int) -> bool:
    """Whether an object with a phase stands here whole."""
    piece = text[start : start + _LONGEST]
    end = object_end(piece, 0)
    if end < 0:
        return False
    try:
        _phase.decode(piece[:end])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _loosely(piece[:end])
    return True


def _loosely(piece: bytes) -> bool:
    try:
        found = json.loads(piece.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("ph"), str)

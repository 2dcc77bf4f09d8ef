"""Damaged text: every event that can still be told is kept, the rest is counted."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from advisor.traces.kineto import scan
from advisor.traces.kineto.records import NOTHING, Args, Event

_BETWEEN = scan.WHITESPACE + b","
_GROUP = 256
_LONGEST_EVENT = 1 << 20
_NAME = re.compile(rb'("name"\s*:\s*")(.*?)("\s*,\s*"(?:pid|ph|ts|cat|tid|args|dur)"\s*:)', re.DOTALL)
_LONGEST_MENDED = 1 << 16
# Bytes that are looked at for the ends of damaged objects, per byte of a text.
_LOOKS = 2
# A text with more broken stretches than this is given up from there on.
_MOST_LOST = 10_000
_NO_NUMBER = re.compile(rb"(?<=[:\[, ])(?:NaN|-?Infinity)(?=\s*[,}\]])")
_BARE_QUOTE = re.compile(rb'(?<!\\)"')
_BAD_ESCAPE = re.compile(rb'\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})')
ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


@dataclass(slots=True)
class Salvage:
    """What a damaged stretch gave. lost: stretches that are no event any more; at: where the first is.
    mended: events whose text was broken. end: behind the last event kept. budget: bytes to be looked at."""

    events: list[Event] = field(default_factory=list)
    lost: int = 0
    mended: int = 0
    at: int | None = None
    end: int = 0
    budget: int = 0

    def lose(self, at: int) -> None:
        """One stretch less."""
        self.lost += 1
        self.at = at if self.at is None else self.at

    def object_at(self, text: bytes, start: int, limit: int) -> int:
        """Where the object that starts here ends; -1 where it does not, or too much was looked at."""
        if self.budget <= 0:
            return -1
        end = scan.object_end(text[start:limit], 0)
        self.budget -= end if end > 0 else limit - start
        return start + end if end > 0 else -1


def with_nulls(text: bytes) -> bytes:
    """NaN and Infinity, which JSON has not, as null."""
    return _NO_NUMBER.sub(b"null", text) if b"NaN" in text or b"Infinity" in text else text


def salvage(text: bytes, decode: Callable[[bytes], list[Event]]) -> Salvage:
    """Events of a text of objects with commas between, whatever is broken in it."""
    kept = Salvage(budget=max(1 << 20, len(text)) * _LOOKS)
    first = len(text) - len(text.lstrip(_BETWEEN))
    places = sorted({first, *scan.starts(text)})
    index = 0
    while index < len(places) and kept.lost < _MOST_LOST:
        group = min(_GROUP, len(places) - index)
        taken = _group(text, places, index, group, kept, decode)
        index += taken
    return kept


def _group(
    text: bytes,
    places: list[int],
    index: int,
    count: int,
    kept: Salvage,
    decode: Callable[[bytes], list[Event]],
) -> int:
    """Takes up to `count` events from here in one go, or fewer where that fails; how many places it took."""
    while count > 1:
        end = places[index + count] if index + count < len(places) else len(text)
        try:
            kept.events.extend(decode(b"[" + text[places[index] : end].rstrip(_BETWEEN) + b"]"))
        except ERRORS:
            count //= 4
            continue
        kept.end = end
        return count
    return _single(text, places, index, kept)


def _single(text: bytes, places: list[int], index: int, kept: Salvage) -> int:
    start = places[index]
    limit = places[index + 1] if index + 1 < len(places) else len(text)
    end = kept.object_at(text, start, min(len(text), start + _LONGEST_EVENT))
    event = tolerant(text[start:end]) if end > 0 else None
    if event is None:
        _damaged(text, start, limit, kept)
        return 1
    kept.events.append(event)
    kept.end = end
    if text.find(b"\x00", start, end) >= 0:
        kept.lose(start)  # a hole of zeros within a string may have swallowed events
    taken = max(1, bisect_left(places, end) - index)
    if taken == 1:
        _rest(text, end, limit, kept)
    return taken


def _rest(text: bytes, start: int, limit: int, kept: Salvage) -> None:
    """What stands between the end of an event and the next place where one starts: nothing, or damage."""
    rest = text[start:limit].strip(_BETWEEN)
    if rest and not rest.startswith(b"]"):
        _damaged(text, start, limit, kept)
    elif not rest and limit < len(text) and b"\x00" in text[start:limit]:
        kept.lose(start)  # a hole of zeros, as a disk or a copy leaves it


def _damaged(text: bytes, start: int, limit: int, kept: Salvage) -> None:
    """A stretch that is no event as it stands: mended, or searched for events behind the damage."""
    piece = text[start:limit].strip(_BETWEEN)
    if not piece:
        return
    mended = tolerant(_mended(piece)) if len(piece) < _LONGEST_MENDED else None
    if mended is not None:
        kept.events.append(mended)
        kept.mended += 1
        kept.end = limit
        return
    kept.lose(start)
    at = scan.resync(text, start + 1)
    while 0 <= at < limit:
        end = kept.object_at(text, at, limit)
        event = tolerant(text[at:end]) if end > 0 else None
        if event is not None:
            kept.events.append(event)
            kept.end = end
        at = scan.resync(text, end if event is not None else at + 1)


def _mended(piece: bytes) -> bytes:
    """Quotes in a name escaped, backslashes that escape nothing doubled."""
    found = _NAME.match(piece, max(0, piece.find(b'"name"')))
    if found:
        name = _BARE_QUOTE.sub(rb"\\" + b'"', found[2])
        piece = piece[: found.start(2)] + name + piece[found.end(2) :]
    return _BAD_ESCAPE.sub(rb"\\\\", piece)


def tolerant(piece: bytes) -> Event | None:
    """One event as strictly or loosely as it takes (NaN, control characters, odd types); None for none."""
    try:
        return msgspec.json.decode(piece, type=Event)
    except ERRORS:
        pass
    try:
        found = json.loads(piece.decode("utf-8", "replace"), strict=False)
    except ERRORS:
        return None
    return _loose(found) if isinstance(found, dict) and isinstance(found.get("ph"), str) else None


def _loose(found: dict[str, Any]) -> Event:
    args = found.get("args")
    return Event(
        ph=found["ph"],
        cat=_text(found.get("cat")),
        name=_text(found.get("name")) or "",
        pid=_key(found.get("pid")),
        tid=_key(found.get("tid")),
        ts=_number(found.get("ts")),
        dur=_number(found.get("dur")),
        args=_loose_args(args) if isinstance(args, dict) else None,
    )


def _loose_args(args: dict[str, Any]) -> Args:
    made: dict[str, Any] = {}
    for field_name, key in zip(Args.__struct_fields__, Args.__struct_encode_fields__, strict=True):
        if key not in args:
            continue
        value = args[key]
        if field_name in ("grid", "block"):
            good = isinstance(value, list) and all(isinstance(n, int) for n in value)
            made[field_name] = tuple(value) if good else ()
        elif field_name in ("dims", "types", "concrete"):
            made[field_name] = _raw(value)
        elif field_name in ("kind", "name"):
            made[field_name] = _text(value)
        else:
            made[field_name] = _key(value) if not isinstance(value, float) else value
    return Args(**made)


def _raw(value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except ERRORS:
        return NOTHING


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _key(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _number(value: Any) -> float | str | None:
    if isinstance(value, str):
        return value
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

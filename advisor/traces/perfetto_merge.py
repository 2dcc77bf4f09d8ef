"""Events put into an existing JSON trace, whose own bytes stay as they are, in bounded memory.

Ours go to the start of the array of events. A sound file is then copied as it is. One that was cut off or
damaged is taken event by event: those that are whole or can be mended are kept, and it is closed properly.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from advisor.traces.kineto.source import GzipSource, PlainSource, Source
from advisor.traces.limits import Limits

Write = Callable[[bytes], object]
_CHUNK = 1 << 20
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_NEXT = re.compile(rb'\}[\s,]*(?=\{\s*"(?:ph|cat|name|pid|tid|ts|args|id)"\s*:)')
_NO_GAP = re.compile(rb"[^\s,]")
_NAME = re.compile(rb'("name"\s*:\s*")(.*?)("\s*,\s*"(?:ph|cat|pid|tid|ts|dur|args|id)"\s*:)', re.DOTALL)
_BARE_QUOTE = re.compile(rb'(?<!\\)"')
_BAD_ESCAPE = re.compile(rb'\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})')
_SPACE = b" \t\r\n"


class NotMergeableError(Exception):
    """No array of events was found where one belongs."""


def plain_chunks(path: Path, limits: Limits) -> Iterator[bytes]:
    """The text of a file, decompressed where it is gzip, as far as the reader reads it within its limits."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        packed = os.pread(handle, 2, 0) == b"\x1f\x8b"
        source: Source = GzipSource(handle, limits) if packed else PlainSource(handle, limits)
        at = 0
        while chunk := source.window(at, _CHUNK):
            yield chunk
            at += len(chunk)
            source.forget(at)
    finally:
        os.close(handle)


def merge(path: Path, ours: Iterator[bytes], write: Write, limits: Limits) -> None:
    """Writes the trace at `path` with our events first.

    Raises NotMergeableError, before anything is written, where no array of events is found.
    """
    sound = _intact(path, limits)
    chunks = plain_chunks(path, limits)
    text, at, bare = _opening(chunks, limits.header_bytes)
    write(text[:at] + b"\n")
    rest = _after_space(text[at:], chunks)
    wrote = _write_ours(ours, write)
    if sound:
        write(b",\n" if wrote and rest[:1] != b"]" else b"\n")
        write(rest)
        for chunk in chunks:
            write(chunk)
    else:
        _copy_whole(rest, chunks, write, wrote=wrote, bare=bare)


def _intact(path: Path, limits: Limits) -> bool:
    """Whether the whole file is sound, so that it can be copied as it is."""
    chunks = plain_chunks(path, limits)
    text, at, bare = _opening(chunks, limits.header_bytes)
    events = WholeEvents(text[at:], chunks)
    for _ in events:
        if not events.intact:
            return False
    head = text[:at] + (b"]" if bare else b"]}")
    return events.intact and _sound(head) and events.ends_well(bare=bare)


def _opening(chunks: Iterator[bytes], header_bytes: int) -> tuple[bytes, int, bool]:
    """The text up to some point past the start of the events, and where they start. bare: a bare array."""
    text, look = b"", 0
    for chunk in chunks:
        text += chunk
        if len(text) < look:
            continue
        found = _events_at(text)
        if found is not None:
            return text, *found
        if len(text) > header_bytes:
            break
        look = 2 * len(text)
    found = _events_at(text)
    if found is None:
        raise NotMergeableError
    return text, *found


def _events_at(text: bytes) -> tuple[int, bool] | None:
    depth, key = 0, b""
    key_end = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token[:1] == b'"':
            if match.group(1) != b'"':
                return None
            key, key_end = token, match.end()
        elif token == b"[" and depth == 0:
            return match.end(), True
        elif (
            token == b"[" and depth == 1 and key == b'"traceEvents"' and _colon(text, key_end, match.start())
        ):
            return match.end(), False
        else:
            depth += 1 if token in b"{[" else -1
    return None


def _colon(text: bytes, start: int, end: int) -> bool:
    return text[start:end].strip(_SPACE) == b":"


def _after_space(text: bytes, chunks: Iterator[bytes]) -> bytes:
    text = text.lstrip(_SPACE)
    for chunk in chunks if not text else ():
        text = chunk.lstrip(_SPACE)
        if text:
            break
    return text


def _write_ours(ours: Iterator[bytes], write: Write) -> bool:
    wrote = False
    for event in ours:
        write(b",\n" + event if wrote else event)
        wrote = True
    return wrote


def _copy_whole(first: bytes, chunks: Iterator[bytes], write: Write, *, wrote: bool, bare: bool) -> None:
    events = WholeEvents(first, chunks)
    for event in events:
        write(b",\n" + event if wrote else event)
        wrote = True
    write(b"\n]")
    if not bare:
        write(events.tail() or b"}")
    write(b"\n")


class _Skipped(msgspec.Struct):
    """An object of which nothing is wanted but that it is one."""


_GROUP = msgspec.json.Decoder(list[_Skipped])
_ENOUGH = 1 << 18  # bytes that are worth checking at once
_NEAR = 1 << 16
_LONGEST_MENDED = 1 << 16


class WholeEvents:
    """The events of an array that are whole and sound, as their own bytes; and afterwards what follows it.

    Many that stand together come in one piece, with the commas between them. intact: nothing had to be
    mended or left out so far.
    """

    def __init__(self, first: bytes, chunks: Iterator[bytes], longest: int = 16 << 20) -> None:
        self._text = first
        self._at = 0
        self._slow_to = 0
        self._chunks = chunks
        self._longest = longest
        self._closed = False
        self.intact = True

    def __iter__(self) -> Iterator[bytes]:
        while self._to_event():
            end = self._group_end() or self._event_end()
            if end:
                yield self._text[self._at : end]
                self._at = end
                continue
            self.intact = False
            mended, found = self._skip()
            if mended is not None:
                yield mended
            if not found:
                return

    def _group_end(self) -> int:
        """Where a run of sound events ends; 0 where they have to be looked at one by one."""
        while self._at >= self._slow_to and len(self._text) - self._at < _ENOUGH:
            if not self._more():
                return 0
        if self._at < self._slow_to:
            return 0
        ends = [m.start() + 1 for m in _NEXT.finditer(self._text, max(self._at, len(self._text) - _NEAR))]
        self._slow_to = ends[-1] if ends else len(self._text)
        if not ends:
            return 0
        try:
            _GROUP.decode(b"[" + self._text[self._at : ends[-1]] + b"]")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return 0
        return ends[-1]

    def _event_end(self) -> int:
        end = self._whole()
        return end if end and _sound(self._text[self._at : end]) else 0

    def _to_event(self) -> bool:
        """Goes to what stands next in the array; False at its end."""
        while (found := _NO_GAP.search(self._text, self._at)) is None:
            self._at = len(self._text)
            if not self._more():
                return False
        self._at = found.start()
        self._closed = found.group() == b"]"
        self._at += self._closed
        return not self._closed

    def _whole(self) -> int:
        """Where the object that starts here ends; 0 where there is none, or none that ends."""
        look = 0
        while True:
            length = len(self._text) - self._at
            end = _object_end(self._text, self._at) if length >= look else 0
            if end:
                return max(0, end)
            look = 2 * length
            if length > self._longest or not self._more():
                return 0

    def _skip(self) -> tuple[bytes | None, bool]:
        """Goes to where the next event seems to start: what stood here, mended, and whether there is one."""
        while (match := _NEXT.search(self._text, self._at)) is None:
            self._at = max(self._at, len(self._text) - _LONGEST_MENDED)
            if not self._more():
                return None, False
        piece = self._text[self._at : match.start() + 1]
        self._at = match.end()
        return _mended(piece), True

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        if chunk:
            self._text = self._text[self._at :] + chunk
            self._slow_to, self._at = max(0, self._slow_to - self._at), 0
        return bool(chunk)

    def tail(self) -> bytes | None:
        """What followed the array of a document, where that closes it properly."""
        rest = self._rest()
        return rest if self._closed and _sound(b'{"traceEvents":[]' + rest) else None

    def ends_well(self, *, bare: bool) -> bool:
        """Whether nothing is missing behind the events either."""
        return self._closed and not self._rest().strip() if bare else self.tail() is not None

    def _rest(self) -> bytes:
        while self._closed and len(self._text) - self._at < 4 * self._longest and self._more():
            pass
        return self._text[self._at :]


def _object_end(text: bytes, start: int) -> int:
    """Where the object at `start` ends; 0 where the text ends first, -1 where there is no object."""
    if text[start : start + 1] != b"{":
        return -1
    depth = 0
    for match in _TOKEN.finditer(text, start):
        token = match.group()
        if token[:1] == b'"':
            if match.group(1) != b'"':
                return 0
            continue
        depth += 1 if token in b"{[" else -1
        if depth == 0:
            return match.end()
    return 0


def _mended(piece: bytes) -> bytes | None:
    """A broken event, with quotes in its name escaped, and null for NaN; None where that is not enough."""
    if len(piece) > _LONGEST_MENDED:
        return None
    text = _NAME.sub(lambda m: m[1] + _BARE_QUOTE.sub(b'\\\\"', m[2]) + m[3], piece, count=1)
    text = _BAD_ESCAPE.sub(b"\\\\\\\\", text)
    try:
        found = json.loads(text.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
        return json.dumps(found, allow_nan=False).encode() if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return None


def _sound(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True

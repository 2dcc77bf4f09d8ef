"""Events put into an existing JSON trace, whose own bytes stay as they are, in bounded memory.

Ours go to the start of the array of events, so that a sound file is copied through without being read. A file
that was cut off or damaged is taken event by event: those that are whole are kept, and it is closed properly.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

Write = Callable[[bytes], object]
_CHUNK = 1 << 20
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_NEXT = re.compile(rb'\}[\s,]*(?=\{\s*"(?:ph|cat|name|pid|tid|ts|args|id)"\s*:)')
_NO_GAP = re.compile(rb"[^\s,]")
_SPACE = b" \t\r\n"


class NotMergeableError(Exception):
    """No array of events was found where one belongs."""


def plain_chunks(path: Path) -> Iterator[bytes]:
    """The text of a file, decompressed where it is gzip; what a damaged one still gives."""
    with path.open("rb") as file:
        first = file.read(_CHUNK)
        if first[:2] != b"\x1f\x8b":
            while first:
                yield first
                first = file.read(_CHUNK)
            return
        yield from _inflated(first, file.read)


def _inflated(data: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj(31)
    while data:
        try:
            out = engine.decompress(data, _CHUNK)
        except zlib.error:
            return
        if out:
            yield out
        if engine.eof:  # a gzip file may hold several members
            data = engine.unused_data.lstrip(b"\x00") or read(_CHUNK)
            engine = zlib.decompressobj(31)
        else:
            data = engine.unconsumed_tail or read(_CHUNK)


def merge(path: Path, ours: Iterator[bytes], write: Write, *, sound: bool, header_bytes: int) -> None:
    """Writes the trace at `path` with our events first. sound: it is known to be whole.

    Raises NotMergeableError, before anything is written, where no array of events is found.
    """
    chunks = plain_chunks(path)
    text, at, bare = _opening(chunks, header_bytes)
    write(text[:at] + b"\n")
    rest = _after_space(text[at:], chunks)
    wrote = _write_ours(ours, write)
    if sound:
        write(b",\n" if wrote and rest[:1] not in (b"]", b"") else b"\n")
        write(rest)
        for chunk in chunks:
            write(chunk)
    else:
        _copy_whole(rest, chunks, write, wrote=wrote, bare=bare)


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


class WholeEvents:
    """The events of an array that are whole and sound, as their own bytes; and afterwards what follows it."""

    def __init__(self, first: bytes, chunks: Iterator[bytes], longest: int = 16 << 20) -> None:
        self._text = first
        self._at = 0
        self._chunks = chunks
        self._longest = longest
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        while self._to_event():
            end = self._whole()
            if end and _sound(self._text[self._at : end]):
                yield self._text[self._at : end]
                self._at = end
            elif not self._skip():
                return

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

    def _skip(self) -> bool:
        """Goes on to where the next event seems to start."""
        while (match := _NEXT.search(self._text, self._at)) is None:
            self._at = max(self._at, len(self._text) - 256)
            if not self._more():
                return False
        self._at = match.end()
        return True

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        if chunk:
            self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)

    def tail(self) -> bytes | None:
        """What followed the array, where that closes the document properly."""
        while self._closed and len(self._text) - self._at < 4 * self._longest and self._more():
            pass
        rest = self._text[self._at :]
        return rest if self._closed and _sound(b'{"traceEvents":[]' + rest) else None


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


def _sound(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True

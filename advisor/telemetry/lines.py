"""Lines of a file that may be compressed, cut off, damaged or hostile: what is good is read."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from advisor.telemetry.feed import NoFeedError

LINE_LIMIT_BYTES = 16 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 64 * 1024
_EXPANDED_CHUNK_BYTES = 1024 * 1024
# Telemetry compresses 10 to 50 times. A file that goes on expanding far beyond was made to fill memory.
_EXPANSION_LIMIT = 400
_EXPANSION_FREE_BYTES = 64 * 1024 * 1024


class RecordingError(NoFeedError):
    """A recording cannot be written or read. `fix` says what to do about it."""


class Lines:
    """The lines of a file, without their ends; None for a line longer than LINE_LIMIT_BYTES.

    note: called with one sentence for whatever kept the rest of the file from being read.
    cut: after the last line, whether it had no end.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._note = note
        self._file = _open(path)
        self.cut = False

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[bytes | None]:
        held = bytearray()
        skipping = False
        for chunk in self._chunks():
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                yield None if skipping or len(held) + len(part) > LINE_LIMIT_BYTES else bytes(held + part)
                held.clear()
                skipping = False
            if not skipping:
                held += rest
            if len(held) > LINE_LIMIT_BYTES:
                held.clear()
                skipping = True
        if held or skipping:
            self.cut = True
            yield None if skipping else bytes(held)

    def _chunks(self) -> Iterator[bytes]:
        first = self._read()
        if first.startswith(_GZIP_MAGIC):
            yield from self._expanded(first)
            return
        while first:
            yield first
            first = self._read()

    def _read(self) -> bytes:
        try:
            return self._file.read(_CHUNK_BYTES)
        except OSError as error:
            self._note(f"reading stopped: {error.strerror or error}")
            return b""

    def _expanded(self, data: bytes) -> Iterator[bytes]:
        """Members of a gzip file one after the other, each as far as it is good."""
        taken, given = len(data), 0
        before = stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            while True:
                before = stream.copy()
                out = stream.decompress(data, _EXPANDED_CHUNK_BYTES)
                given += len(out)
                if out:
                    yield out
                if given > _EXPANSION_FREE_BYTES and given > taken * _EXPANSION_LIMIT:
                    self._note(f"the file expands more than {_EXPANSION_LIMIT} to 1: reading stopped")
                    return
                data = stream.unused_data.lstrip(b"\0") if stream.eof else stream.unconsumed_tail
                if not data and not (more := self._read()):
                    yield stream.flush()
                    if not stream.eof:
                        self._note(
                            "the compressed file has no end: its recorder was stopped, or still writes"
                        )
                    return
                if not data:
                    data, taken = more, taken + len(more)
                if stream.eof:
                    data = data.lstrip(b"\0")
                    stream = zlib.decompressobj(zlib.MAX_WBITS | 16) if data else stream
        except zlib.error:
            yield _salvaged(before, data)
            self._note("the compressed file is damaged from here on")


def _salvaged(stream: zlib._Decompress, data: bytes) -> bytes:
    """What can be had of data that is damaged somewhere: everything before the first bad byte."""
    out = bytearray()
    with contextlib.suppress(zlib.error):
        for byte in range(len(data)):
            out += stream.decompress(data[byte : byte + 1], _EXPANDED_CHUNK_BYTES)
    return bytes(out)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise RecordingError(f"{path} does not exist", "check the name of the recording") from error
    except IsADirectoryError as error:
        raise RecordingError(f"{path} is a directory", "name a recording inside it") from error
    except PermissionError as error:
        raise RecordingError(
            f"no permission to read {path}",
            "recordings are readable by their owner alone: ask them, or use sudo",
        ) from error
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"{path} cannot be opened: {error}", "check the name of the recording"
        ) from error

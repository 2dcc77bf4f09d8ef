"""The text of a file, compressed or not, as windows that only move forward."""

from __future__ import annotations

import os
import zlib
from typing import Protocol

from advisor.traces.limits import Limits
from advisor.traces.timeline import Loss

_SLAB = 1 << 18
_UNPACKED = 4 << 20


class Source(Protocol):
    """Text that is read by place. losses: why it ended early. plain: whether the file is the text."""

    plain: bool
    losses: list[Loss]

    def window(self, offset: int, size: int) -> bytes:
        """Text from a place on; less than asked for at the end."""

    def forget(self, offset: int) -> None:
        """Text before this place is not asked for again."""

    def done(self, offset: int) -> int:
        """Bytes of the file that were read for the text until there."""


class PlainSource:
    """A file that is the text."""

    plain = True

    def __init__(self, fd: int, limits: Limits) -> None:
        self._fd = fd
        self._most = limits.text_bytes
        self.losses: list[Loss] = []

    def window(self, offset: int, size: int) -> bytes:
        """As Source."""
        size = min(size, max(0, self._most - offset))
        parts = []
        while size > 0 and (part := os.pread(self._fd, size, offset)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def forget(self, offset: int) -> None:
        """As Source."""

    def done(self, offset: int) -> int:
        """As Source."""
        return offset


class GzipSource:
    """A gzip file, unpacked as it is asked for; several members are one text."""

    plain = False

    def __init__(self, fd: int, limits: Limits) -> None:
        self._fd = fd
        self._limits = limits
        self._read = 0
        self._begin = 0
        self._text = bytearray()
        self._packed = b""
        self._ended = False
        self._unpacker = zlib.decompressobj(31)
        self.losses: list[Loss] = []

    def window(self, offset: int, size: int) -> bytes:
        """As Source."""
        while not self._ended and self._begin + len(self._text) < offset + size:
            self._text += self._more()
            self._check()
        at = offset - self._begin
        return bytes(self._text[at : at + size])

    def forget(self, offset: int) -> None:
        """As Source."""
        del self._text[: offset - self._begin]
        self._begin = offset

    def done(self, offset: int) -> int:  # noqa: ARG002  unpacked text says little of the file
        """As Source."""
        return self._read

    def _more(self) -> bytes:
        packed = self._packed or self._slab()
        if not packed:
            self._end("truncated", "the compressed file ends before its end")
            return b""
        try:
            text = self._unpacker.decompress(packed, _UNPACKED)
        except zlib.error as error:
            self._end("damaged", f"the compression is damaged ({error}); nothing behind it can be read")
            return b""
        self._packed = self._unpacker.unconsumed_tail
        if self._unpacker.eof:
            self._next_member()
        return text

    def _slab(self) -> bytes:
        packed = os.pread(self._fd, _SLAB, self._read)
        self._read += len(packed)
        return packed

    def _next_member(self) -> None:
        rest = self._unpacker.unused_data or self._slab()
        while rest and not (rest := rest.lstrip(b"\x00")):
            rest = self._slab()
        if rest[:2] != b"\x1f\x8b":
            self._ended = True
            return
        self._packed, self._unpacker = rest, zlib.decompressobj(31)

    def _check(self) -> None:
        text, limits = self._begin + len(self._text), self._limits
        if text > limits.text_bytes:
            self._end("limit", f"more than {limits.text_bytes} bytes of text: reading stopped there")
        elif text > limits.ratio_from_bytes and text > limits.ratio * max(1, self._read):
            self._end("limit", f"unpacks to more than {limits.ratio:.0f} times its size: reading stopped")

    def _end(self, code: str, message: str) -> None:
        if not self._ended:
            self._ended = True
            self.losses.append(Loss(code, message, offset=self._begin + len(self._text)))

"""Reads recordings: whatever is good of a file, with a warning for whatever is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from advisor.telemetry.lines import LINE_LIMIT_BYTES, Lines, RecordingError
from advisor.telemetry.records import SCHEMA_VERSION, Hello, Message

WARNINGS_LIMIT = 20

_MESSAGE = msgspec.json.Decoder(Message)
_HELLO = msgspec.json.Decoder(Hello)
_DAMAGE = (ValueError, RecursionError)
_HOW_TO_RECORD = "make one with `advisor record FILE`"


class _Head(msgspec.Struct):
    """The part of a header that is the same in every version."""

    type: str = ""
    schema_version: int = 0


_HEAD = msgspec.json.Decoder(_Head)


class RecordingReader:
    """A recording's header, then its messages one by one, in one pass.

    warnings: what could not be read, filled while reading: WARNINGS_LIMIT sentences, then a count.
    damaged: how many lines were skipped.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.warnings: list[str] = []
        self.damaged = 0
        self._line = self._noted = 0
        self._lines = Lines(self.path, self._note)
        self._rest = iter(self._lines)
        try:
            self.hello = self._header()
        except RecordingError:
            self.close()
            raise

    def _header(self) -> Hello:
        line = self._next_line()
        if line is _END:
            raise RecordingError(f"{self.path} is empty", f"its recorder stopped at once; {_HOW_TO_RECORD}")
        if not isinstance(line, bytes) or not (head := _head(line)):
            raise RecordingError(f"{self.path} is not a recording of advisor", _what_else(line))
        if head.schema_version > SCHEMA_VERSION:
            raise RecordingError(
                f"{self.path} was written by a newer advisor "
                f"(schema {head.schema_version}, this one reads up to {SCHEMA_VERSION})",
                "upgrade: pip install --upgrade gpu-advisor",
            )
        try:
            return _HELLO.decode(line)
        except _DAMAGE as error:
            raise RecordingError(f"the header of {self.path} is damaged: {error}", _HOW_TO_RECORD) from error

    def _next_line(self) -> bytes | _End | None:
        self._line += 1
        return next(self._rest, _END)

    def __iter__(self) -> Iterator[Message]:
        while not isinstance(line := self._next_line(), _End):
            if line is None:
                self._skip(f"longer than {LINE_LIMIT_BYTES >> 20} MiB")
            elif line.strip() and (message := self._message(line)) is not None:
                yield message

    def _message(self, line: bytes) -> Message | None:
        try:
            message: Message = _MESSAGE.decode(line)
        except _DAMAGE as error:
            self._skip("the last line is cut off" if self._lines.cut else f"damaged ({_short(error)})")
            return None
        if isinstance(message, Hello):
            self._skip("a second header")
            return None
        return message

    def _skip(self, reason: str) -> None:
        self.damaged += 1
        self._note(f"{reason}: skipped")

    def _note(self, text: str) -> None:
        self._noted += 1
        if self._noted <= WARNINGS_LIMIT:
            self.warnings.append(f"{self.path.name}, line {max(1, self._line)}: {text}")
            return
        del self.warnings[WARNINGS_LIMIT:]
        self.warnings.append(f"{self.path.name}: {self._noted - WARNINGS_LIMIT} more like these")

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._lines.close()

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _End:
    """No further line."""


_END = _End()


def _head(line: bytes) -> _Head | None:
    try:
        head = _HEAD.decode(line)
    except _DAMAGE:
        return None
    return head if head.type == "hello" and head.schema_version >= 1 else None


def _what_else(line: object) -> str:
    """What to do with a file of another kind."""
    if isinstance(line, bytes) and b'"provenance"' in line:
        return "it looks like a saved diagnosis: `advisor report FILE` renders it"
    return _HOW_TO_RECORD


def _short(error: BaseException) -> str:
    from advisor.reports.escape import terminal

    return terminal(str(error))[:100]


def read_recording(path: Path | str) -> RecordingReader:
    """Open a recording. Raises RecordingError when it is none, is empty, or is from a newer advisor."""
    return RecordingReader(path)

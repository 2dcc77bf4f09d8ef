"""Writes the sample stream to a file, so that a kill at any moment loses nothing that was written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from advisor.reports.escape import terminal
from advisor.reports.redact import redact_message
from advisor.telemetry.lines import RecordingError
from advisor.telemetry.records import Hello, Message

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Recorder:
    """Appends messages to `path` as JSON Lines, gzip when its name ends in .gz. Mode 0600.

    Every message is handed to the system as it is written, compressed ones up to a sync flush, so a killed
    program loses none. redact: secrets, user names and home directories are removed first. Raises
    RecordingError when the file exists and overwrite is False, when it cannot be made, and on a full disk;
    what was written before stays readable.
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False, redact: bool = True) -> None:
        self.path = Path(path)
        self.messages = 0
        self._redact = redact
        self._written_bytes = 0
        self._failure: RecordingError | None = None
        self._gzip = (
            zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16) if self.path.suffix == ".gz" else None
        )
        self._descriptor: int | None = _create(self.path, overwrite)

    def write(self, message: Message) -> None:
        """Append one message: first the stream's one Hello, then the others; ValueError otherwise."""
        if isinstance(message, Hello) == bool(self.messages):
            raise ValueError("a recording starts with one Hello and has no other")
        if self._failure is not None:
            raise self._failure
        line = _encode(redact_message(message) if self._redact else message) + b"\n"
        if self._gzip is not None:
            line = self._gzip.compress(line) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._append(line)
        self.messages += 1

    def _append(self, data: bytes) -> None:
        if self._descriptor is None:
            raise ValueError("the recorder is closed")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._written_bytes)
            self._failure = self._explained(error)
            raise self._failure from error
        self._written_bytes += len(data)

    def _explained(self, error: OSError) -> RecordingError:
        kept = f"the {self.messages} messages before it are kept"
        if error.errno in _FULL:
            return RecordingError(
                f"the disk is full: writing {self.path} stopped, {kept}",
                "free space, or record to another disk",
            )
        return RecordingError(
            f"writing {self.path} stopped: {error.strerror}, {kept}", "record to another place"
        )

    def close(self) -> None:
        """Finish the file. Safe to call twice."""
        if self._descriptor is None:
            return
        if self._gzip is not None and self._failure is None:
            with contextlib.suppress(RecordingError):
                self._append(self._gzip.flush(zlib.Z_FINISH))
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _create(path: Path, overwrite: bool) -> int:
    """Open for appending, for the owner alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | (os.O_TRUNC if overwrite else os.O_EXCL), 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
    except FileExistsError as error:
        raise RecordingError(
            f"{path} exists already", "choose another name, or say to overwrite it"
        ) from error
    except FileNotFoundError as error:
        raise RecordingError(
            f"{path.parent} does not exist", f"make it first: mkdir -p {path.parent}"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"{path} cannot be written: {reason}", "record to another place") from error
    return descriptor


def _encode(message: Message) -> bytes:
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        return msgspec.json.encode(_printable(msgspec.to_builtins(message)))


def _printable(node: Any) -> Any:
    """Text with lone surrogates has no UTF-8 form; such text is made printable."""
    if isinstance(node, str):
        return terminal(node)
    if isinstance(node, dict):
        return {terminal(str(name)): _printable(value) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [_printable(value) for value in node]
    return node

"""Where a trace is kept: the file is made before a job is disturbed, and filled from what the job wrote."""

from __future__ import annotations

import gzip
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from advisor.traces.errors import TraceError

_PIECE = 1 << 20
_LEVEL = 6


class Kept:
    """A new file of the user's alone, empty until it is filled; compressed where its name ends in .gz.

    Raises TraceError where it cannot be made, and never replaces another file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise TraceError(
                f"{path} is there already", "give --save another name: a trace is never overwritten"
            ) from error
        except OSError as error:
            raise _impossible(path, error, "give --save a file in a folder in which you may write") from error
        self._file = os.fdopen(handle, "wb")
        self._inode = os.fstat(handle).st_ino

    def fill(self, handle: int, theirs: Path) -> None:
        """Copies what a descriptor gives; `theirs` is its path. Raises TraceError, with that path."""
        try:
            with os.fdopen(os.dup(handle), "rb") as source, self._file as file:
                _copy(source, file, packed=self.path.suffix == ".gz")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.discard()
            raise _impossible(
                self.path, error, f"it lies in {theirs} still: advisor trace {theirs}"
            ) from error

    def discard(self) -> None:
        """Removes the file, if it is still ours."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()


def _copy(source: BinaryIO, file: BinaryIO, *, packed: bool) -> None:
    is_packed = source.read(2) == b"\x1f\x8b"
    source.seek(0)
    if not packed or is_packed:
        shutil.copyfileobj(source, file, _PIECE)
        return
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as target:
        shutil.copyfileobj(source, target, _PIECE)


def _impossible(path: Path, error: OSError, fix: str) -> TraceError:
    return TraceError(f"the trace cannot be kept as {path}: {error.strerror or error}", fix)

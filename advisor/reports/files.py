"""Writing a report: whole or not at all, readable by its owner alone."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from advisor.reports.errors import WriteError
from advisor.reports.escape import terminal


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, mode 0600. A reader sees the old file or the new one, never a part.

    The old file stays when anything fails. A symbolic link is followed. A pipe or a device, such as
    /dev/stdout, is written to as it is. Raises WriteError (an OSError), also when `path` is a folder.
    """
    write_stream(path, lambda file: _write_all(file, data))


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def write_stream(path: str | Path, fill: Callable[[BinaryIO], None]) -> None:
    """The same for what is too large to hold: `fill` writes it to the file that it is given."""
    target = Path(os.path.realpath(path))
    try:
        if _is_plain(path):
            _replace(target, fill)
        else:
            with Path(path).open("wb") as file:
                fill(file)
    except OSError as error:
        raise _explain(path, target, error) from error


def _is_plain(path: str | Path) -> bool:
    """True for a regular file, and for one that does not exist yet."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    return stat.S_ISREG(mode)


def _replace(target: Path, fill: Callable[[BinaryIO], None]) -> None:
    handle, name = tempfile.mkstemp(prefix=".advisor-", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _explain(path: str | Path, target: Path, error: OSError) -> WriteError:
    reason, fix = error.strerror or type(error).__name__, "free some space, or choose another place"
    if isinstance(error, IsADirectoryError):
        reason, fix = "it is a folder", "give the name of a file in it"
    elif isinstance(error, FileNotFoundError) and target.parent.is_dir():
        reason, fix = "no file can be made in this folder", "choose another place"
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        reason, fix = (
            f"there is no folder {terminal(str(target.parent))}",
            "create it, or choose another place",
        )
    elif isinstance(error, PermissionError):
        reason, fix = "no permission", "choose a place you may write to"
    return WriteError(error.errno or 0, reason, fix, terminal(str(path)))

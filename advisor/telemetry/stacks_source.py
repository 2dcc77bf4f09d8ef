"""The source line a frame stands at, read from the watched process's own view of its files, with care."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Self

FILE_LIMIT_BYTES = 2 << 20
LINE_LIMIT = 400
FILES_LIMIT = 64
# As many as the kernel itself follows (path_resolution(7)), and no path of use is deeper.
LINKS_LIMIT = 40
PARTS_LIMIT = 256

_FIND = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class SourceLines:
    """Lines of Python files as one process sees them (its mounts, its working directory).

    The files and their names are somebody else's: only regular ones of limited size are opened, a limited
    number of them, and nothing of them is kept or shown. Links lead to what they lead to in that process.
    """

    def __init__(self, pid: int, root: Path = Path("/proc")) -> None:
        self._process = root / str(pid)
        self._files: dict[str, list[str]] = {}

    def line(self, file: str, number: int) -> str:
        """Line `number` (from 1) of `file`; "" where it cannot be read."""
        if number <= 0 or not file.endswith(".py"):
            return ""
        if file not in self._files:
            if len(self._files) >= FILES_LIMIT:
                return ""
            self._files[file] = self._read(file)
        lines = self._files[file]
        return lines[number - 1][:LINE_LIMIT] if number <= len(lines) else ""

    def _read(self, file: str) -> list[str]:
        try:
            with _Walk(self._process, "root" if file.startswith("/") else "cwd") as walk:
                walk.to(file)
                return _text(walk.at).splitlines()
        except (OSError, ValueError):
            return []


class _Walk:
    """Finds a file part by part without opening it: a device that is opened may do something.

    Links are read and followed here, since the kernel would follow an absolute one from advisor's own root.
    at: descriptor (O_PATH) of what was found so far, no link.
    """

    def __init__(self, process: Path, start: str) -> None:
        self._root = os.open(process / "root", _FOLDER)
        try:
            self.at = os.open(process / start, _FOLDER)
        except OSError:
            os.close(self._root)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.at)
        os.close(self._root)

    def to(self, file: str) -> None:
        """Go to what `file` leads to. Raises OSError or ValueError."""
        parts, links = _parts(file), 0
        while parts:
            target = self._step(parts.pop())
            links += target is not None
            if links > LINKS_LIMIT:
                raise ValueError("links that lead in a circle")
            parts += _parts(target or "")
            if len(parts) > PARTS_LIMIT:
                raise ValueError("a path without end")

    def _step(self, part: str) -> str | None:
        """Go one part on; a link is not gone to, but its target returned."""
        if part == ".." and os.path.samestat(os.fstat(self.at), os.fstat(self._root)):
            return None
        found = os.open(part, _FIND, dir_fd=self.at)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            self._move(found)
            return None
        try:
            target = os.readlink("", dir_fd=found)
        finally:
            os.close(found)
        if target.startswith("/"):
            self._move(os.dup(self._root))
        return target

    def _move(self, there: int) -> None:
        os.close(self.at)
        self.at = there


def _parts(path: str) -> list[str]:
    """Parts of a path, the last one first."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(parts) > PARTS_LIMIT:
        raise ValueError("a path without end")
    return parts[::-1]


def _text(found: int) -> str:
    """What a regular file of limited size holds; "" for anything else, which is never opened."""
    known = os.fstat(found)
    if not stat.S_ISREG(known.st_mode) or known.st_size > FILE_LIMIT_BYTES:
        return ""
    readable = os.open(f"/proc/self/fd/{found}", _READ)
    try:
        return os.read(readable, FILE_LIMIT_BYTES).decode("utf-8", "replace")
    finally:
        os.close(readable)

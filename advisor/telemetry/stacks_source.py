"""The source line a frame stands at, read from the watched process's own view of its files, with care."""

from __future__ import annotations

import os
import stat
from pathlib import Path

FILE_LIMIT_BYTES = 2 << 20
LINE_LIMIT = 400
FILES_LIMIT = 64


class SourceLines:
    """Lines of Python files as one process sees them (its mounts, its working directory).

    The files are somebody else's: only regular ones of limited size are read, a limited number of them, and
    nothing of them is kept or shown.
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
        inside = self._process / "root" if file.startswith("/") else self._process / "cwd"
        try:
            descriptor = os.open(inside / file.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return []
        try:
            known = os.fstat(descriptor)
            if not stat.S_ISREG(known.st_mode) or known.st_size > FILE_LIMIT_BYTES:
                return []
            return os.read(descriptor, FILE_LIMIT_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        finally:
            os.close(descriptor)

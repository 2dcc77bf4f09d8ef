"""What goes wrong with a document: exceptions that say what happened and what to do."""

from __future__ import annotations


class DocumentError(Exception):
    """A document cannot be read or made. `fix` is what to do about it."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class WriteError(OSError):
    """A file cannot be written; what was there still is. `strerror` is the reason, `fix` what to do."""

    def __init__(self, number: int, reason: str, fix: str, shown_path: str) -> None:
        super().__init__(number, reason)
        self.fix = fix
        self._shown_path = shown_path

    def __str__(self) -> str:
        return f"cannot write {self._shown_path}: {self.strerror}"

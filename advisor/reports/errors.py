"""What goes wrong with a document: one exception that says what happened and what to do."""

from __future__ import annotations


class DocumentError(Exception):
    """A document cannot be read, made or written. `fix` is what to do about it, or ""."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix

"""What is said of a file that cannot be read at all."""

from __future__ import annotations


class TraceError(Exception):
    """A file is no trace, or none that can be read. message: what is wrong; fix: what to do about it.

    Both may quote the file's name, which is hostile text.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}" if self.fix else self.message

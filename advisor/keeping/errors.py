"""What can go wrong with the history, in words for a person. Knows SQLite's codes without importing it."""

from __future__ import annotations

from pathlib import Path

_ELSEWHERE = "make that place writable, name another folder in ADVISOR_STATE_DIR, or set history = false"
# SQLite's primary result code -> what it means here, and what to do about it.
_CODES = {
    3: ("no permission", _ELSEWHERE),
    5: ("another process kept it locked", "try again when the other advisor has ended"),
    6: ("another process kept it locked", "try again when the other advisor has ended"),
    8: ("it cannot be written", _ELSEWHERE),
    10: ("the disk refused to read or write it", "check free space, quota and health of that disk"),
    11: ("it is damaged", "the next diagnosis moves it aside and starts a new one"),
    13: ("the disk is full", "free some space there"),
    14: ("it cannot be opened", _ELSEWHERE),
    26: ("it is no SQLite database", "the next diagnosis moves it aside and starts a new one"),
}
DAMAGED = frozenset({11, 26})


class HistoryError(Exception):
    """The history cannot be read or written. `fix` is what to do about it."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class ForeignError(Exception):
    """The file is a database, but none of ours."""


def code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 where the error has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else 0


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is wrong, so that nothing can be done with it where it is."""
    return isinstance(error, ForeignError) or code_of(error) in DAMAGED


def explain(path: Path, error: BaseException) -> HistoryError:
    """The error in one sentence."""
    if isinstance(error, HistoryError):
        return error
    if isinstance(error, ForeignError):
        return HistoryError(f"{path} is not a history of advisor's: {error}", _CODES[26][1])
    if isinstance(error, OSError):
        return HistoryError(f"{path} cannot be used: {error.strerror or error}", _ELSEWHERE)
    why, fix = _CODES.get(code_of(error), (str(error) or type(error).__name__, ""))
    return HistoryError(f"{path} cannot be used: {why}", fix)

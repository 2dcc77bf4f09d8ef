"""stderr and exit codes: everything that is not a result goes through here, and nothing else writes there."""

from __future__ import annotations

import os
import sys
import time
from enum import IntEnum


class ExitCode(IntEnum):
    """What the program's exit says. `run` passes its command's own code through instead.

    INTERNAL is a defect of the program itself: it must not be mistaken for findings.
    """

    OK = 0
    FINDINGS = 1
    USAGE = 2
    CANNOT_MEASURE = 3
    INTERNAL = 70
    INTERRUPTED = 130


class CliError(Exception):
    """Ends a command: one sentence, what to do about it, and the exit code."""

    def __init__(self, message: str, fix: str = "", code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.fix = fix
        self.code = code


def cannot_measure(message: str, fix: str = "") -> CliError:
    """The error of a node where nothing can be measured (exit code 3)."""
    return CliError(message, fix, ExitCode.CANNOT_MEASURE)


def is_terminal() -> bool:
    """True when stderr is a person's terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def use_color() -> bool:
    """Colour where a person sees it, unless NO_COLOR is set."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def can_draw(encoding: str | None) -> bool:
    """Whether text in this encoding can hold the characters that reports and screens draw with."""
    try:
        "█░×·–…°µ".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def unicode() -> bool:
    """False where stderr's encoding has no block characters, so that ASCII must do."""
    return can_draw(getattr(sys.stderr, "encoding", None))


def write(text: str) -> None:
    """Write text that is already safe to show. A closed stderr is nobody's loss."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except UnicodeEncodeError:
        write(text.encode("ascii", "replace").decode("ascii"))
    except (OSError, ValueError, AttributeError):
        pass


def note(text: str) -> None:
    """One line of information."""
    write(f"advisor: {_plain(text)}\n")


def warn(text: str) -> None:
    """One line about something that was lost, skipped or assumed."""
    write(f"advisor: warning: {_plain(text)}\n")


def fail(error: CliError) -> int:
    """Say what ended the command and what to do, and give its exit code."""
    first, *more = str(error).splitlines() or [""]
    note(first)
    for line in more:
        write(f"  {_plain(line)}\n")
    if error.fix:
        write(f"  fix: {_plain(error.fix)}\n")
    return error.code


def crash(error: BaseException) -> ExitCode:
    """A defect: the traceback, and a code that no script takes for findings."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        write(_plain(line) + "\n")
    note("this is a defect in advisor; the traceback above says where")
    return ExitCode.INTERNAL


class Progress:
    """One line on stderr, redrawn at most five times a second, and only where a person can see it."""

    def __init__(self, shown: bool | None = None) -> None:
        self._shown = is_terminal() and os.environ.get("TERM") != "dumb" if shown is None else shown
        self._drawn_s = float("-inf")
        self._width = 0

    def show(self, text: str) -> None:
        """Replace the line."""
        now = time.monotonic()
        if not self._shown or now - self._drawn_s < 0.2:
            return
        self._drawn_s = now
        line = _plain(text)
        write("\r" + line.ljust(self._width))
        self._width = len(line)

    def clear(self) -> None:
        """Remove the line, so that the results start in an empty one."""
        if self._width:
            write("\r" + " " * self._width + "\r")
            self._width = 0


def _plain(text: str) -> str:
    """One line of untrusted text without anything a terminal would obey."""
    from advisor.reports.escape import terminal

    return terminal(text)

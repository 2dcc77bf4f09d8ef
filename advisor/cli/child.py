"""A command run in our place: it gets the signals sent to us, and its exit code becomes ours."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from advisor.cli.diagnostics import CliError

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# A terminal sends these to its whole foreground process group, so the command has them already.
FROM_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
NOT_FOUND, NOT_EXECUTABLE = 127, 126


class Child:
    """The command, with signals passed on to it from before its start until `restore`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
        for number in FORWARDED:
            # One that we ignore (nohup) must stay ignored in the command too.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._forward)

    def start(self, argv: Sequence[str]) -> int:
        """Start it and give its pid. Raises CliError with the shell's code when it cannot be started."""
        try:
            self._process = subprocess.Popen(list(argv))
        except FileNotFoundError as error:
            raise _cannot_start(argv[0], "there is no such program", NOT_FOUND) from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise _cannot_start(argv[0], why, NOT_EXECUTABLE) from error
        for number in self._early:
            self._process.send_signal(number)
        return self._process.pid

    def wait(self) -> int:
        """Its exit code as a shell gives it: 128+N when signal N ended it."""
        assert self._process is not None  # noqa: S101 - start comes first
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def restore(self) -> None:
        """Give signals back their handlers from before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if number in FROM_KEYBOARD and in_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def in_foreground() -> bool:
    """True when our process group is the one that the terminal's keys reach."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _cannot_start(program: str, why: str, code: int) -> CliError:
    return CliError(f"cannot run {program}: {why}", "check the command after --", code)

"""Modules of this checkout run one after the other, each within a limit, shown and logged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
# What a step has between SIGTERM and SIGKILL: a recorder ends its workload and packs meanwhile.
ENDS_S = 12.0
# How often what there is so far is saved while a step runs.
SAVE_S = 30.0


class Steps:
    """log: a file to which everything that steps say is added. save: keeps what there is so far; it is called
    now and then while a step runs, and at once where one is interrupted."""

    def __init__(self, log: Path, save: Callable[[], None]) -> None:
        self._log, self._save = log, save

    def say(self, line: str) -> None:
        """Show a line and log it."""
        print(line, flush=True)
        with self._log.open("a") as file:
            file.write(line + "\n")

    def run(self, arguments: Sequence[str], limit_s: float) -> dict[str, Any]:
        """Run `python -m` with these arguments: what ran, its exit code or why there is none, and how long it
        took. Whatever ends the wait, the module and all it started have ended afterwards."""
        begin = time.monotonic()
        self.say("$ python -m " + " ".join(arguments))
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        reader = threading.Thread(target=self._show, args=(process,), daemon=True)
        reader.start()
        try:
            is_late = self._wait(process, begin + limit_s)
        except BaseException:
            self._save()
            raise
        finally:
            _end(process)
            reader.join(2.0)
        how = {"error": f"took over {limit_s:.0f} s"} if is_late else {"rc": process.returncode}
        return {"command": list(arguments), **how, "wall_s": time.monotonic() - begin}

    def _wait(self, process: subprocess.Popen[str], end_s: float) -> bool:
        """Whether its time was up before it ended."""
        saved_s = time.monotonic()
        while (left_s := end_s - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(1.0, left_s))
                return False
            if time.monotonic() - saved_s > SAVE_S:
                self._save()
                saved_s = time.monotonic()
        return True

    def _show(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout:
                self.say(line.rstrip("\n"))


def _end(process: subprocess.Popen[str]) -> None:
    """End it and its group, first by SIGTERM."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_S)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

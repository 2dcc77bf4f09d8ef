"""py-spy as a program: where it is, and one run of it with a limit on its time and on what it writes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

OUTPUT_LIMIT_BYTES = 64 << 20
READ_LIMIT_BYTES = 8 << 20
ERRORS_LIMIT_BYTES = 4096
# Finding the interpreter in a process with hundreds of libraries takes a while before sampling begins.
START_S = 15.0
LEAVE_S = 2.0
VERSION_S = 3.0
_LOOK_S = 0.05
_STEP_S = 0.01


class Ran(NamedTuple):
    """How a run ended. text: its file, cut at READ_LIMIT_BYTES. why: of a run that was ended early."""

    code: int | None
    text: str
    errors: str
    why: str = ""


def find_tool() -> str | None:
    """The py-spy to use: that of PATH, or the one installed beside this Python."""
    folders = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"))
    beside = (shutil.which("py-spy", path=folder) for folder in folders)
    return shutil.which("py-spy") or next((found for found in beside if found), None)


def tool_name(tool: str) -> str:
    """Name and version, such as "py-spy 0.4.3"; the name alone where it does not say."""
    with tempfile.TemporaryFile() as out:
        try:
            process = subprocess.Popen(
                [tool, "--version"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return "py-spy"
        try:
            _ended(process, VERSION_S)
        finally:
            _end(process)
        out.seek(0)
        found = re.search(rb"py-spy \d[\w.]{0,20}", out.read(200))
    return found[0].decode() if found else "py-spy"


def never() -> bool:
    """Nobody wants to stop."""
    return False


def record(tool: str, pid: int, seconds: float, options: Sequence[str], stop: Callable[[], bool]) -> Ran:
    """`py-spy record` in folded form. Returns within `seconds` and START_S; leaves no process behind."""
    with tempfile.TemporaryDirectory(prefix="advisor-stacks-") as folder:
        out, errors = Path(folder, "stacks.txt"), Path(folder, "errors.txt")
        how = ["--pid", str(pid), "--duration", str(max(1, round(seconds))), "--format", "raw"]
        argv = [tool, "record", *how, "--output", str(out), *options]
        with errors.open("wb") as said:
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env={**os.environ, "RUST_BACKTRACE": "0"},
                    start_new_session=True,
                )
            except OSError as error:
                return Ran(None, "", "", f"{tool} cannot be started: {error.strerror or error}")
        why = _watch(process, (out, errors), time.monotonic() + seconds + START_S, stop)
        return Ran(process.returncode, _head(out, READ_LIMIT_BYTES), _head(errors, ERRORS_LIMIT_BYTES), why)


def _watch(
    process: subprocess.Popen[bytes], files: Sequence[Path], until_s: float, stop: Callable[[], bool]
) -> str:
    """Wait for its end; why it was ended before, or ""."""
    why = "stopped"
    try:
        while not (why := _enough(files, until_s, stop)):
            if _ended(process, _LOOK_S):
                return ""
    finally:
        _end(process)
    return why


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Whether it ends in this time. It is not reaped: its number stays its own, and its group's."""
    until_s = time.monotonic() + within_s
    while not _is_over(process):
        if time.monotonic() >= until_s:
            return False
        time.sleep(min(_STEP_S, within_s))
    return True


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # reaped by somebody else: waiting for it gives its end
        process.wait()
        return True


def _enough(files: Sequence[Path], until_s: float, stop: Callable[[], bool]) -> str:
    if stop():
        return "stopped"
    if time.monotonic() > until_s:
        return "py-spy did not finish in time"
    return "py-spy wrote more than any stack needs" if sum(map(_size, files)) > OUTPUT_LIMIT_BYTES else ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to leave, so that it lets go of a process it holds; then make it. Its helpers go with it.

    Signals go to its group before it is reaped: after that the number may be another group's.
    """
    if not _is_over(process):
        _signal(process, signal.SIGINT)
        _ended(process, LEAVE_S)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(OSError):
        os.killpg(process.pid, number)


def _head(path: Path, limit_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes)
    except OSError:
        return ""
    return data.decode("utf-8", "replace")

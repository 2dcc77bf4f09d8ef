"""`advisor trace --pid`: a place for the trace, the order, and the file where the user wants it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.protocol import Ask
from advisor.traces.ondemand.server import PATIENCE, Patience, Say, ask_for_trace
from advisor.traces.ondemand.target import Target, target

# Where the process may write whatever its own working directory is.
SCRATCH = "/tmp"  # noqa: S108


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for: `steps`, or seconds where that is None; `save`: where to keep the trace."""

    pid: int
    steps: int | None = None
    seconds: float = 1.0
    shapes: bool = True
    stacks: bool = False
    save: Path | None = None


def fetch_trace(wanted: Wanted, say: Say, patience: Patience = PATIENCE) -> Path:
    """Have a running process write a trace; its path. Raises TraceError with what to do."""
    who = target(wanted.pid)
    for doubt in who.doubts:
        say(f"process {who.pid}: {doubt}")
    folder = _folder(who)
    inside = str(folder).removeprefix(who.root)
    ask = Ask(
        log_file=f"{inside}/trace.json",
        steps=wanted.steps,
        seconds=wanted.seconds,
        shapes=wanted.shapes,
        stacks=wanted.stacks,
    )
    say(f"asking process {who.pid} for a trace; it looks for orders every few seconds")
    try:
        path = ask_for_trace(who, ask, say, patience)
        return _kept(path, wanted.save, folder) if wanted.save is not None else path
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _folder(who: Target) -> Path:
    """A folder that the process may write to and others may not read."""
    if os.geteuid() not in (0, who.uid):
        raise TraceError(
            f"process {who.pid} belongs to another user", f"run as its user (id {who.uid}) or as root"
        )
    try:
        folder = Path(tempfile.mkdtemp(prefix="advisor-trace-", dir=f"{who.root}{SCRATCH}"))
    except OSError as error:
        raise TraceError(f"no folder for the trace can be made in {SCRATCH}: {error.strerror}", "") from error
    with suppress(PermissionError):
        os.chown(folder, who.uid, who.gid)
    return folder


def _kept(path: Path, save: Path, folder: Path) -> Path:
    try:
        shutil.move(path, save)
    except OSError as error:
        raise TraceError(f"the trace cannot be kept as {save}: {error.strerror or error}", "") from error
    shutil.rmtree(folder, ignore_errors=True)
    return save

"""Reads a profiler's file, whatever it is: the format is told by its content."""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from advisor.traces.detect import kind_of, unreadable
from advisor.traces.errors import TraceError
from advisor.traces.limits import Limits
from advisor.traces.timeline import Timeline

Progress = Callable[[int, int | None], None]


def read(
    path: Path,
    *,
    progress: Progress | None = None,
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Timeline:
    """The timeline of a trace file; `-` is standard input, a pipe is kept in a temporary file first.

    progress: called with (bytes done, bytes in all or None) of the file as it is on disk. Raises TraceError
    on what cannot be read at all; what a damaged file still holds is returned, with `losses`.
    """
    if str(path) == "-" or _is_pipe(path):
        return _spooled(path, progress, limits)
    kind = kind_of(path)
    try:
        if kind == "sqlite":
            from advisor.traces.nsight import read_nsight

            return read_nsight(path, progress=progress, limits=limits)
        from advisor.traces.kineto.reading import read_kineto

        return read_kineto(path, progress=progress, limits=limits)
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise TraceError(
            f"{path} needs more memory than there is", "Record fewer steps, or read it on a larger machine."
        ) from error


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _spooled(path: Path, progress: Progress | None, limits: Limits) -> Timeline:
    with tempfile.NamedTemporaryFile(prefix="advisor-trace-") as kept:
        try:
            if str(path) == "-":
                shutil.copyfileobj(sys.stdin.buffer, kept, 1 << 20)
            else:
                with path.open("rb") as pipe:
                    shutil.copyfileobj(pipe, kept, 1 << 20)
            kept.flush()
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            timeline = read(Path(kept.name), progress=progress, limits=limits)
        except TraceError as error:
            raise TraceError(error.message.replace(kept.name, str(path)), error.fix) from error
    return replace(timeline, meta=replace(timeline.meta, path=str(path)))

"""Reads a profiler's file, whatever it is: the format is told by its content."""

from __future__ import annotations

from collections.abc import Callable
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
    """The timeline of a trace file. A pipe is refused: a trace is read more than once.

    progress: called with (bytes done, bytes in all or None) of the file as it is on disk. Raises TraceError
    on what cannot be read at all; what a damaged file still holds is returned, with `losses`.
    """
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

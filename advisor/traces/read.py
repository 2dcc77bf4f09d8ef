"""Reads a profiler's file, whatever it is: the format is told by its content, never by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from advisor.traces.kineto.reading import read_kineto
from advisor.traces.limits import Limits
from advisor.traces.timeline import Timeline


def read(
    path: Path,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    limits: Limits = Limits(),  # noqa: B008
) -> Timeline:
    """The timeline of a trace file.

    progress: called with (bytes done, bytes in all or None) of the file as it is on disk. Raises TraceError
    on what cannot be read at all; what a damaged file still holds is returned, with `losses`.
    """
    with path.open("rb") as file:
        if file.read(16) == b"SQLite format 3\x00":
            from advisor.traces.nsight import read_nsight

            return read_nsight(path, progress=progress, limits=limits)
    return read_kineto(path, progress=progress, limits=limits)

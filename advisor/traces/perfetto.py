"""Traces with our attribution as extra tracks, for ui.perfetto.dev.

One Kineto file is copied with our events put in. Anything else (Nsight, several files) becomes a trace of its
own: what ran on each device, by stream, beside our tracks.
"""

from __future__ import annotations

import errno
import gzip
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from advisor.reports.errors import WriteError
from advisor.reports.escape import terminal
from advisor.reports.files import write_stream
from advisor.traces.attribution import Attribution
from advisor.traces.limits import Limits
from advisor.traces.perfetto_events import Clean, Ids
from advisor.traces.perfetto_gpu import gpu_tracks
from advisor.traces.perfetto_merge import NotMergeableError, Write, merge
from advisor.traces.perfetto_tracks import Track, device_tracks
from advisor.traces.timeline import Timeline

Attributions = Mapping[tuple[int, int], Attribution]
_BATCH = 1 << 18


def write_perfetto(
    timelines: Sequence[Timeline],
    attributions: Attributions,
    out: Path,
    *,
    clean: Clean = terminal,
    limits: Limits = Limits(),  # noqa: B008
) -> None:
    """Writes a trace that ui.perfetto.dev opens; compressed where the name ends in .gz.

    attributions: by (index of the timeline, device). clean: makes a name of the trace safe to show (and
    redacts it, where that is wanted); the events of a Kineto file are copied as they are. The file is whole
    or not there at all. Raises WriteError, also where `out` is one of the traces.
    """
    _refuse_inputs(timelines, out)
    write_stream(out, lambda file: _fill(file, timelines, attributions, out, clean, limits))


def _refuse_inputs(timelines: Sequence[Timeline], out: Path) -> None:
    for timeline in timelines:
        if _same(Path(timeline.meta.path), out):
            raise WriteError(
                errno.EEXIST, "it is the trace that was read", "give another name", terminal(str(out))
            )
    if len(timelines) == 1 and timelines[0].meta.format == "kineto":
        _refuse_what_is_gone(Path(timelines[0].meta.path), out)


def _refuse_what_is_gone(path: Path, out: Path) -> None:
    """A trace into which our tracks are to go has to be there still: a pipe gives its text once."""
    if not path.is_file():
        raise WriteError(
            errno.ENOENT,
            f"the trace, {terminal(str(path))}, cannot be read again",
            "save the trace to a file first, and name that",
            terminal(str(out)),
        )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _fill(
    file: BinaryIO,
    timelines: Sequence[Timeline],
    attributions: Attributions,
    out: Path,
    clean: Clean,
    limits: Limits,
) -> None:
    if out.suffix == ".gz":
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=3, mtime=0) as packed:
            _fill_plain(packed.write, timelines, attributions, clean, limits)
    else:
        _fill_plain(file.write, timelines, attributions, clean, limits)


def _fill_plain(
    write: Write, timelines: Sequence[Timeline], attributions: Attributions, clean: Clean, limits: Limits
) -> None:
    buffered = _Buffered(write)
    if not _merged(buffered, timelines, attributions, clean, limits):
        _whole(buffered, timelines, attributions, clean)
    buffered.flush()


class _Buffered:
    """Gathers small writes: an event is 200 bytes."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._parts: list[bytes] = []
        self._size = 0

    def __call__(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _BATCH:
            self.flush()

    def flush(self) -> None:
        self._write(b"".join(self._parts))
        self._parts, self._size = [], 0


def _merged(
    write: Write, timelines: Sequence[Timeline], attributions: Attributions, clean: Clean, limits: Limits
) -> bool:
    """Puts our tracks into the one Kineto file; False where that cannot be, with nothing written."""
    if len(timelines) != 1 or timelines[0].meta.format != "kineto":
        return False
    timeline = timelines[0]
    zero = timeline.meta.file_zero_ns
    if zero is None:
        return False
    tracks = _tracks(timelines, attributions, [zero], clean)
    ours = itertools.chain.from_iterable(device_tracks(track, ids) for track, ids in tracks)
    try:
        merge(Path(timeline.meta.path), ours, write, limits)
    except NotMergeableError:
        return False
    return True


def _tracks(
    timelines: Sequence[Timeline], attributions: Attributions, shifts: Sequence[int], clean: Clean
) -> Iterator[tuple[Track, Ids]]:
    ids = Ids()
    for position, (file, device) in enumerate(sorted(attributions)):
        timeline = timelines[file]
        label = _label(timeline, file, device, several=len(timelines) > 1)
        yield Track(timeline, attributions[file, device], label, position, shifts[file], clean), ids


def _label(timeline: Timeline, file: int, device: int, *, several: bool) -> str:
    rank = timeline.meta.rank
    where = f"rank {rank}, " if rank is not None else (f"file {file + 1}, " if several else "")
    return f"{where}GPU {device}"


def _whole(write: Write, timelines: Sequence[Timeline], attributions: Attributions, clean: Clean) -> None:
    """A trace of its own."""
    write(b'{"displayTimeUnit":"ns","traceEvents":[')
    between = b"\n"
    for track, ids in _tracks(timelines, attributions, _shifts(timelines), clean):
        for event in itertools.chain(device_tracks(track, ids), gpu_tracks(track, ids)):
            write(between)
            write(event)
            between = b",\n"
    write(b"\n]}\n")


def _shifts(timelines: Sequence[Timeline]) -> list[int]:
    """What to add to each timeline's times: by their clocks where they ran at the same time, else nothing."""
    zeros = [timeline.meta.zero_ns for timeline in timelines]
    known = [zero for zero in zeros if zero is not None]
    if len(known) < len(zeros) or not known:
        return [0] * len(zeros)
    begin = max(zero + _first(timeline) for zero, timeline in zip(known, timelines, strict=True))
    end = min(zero + _last(timeline) for zero, timeline in zip(known, timelines, strict=True))
    return [zero - min(known) for zero in known] if begin <= end else [0] * len(zeros)


def _first(timeline: Timeline) -> int:
    return int(timeline.gpu.start_ns.min()) if len(timeline.gpu) else 0


def _last(timeline: Timeline) -> int:
    return int(timeline.gpu.end_ns.max()) if len(timeline.gpu) else 0

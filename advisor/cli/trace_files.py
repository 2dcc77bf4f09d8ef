"""Trace files that a person names: folders opened, read one after the other with progress on a terminal."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from advisor.cli.diagnostics import CliError, Progress, note, warn

if TYPE_CHECKING:
    from advisor.traces.timeline import Timeline, TraceMeta

Mode = Literal["alone", "ranks", "compare"]
SUFFIXES = (".json", ".json.gz", ".sqlite")
MAX_FILES = 4096
# What is read faster than this needs no word of progress.
QUIET_S = 0.5
BAR = 20
_MB = 1e6
_GZIP = b"\x1f\x8b"
_LOOK_BYTES = 256 * 1024
# The name of the first of the tracks that --perfetto adds, which it puts before all others.
_ANNOTATED = re.compile(rb'"name"\s*:\s*"advisor: ')


def trace_files(paths: Sequence[str]) -> list[Path]:
    """The files that paths name; of a folder, every trace right in it. Raises CliError."""
    found: list[Path] = []
    for path in paths:
        found += _in_folder(Path(path)) if Path(path).is_dir() else [_file(path)]
    if len(found) > MAX_FILES:
        raise CliError(f"{len(found)} files are more than {MAX_FILES}", "name some of them")
    places = [path.resolve() for path in found]
    twice = next((path for path in found if places.count(path.resolve()) > 1), None)
    if twice is not None:
        raise CliError(f"{twice} is named twice", "name each trace once")
    return found


def _file(path: str) -> Path:
    if path == "-":
        raise CliError("a trace is read from a file, not from stdin", "save it to a file first")
    if not Path(path).exists():
        raise CliError(f"there is no file {path}", "name a trace: FILE.json, FILE.json.gz or FILE.sqlite")
    return Path(path)


def _in_folder(folder: Path) -> list[Path]:
    """The files in a folder that may be traces, without what this program wrote there."""
    try:
        inside = sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIXES) and p.is_file())
    except OSError as error:
        raise CliError(f"cannot read {folder}: {error.strerror or error}", "name the files") from error
    own = {path: what for path in inside if (what := _own(path))}
    for path, what in own.items():
        note(f"{path} is left out: {what}")
    found = [path for path in inside if path not in own]
    if not found:
        wanted = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise CliError(f"{folder} holds no trace ({wanted})", "name the files themselves")
    return found


def _own(path: Path) -> str:
    """What a file is that advisor wrote; empty for any other."""
    start = _start(path)
    if _is_document(start):
        return "it is a diagnosis"
    if _is_recording(path, start):
        return "it is a recording"
    return "it is what --perfetto wrote" if _ANNOTATED.search(start) else ""


def read_all(files: Sequence[Path], named: Sequence[str] = ()) -> tuple[list[Timeline], list[str]]:
    """The timelines of files, in order, and what was left out.

    Of files that a folder holds and nobody named, those that cannot be read as traces are left out with a
    warning, as long as any can. Raises CliError for another. What a file lacks is said on stderr.
    """
    timelines: list[Timeline] = []
    skipped: list[str] = []
    first: CliError | None = None
    for place, path in enumerate(files):
        told = f"{place + 1} of {len(files)}: " if len(files) > 1 else ""
        try:
            timeline = _read(path, told)
        except CliError as error:
            if not named or str(path) in named or len(files) == 1:
                raise
            first = first or error
            skipped.append(f"left out: {str(error).replace(str(path), path.name)}")
            warn(skipped[-1])
            continue
        timelines.append(timeline)
        for line in lost_lines(path.name, timeline):
            warn(line)
    if first is not None and not timelines:
        raise first
    return timelines, skipped


def _read(path: Path, told: str) -> Timeline:
    from advisor.traces.errors import TraceError
    from advisor.traces.read import read

    shown = Reading(f"{told}{path.name}")
    try:
        return read(path, progress=shown.step)
    except TraceError as error:
        raise CliError(error.message, _other(path) or error.fix) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise CliError(f"cannot read {path}: {why}", "name a trace that you may read") from error
    finally:
        shown.clear()


def _other(path: Path) -> str:
    """The command that reads what a file is instead of a trace; empty where that does not show."""
    start = _start(path)
    if _is_document(start):
        return f"it is a diagnosis: advisor report {path}"
    return f"it is a recording: advisor replay {path}" if _is_recording(path, start) else ""


def _is_document(start: bytes) -> bool:
    return b'"schema_version"' in start and b'"provenance"' in start


def _is_recording(path: Path, start: bytes) -> bool:
    from advisor.cli.documents import is_recording

    is_header = start.lstrip().replace(b" ", b"").startswith(b'{"type":"hello"')
    return is_header and is_recording(str(path))


def trace_hint(path: str) -> str:
    """The command for a file that looks like a trace, where something else was wanted; else empty."""
    start = _start(Path(path))
    is_trace = (
        start.startswith(b"SQLite format 3") or b'"traceEvents"' in start or b'"deviceProperties"' in start
    )
    return f"it is a profiler's trace: advisor trace {path}" if is_trace else ""


def _start(path: Path) -> bytes:
    """The first of a file's text, unpacked; nothing where it cannot be read."""
    try:
        if not path.is_file():  # to open a pipe is to wait for its writer
            return b""
        with path.open("rb") as file:
            raw = file.read(_LOOK_BYTES)
        if raw.startswith(_GZIP):
            return zlib.decompressobj(wbits=31).decompress(raw, _LOOK_BYTES)
    except (OSError, ValueError, zlib.error):
        return b""
    return raw


class Reading:
    """Progress of one file: a bar, bytes and how long it will take; nothing for what is read at once."""

    def __init__(
        self,
        name: str,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._progress = Progress() if progress is None else progress
        self._clock = clock
        self._begin = clock()

    def step(self, done: int, whole: int | None) -> None:
        """Bytes of the file that were read, and in all where that is known."""
        elapsed = self._clock() - self._begin
        if elapsed >= QUIET_S:
            self._progress.show(progress_line(self._name, done, whole, elapsed))

    def clear(self) -> None:
        """Remove the line."""
        self._progress.clear()


def progress_line(name: str, done: int, whole: int | None, elapsed_s: float) -> str:
    """ "reading run.json.gz [#####-----] 52 of 104 MB, 3 s left, Ctrl-C stops": in at most 79 columns."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if not whole or whole <= 0:
        return f"reading {_short(name)} {done / _MB:,.0f} MB, Ctrl-C stops"
    part = min(1.0, done / whole)
    bar = "#" * round(part * BAR) + "-" * (BAR - round(part * BAR))
    left = f", {_left((whole - done) / rate)} left" if rate > 0 and done < whole else ""
    return f"reading {_short(name)} [{bar}] {done / _MB:,.0f} of {whole / _MB:,.0f} MB{left}"


def _short(name: str, limit: int = 24) -> str:
    return name if len(name) <= limit else f"{name[: limit - 9]}…{name[-8:]}"


def _left(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{seconds / 60:.0f} min"


def lost_lines(name: str, timeline: Timeline) -> list[str]:
    """What to say at once of a file of which something is missing: damage, not what its maker left out."""
    return [
        f"{name}: {loss.message}"
        for loss in timeline.losses
        if loss.code in ("truncated", "damaged", "limit")
    ]


def mode_of(metas: Sequence[TraceMeta], *, compare: bool, ranks: bool) -> Mode:
    """What several files are to each other. Raises CliError where nothing tells."""
    if compare and ranks:
        raise CliError("--compare and --ranks contradict each other", "give one of them")
    if len(metas) == 1:
        return _alone(compare=compare, ranks=ranks)
    if ranks:
        return "ranks"
    if compare or (len(metas) == 2 and not _share_a_job(metas)):
        if len(metas) != 2:
            raise CliError(f"{len(metas)} traces were named, and two can be compared", "name two")
        return "compare"
    if _share_a_job(metas):
        return "ranks"
    raise CliError(
        f"{len(metas)} traces that do not say that they are ranks of one job",
        "give --ranks if they are, name two of them to compare these, or name one",
    )


def _alone(*, compare: bool, ranks: bool) -> Mode:
    if compare:
        raise CliError("--compare is for two traces, and one was named", "name the other one too")
    return "ranks" if ranks else "alone"


def _share_a_job(metas: Sequence[TraceMeta]) -> bool:
    """Whether all are ranks of one world, each another."""
    numbers = {meta.rank for meta in metas}
    sizes = {meta.world_size for meta in metas}
    return None not in numbers and len(numbers) == len(metas) and len(sizes) == 1 and None not in sizes

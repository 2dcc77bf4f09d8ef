"""Corpus: recordings with their truths, from folders, archives of folders, or raw captures.

Whatever cannot be used is a `Problem` that names its file, and the others go on. Files may come from
anywhere: names never lead out of their folder, sizes are bounded, nothing but plain files is unpacked.
"""

from __future__ import annotations

import math
import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from benchmarks.workloads.spec import LABELS, Session, Truth

RESULTS = Path(__file__).resolve().parent.parent / "results"
SESSION = "session.json"
CAPTURE = "capture.tar.gz"
WHOLE = ("workloads", "workloads.tar.gz", "gpu-session.tar.gz")
TRUTH = ".truth.json"

JSON_LIMIT_BYTES = 4 << 20
MEMBER_LIMIT_BYTES = 256 << 20
ARCHIVE_LIMIT_BYTES = 2 << 30
MEMBERS_LIMIT = 20_000
# Shares are written with a few digits.
SUM_TOLERANCE = 0.01

T = TypeVar("T")


class CorpusError(Exception):
    """Nothing can be scored; the message says why and what to do."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is left out, and why."""

    file: str
    reason: str


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: its truth, where its stream is, and the session it belongs to.

    synthetic: any of truth, session says that no GPU produced it (the stream's header is asked on replay).
    """

    truth: Truth
    path: Path
    session: Session
    source: str
    synthetic: bool


class Corpus(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings of one kind, real or synthetic, and what was left out."""

    recordings: tuple[Recorded, ...]
    problems: tuple[Problem, ...]
    synthetic: bool
    skipped: dict[str, str] = {}


def found_folders(results: Path = RESULTS) -> list[Path]:
    """Folders and archives of recordings, and raw captures, under the results folder.

    Of one session's folder and archives, which hold the same, the first of WHOLE counts.
    """
    found: list[Path] = []
    for folder in sorted(path for path in results.glob("*") if path.is_dir()):
        found += [folder / name for name in WHOLE if (folder / name).exists()][:1]
        found += [folder / CAPTURE] if (folder / CAPTURE).is_file() else []
    return found


def read_corpus(paths: Sequence[Path], scratch: Path) -> Corpus:
    """Every recording under these paths. Raises CorpusError where real and synthetic ones are mixed."""
    recordings: list[Recorded] = []
    problems: list[Problem] = []
    skipped: dict[str, str] = {}
    for number, path in enumerate(paths):
        folder = _opened(path, scratch / str(number), problems)
        if folder is not None:
            recordings += _read_folder(folder, source_of(path), problems, skipped)
    kinds = {recorded.synthetic for recorded in recordings}
    if len(kinds) > 1:
        raise CorpusError(
            "recordings of a GPU and synthetic ones are never scored together: "
            "name folders of one kind with --recordings"
        )
    return Corpus(
        recordings=tuple(recordings), problems=tuple(problems), synthetic=True in kinds, skipped=skipped
    )


def real_alone(corpus: Corpus) -> Corpus:
    """The recordings that a GPU produced: what is looked for by default leaves others out without a word."""
    kept = tuple(r for r in corpus.recordings if not r.synthetic)
    return msgspec.structs.replace(corpus, recordings=kept, synthetic=False)


def source_of(path: Path) -> str:
    """What a folder or archive is called: by the folder of its GPU and date, where it lies in one."""
    usual = path.name in (*WHOLE, CAPTURE)
    return (path.parent.name if usual else path.name) or str(path)


def _opened(path: Path, scratch: Path, problems: list[Problem]) -> Path | None:
    """The folder itself, or the one into which an archive was unpacked; None with a problem noted."""
    if path.is_dir():
        return path
    if not path.is_file():
        problems.append(Problem(file=str(path), reason="does not exist"))
        return None
    scratch.mkdir(parents=True, exist_ok=True)
    unpack(path, scratch, problems)
    if (scratch / "summary.json").is_file() and not (scratch / SESSION).exists():
        from benchmarks.accuracy.capture import convert

        return convert(scratch, scratch / "converted", path, problems)
    return scratch


def unpack(archive: Path, folder: Path, problems: list[Problem]) -> None:
    """Plain files of a .tar.gz by their last name, flat. What comes before damage is kept."""

    def note(reason: str) -> None:
        problems.append(Problem(file=str(archive), reason=reason))

    left, members = ARCHIVE_LIMIT_BYTES, 0
    try:
        with tarfile.open(archive, "r|gz") as packed:
            for member in packed:
                members += 1
                if members > MEMBERS_LIMIT or left <= 0:
                    note("holds more than a session's recordings: the rest was not read")
                    return
                left -= _unpack_one(packed, member, folder, note)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        note(f"is damaged, what comes before the damage is used: {error or type(error).__name__}")


def _unpack_one(
    packed: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, note: Callable[[str], None]
) -> int:
    name = PurePosixPath(member.name).name
    if not member.isfile() or not name.endswith((".json", ".jsonl", ".jsonl.gz")):
        return 0
    if member.size > MEMBER_LIMIT_BYTES:
        note(f"{name} is larger than {MEMBER_LIMIT_BYTES >> 20} MiB and was not read")
        return 0
    stream = packed.extractfile(member)
    if stream is not None:
        (folder / name).write_bytes(stream.read())
    return member.size


def _read_folder(
    folder: Path, source: str, problems: list[Problem], skipped: dict[str, str]
) -> list[Recorded]:
    session = read_json(folder / SESSION, Session, problems)
    if session is None:
        return []
    skipped.update(session.skipped)
    truths = sorted(folder.glob(f"*{TRUTH}"))
    if not truths:
        problems.append(Problem(file=str(folder), reason="holds no recording with a truth"))
    made = (_recorded(path, session, source, problems) for path in truths)
    return [recorded for recorded in made if recorded is not None]


def _recorded(path: Path, session: Session, source: str, problems: list[Problem]) -> Recorded | None:
    truth = read_json(path, Truth, problems)
    if truth is None:
        return None
    wrong = _wrong(truth, path.parent)
    if wrong is not None:
        problems.append(Problem(file=str(path), reason=wrong))
        return None
    stream = path.parent / truth.recording
    return Recorded(
        truth=truth,
        path=stream,
        session=session,
        source=source,
        synthetic=session.synthetic or truth.synthetic,
    )


def _wrong(truth: Truth, folder: Path) -> str | None:
    """Why a truth cannot be used, or None. Empty shares are allowed: the class alone is known then."""
    if PurePosixPath(truth.recording).name != truth.recording or truth.recording in ("", ".", ".."):
        return "names a recording outside its folder"
    if not (folder / truth.recording).is_file():
        return f"its recording {truth.recording} is not there"
    if not set(truth.shares) <= set(LABELS):
        return f"has shares of unknown classes: {', '.join(sorted(set(truth.shares) - set(LABELS)))}"
    if not all(math.isfinite(share) and -1e-9 <= share <= 1 + 1e-9 for share in truth.shares.values()):
        return "has shares outside 0 to 1"
    if truth.shares and abs(math.fsum(truth.shares.values()) - 1.0) > SUM_TOLERANCE:
        return f"has shares that sum to {math.fsum(truth.shares.values()):.3f}, not to 1"
    return None


def read_json(path: Path, kind: type[T], problems: list[Problem]) -> T | None:
    """The record in a small JSON file; None with a problem noted."""
    try:
        if path.stat().st_size > JSON_LIMIT_BYTES:
            raise ValueError(f"larger than {JSON_LIMIT_BYTES >> 20} MiB")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        reason = "is not there"
    except (OSError, ValueError, RecursionError) as error:
        reason = f"cannot be read: {error}"
    problems.append(Problem(file=str(path), reason=reason))
    return None


def names_of(recordings: Iterable[Recorded]) -> list[str]:
    """The workloads' names, in order."""
    return [recorded.truth.name for recorded in recordings]

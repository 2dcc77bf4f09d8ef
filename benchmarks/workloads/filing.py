"""The folder of a recording session: what is in it, taking over an earlier one, and packing it."""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from advisor.reports.files import write_atomic
from benchmarks.workloads.spec import Session, Truth
from probes.record import ProbeReport, ProbeRun

RECORDING, TRUTH, SESSION = ".jsonl.gz", ".truth.json", "session.json"
# What `python -m probes --json` measured on every card of the session.
PROBES = "probes.json"
OURS = re.compile(r"[a-z0-9_]{1,60}(\.jsonl\.gz|\.truth\.json)|session\.json|probes\.json", re.ASCII)
# The largest file that is taken over from an archive.
MOST_BYTES = 256 * 1024**2


class FilingError(Exception):
    """Files of a session cannot be read, written or mixed; the message says why."""


def filed(folder: Path) -> dict[str, Truth]:
    """Name -> truth of what is recorded in `folder`: a truth that can be read beside its recording."""
    found = {}
    for path in sorted(folder.glob(f"*{TRUTH}")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            truth = msgspec.json.decode(path.read_bytes(), type=Truth)
            if path.name == truth.name + TRUTH and (folder / (truth.name + RECORDING)).is_file():
                found[truth.name] = truth
    return found


def write_truth(folder: Path, truth: Truth) -> None:
    """File a truth beside its recording."""
    _write(folder / (truth.name + TRUTH), truth)


def write_session(folder: Path, session: Session) -> None:
    """File session.json."""
    _write(folder / SESSION, session)


def probe_run(path: Path) -> ProbeRun:
    """What a file of probes holds. Raises FilingError where that is no probe run."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProbeRun)
    except (OSError, msgspec.MsgspecError) as error:
        raise FilingError(f"{path} holds no probe run: {error}") from error


def add_probes(file: Path, new: ProbeRun) -> None:
    """Add to a file of probes what it does not hold yet; a file that cannot be read is replaced."""
    known: tuple[ProbeReport, ...] = ()
    with contextlib.suppress(FilingError):
        known = probe_run(file).reports
    seen = {(report.device.key, report.t_s) for report in known}
    added = tuple(report for report in new.reports if (report.device.key, report.t_s) not in seen)
    _write(file, msgspec.structs.replace(new, reports=known + added))


def _write(path: Path, record: Session | Truth | ProbeRun) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def remove(folder: Path, name: str) -> None:
    """Take away what there is of a recording that failed."""
    for suffix in (RECORDING, TRUTH):
        (folder / (name + suffix)).unlink(missing_ok=True)


def packable(folder: Path) -> tuple[str, ...]:
    """Names of the files in `folder` that are whole: session.json, probes, recordings with truths."""
    names = sorted(name + suffix for name in filed(folder) for suffix in (RECORDING, TRUTH))
    return tuple(name for name in (SESSION, PROBES, *names) if (folder / name).is_file())


def pack(folder: Path) -> Path:
    """Everything of the session in one file beside the folder, replaced in one step."""
    packed = folder.with_name(f"{folder.name}.tar.gz")
    write_archive(packed, [(folder / name, f"{folder.name}/{name}") for name in packable(folder)])
    return packed


def write_archive(archive: Path, files: Iterable[tuple[Path, str]]) -> None:
    """Files under their names in the archive, which is replaced in one step."""
    part = archive.with_name(f".{archive.name}.part")
    with tarfile.open(part, "w:gz") as tar:
        for path, name in files:
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), int(path.stat().st_mtime)
            tar.addfile(member, io.BytesIO(content))
    part.replace(archive)


def taken_over(source: Path | None, folder: Path, new: Session) -> Session:
    """Prepare `folder` and give the session that goes on in it: `new`, with what `source` knew of versions,
    of cards and of what was skipped.

    Raises FilingError where the folder holds another session already, or `source` is of another model, or one
    of the two is synthetic and the other is not. Another card of the same model goes on: its ceilings are its
    own, by its UUID.
    """
    is_same = source is not None and _folder_in(source) == folder.resolve()
    if (folder / SESSION).exists() and not is_same:
        raise FilingError(f"{folder} holds a session already; add to it with --resume {folder.parent}")
    folder.mkdir(parents=True, exist_ok=True)
    if source is None:
        return new
    old = _session_in(source)
    check(old, new, source)
    if not is_same:
        _copy(source, folder)
    gpus = tuple(dict.fromkeys((*old.gpus, *new.gpus)))
    return msgspec.structs.replace(new, torch=old.torch, cupy=old.cupy, gpus=gpus, skipped=old.skipped)


def check(old: Session, new: Session, source: Path) -> None:
    """Raises FilingError where the two sessions are not to be mixed."""
    if old.synthetic != new.synthetic:
        kind = "synthetic" if old.synthetic else "of a real GPU"
        raise FilingError(f"{source} is {kind}, and this session is not; the two are never mixed")
    if old.device != new.device:
        raise FilingError(f"{source} was recorded on {old.device}, and this is {new.device}")


def _folder_in(source: Path) -> Path | None:
    """The folder with a session.json that `source` is or has; None for an archive."""
    if not source.is_dir():
        return None
    places = (source, source / "workloads", source / "gpu-session" / "workloads")
    return next((place for place in places if (place / SESSION).exists()), source).resolve()


def read_session(path: Path) -> Session:
    """A session.json. Raises FilingError."""
    try:
        return _session_of(path.read_bytes(), path.parent)
    except OSError as error:
        raise FilingError(f"{path} cannot be read: {error}") from error


def _session_of(content: bytes, source: Path) -> Session:
    try:
        return msgspec.json.decode(content, type=Session)
    except msgspec.MsgspecError as error:
        raise FilingError(f"session.json of {source} cannot be read: {error}") from error


def _session_in(source: Path) -> Session:
    for name, content in files(source):
        if name == SESSION:
            return _session_of(content, source)
    raise FilingError(f"there is no session.json in {source}")


def _copy(source: Path, folder: Path) -> None:
    for name, content in files(source):
        if name != SESSION:
            write_atomic(folder / name, content)


def files(source: Path, pattern: re.Pattern[str] = OURS) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of a session, whatever folder of an archive it is in.

    Raises FilingError where `source` cannot be read.
    """
    folder = _folder_in(source)
    if folder is not None:
        for path in sorted(folder.iterdir()):
            if pattern.fullmatch(path.name) and path.is_file():
                yield path.name, path.read_bytes()
        return
    try:
        with tarfile.open(source, "r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and pattern.fullmatch(name) and member.size <= MOST_BYTES:
                    file = tar.extractfile(member)
                    assert file is not None
                    yield name, file.read()
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise FilingError(f"{source} cannot be read: {error}") from error

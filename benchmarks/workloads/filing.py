"""The folder of a recording session: what is in it, taking over an earlier one, and packing it."""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from advisor.reports.files import write_atomic
from benchmarks.workloads.spec import Session, Truth

RECORDING, TRUTH, SESSION = ".jsonl.gz", ".truth.json", "session.json"
_OURS = re.compile(r"[a-z0-9_]{1,60}(\.jsonl\.gz|\.truth\.json)|session\.json", re.ASCII)
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


def _write(path: Path, record: Session | Truth) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def remove(folder: Path, name: str) -> None:
    """Take away what there is of a recording that failed."""
    for suffix in (RECORDING, TRUTH):
        (folder / (name + suffix)).unlink(missing_ok=True)


def pack(folder: Path) -> Path:
    """Everything of the session in one file beside the folder, replaced in one step."""
    packed = folder.with_name(f"{folder.name}.tar.gz")
    part = packed.with_name(f".{packed.name}.part")
    names = sorted(name + suffix for name in filed(folder) for suffix in (RECORDING, TRUTH))
    with tarfile.open(part, "w:gz") as tar:
        for name in (SESSION, *names):
            tar.add(folder / name, arcname=f"{folder.name}/{name}")
    part.replace(packed)
    return packed


def taken_over(source: Path | None, folder: Path, new: Session) -> Session:
    """Prepare `folder` and give the session that goes on in it: `new`, with what `source` knew of versions
    and of what was skipped.

    Raises FilingError where the folder holds another session already, or `source` is of another card, or one
    of the two is synthetic and the other is not.
    """
    is_same = source is not None and _folder_in(source) == folder.resolve()
    if (folder / SESSION).exists() and not is_same:
        raise FilingError(f"{folder} holds a session already; add to it with --resume {folder.parent}")
    folder.mkdir(parents=True, exist_ok=True)
    if source is None:
        return new
    old = _session_in(source)
    _check(old, new, source)
    if not is_same:
        _copy(source, folder)
    return msgspec.structs.replace(new, torch=old.torch, cupy=old.cupy, skipped=old.skipped)


def _check(old: Session, new: Session, source: Path) -> None:
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


def _session_in(source: Path) -> Session:
    for name, content in _files(source):
        if name == SESSION:
            try:
                return msgspec.json.decode(content, type=Session)
            except msgspec.MsgspecError as error:
                raise FilingError(f"session.json of {source} cannot be read: {error}") from error
    raise FilingError(f"there is no session.json in {source}")


def _copy(source: Path, folder: Path) -> None:
    for name, content in _files(source):
        if name != SESSION:
            write_atomic(folder / name, content)


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of a session, whatever folder of an archive it is in."""
    folder = _folder_in(source)
    if folder is not None:
        for path in sorted(folder.iterdir()):
            if _OURS.fullmatch(path.name) and path.is_file():
                yield path.name, path.read_bytes()
        return
    try:
        with tarfile.open(source, "r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and _OURS.fullmatch(name) and member.size <= MOST_BYTES:
                    file = tar.extractfile(member)
                    assert file is not None
                    yield name, file.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        raise FilingError(f"{source} cannot be read: {error}") from error

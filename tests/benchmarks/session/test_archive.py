"""The archive of a call: what is in it, and what the next call takes over."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.session import archive
from benchmarks.workloads import filing
from benchmarks.workloads.filing import FilingError
from benchmarks.workloads.spec import Session, Truth
from probes.record import ProbeRun
from tests.probes.reports import full


def session(**changes: Any) -> Session:
    """One of no GPU."""
    given: dict[str, Any] = {"device": "made-up card", "date": "2026-11-21", "driver": "1", "torch": "2"}
    given |= {"cupy": None, "synthetic": True, "seconds": 1.0, "command": "-"}
    return Session(**{**given, **changes})


def recorded(work: Path, *names: str, **changes: Any) -> None:
    """A folder of a call with these recordings, probes and a summary."""
    folder = work / "workloads"
    filing.write_session(folder, session(**changes))
    for name in names:
        (folder / f"{name}.jsonl.gz").write_bytes(name.encode())
        shares = {"idle": 1.0}
        given: dict[str, Any] = {"name": name, "family": "made", "label": "idle", "cause": "free"}
        given |= {"confirmed": True, "because": "-", "recording": f"{name}.jsonl.gz"}
        truth = Truth(**given, shares=shares, device="made-up card", synthetic=True)
        filing.write_truth(folder, truth)
    filing.add_probes(work / "probes.json", ProbeRun(reports=(full(),)))
    archive.write_json(work / "summary.json", {"calls": [{}], "device": "made-up card", "measured": False})


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


WHOLE = {
    "summary.json",
    "probes.json",
    "workloads/session.json",
    "workloads/copy.jsonl.gz",
    "workloads/copy.truth.json",
}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The archive of a call that was cut off while it recorded `triad`."""
    work, out = tmp_path / "work", tmp_path / "out"
    recorded(work, "copy")
    (work / "workloads" / "triad.jsonl.gz").write_bytes(b"half")
    (work / "workloads.tar.gz").write_bytes(b"the same once more")
    (work / ".probes.json").write_bytes(b"{}")
    out.mkdir()
    return archive.pack(work, out)


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_next_call_finds_everything_whole(packed: Path, tmp_path: Path, is_folder: bool) -> None:
    new = tmp_path / "new"
    archive.unpack(packed.parent if is_folder else packed, new)
    assert _files(new) == WHOLE
    assert filing.probe_run(new / "probes.json").reports == (full(),)
    assert list(filing.filed(new / "workloads")) == ["copy"]


def test_no_more_than_three_files_are_left(packed: Path) -> None:
    assert {path.name for path in packed.parent.iterdir()} == {"gpu-session.tar.gz", "summary.json"}


def test_recordings_alone_are_taken_over_with_their_probes(tmp_path: Path) -> None:
    """What the recorder wrote by itself, as a folder or packed."""
    recorded(tmp_path / "old", "copy")
    folder = tmp_path / "old" / "workloads"
    (tmp_path / "old" / "probes.json").rename(folder / "probes.json")
    for number, source in enumerate((tmp_path / "old", folder, filing.pack(folder))):
        archive.unpack(source, tmp_path / str(number))
        assert _files(tmp_path / str(number)) == WHOLE - {"summary.json"}


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(msgspec.json.encode(session()))
    hostile = tmp_path / "hostile.tar.gz"
    with tarfile.open(hostile, "w:gz") as tar:
        for name in ("../../summary.json", "/tmp/session.json", "w/.bashrc", "w/summaryxjson"):
            tar.add(content, name)
    archive.unpack(hostile, tmp_path / "new")
    assert _files(tmp_path / "new") == {"summary.json", "workloads/session.json"}


def test_what_holds_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    for name, words in (
        ("empty", "holds nothing"),
        ("bad.tar.gz", "cannot be read"),
        ("no", "cannot be read"),
    ):
        with pytest.raises(FilingError, match=words):
            archive.unpack(tmp_path / name, tmp_path / "new")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"copy": {"label": "memory"}}'])
def test_a_summary_of_something_else_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(FilingError, match=r"summary\.json of the earlier call"):
        archive.read_summary(tmp_path)


def test_an_archive_that_fails_leaves_the_one_before(packed: Path, tmp_path: Path) -> None:
    before = packed.read_bytes()
    (tmp_path / "out" / ".gpu-session.tar.gz.part").mkdir()
    with pytest.raises(OSError):
        archive.pack(tmp_path / "work", packed.parent)
    assert packed.read_bytes() == before

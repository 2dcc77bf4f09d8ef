"""The folder of a session: what counts as recorded, what can be taken over, and what is packed."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.workloads import filing
from benchmarks.workloads.filing import FilingError
from benchmarks.workloads.spec import Session, Truth
from probes.record import ProbeRun
from tests.probes.reports import facts, full


def _session(**changes: Any) -> Session:
    given: dict[str, Any] = {"device": "made-up card", "date": "2026-11-21", "driver": "1", "torch": "2"}
    given |= {"cupy": None, "synthetic": True, "seconds": 1.0, "command": "-"}
    return Session(**{**given, **changes})


def _truth(name: str) -> Truth:
    return Truth(
        name=name,
        family="made",
        label="idle",
        cause="free",
        shares={"idle": 1.0},
        confirmed=True,
        because="-",
        recording=f"{name}.jsonl.gz",
        device="made-up card",
        synthetic=True,
    )


def _filed(folder: Path, *names: str, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    filing.write_session(folder, _session(**changes))
    for name in names:
        (folder / f"{name}.jsonl.gz").write_bytes(name.encode())
        filing.write_truth(folder, _truth(name))
    return folder


def test_recorded_is_what_has_both_files(tmp_path: Path) -> None:
    folder = _filed(tmp_path / "workloads", "copy", "triad", "sort")
    (folder / "triad.jsonl.gz").unlink()
    (folder / "sort.truth.json").write_text("{")
    (folder / "free.jsonl.gz").write_bytes(b"half")
    assert list(filing.filed(folder)) == ["copy"]


def test_packed_is_what_is_recorded(tmp_path: Path) -> None:
    folder = _filed(tmp_path / "workloads", "copy")
    (folder / "free.jsonl.gz").write_bytes(b"half")
    packed = filing.pack(folder)
    with tarfile.open(packed) as tar:
        names = tar.getnames()
    assert packed == tmp_path / "workloads.tar.gz"
    assert names == [f"workloads/{n}" for n in ("session.json", "copy.jsonl.gz", "copy.truth.json")]


def test_probes_of_several_cards_are_kept_once_each(tmp_path: Path) -> None:
    file = tmp_path / "probes.json"
    first, second = (full(t_s=1.0, device=facts(key=key)) for key in ("GPU-1", "GPU-2"))
    for reports in ((first,), (first, second), (second,)):
        filing.add_probes(file, ProbeRun(reports=reports))
    assert [report.device.key for report in filing.probe_run(file).reports] == ["GPU-1", "GPU-2"]


def test_a_damaged_file_of_probes_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "probes.json"
    file.write_text("{")
    filing.add_probes(file, ProbeRun(reports=(full(),)))
    assert len(filing.probe_run(file).reports) == 1


def test_another_card_of_the_same_model_goes_on_and_brings_its_probes(tmp_path: Path) -> None:
    old = _filed(tmp_path / "old", "copy", gpus=("GPU-1",))
    filing.add_probes(old / "probes.json", ProbeRun(reports=(full(),)))
    packed = filing.pack(old)
    new = filing.taken_over(packed, tmp_path / "new", _session(gpus=("GPU-2",)))
    assert new.gpus == ("GPU-1", "GPU-2")
    assert filing.probe_run(tmp_path / "new" / "probes.json").reports == (full(),)


@pytest.mark.parametrize("place", ["", "workloads", "gpu-session/workloads"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_earlier_session_is_taken_over(tmp_path: Path, place: str, packed: bool) -> None:
    old = _filed(tmp_path / "old" / place, "copy", skipped={"sort": "no time"}, cupy="13")
    source = filing.pack(old) if packed else tmp_path / "old"
    new = filing.taken_over(source, tmp_path / "new" / "workloads", _session(date="2026-11-22", torch=None))
    assert (new.date, new.torch, new.cupy, new.skipped) == ("2026-11-22", "2", "13", {"sort": "no time"})
    assert list(filing.filed(tmp_path / "new" / "workloads")) == ["copy"]
    assert (tmp_path / "new" / "workloads" / "copy.jsonl.gz").read_bytes() == b"copy"


def test_a_session_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    folder = _filed(tmp_path / "workloads", "copy")
    filing.taken_over(tmp_path, folder, _session())
    filing.taken_over(folder, folder, _session())
    assert list(filing.filed(folder)) == ["copy"]


def test_a_session_is_not_written_over(tmp_path: Path) -> None:
    folder = _filed(tmp_path / "workloads", "copy")
    with pytest.raises(FilingError, match="holds a session already"):
        filing.taken_over(None, folder, _session())


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"synthetic": False}, "never mixed"), ({"device": "another card"}, "was recorded on made-up card")],
)
def test_sessions_of_another_kind_are_not_mixed(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    _filed(tmp_path / "old", "copy")
    with pytest.raises(FilingError, match=words):
        filing.taken_over(tmp_path / "old", tmp_path / "new", _session(**changes))
    assert not filing.filed(tmp_path / "new")


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    """Names are cut to their last part, links and strangers are left out."""
    content = tmp_path / "content"
    content.write_bytes(msgspec.json.encode(_session()))
    archive = tmp_path / "hostile.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(content, "../../session.json")
        tar.add(content, "../../outside.truth.json")
        tar.add(content, "w/.bashrc")
        link = tarfile.TarInfo("w/link.jsonl.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    filing.taken_over(archive, tmp_path / "new" / "workloads", _session())
    assert [p.name for p in (tmp_path / "new" / "workloads").iterdir()] == ["outside.truth.json"]
    assert {p.name for p in tmp_path.iterdir()} == {"content", "hostile.tar.gz", "new"}


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(b"no archive")
    for source, words in ((bad, "cannot be read"), (tmp_path / "nothing", "cannot be read")):
        with pytest.raises(FilingError, match=words):
            filing.taken_over(source, tmp_path / "new", _session())
    (tmp_path / "empty").mkdir()
    with pytest.raises(FilingError, match=r"no session\.json"):
        filing.taken_over(tmp_path / "empty", tmp_path / "new", _session())

"""Recordings are found and read; whatever cannot be used is named, and the others go on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import msgspec
import pytest

from benchmarks.accuracy.corpus import Corpus, CorpusError, found_folders, names_of, read_corpus, real_alone
from benchmarks.accuracy.replay import replay_all
from benchmarks.accuracy.run import replay_corpus
from tests.benchmarks.accuracy.recordings import make, write


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as out:
        out.add(folder, arcname="workloads")
    return archive


def read(tmp_path: Path, *paths: Path) -> Corpus:
    return read_corpus(paths, tmp_path / "scratch")


def test_a_folder_and_its_archive_hold_the_same(tmp_path: Path) -> None:
    folder = make(tmp_path / "workloads", ("copy", "one_block"))
    archive = packed(folder, tmp_path / "workloads.tar.gz")
    plain, unpacked = read(tmp_path, folder), read(tmp_path, archive)
    assert names_of(plain.recordings) == names_of(unpacked.recordings) == ["copy", "one_block"]
    assert plain.synthetic and not plain.problems and plain.skipped == {"spmv": "no cupy"}


def test_real_and_synthetic_recordings_are_never_scored_together(tmp_path: Path) -> None:
    made = make(tmp_path / "a", ("copy",)), make(tmp_path / "b", ("copy",), synthetic=False)
    with pytest.raises(CorpusError, match="never scored together"):
        read(tmp_path, *made)


def test_what_is_filed_is_found_and_synthetic_ones_are_left_out_of_it(tmp_path: Path) -> None:
    make(tmp_path / "x100-2026" / "workloads", ("copy",), synthetic=False)
    make(tmp_path / "made-up" / "workloads", ("copy",))
    corpora = [real_alone(read(tmp_path, path)) for path in found_folders(tmp_path)]
    assert [len(c.recordings) for c in corpora] == [0, 1]


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"recording": "../copy.jsonl.gz"}, "outside its folder"),
        ({"recording": "gone.jsonl.gz"}, "is not there"),
        ({"shares": {"memory": 0.7}}, "sum to 0.700"),
        ({"shares": {"dram": 1.0}}, "unknown classes: dram"),
        ({"shares": {"memory": 2.0, "host": -1.0}}, "outside 0 to 1"),
    ],
)
def test_a_hostile_truth_is_named_and_the_others_go_on(
    tmp_path: Path, change: dict[str, object], because: str
) -> None:
    folder = make(tmp_path / "workloads", ("copy", "one_block"))
    path = folder / "copy.truth.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | change))
    corpus = read(tmp_path, folder)
    assert names_of(corpus.recordings) == ["one_block"]
    assert [because in p.reason and p.file.endswith("copy.truth.json") for p in corpus.problems] == [True]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"name": 1}', b"null"])
def test_a_garbage_truth_is_named(tmp_path: Path, content: bytes) -> None:
    folder = make(tmp_path / "workloads", ("copy", "one_block"))
    (folder / "copy.truth.json").write_bytes(content)
    corpus = read(tmp_path, folder)
    assert len(corpus.recordings) == len(corpus.problems) == 1


def test_damaged_streams_are_named_and_the_others_are_scored(tmp_path: Path) -> None:
    folder = make(tmp_path / "workloads", ("copy", "one_block", "conv_net", "adam_step"))
    whole = (folder / "copy.jsonl.gz").read_bytes()
    (folder / "copy.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "one_block.jsonl.gz").write_bytes(b"\x1f\x8bgarbage")
    (folder / "conv_net.jsonl.gz").write_bytes(b"")
    replays, problems = replay_corpus(read(tmp_path, folder), ablations=False)
    assert [r.recorded.truth.name for r in replays] == ["adam_step"]
    assert sorted(Path(p.file).name for p in problems) == [
        "conv_net.jsonl.gz",
        "copy.jsonl.gz",
        "one_block.jsonl.gz",
    ]


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "workloads.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        for name in ("../../escaped.json", "/tmp/escaped.json", "workloads/run.sh"):
            member = tarfile.TarInfo(name)
            member.size = 2
            out.addfile(member, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("session.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    corpus = read(tmp_path, archive)
    assert not corpus.recordings and "session.json" in corpus.problems[0].file
    assert sorted(p.name for p in (tmp_path / "scratch").rglob("*")) == ["0", "escaped.json"]


def test_a_cut_archive_gives_what_comes_before_the_cut(tmp_path: Path) -> None:
    archive = packed(make(tmp_path / "workloads"), tmp_path / "workloads.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-2000])
    corpus = read(tmp_path, archive)
    assert any("damaged" in p.reason for p in corpus.problems)
    assert not read(tmp_path, tmp_path / "nothing").recordings


def test_a_stream_that_is_not_a_folders_kind_shows(tmp_path: Path) -> None:
    folder = make(tmp_path / "workloads", ("copy",))
    truth = write(folder, "copy")
    assert truth.synthetic
    (recorded,) = read(tmp_path, folder).recordings
    claimed = msgspec.structs.replace(recorded, synthetic=False)
    replayed = replay_all(claimed, (), ablations=False)
    assert getattr(replayed, "synthetic", None) is True


def test_a_folder_counts_once_where_its_archive_lies_beside_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "x100-2026" / "workloads", ("copy",), synthetic=False)
    packed(folder, folder.with_name("workloads.tar.gz"))
    packed(folder, folder.with_name("gpu-session.tar.gz"))
    capture = folder.with_name("capture.tar.gz")
    capture.touch()
    assert found_folders(tmp_path) == [folder, capture]


def test_a_whole_sessions_archive_is_read_by_its_recordings(tmp_path: Path) -> None:
    folder = make(tmp_path / "session" / "workloads", ("copy",))
    for name in ("summary.json", "facts.json", "probes.json"):
        (folder.parent / name).write_text("{}")
    archive = packed(folder.parent, tmp_path / "gpu-session.tar.gz")
    corpus = read(tmp_path, archive)
    assert names_of(corpus.recordings) == ["copy"] and not corpus.problems

"""The document and what is printed of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.corpus import read_corpus
from benchmarks.accuracy.document import SYNTHETIC_CLAIM, Document, encode, make
from benchmarks.accuracy.parts import CONSTRUCTION
from benchmarks.accuracy.report import NO_REAL, WIDTH, as_markdown, counted, text
from benchmarks.accuracy.run import known_rivals, replay_corpus
from tests.benchmarks.accuracy import recordings


@cache
def document(*, synthetic: bool = True) -> Document:
    """Of the planted recordings, one of which has a truth that says something else than its counters."""
    with TemporaryDirectory() as kept:
        folder = recordings.make(Path(kept) / "workloads", synthetic=synthetic)
        recordings.write(
            folder,
            "adam_step",
            synthetic=synthetic,
            label="compute",
            cause="fp32-pipe",
            name="mislabelled\x1b[2J",
        )
        recordings.write(folder, "conv_net", synthetic=synthetic, confirmed=False, because="too slow")
        recordings.write(folder, "one_block", synthetic=synthetic, confirmed=False, because=CONSTRUCTION)
        corpus = read_corpus([folder], Path(kept) / "scratch")
        replays, problems = replay_corpus(corpus, ablations=True)
        return make(replays, corpus, problems, known_rivals())


def test_the_document_has_every_part_asked_for() -> None:
    said = json.loads(encode(document()))
    assert said["synthetic"] is True and said["device"] == "made-up" and said["part"] == "validation"
    for tier in ("counters", "nvml"):
        keys = {"n", "accuracy", "abstained", "confident_mistakes", "share_error", "brier"}
        assert keys <= set(said["tiers"][tier])
        assert (
            sum(sum(line.values()) for line in said["confusion"][tier].values()) == said["tiers"][tier]["n"]
        )
    assert set(said["rivals"]) == {rival.name for rival in known_rivals()}
    assert len(said["workloads"]) == len(recordings.PLANTED)
    assert set(said["ablations"]) == {"no-probes", "no-host", "1s"}
    assert said["skipped"] == {"spmv": "no cupy"}


def test_the_headline_is_of_the_validation_part() -> None:
    doc = document()
    parts = {which: found["counters"].n for which, found in doc.parts.items()}
    assert parts["tuning"] + parts["validation"] == parts["all"]
    assert doc.tiers == doc.parts["validation"] and 0 < parts["validation"] < parts["all"]


def test_an_unconfirmed_truth_is_listed_and_not_counted() -> None:
    doc = document()
    assert doc.unconfirmed == ("conv_net", "one_block")
    assert doc.parts["all"]["counters"].n == len(doc.workloads) - 2
    assert "conv_net: truth not confirmed by its accounting: too slow" in text(doc)


def test_a_truth_by_construction_alone_is_scored_apart() -> None:
    doc = document()
    assert {tier: m.n for tier, m in doc.construction.items()} == {"counters": 1, "nvml": 1}
    (apart,) = (w for w in doc.workloads if w.because == CONSTRUCTION)
    accuracy = {tier: m.accuracy for tier, m in doc.construction.items()}
    assert accuracy == {tier: float(said.right) for tier, said in apart.tiers.items()}
    assert accuracy["nvml"] == 1.0
    assert "By construction alone, in no other figure" in text(doc)
    assert "By construction alone, in no other figure" in as_markdown(document(synthetic=False))
    assert any("one_block" in line and "construction" in line for line in text(doc).splitlines())


def test_recordings_are_counted_by_class() -> None:
    doc = document()
    by_class = doc.tiers["counters"].by_class
    assert f"Counted in the validation part: {counted(doc)}." in " ".join(text(doc).split())
    assert sum(int(part.split()[1]) for part in counted(doc).split(", ")) == doc.tiers["counters"].n
    assert f"compute {by_class['compute'].n}" in counted(doc)


def test_failures_are_listed_with_what_decided_them() -> None:
    said = " ".join(text(document()).split())
    assert "mislabelled" in said and "is compute, judged memory (dram-bandwidth)" in said
    assert "Truth memory 1.00; verdict memory 1.00" in said and "roof fraction" in said


def test_the_report_fits_a_terminal_and_hostile_names_do_nothing_there() -> None:
    said = text(document())
    assert max(map(len, said.splitlines())) <= WIDTH
    assert "\x1b" not in said
    assert "\x1b" not in as_markdown(document(synthetic=False))


def test_synthetic_recordings_say_so_first_and_give_no_results_section() -> None:
    assert text(document()).splitlines()[0] == SYNTHETIC_CLAIM
    assert as_markdown(document()) == f"{NO_REAL}\n"
    assert SYNTHETIC_CLAIM not in text(document(synthetic=False))


def test_recordings_of_a_gpu_give_a_results_section() -> None:
    said = as_markdown(document(synthetic=False))
    assert said.startswith("made-up, recorded 2026-01-01.") and "| counters | " in said
    assert "Wrong verdicts" in said


def test_the_command_prints_json_or_writes_it(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = recordings.make(tmp_path / "workloads", ("copy", "adam_step"))
    out = tmp_path / "accuracy.json"
    given = ["--recordings", str(folder), "--json", "--no-ablations", "--only", "all"]
    assert main(given) == 0 and main([*given, "-o", str(out)]) == 0
    printed = capfdbinary.readouterr().out
    assert printed == out.read_bytes()
    doc = msgspec.json.decode(printed)
    assert doc["part"] == "all" and doc["tiers"]["counters"]["n"] == 2 and doc["ablations"] == {}


def test_nothing_to_score_is_said_with_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recordings.make(tmp_path / "workloads", ("copy",))
    (folder / "copy.jsonl.gz").write_bytes(b"nonsense")
    assert main(["--recordings", str(folder)]) == 2
    assert "copy.jsonl.gz" in capsys.readouterr().err


def test_a_synthetic_stream_filed_as_real_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recordings.make(tmp_path / "workloads", ("copy", "adam_step"), synthetic=False)
    recordings.write_stream(folder / "copy.jsonl.gz", {}, {}, synthetic=True)
    assert main(["--recordings", str(folder)]) == 2
    assert "synthetic" in capsys.readouterr().err

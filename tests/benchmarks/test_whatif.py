"""The benchmark of what-ifs: which fixes it compares, what it claims, and what it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.accuracy.corpus import read_corpus
from benchmarks.accuracy.simulated.corpus import make
from benchmarks.whatif import FIXES, NOT_SPOKEN_OF, Result, _result, against, compare_all, fix_of, main, text
from benchmarks.workloads.catalogue import FAMILIES, WORKLOADS
from rules.finding import Effect
from rules.whatif import Lever, WhatIf
from rules.whatifs.registry import named

NAMES = ("loader_workers0", "pageable_copies", "gemm_fp32_no_tf32", "copy", "decode_gemv_eager")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulated")
    make(made, seed=3, names=NAMES, seconds=6.0)
    return made


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return compare_all(read_corpus([folder], folder / "unpacked"))


def test_every_known_fix_is_compared_or_left_out_with_a_reason() -> None:
    assert set(FIXES) | set(NOT_SPOKEN_OF) <= {*WORKLOADS, *FAMILIES}
    assert all(named(slug) for slug in FIXES.values())
    silent = [w.name for w in WORKLOADS.values() if w.fix and fix_of(w.name, w.family) is None]
    assert {WORKLOADS[name].family for name in silent} == set(NOT_SPOKEN_OF)


def test_simulated_recordings_claim_nothing(result: Result) -> None:
    assert result.synthetic
    assert result.aims_met is None
    assert "claims nothing" in result.claims
    assert "not shown" in text(result)


def test_predictions_stand_beside_measurements(result: Result) -> None:
    rows = {row.name: row for row in result.rows}
    assert set(rows) == {"loader_workers0", "pageable_copies", "gemm_fp32_no_tf32"}
    assert result.compared == 3
    loader = rows["loader_workers0"]
    assert loader.fix == "host-gap"
    assert loader.low is not None
    assert loader.high is not None
    assert loader.proposed
    assert loader.width == pytest.approx(loader.high / loader.low)
    assert result.proposed == sum(row.proposed for row in result.rows) > 0
    assert "within 2 % of the range" in text(result)
    assert "median width" in text(result)
    assert result.left_out["copy"].startswith("no known fix")
    assert "doubling" in result.left_out["decode_gemv_eager"]


def test_fixes_that_did_not_run_leave_an_empty_table(folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus([folder], tmp_path)
    bare = [
        msgspec.structs.replace(r, truth=msgspec.structs.replace(r.truth, speedup=None))
        for r in corpus.recordings
    ]
    result = compare_all(msgspec.structs.replace(corpus, recordings=tuple(bare)))
    assert result.rows == ()
    assert result.inside_frac is None
    assert "nothing is claimed" in text(result)
    assert "no measured speed-up" in result.left_out["loader_workers0"]


def test_a_damaged_recording_is_named_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    make(tmp_path, seed=3, names=NAMES[:2], seconds=6.0)
    damaged = tmp_path / "pageable_copies.jsonl.gz"
    damaged.write_bytes(damaged.read_bytes()[:200])
    result = compare_all(read_corpus([tmp_path], tmp_path / "unpacked"))
    assert [row.name for row in result.rows] == ["loader_workers0"]
    assert "pageable_copies" in result.problems[0].file


@pytest.mark.parametrize(
    ("low", "high", "inside"),
    [(1.2, 1.6, True), (2.0, 3.0, False), (1.0, 1.47, True), (1.0, 1.45, False), (1.51, 2.0, True)],
)
def test_inside_is_within_the_range_and_two_percent(
    low: float, high: float, inside: bool, folder: Path, tmp_path: Path
) -> None:
    recorded = read_corpus([folder], tmp_path).recordings[0]
    truth = msgspec.structs.replace(recorded.truth, speedup=1.49)
    said = WhatIf(
        fix="host-gap",
        title="",
        key="GPU-0",
        gpu=0,
        effect=Effect(low=low, high=high, basis=""),
        levers=(Lever(share="host"),),
    )
    row = against(msgspec.structs.replace(recorded, truth=truth), said)
    assert row.inside is inside
    assert row.error_frac == pytest.approx(abs((low * high) ** 0.5 / 1.49 - 1))


def test_what_is_refused_is_counted_apart(folder: Path, tmp_path: Path) -> None:
    recorded = read_corpus([folder], tmp_path).recordings[0]
    said = WhatIf(fix="host-gap", title="", key="GPU-0", gpu=0, refused="nobody asks")
    row = against(recorded, said)
    assert (row.inside, row.error_frac, row.said) == (None, None, "nobody asks")
    good = msgspec.structs.replace(
        row, inside=True, low=1.0, high=2.0, width=2.0, error_frac=0.1, proposed=True
    )
    unseen = msgspec.structs.replace(good, inside=True, width=6.0, proposed=False)
    result = _result([good, unseen, row, row], {}, (), synthetic=False)
    assert (result.inside_frac, result.aims_met) == (0.5, False)
    assert (result.proposed, result.proposed_inside_frac, result.proposed_median_width) == (1, 1.0, 2.0)
    assert result.median_width == 4.0


def test_from_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "whatif.json"
    assert main(["--json", "--recordings", str(folder), "-o", str(out)]) == 0
    assert msgspec.json.decode(out.read_bytes(), type=Result).compared == 3
    assert main(["--recordings", str(tmp_path / "missing")]) == 2
    assert "does not exist" in capsys.readouterr().err

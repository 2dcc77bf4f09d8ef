"""The fit looks at the tuning part alone, moves a threshold only for a gain, and refuses made-up data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.accuracy import fit
from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.corpus import CorpusError, names_of, read_corpus
from benchmarks.accuracy.fit import Point, chosen, curve, present, thresholds, tuning_of
from benchmarks.accuracy.trial import Job, Outcome, evaluate, run
from rules import calibration as tables
from tests.benchmarks.accuracy.recordings import make

NAME = "ROOF_HIGH"


def planted(best: tuple[float, float]) -> fit.Scorer:
    """A scorer by which the threshold is right within these bounds."""

    def score(asked: Sequence[Mapping[str, float]]) -> list[Outcome]:
        return [Outcome(right=10 + (best[0] <= v[NAME] <= best[1]), n=20, share_error=0.1) for v in asked]

    return score


def test_only_confirmed_recordings_of_the_tuning_part_are_looked_at(tmp_path: Path) -> None:
    corpus = read_corpus([make(tmp_path / "workloads")], tmp_path / "scratch")
    assert names_of(tuning_of(corpus)) == ["copy", "gemm_bf16", "one_block"]
    unconfirmed = read_corpus([make(tmp_path / "other", confirmed=False)], tmp_path / "scratch")
    assert tuning_of(unconfirmed) == []


def test_a_threshold_moves_for_a_gain_alone_and_into_the_middle_of_the_flat() -> None:
    now = present([NAME])[NAME]
    assert curve(planted((0.0, 1.0)), NAME, {NAME: now}, now).chosen == now
    higher = curve(planted((1.05 * now, 1.4 * now)), NAME, {NAME: now}, now)
    assert higher.chosen == pytest.approx(1.2 * now)
    assert higher.flat == pytest.approx((1.1 * now, 1.35 * now))
    lines = thresholds(planted((1.05 * now, 1.4 * now)), [NAME])
    assert f"  {NAME}: {now:g} -> {1.2 * now:g}" in lines
    assert "present thresholds stay" in thresholds(planted((0.0, 1.0)), [NAME])[-1]


def test_the_longest_of_several_best_stretches_is_taken() -> None:
    points = [Point(v, right) for v, right in ((1, 5), (2, 4), (3, 5), (4, 5), (5, 5), (6, 4))]
    assert chosen(points, 2) == 4


def test_a_trial_changes_thresholds_wherever_they_are_read_and_in_its_own_process_alone(
    tmp_path: Path,
) -> None:
    corpus = read_corpus([make(tmp_path / "workloads", ("gemm_bf16", "copy"))], tmp_path / "scratch")
    pairs = tuple((str(r.path), r.truth) for r in corpus.recordings)
    as_they_are = evaluate(Job(values={}, recordings=pairs))
    assert (as_they_are.right, as_they_are.n) == (4, 4)
    other = run(Job(values={NAME: 0.999, "NVML_MEM_UTIL_CEILING": 5.0}, recordings=pairs))
    assert other.n == 4 and other.right < 4
    assert evaluate(Job(values={}, recordings=pairs)) == as_they_are
    with pytest.raises(RuntimeError, match="NO_SUCH"):
        run(Job(values={"NO_SUCH": 1.0}, recordings=()))


def test_synthetic_recordings_are_refused_unless_asked_for(tmp_path: Path) -> None:
    folder = make(tmp_path / "workloads")
    corpus = read_corpus([folder], tmp_path / "scratch")
    with pytest.raises(CorpusError, match="never fitted on synthetic"):
        fit.fit(corpus, synthetic_too=False, names=())
    said = fit.fit(corpus, synthetic_too=True, names=())
    assert said.startswith(fit.SYNTHETIC_FIT) and "3 recordings of the tuning part" in said
    assert main(["--recordings", str(folder), "--fit"]) == 2
    real = read_corpus([make(tmp_path / "real", synthetic=False)], tmp_path / "scratch")
    assert "SYNTHETIC" not in fit.fit(real, synthetic_too=False, names=())


def test_the_printed_table_is_one_that_the_rules_take(tmp_path: Path) -> None:
    corpus = read_corpus([make(tmp_path / "workloads")], tmp_path / "scratch")
    said = fit.fit(corpus, synthetic_too=True, names=())
    lines = [
        line for line in said[said.index('    "counters"') :].splitlines() if not line.strip().startswith("#")
    ]
    made = eval("{" + "\n".join(lines) + "}", {"Table": tables.Table})  # noqa: S307
    assert set(made) == {"counters", "nvml"} and 1 <= made["counters"].n <= 3
    assert 0.0 < tables.calibrated(0.97, "counters", made) < 1.0


def test_confidences_are_fitted_as_they_are_before_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables.Table(knots=((0.0, 0.1),), source="", n=1, date="", device="")
    monkeypatch.setitem(tables.TABLES, "counters", table)
    with fit.uncalibrated():
        assert tables.calibrated(0.8, "counters") == 0.8
    assert tables.calibrated(0.8, "counters") == 0.1

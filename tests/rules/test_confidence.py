"""Scores, and the table that turns them into confidence."""

from __future__ import annotations

import pytest

from rules.calibration import TABLES, Table, calibrated, provenance
from rules.confidence import FRAGILE, UNCALIBRATED, cap, confidence, raw
from rules.evidence import Tier
from rules.noise import Noise
from rules.verdict import Class


def noise(lead: float, *, chance: float = 0.0, ceilings: float = 0.0, fragile: bool = False) -> Noise:
    return Noise(lead=lead, against="compute", chance=chance, ceilings=ceilings, fragile=fragile)


def table(*knots: tuple[float, float]) -> Table:
    return Table(knots=knots, source="planted", n=10, date="2000-01-01", device="made-up card")


def score(found: Noise, seconds: float = 60.0) -> float:
    return raw("memory", found, seconds, 0.0, "counters", "measured")


def test_a_lead_of_one_error_is_right_five_times_in_six() -> None:
    assert score(noise(0.1, chance=0.0995)) == pytest.approx(0.8413, abs=1e-3)


def test_more_lead_more_time_and_less_noise_make_surer() -> None:
    assert score(noise(0.05, chance=0.05)) < score(noise(0.07, chance=0.05)) < score(noise(0.07, chance=0.04))
    assert score(noise(0.5), seconds=1.0) < score(noise(0.5), seconds=3.0)


def test_caps_hold_by_tier_label_and_plausible_error() -> None:
    wide = noise(0.9)
    assert score(wide) == cap("memory", "counters", "measured") == 0.97
    assert raw("memory", wide, 60.0, 0.0, "nvml", "measured") == 0.70
    assert raw("memory", wide, 60.0, 0.2, "counters", "measured") == 0.80
    assert score(noise(0.9, fragile=True)) == pytest.approx(FRAGILE * 0.97)
    assert FRAGILE < 0.9


def told(class_: Class, tier: Tier = "counters", **more: bool) -> float:
    found = noise(0.9, **more)
    return confidence(class_, noise=found, observed_s=60.0, unknown=0.0, tier=tier, label="measured")


def test_without_a_table_nothing_inferred_is_given_as_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """That nothing runs is measured; what limits the work is a conclusion that nobody has counted."""
    inferred: tuple[Class, ...] = ("compute", "memory", "device", "communication", "host")
    assert [told(class_) for class_ in inferred] == [UNCALIBRATED] * 5
    assert told("idle") == 0.99
    assert told("memory", "nvml") == 0.70
    assert told("memory", fragile=True) < UNCALIBRATED
    monkeypatch.setitem(TABLES, "counters", table((0.5, 0.5), (0.97, 0.95)))
    assert told("memory") == 0.95
    assert told("host", "trace") == UNCALIBRATED, "another tier's table counts nothing here"


def test_nothing_decided_is_no_confidence() -> None:
    cases: tuple[tuple[Class, Noise | None], ...] = (("unknown", noise(0.5)), ("memory", None))
    for class_, found in cases:
        assert confidence(class_, noise=found, observed_s=60.0, unknown=0.0, tier="counters", label=None) == 0


def test_without_recordings_of_real_gpus_confidence_is_the_score() -> None:
    assert TABLES == {}
    assert calibrated(0.83, "counters") == 0.83
    assert provenance("nvml").startswith("uncalibrated")


def test_a_table_is_read_along_straight_lines_and_flat_outside() -> None:
    tables: dict[Tier, Table] = {"nvml": table((0.5, 0.6), (0.7, 0.9))}
    found = [calibrated(score, "nvml", tables) for score in (0.1, 0.5, 0.6, 0.7, 0.9)]
    assert found == pytest.approx([0.6, 0.6, 0.75, 0.9, 0.9])
    assert calibrated(0.6, "counters", tables) == 0.6
    assert "10 recordings" in provenance("nvml", tables)


@pytest.mark.parametrize("knots", [(), ((0.5, 1.2),), ((0.5, 0.6), (0.5, 0.7)), ((0.4, 0.6), (0.5, 0.5))])
def test_a_table_that_does_not_rise_is_refused(knots: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        table(*knots)

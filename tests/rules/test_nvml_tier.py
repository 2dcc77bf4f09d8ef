"""Before Hopper: utilisation, memory-controller time and power alone. Figures are planted."""

from __future__ import annotations

from typing import Any

import pytest

from rules.classify import split
from rules.decide import decide
from rules.evidence import Device, SubWindow
from rules.roofs import Limits, roofs
from rules.verdict import Verdict
from tests.rules.loads import evidence

LIMITS = Limits(power_w=400.0, limit_w=400.0, sm_mhz=1410.0)


def sample(t_s: float = 1.0, **figures: Any) -> SubWindow:
    given: dict[str, Any] = {
        "has_process": True,
        "gr_active": 1.0,
        "mem_util_frac": 0.1,
        "power_w": 150.0,
        "sm_mhz": 1410.0,
        **figures,
    }
    return SubWindow(t_s=t_s, duration_s=1.0, **given)


def verdict_of(**figures: Any) -> Verdict:
    windows = tuple(sample(float(i + 1), **figures) for i in range(30))
    device = Device(name="made-up card", power_limit_w=400.0, sm_mhz_max=1410.0)
    return decide(evidence(windows, tier="nvml", device=device), None)


@pytest.mark.parametrize(
    ("load", "class_"),
    [
        ({"mem_util_frac": 0.35, "power_w": 398.0}, "compute"),
        ({"mem_util_frac": 0.92, "power_w": 270.0}, "memory"),
        ({"mem_util_frac": 0.92, "power_w": 330.0}, "memory"),
        ({"mem_util_frac": 0.01, "power_w": 90.0, "launching": True}, "host"),
        ({"mem_util_frac": 0.01, "power_w": 90.0}, "device"),
        ({"gr_active": 0.0, "mem_util_frac": 0.0, "power_w": 60.0}, "idle"),
        ({"gr_active": 0.4, "mem_util_frac": 0.1, "power_w": 200.0}, "host"),
    ],
)
def test_each_kind_of_load_is_told_apart(load: dict[str, Any], class_: str) -> None:
    verdict = verdict_of(**load)
    assert verdict.class_ == class_
    assert verdict.confidence <= (0.99 if class_ == "idle" else 0.70)


def test_a_pegged_thread_is_weaker_evidence_than_a_roof() -> None:
    launching = verdict_of(mem_util_frac=0.01, power_w=90.0, launching=True)
    assert 0.0 < launching.confidence < verdict_of(mem_util_frac=0.92, power_w=270.0).confidence


def test_a_gemm_at_half_duty_is_a_gemm_while_it_runs() -> None:
    """Half of the time at 400 W and half at rest, at 60 W: power is shared out over the busy half."""
    parts = split(sample(gr_active=0.5, mem_util_frac=0.15, power_w=230.0), "nvml", None, LIMITS).seconds
    assert parts["host"] == pytest.approx(0.5)
    assert parts["compute"] == pytest.approx(0.5, abs=0.03)


def test_power_of_a_clock_that_is_held_down_is_compared_with_what_it_allows() -> None:
    slow = sample(power_w=220.0, sm_mhz=705.0, throttle_reasons=("sw_thermal",))
    rest = sample(power_w=220.0, sm_mhz=705.0, throttle_reasons=("gpu_idle",))
    found, resting = roofs(slow, "nvml", None, LIMITS), roofs(rest, "nvml", None, LIMITS)
    assert found.pipe is not None and resting.pipe is not None
    assert found.pipe > 1.8 * resting.pipe


def test_at_the_power_limit_a_load_uses_all_there_is() -> None:
    capped = sample(power_w=250.0, throttle_reasons=("sw_power_cap",))
    assert roofs(capped, "nvml", None, LIMITS).pipe == 1.0


def test_the_probes_power_is_full_power_where_the_limit_is_never_met() -> None:
    hungry = roofs(sample(power_w=280.0), "nvml", None, Limits(power_w=300.0, limit_w=400.0))
    other = roofs(sample(power_w=280.0), "nvml", None, Limits(power_w=400.0, limit_w=400.0))
    assert hungry.pipe is not None and other.pipe is not None and hungry.pipe > other.pipe


def test_without_power_or_memory_time_neither_roof_can_be_ruled_out() -> None:
    assert split(sample(power_w=None), "nvml", None, LIMITS).seconds["unknown"] == pytest.approx(1.0)
    assert split(sample(mem_util_frac=None), "nvml", None, LIMITS).seconds["unknown"] == pytest.approx(1.0)


def test_a_mix_of_both_is_divided_and_not_called_latency() -> None:
    parts = split(sample(mem_util_frac=0.55, power_w=330.0), "nvml", None, LIMITS).seconds
    assert parts["memory"] > 0.2 and parts["compute"] > 0.2
    assert parts.get("device", 0.0) < 0.1

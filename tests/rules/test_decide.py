from __future__ import annotations

from typing import Any

import pytest

from rules.decide import decide
from rules.evidence import HostEvidence
from rules.hysteresis import HOLD_S, Steady
from rules.verdict import Verdict
from tests.rules.loads import CEILINGS, Load, evidence, series

COMPUTE: Load = {"tensor_active": 0.76, "hmma": 0.76}
MEMORY: Load = {"dram_active": 0.86}


def verdict_of(*parts: tuple[int, Load], host: HostEvidence | None = None, **more: Any) -> Verdict:
    return decide(evidence(series(*parts), host=host, **more), CEILINGS)


@pytest.mark.parametrize(
    ("load", "class_", "cause"),
    [
        ({"has_process": False, "gr_active": 0.0}, "idle", "free"),
        ({"gr_active": 0.0}, "idle", "idle-held"),
        (MEMORY, "memory", "dram-bandwidth"),
        (COMPUTE, "compute", "tensor-cores"),
        ({"fp32": 0.75}, "compute", "fp32-pipe"),
        ({"sm_active": 0.03, "sm_occupancy": 0.01}, "device", "small-grid"),
        ({"sm_active": 0.95, "sm_occupancy": 0.06}, "device", "low-occupancy"),
        ({"sm_active": 0.95, "sm_occupancy": 0.5}, "device", "latency"),
    ],
)
def test_each_class_and_cause(load: Load, class_: str, cause: str) -> None:
    verdict = verdict_of((50, load))
    assert (verdict.class_, verdict.cause) == (class_, cause)
    assert verdict.confidence > 0.8
    assert verdict.headline.startswith("GPU 0 (H100 80GB HBM3) is ")
    assert all(m.margin >= 0 for m in verdict.margins)


def test_a_mix_says_both_parts_and_its_phases() -> None:
    verdict = verdict_of((35, MEMORY), (15, COMPUTE))
    assert verdict.class_ == "memory"
    assert verdict.secondary == "compute"
    assert verdict.shares["memory"] == pytest.approx(0.7)
    assert verdict.shares["compute"] == pytest.approx(0.3)
    assert [p.class_ for p in verdict.phases] == ["memory", "compute"]


def test_a_long_quiet_stretch_is_an_idle_phase_and_a_short_one_the_hosts() -> None:
    quiet: Load = {"gr_active": 0.0}
    assert [p.class_ for p in verdict_of((20, COMPUTE), (30, quiet)).phases] == ["compute", "idle"]
    assert [p.class_ for p in verdict_of((20, COMPUTE), (10, quiet)).phases] == ["compute", "host"]
    assert [p.class_ for p in verdict_of((10, quiet)).phases] == ["idle"]


def test_flicker_is_one_phase() -> None:
    parts = [(1, MEMORY if i % 2 else COMPUTE) for i in range(40)]
    assert len(verdict_of(*parts).phases) == 1


def test_a_large_host_gap_comes_before_a_larger_roof_share() -> None:
    starved: Load = {"gr_active": 0.6, "dram_active": 0.6 * 0.85}
    verdict = verdict_of((50, starved))
    assert (verdict.class_, verdict.secondary) == ("host", "memory")
    small_gap = verdict_of((50, {"gr_active": 0.8, "dram_active": 0.8 * 0.85}))
    assert (small_gap.class_, small_gap.secondary) == ("memory", "host")
    near = verdict_of((50, {"gr_active": 0.71, "dram_active": 0.71 * 0.85}))
    assert near.confidence < small_gap.confidence


def test_heat_is_the_secondary_cause() -> None:
    hot: Load = {**COMPUTE, "sm_mhz": 1200.0, "throttle_reasons": ("hw_thermal",)}
    verdict = verdict_of((50, hot), throttle_frac={"hw_thermal": 1.0})
    assert verdict.class_ == "compute"
    assert verdict.secondary_cause == "thermal"
    assert verdict.shares["throttle"] > 0.3


def test_too_little_data_is_unknown_and_says_how_much_is_needed() -> None:
    verdict = verdict_of((3, COMPUTE))
    assert (verdict.class_, verdict.cause, verdict.confidence) == ("unknown", "no-data", 0.0)
    assert "watch for" in verdict.unknown_because[0]


def test_no_data_at_all_has_shares_that_say_unknown() -> None:
    verdict = decide(evidence(()), CEILINGS)
    assert verdict.shares["unknown"] == 1.0
    assert verdict.useful_frac is None


def test_a_lost_gpu_is_unknown_whatever_it_did_before() -> None:
    verdict = verdict_of((50, COMPUTE), lost_reason="GPU is lost")
    assert (verdict.class_, verdict.cause) == ("unknown", "gpu-lost")
    assert "GPU is lost" in verdict.headline


def test_a_silent_driver_is_unknown() -> None:
    verdict = verdict_of((50, COMPUTE), silent_since_s=8.0)
    assert (verdict.class_, verdict.cause) == ("unknown", "driver-silent")


def test_an_unknown_card_gets_no_roof_verdict_and_says_so() -> None:
    verdict = decide(evidence(series((50, COMPUTE))), None)
    assert verdict.class_ == "unknown"
    assert any("no ceiling is known" in reason for reason in verdict.unknown_because)


def test_an_unknown_card_can_still_be_host_bound() -> None:
    verdict = decide(evidence(series((50, {"gr_active": 0.2}))), None)
    assert verdict.class_ == "host"


def test_nvml_tier_is_less_sure_and_says_why() -> None:
    load: Load = {"mem_util_frac": 0.95, "power_w": 500.0, "sm_active": None}
    verdict = decide(
        evidence(series((50, load)), tier="nvml", missing={"gpm": "needs Hopper or newer"}), CEILINGS
    )
    assert verdict.class_ == "memory"
    assert verdict.confidence <= 0.70
    assert any("needs Hopper" in reason for reason in verdict.unknown_because)


def test_assumed_ceilings_cap_confidence() -> None:
    import msgspec

    readings = tuple(msgspec.structs.replace(r, label="assumed") for r in CEILINGS.readings)
    assumed = msgspec.structs.replace(CEILINGS, label="assumed", readings=readings)
    sure = decide(evidence(series((50, COMPUTE))), CEILINGS).confidence
    less = decide(evidence(series((50, COMPUTE))), assumed).confidence
    assert less < sure


def mix(memory: int, compute: int) -> Verdict:
    """Ten seconds in which both take turns within every second."""
    return verdict_of(*[(memory, MEMORY), (compute, COMPUTE)] * 10)


def test_a_live_verdict_waits_before_it_changes_and_faults_do_not() -> None:
    steady = Steady()
    first, other = mix(3, 2), mix(2, 3)
    lost = verdict_of((50, COMPUTE), lost_reason="GPU is lost")
    assert steady.update(first, 0.0).class_ == "memory"
    held = steady.update(other, 1.0)
    assert (held.class_, held.secondary, held.margins) == ("memory", "compute", ())
    assert "DRAM bandwidth limits it" in held.headline and "tensor cores limit it" in held.headline
    assert steady.update(other, 1.0 + HOLD_S).class_ == "compute"
    assert steady.update(lost, 1.1 + HOLD_S).class_ == "unknown"


def test_a_lead_about_as_large_as_its_noise_does_not_flicker() -> None:
    steady = Steady()
    named, close = mix(3, 2), verdict_of((25, MEMORY), (25, COMPUTE))
    assert (close.class_, close.cause) == ("unknown", "within-noise")
    shown = [steady.update(close if i % 2 else named, float(i)).class_ for i in range(20)]
    assert set(shown) == {"memory"}
    assert steady.update(close, 21.0).confidence <= 0.5
    assert steady.update(close, 21.0 + HOLD_S).class_ == "unknown"
    assert steady.update(named, 22.0 + HOLD_S).class_ == "memory", "what stands out again is said at once"


def test_two_rivals_in_turn_do_not_wait_for_each_other() -> None:
    """A change must hold as one class: seeing now one, now another, is no reason to change."""
    steady = Steady()
    steady.update(mix(3, 2), 0.0)
    host = verdict_of(*[(3, {"gr_active": 0.0}), (2, MEMORY)] * 10)
    slow = verdict_of((50, {"gr_active": 0.68, "dram_active": 0.6}))
    compute = mix(2, 3)
    assert {host.class_, slow.class_} == {"host"} and compute.class_ == "compute"
    shown = [steady.update(slow if i % 2 else compute, i * 2.0).class_ for i in range(1, 10)]
    assert set(shown) == {"memory"}


def test_a_clear_change_shows_at_once() -> None:
    steady = Steady()
    assert steady.update(verdict_of((50, MEMORY)), 0.0).class_ == "memory"
    assert steady.update(verdict_of((50, COMPUTE)), 0.5).class_ == "compute"

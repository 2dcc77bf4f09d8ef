from __future__ import annotations

from typing import Any

import pytest

from rules.decide import decide
from rules.evidence import HostEvidence
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


def test_an_engine_that_runs_while_no_sm_has_work_leaves_the_limit_unknown() -> None:
    stuck = {
        "gr_active": 1.0,
        "sm_active": 0.0,
        "sm_occupancy": 0.0,
        "dram_active": 0.0,
        "tensor_active": 0.0,
    }
    verdict = decide(evidence(series((40, {**stuck, "tensor_active": 0.0}))), CEILINGS)
    assert (verdict.class_, verdict.cause) == ("unknown", "contradictory-counters")
    assert "contradict each other: 100 % of the time" in verdict.headline
    assert verdict.settle


def test_the_headline_tells_what_limits_from_what_held_down_clocks_cost() -> None:
    hot = {**COMPUTE, "sm_mhz": 990.0, "throttle_reasons": ("sw_thermal",)}
    verdict = decide(evidence(series((50, hot)), throttle_frac={"sw_thermal": 1.0}), CEILINGS)
    compute, lost = verdict.shares["compute"], verdict.shares["throttle"]
    assert lost > 0.3
    said = f"{compute:.0%} of the time; also, heat holds its clocks down, which costs {lost:.0%}."
    assert verdict.headline.endswith(said.replace("%", " %"))


def test_a_clock_that_a_setting_holds_is_lost_time() -> None:
    low = {**COMPUTE, "sm_mhz": 990.0, "throttle_reasons": ("app_clocks",)}
    verdict = decide(evidence(series((50, low)), throttle_frac={"app_clocks": 1.0}), CEILINGS)
    assert verdict.shares["throttle"] > 0.3
    assert (verdict.class_, verdict.secondary_cause) == ("compute", "pinned-clocks")

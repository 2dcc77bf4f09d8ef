"""Rules of clocks and temperatures: what they need, what keeps them silent, what they promise."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rules.evidence import Device
from rules.finding import Finding
from rules.registry import Context, run_rules
from tests.rules.contexts import PROBED, make_context, make_evidence

TOP = {"sm_mhz_max": 1980.0}
LIMIT = {"power_limit_w": 700.0}


def found(ctx: Context, code: str) -> Finding | None:
    return next((f for f in run_rules(ctx) if f.code == code), None)


def working(device: dict[str, Any], sm_mhz: float | None = 1900.0, **more: Any) -> Context:
    evidence = make_evidence({"gr_active": 0.9, "sm_mhz": sm_mhz}, device=device, **more)
    return make_context(evidence, class_="compute", compute=0.9)


def test_a_setting_below_the_maximum_names_the_clock_and_what_it_costs() -> None:
    made = found(working({**TOP, "sm_mhz_limit": 990.0}, 990.0), "DEV010")
    assert made is not None
    assert "990 of 1980 MHz" in made.claim
    assert made.share == pytest.approx(0.45)
    assert made.effect is not None
    assert made.effect.high == pytest.approx(1 / (0.1 + 0.45))
    assert made.usd_h == 0.0 and made.term is None
    assert made.severity == "medium"
    assert "-rgc" in made.actions[0] and "-rac" in made.actions[0]


def test_a_clock_that_a_setting_holds_is_lost_time_in_the_ladder_and_the_finding_alike() -> None:
    evidence = make_evidence(
        {"gr_active": 0.9, "sm_mhz": 990.0},
        device={**TOP, "sm_mhz_limit": 990.0},
        throttle_frac={"app_clocks": 1.0},
    )
    made = found(make_context(evidence, class_="compute", compute=0.45, throttle=0.45), "DEV010")
    assert made is not None
    assert made.term == "throttle"
    assert made.usd_h == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("device", "sm_mhz", "reasons"),
    [
        ({"sm_mhz_limit": 990.0}, 900.0, {}),  # what the board could do is unknown
        ({**TOP, "sm_mhz_limit": 1900.0}, 1900.0, {}),  # close to the maximum
        (TOP, 1600.0, {}),  # lower, but not by much, and nothing names a setting
        (TOP, 1200.0, {"sw_power_cap": 0.9}),  # something else holds it
        (TOP, None, {}),
    ],
)
def test_a_clock_is_not_called_pinned_without_a_reason(
    device: dict[str, Any], sm_mhz: float | None, reasons: dict[str, float]
) -> None:
    assert found(working(device, sm_mhz, throttle_frac=reasons), "DEV010") is None


def test_the_drivers_own_reason_counts_and_a_clock_that_stands_still_counts_less() -> None:
    named = found(working(TOP, 1600.0, throttle_frac={"app_clocks": 0.9}), "DEV010")
    still = found(working(TOP, 1200.0), "DEV010")
    assert named is not None and still is not None
    assert still.confidence < named.confidence < 1.0
    assert "no reason is given" in still.claim


def test_a_clock_that_moves_is_not_locked() -> None:
    ctx = working(TOP, 1200.0)
    first, *rest = ctx.evidence.windows
    moved = (msgspec.structs.replace(first, sm_mhz=1100.0), *rest)
    evidence = msgspec.structs.replace(ctx.evidence, windows=moved)
    assert found(make_context(evidence, class_="compute", compute=0.9), "DEV010") is None


def test_an_idle_gpus_low_clocks_are_its_own_business() -> None:
    low = {**TOP, "mem_mhz": 400.0, "mem_mhz_max": 2619.0}
    evidence = make_evidence({"gr_active": 0.0, "sm_mhz": 345.0}, device=low)
    ctx = make_context(evidence, class_="idle", free=1.0)
    assert found(ctx, "DEV010") is None and found(ctx, "DEV016") is None


def test_a_slow_memory_clock_costs_what_is_memory_bound() -> None:
    evidence = make_evidence({"gr_active": 0.9}, device={"mem_mhz": 1500.0, "mem_mhz_max": 2500.0})
    bound = found(make_context(evidence, class_="memory", memory=0.5), "DEV016")
    other = found(make_context(evidence, class_="compute", compute=0.5), "DEV016")
    assert bound is not None and other is not None
    assert bound.share == pytest.approx(0.2) and bound.severity == "medium"
    assert (other.share, other.severity, other.effect) == (0.0, "low", None)
    near = make_evidence({"gr_active": 0.9}, device={"mem_mhz": 10001.0, "mem_mhz_max": 10501.0})
    assert found(make_context(near, memory=0.5), "DEV016") is None


@pytest.mark.parametrize(("persistence", "process", "says"), [
    (False, False, True), (True, False, False), (None, False, False), (False, True, False),
    (False, None, False),
])  # fmt: skip
def test_persistence_matters_where_nobody_holds_the_gpu(
    persistence: bool | None, process: bool | None, says: bool
) -> None:
    evidence = make_evidence({"has_process": process}, device={"persistence": persistence})
    assert (found(make_context(evidence), "DEV011") is not None) is says


def test_heat_that_has_not_settled_is_told_of_work_that_follows_the_clock() -> None:
    assert found(working({"settled": False}), "DEV017") is not None
    assert found(working({"settled": True}), "DEV017") is None
    assert found(working({}), "DEV017") is None
    evidence = make_evidence({"gr_active": 0.9}, device={"settled": False})
    assert found(make_context(evidence, class_="memory", memory=0.9), "DEV017") is None


@pytest.mark.parametrize(
    ("celsius", "severity"), [(None, None), (89.0, None), (91.0, "medium"), (95.0, "high")]
)
def test_memory_heat_by_degree(celsius: float | None, severity: str | None) -> None:
    made = found(make_context(make_evidence(device={"mem_temp_c_max": celsius})), "DEV020")
    assert (made.severity if made else None) == severity


@pytest.mark.parametrize(
    ("limit", "celsius", "severity"), [(105.0, 99.0, None), (105.0, 100.0, "medium"), (85.0, 86.0, "high")]
)
def test_the_boards_own_memory_limit_counts(limit: float, celsius: float, severity: str | None) -> None:
    device = {"mem_temp_c_max": celsius, "mem_temp_limit_c": limit}
    made = found(make_context(make_evidence(device=device)), "DEV020")
    assert (made.severity if made else None) == severity
    assert made is None or made.evidence[1].source == "NVML, of this board"


@pytest.mark.parametrize(("busy", "seconds", "says"), [(0.9, 10, True), (0.03, 10, False), (0.9, 2, False)])
def test_a_clock_is_read_of_a_card_at_work_for_a_while(busy: float, seconds: int, says: bool) -> None:
    ctx = working(TOP, 345.0)
    idle = make_evidence({"gr_active": 0.0, "sm_mhz": 345.0}).windows
    at_work = make_evidence({"gr_active": busy, "sm_mhz": 345.0}).windows[: 5 * seconds]
    windows = (*at_work, *idle[len(at_work) :])
    evidence = msgspec.structs.replace(ctx.evidence, windows=windows, throttle_frac={"app_clocks": 0.9})
    assert (found(make_context(evidence, class_="compute", compute=0.9), "DEV010") is not None) is says
    probed = make_context(
        msgspec.structs.replace(evidence, throttle_frac={}, device=make_evidence(device=LIMIT).device),
        class_="compute",
        compute=0.9,
        ceilings=PROBED,
    )
    assert (found(probed, "DEV018") is not None) is says


def test_nothing_is_said_of_a_card_that_tells_nothing() -> None:
    silent = msgspec.structs.replace(working({}), evidence=make_evidence())
    bare = msgspec.structs.replace(silent.evidence, device=Device(name="unknown"))
    codes = {f.code for f in run_rules(msgspec.structs.replace(silent, evidence=bare))}
    assert not {c for c in codes if c.startswith(("DEV01", "DEV02", "SW"))}

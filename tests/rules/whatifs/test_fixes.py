"""Each fix: its range, basis, cost and refusals, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from rules.economics import amdahl
from rules.finding import Effect, Price
from rules.verdict import EvidenceItem
from rules.whatifs.anchors import BATCH_CURVE, curve_step_s, curve_tok_s, weights_part
from rules.whatifs.case import Replica
from rules.whatifs.registry import UnknownFixError, all_fixes, named
from tests.rules.whatifs.made import (
    LARGE,
    OWN,
    SMALL,
    ask,
    ceilings,
    listed,
    make_case,
    make_finding,
    make_serving,
)

HMMA = {"pipe": "hmma"}
FREE = Price(usd_h=None, basis="none", source="")


def effect_of(one: object) -> tuple[float, float]:
    effect = one.effect  # type: ignore[attr-defined]
    assert effect is not None
    return effect.low, effect.high


def test_the_host_gap_costs_what_is_left_of_the_price() -> None:
    one = ask(make_case(host=0.4, compute=0.6), "host-gap")
    assert effect_of(one) == pytest.approx((1.25, 1 / 0.6))
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((6.0, 8.0))
    assert one.outlook == "faster"


def test_a_gap_of_unknown_cause_may_not_close() -> None:
    effect = Effect(low=1.0, high=1 / 0.6, bound=1 / 0.6, basis="no cause is known")
    found = make_finding("HOST001", effect=effect)
    one = ask(make_case(host=0.4, compute=0.6, findings=(found,)), "host-gap")
    assert effect_of(one) == pytest.approx((1.0, 1 / 0.6))
    assert one.outlook == "uncertain"


@pytest.mark.parametrize(
    ("shares", "cause", "because"),
    [
        ({"host": 0.97, "compute": 0.03}, "", "hardly anything ran"),
        ({"host": 0.5, "compute": 0.5}, "no-demand", "nobody asks"),
    ],
)
def test_gaps_of_which_nothing_can_be_said(shares: dict[str, Any], cause: str, because: str) -> None:
    one = ask(make_case(verdict={"cause": cause}, **shares), "host-gap")
    assert one.effect is None
    assert because in (one.refused or "")


def test_without_a_price_there_are_no_dollars() -> None:
    one = ask(make_case(price=FREE, host=0.4, compute=0.6), "host-gap")
    assert (one.usd_h_low, one.usd_h_high, one.price_usd_h) == (None, None, None)


def copies(part: float) -> EvidenceItem:
    return EvidenceItem(metric="part of the gap that PCIe copies fill", value=part)


LIMIT = EvidenceItem(metric="typical pinned copy on this link", value=50e9)


def test_pinning_by_this_cards_own_copies() -> None:
    found = make_finding("HOST005", evidence=(copies(0.3), LIMIT))
    rates: dict[str, Any] = {"h2d_pinned": 50e9, "h2d_pageable": 12.5e9}
    one = ask(
        make_case(host=0.6, compute=0.4, limits=ceilings("measured", **rates), findings=(found,)), "HOST005"
    )
    assert one.basis == "measured"
    assert effect_of(one) == pytest.approx((amdahl(0.6, 4.0), 2.5))
    assumed = ask(make_case(host=0.6, compute=0.4, limits=ceilings(**rates), findings=(found,)), "pin-memory")
    assert assumed.basis == "anchor"
    assert effect_of(assumed)[0] == pytest.approx(1.03)


def test_copies_that_cross_faster_than_pageable_ones_are_pinned_already() -> None:
    found = make_finding("HOST005", evidence=(copies(0.9), LIMIT))
    limits = ceilings("measured", h2d_pinned=50e9, h2d_pageable=12.5e9)
    one = ask(make_case(host=0.6, compute=0.4, limits=limits, findings=(found,)), "pin-memory")
    assert one.basis == "anchor"
    assert effect_of(one)[0] == pytest.approx(1.03)


def test_graphs_by_this_cards_own_launches() -> None:
    limits = ceilings("measured", launch_interval=2e-6, graph_node=1e-6, dispatch_eager=10e-6)
    case = make_case(host=0.8, compute=0.2, verdict={"cause": "launch-rate"}, limits=limits)
    one = ask(case, "cuda-graphs")
    assert one.basis == "measured"
    assert effect_of(one) == pytest.approx((amdahl(0.8, 2.0), amdahl(0.8, 10.0)))
    anchored = ask(make_case(host=0.8, compute=0.2, verdict={"cause": "launch-rate"}), "HOST002")
    assert anchored.basis == "anchor"
    assert effect_of(anchored) == pytest.approx((1.03, 2.27))


def test_what_nothing_speaks_for_is_said_to_whoever_asks() -> None:
    case = make_case(host=0.4, compute=0.6)
    assert not {"cuda-graphs", "pin-memory"} & set(listed(case))
    one = ask(case, "cuda-graphs")
    assert effect_of(one) == pytest.approx((1.0, 1 / 0.6))
    assert "was not seen" in one.assumes[0]


def test_fp8_can_be_slower_and_a_large_batch_gains_a_little() -> None:
    small = ask(make_case(memory=0.9, compute=0.1, verdict=HMMA), "fp8")
    assert effect_of(small)[0] == pytest.approx(0.81)
    assert small.outlook == "uncertain"
    large = make_case(memory=1.0, verdict=HMMA, serving=make_serving(running=256.0))
    low, high = effect_of(ask(large, "fp8"))
    assert low == pytest.approx(1.08)
    assert low <= high == pytest.approx(amdahl(weights_part(256), 2.0))


def test_only_weights_shrink_and_less_so_in_a_large_batch() -> None:
    """H100, Llama-3.1-8B: at most 1.49x at batch 8 and 1.10x at batch 256 from bandwidth alone."""
    bounds = [amdahl(weights_part(batch), 2.0) for batch in (8, 256)]
    assert bounds == [pytest.approx(1.49, abs=0.03), pytest.approx(1.10, abs=0.01)]


def test_fp8_on_measured_ceilings_is_measured() -> None:
    one = ask(make_case(compute=1.0, verdict=HMMA, limits=ceilings("measured")), "fp8")
    assert one.basis == "measured"
    assert effect_of(one) == pytest.approx((0.81, 1.75))


def test_a_card_whose_int8_rate_nobody_measured_refuses() -> None:
    case = make_case(compute=1.0, verdict=HMMA, evidence={"server": "vllm"})
    assert "int8 rate is not known" in (ask(case, "int8").refused or "")
    assert listed(case)["int8"].refused


def test_tf32_for_fp32_work_alone() -> None:
    one = ask(make_case(compute=0.8, memory=0.2, verdict={"pipe": "fp32"}), "tf32")
    assert effect_of(one) == pytest.approx((1.0, amdahl(0.8, 8.0)))
    assert "tf32" not in listed(make_case(compute=1.0, verdict=HMMA))


def test_bf16_halves_bytes_too() -> None:
    one = ask(make_case(compute=0.5, memory=0.5, verdict={"pipe": "fp32"}), "bf16")
    assert effect_of(one) == pytest.approx((1.0, 1 / (0.5 / 16 + 0.25)))


def test_a_batch_grows_to_what_the_cache_holds() -> None:
    figures = {"running": 16.0, "waiting": 5.0, "usd_per_mtok": 1.0}
    one = ask(make_case(memory=1.0, serving=make_serving(kv_use_frac=0.225, **figures)), "batch")
    assert effect_of(one) == pytest.approx((3391 / 1954, 5147 / 1954))
    assert one.usd_per_mtok_low == pytest.approx(1954 / 5147)
    assert one.usd_per_mtok_high == pytest.approx(1954 / 3391)


@pytest.mark.parametrize(
    ("figures", "because"),
    [
        ({"running": 300.0, "waiting": 9.0}, "knee"),
        ({"running": 16.0, "waiting": 9.0, "kv_use_frac": 0.89}, "KV cache"),
        ({"running": 16.0, "waiting": 0.0}, "no request waits"),
    ],
)
def test_batches_that_cannot_grow(figures: dict[str, float], because: str) -> None:
    assert because in (ask(make_case(memory=1.0, serving=make_serving(**figures)), "batch").refused or "")


def test_the_curve_is_what_was_published_and_never_falls() -> None:
    assert all(curve_tok_s(batch) == pytest.approx(rate) for batch, rate in BATCH_CURVE)
    rates = [curve_tok_s(batch) for batch in range(0, 900, 7)]
    assert rates == sorted(rates)
    assert curve_step_s(8) == pytest.approx(7.5e-3, rel=0.03)


def test_a_cheaper_card_for_memory_bound_work() -> None:
    """(p2/BW2)/(p1/BW1) = (4/1.5)/(10/3) = 0.8."""
    used = {"mem_used_bytes": 10 << 30}
    case = make_case(memory=1.0, evidence=used, candidates=(OWN, SMALL, LARGE))
    one = ask(case, "smaller-gpu")
    assert one.title == "Move to S50"
    assert effect_of(one) == pytest.approx((0.45, 0.55))
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((4 / 0.55, 4 / 0.45))
    assert one.outlook == "slower"
    larger = ask(case, "larger-gpu")
    assert (larger.title, larger.outlook) == ("Move to L200", "faster")


def test_a_card_that_waits_anyway_loses_nothing_on_a_slower_one() -> None:
    case = make_case(idle_held=0.8, memory=0.2, evidence={"mem_used_bytes": 1 << 30}, candidates=(OWN, SMALL))
    one = ask(case, "smaller-gpu")
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((4.0, 4.0))


@pytest.mark.parametrize(
    ("used", "candidates", "because"),
    [
        (60 << 30, (OWN, SMALL), "holds its 60 GiB"),
        (None, (OWN, SMALL), "was not read"),
        (1 << 30, (SMALL,), "no price in the list"),
    ],
)
def test_cards_that_cannot_be_compared(
    used: int | None, candidates: tuple[object, ...], because: str
) -> None:
    case = make_case(memory=1.0, evidence={"mem_used_bytes": used}, candidates=candidates)  # type: ignore[arg-type]
    assert because in (ask(case, "smaller-gpu").refused or "")


def test_a_missed_objective_forbids_a_slower_card() -> None:
    case = make_case(
        memory=1.0,
        evidence={"mem_used_bytes": 1 << 30},
        serving=make_serving(slo_met_frac=0.9),
        candidates=(OWN, SMALL),
    )
    assert "objective" in (ask(case, "smaller-gpu").refused or "")


def starved(running: float, kv: float) -> dict[str, float]:
    return {"running": running, "kv_use_frac": kv, "waiting": 0.0}


def test_starved_replicas_become_one() -> None:
    case = make_case(
        memory=1.0,
        evidence={"server": "vllm"},
        serving=make_serving(**starved(6.0, 0.1), usd_per_mtok=2.0),
        replicas=tuple(Replica(key=f"GPU-{i}", gpu=i, running=8.0, kv_use_frac=0.2) for i in (1, 2, 3)),
    )
    one = ask(case, "replicas")
    assert one.title == "Serve the same with 1 of 4 replicas"
    assert (one.price_low, one.price_high) == (0.25, 0.5)
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((2.5, 5.0))
    assert (one.usd_per_mtok_low, one.usd_per_mtok_high) == pytest.approx((0.5, 1.0))


def test_replicas_nobody_asked_say_how_to() -> None:
    case = make_case(memory=1.0, evidence={"server": "vllm"}, replicas=(Replica(key="GPU-1", gpu=1),))
    assert "advisor serving" in (ask(case, "replicas").refused or "")


def test_busy_replicas_stay() -> None:
    others = (Replica(key="GPU-1", gpu=1, running=200.0, kv_use_frac=0.8),)
    case = make_case(
        memory=1.0,
        evidence={"server": "vllm"},
        serving=make_serving(**starved(200.0, 0.8)),
        replicas=others,
    )
    assert "replicas" not in listed(case)


def test_a_power_cap_saves_watts_and_no_rent() -> None:
    drawn = {"power_w_p90": 700.0, "power_w_p50": 690.0}
    memory = ask(make_case(memory=1.0, evidence=drawn, card={"power_limit_w": 700.0}), "power-cap")
    assert effect_of(memory) == pytest.approx((0.95, 1.0))
    assert (memory.watts_low, memory.watts_high) == (560.0, 560.0)
    compute = ask(make_case(compute=1.0, evidence=drawn, card={"power_limit_w": 700.0}), "power-cap")
    part = (560 - 105) / (700 - 105)
    assert effect_of(compute) == pytest.approx((part, part ** (1 / 3)))
    assert compute.usd_h_low is not None
    assert compute.usd_h_low > 10.0
    assert "price of the GPU is the same" in compute.assumes[0]


def test_a_cap_above_what_is_drawn_changes_nothing() -> None:
    case = make_case(memory=1.0, evidence={"power_w_p90": 300.0}, card={"power_limit_w": 700.0})
    assert "power-cap" not in listed(case)


def test_clocks_that_a_setting_holds_down() -> None:
    clocks = {"sm_mhz_limit": 990.0, "sm_mhz_max": 1980.0}
    one = ask(make_case(compute=1.0, card=clocks), "full-clock")
    assert effect_of(one) == pytest.approx((1.0, 2.0))
    throttled = ask(make_case(compute=0.75, throttle=0.25), "DEV003")
    assert effect_of(throttled) == pytest.approx((1.0, 1 / 0.75))


def test_releasing_an_idle_card_costs_nothing() -> None:
    one = ask(make_case(idle_held=1.0), "release")
    assert one.effect is None
    assert one.refused is None
    assert (one.usd_h_low, one.usd_h_high) == (0.0, 10.0)


def test_too_little_known_gains_nothing() -> None:
    assert all(one.refused for one in listed(make_case(verdict={"class_": "unknown"})).values())


def test_names_that_are_nearly_right_are_suggested() -> None:
    with pytest.raises(UnknownFixError, match="did you mean pin-memory"):
        named("pin_memry")
    assert [fix.slug for fix in named("host_gap")] == ["host-gap"]
    assert [fix.slug for fix in named("mem002")] == ["batch"]


def test_every_fix_has_a_page_and_says_a_name_once() -> None:
    assert all(fix.page and fix.title for fix in all_fixes())
    assert len({fix.slug for fix in all_fixes()}) == len(all_fixes())

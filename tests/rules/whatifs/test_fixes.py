"""Each fix: its range, basis, cost and refusals, by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.economics import amdahl
from rules.finding import Effect, Price
from rules.verdict import EvidenceItem
from rules.whatifs.anchors import BATCH_CURVE, curve_requests, curve_step_s, curve_tok_s, weights_part
from rules.whatifs.answers import what_ifs
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
    assert effect_of(one) == pytest.approx((1.0, 1 / 0.6))
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((6.0, 10.0))
    assert (one.outlook, one.spend) == ("uncertain", "uncertain")
    named_cause = make_finding(
        "HOST003", effect=Effect(low=1.25, high=1 / 0.6, bound=1 / 0.6, basis="loader")
    )
    sure = ask(make_case(host=0.4, compute=0.6, findings=(named_cause,)), "host-gap")
    assert (sure.usd_h_low, sure.usd_h_high) == pytest.approx((6.0, 8.0))
    assert (sure.outlook, sure.spend) == ("faster", "cheaper")


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
    assert effect_of(one) == pytest.approx((1.0, 2.5))
    assert "faster than this card's pageable ones" in (one.effect.basis if one.effect else "")


def test_copies_that_fill_a_part_of_the_gap_are_all_that_pinning_shrinks() -> None:
    found = make_finding("HOST005", evidence=(copies(0.3), LIMIT))
    limits = ceilings("measured", h2d_pinned=50e9, h2d_pageable=25e9)
    one = ask(make_case(host=0.6, compute=0.4, limits=limits, findings=(found,)), "pin-memory")
    assert effect_of(one) == pytest.approx((amdahl(0.6 * 0.6, 2.0), 2.5))


def test_graphs_by_this_cards_own_launches() -> None:
    limits = ceilings("measured", launch_interval=2e-6, graph_node=1e-6, dispatch_eager=10e-6)
    case = make_case(host=0.8, compute=0.2, verdict={"cause": "launch-rate"}, limits=limits)
    one = ask(case, "cuda-graphs")
    assert one.basis == "anchor"
    assert effect_of(one) == pytest.approx((1.03, amdahl(0.8, 10.0)))
    plain = ceilings("measured", launch_interval=2e-6, graph_node=1e-6)
    without = ask(msgspec.structs.replace(case, ceilings=plain), "cuda-graphs")
    assert effect_of(without) == pytest.approx((1.03, 5.0))
    anchored = ask(make_case(host=0.8, compute=0.2, verdict={"cause": "launch-rate"}), "HOST002")
    assert anchored.basis == "anchor"
    assert effect_of(anchored) == pytest.approx((1.03, 5.0))


def test_what_nothing_speaks_for_is_said_to_whoever_asks() -> None:
    case = make_case(host=0.4, compute=0.6)
    assert not {"cuda-graphs", "pin-memory"} & set(listed(case))
    one = ask(case, "cuda-graphs")
    assert effect_of(one) == pytest.approx((1.0, 1 / 0.6))
    assert "was not seen" in one.assumes[0]


def test_graphs_that_cost_what_launches_do_buy_nothing_at_the_low_end() -> None:
    limits = ceilings("measured", graph_node=1e-6, dispatch_eager=1.01e-6)
    case = make_case(host=0.5, compute=0.5, verdict={"cause": "launch-rate"}, limits=limits)
    low, high = effect_of(ask(case, "cuda-graphs"))
    assert low == 1.0 < high


def test_fp8_can_be_slower_at_any_batch() -> None:
    small = ask(make_case(memory=0.9, compute=0.1, verdict=HMMA), "fp8")
    assert effect_of(small)[0] == pytest.approx(0.81)
    assert small.outlook == "uncertain"
    for running in (128.0, 200.0, 256.0, 512.0):
        large = make_case(memory=1.0, verdict=HMMA, serving=make_serving(running=running))
        one = ask(large, "fp8")
        assert effect_of(one) == pytest.approx((0.81, amdahl(weights_part(running), 2.0)))
        assert one.effect is not None
        assert one.effect.bound == pytest.approx(2.0)
        assert any("8B" in text for text in one.assumes)


def test_fp8_slows_down_the_whole_as_was_published() -> None:
    one = ask(make_case(host=0.6, memory=0.4, verdict=HMMA, findings=(SYNC,)), "fp8")
    assert effect_of(one) == pytest.approx((0.81, amdahl(0.4, 2.0)))


def test_only_weights_shrink_and_less_so_in_a_large_batch() -> None:
    """H100, Llama-3.1-8B: at most 1.49x at batch 8 and 1.10x at batch 256 from bandwidth alone."""
    bounds = [amdahl(weights_part(batch), 2.0) for batch in (8, 256)]
    assert bounds == [pytest.approx(1.49, abs=0.03), pytest.approx(1.10, abs=0.01)]


def test_the_basis_is_the_weakest_of_what_is_used() -> None:
    limits = ceilings("measured")
    one = ask(make_case(compute=1.0, verdict=HMMA, limits=limits), "fp8")
    assert one.basis == "anchor"
    assert effect_of(one) == pytest.approx((0.81, 1.75))
    assert ask(make_case(memory=1.0, verdict=HMMA, limits=limits), "fp8").basis == "assumption"
    fp32 = make_case(compute=1.0, verdict={"pipe": "fp32"}, limits=limits)
    assert (ask(fp32, "tf32").basis, ask(fp32, "bf16").basis) == ("measured", "measured")
    bytes_too = make_case(compute=0.5, memory=0.5, verdict={"pipe": "fp32"}, limits=limits)
    assert (ask(bytes_too, "tf32").basis, ask(bytes_too, "bf16").basis) == ("measured", "assumption")


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
    figures = {"running": 16.0, "waiting": 500.0, "usd_per_mtok": 1.0}
    one = ask(make_case(memory=1.0, serving=make_serving(kv_use_frac=0.225, **figures)), "batch")
    assert effect_of(one) == pytest.approx((1.0, 5147 / 1954))
    assert one.usd_per_mtok_low == pytest.approx(1954 / 5147)
    assert one.usd_per_mtok_high == pytest.approx(1.0)


@pytest.mark.parametrize(("waiting", "target"), [(1.0, 9.0), (8.0, 16.0), (None, 256.0)])
def test_a_batch_holds_no_more_than_those_who_wait(waiting: float | None, target: float) -> None:
    one = ask(make_case(memory=1.0, serving=make_serving(running=8.0, waiting=waiting)), "batch")
    assert effect_of(one) == pytest.approx((1.0, curve_tok_s(target) / 1070))
    assert any("did not say how many" in text for text in one.assumes) is (waiting is None)
    assert any("how full" in text for text in one.assumes)


def test_doubling_an_unknown_servers_batch_may_buy_nothing() -> None:
    one = ask(make_case(memory=1.0, evidence={"server": "vllm"}), "batch")
    assert effect_of(one) == pytest.approx((1.0, 1.83))


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
    assert one.title == "Move to S50 (another card: assumed price)"
    assert effect_of(one) == pytest.approx((0.4, 0.6))
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((4 / 0.6, 4 / 0.4))
    assert (one.outlook, one.spend) == ("slower", "uncertain")
    larger = ask(case, "larger-gpu")
    assert (larger.title, larger.outlook) == ("Move to L200 (another card: assumed price)", "faster")


def test_a_lists_ratio_says_nothing_of_ones_own_price() -> None:
    """Another card's dollars are of the user's table, or there are none."""
    shares: dict[str, Any] = {"memory": 1.0, "evidence": {"mem_used_bytes": 10 << 30}}
    own = Price(usd_h=10.0, basis="config", source="cost of ownership")
    one = ask(make_case(price=own, candidates=(OWN, SMALL), **shares), "smaller-gpu")
    assert effect_of(one) == pytest.approx((0.4, 0.6))
    assert (one.usd_h_low, one.usd_h_high, one.price_low, one.spend, one.price_usd_h) == (*[None] * 4, 10.0)
    assert "give [prices]" in one.title
    both = ask(make_case(price=own, candidates=(OWN, SMALL), **shares), "smaller-gpu", "power-cap")
    assert both.refused or both.usd_h_low is None
    elsewhere = Price(usd_h=3.0, basis="instance", source="another provider")
    assert ask(make_case(price=elsewhere, candidates=(OWN, SMALL), **shares), "smaller-gpu").usd_h_low is None
    agreed = msgspec.structs.replace(SMALL, usd_h=3.0, configured=True)
    told = ask(make_case(price=own, candidates=(OWN, agreed), **shares), "smaller-gpu")
    assert (told.usd_h_low, told.usd_h_high) == pytest.approx((3 / 0.6, 3 / 0.4))
    assert "price from [prices]" in told.title


def test_the_primary_findings_fix_stands_first() -> None:
    """A cheaper card that would save more at the low end does not stand before what limits the work."""
    shares: dict[str, Any] = {"host": 0.6, "memory": 0.4, "evidence": {"mem_used_bytes": 1 << 30}}
    found = make_finding("HOST001", term="host_gap")
    gap = msgspec.structs.replace(found, effect=Effect(low=1.0, high=2.5, basis="b"))
    free = msgspec.structs.replace(SMALL, usd_h=0.5)
    order = [one.fix for one in what_ifs(make_case(findings=(gap,), candidates=(OWN, free), **shares))]
    assert order[:2] == ["host-gap", "smaller-gpu"]
    plain = make_case(candidates=(OWN, SMALL, LARGE), **shares)
    worst = [one.usd_h_high or 0.0 for one in what_ifs(plain) if not one.refused]
    assert worst == sorted(worst)


@pytest.mark.parametrize(("server", "slug"), [("", "fewer-bytes"), ("vllm", "batch")])
def test_mem002_is_answered_by_what_it_speaks_of(server: str, slug: str) -> None:
    found = make_finding("MEM002", actions=("look", "fuse", "more"))
    case = make_case(memory=0.6, host=0.0, evidence={"server": server or None}, findings=(found,))
    one = ask(case, "MEM002")
    assert (one.fix, one.refused) == (slug, None)
    assert slug in listed(case)
    assert effect_of(one) == pytest.approx((1.0, amdahl(0.6, 1.83 if server else 2.0)))


def test_mem002_of_a_server_without_a_queue_is_fewer_bytes() -> None:
    found = make_finding("MEM002", actions=("quantise",))
    serving = make_serving(running=4.0, waiting=0.0)
    one = ask(
        make_case(memory=0.6, evidence={"server": "vllm"}, findings=(found,), serving=serving), "MEM002"
    )
    assert (one.fix, one.refused, one.actions) == ("fewer-bytes", None, ("quantise",))
    assert effect_of(one) == pytest.approx((1.0, amdahl(0.6, 2.0)))


def test_a_batch_that_nothing_speaks_for_is_unknown_and_not_without_gain() -> None:
    case = make_case(memory=0.6)
    assert "nothing seen says" in (ask(case, "batch").refused or "")
    assert "batch" not in listed(case)


LOADER = make_finding("HOST003", confidence=0.9)
SYNC = make_finding("HOST004", confidence=0.9)
ROOM = {"mem_used_bytes": 1 << 30}


def test_a_loader_that_sets_the_pace_gives_another_card_no_gain_and_no_loss_at_one_end() -> None:
    shares: dict[str, Any] = {"host": 0.6, "memory": 0.4, "evidence": ROOM, "candidates": (OWN, SMALL, LARGE)}
    waits = make_case(findings=(LOADER,), **shares)
    larger, smaller = ask(waits, "larger-gpu"), ask(waits, "smaller-gpu")
    assert effect_of(larger) == pytest.approx((1.0, amdahl(0.4, 2.4)))
    assert effect_of(smaller) == pytest.approx((amdahl(0.4, 0.4), 1.0))
    assert (smaller.usd_h_low, smaller.usd_h_high) == pytest.approx((4.0, 4.0 * 1.6))
    assert smaller.spend == "cheaper"
    assert "beside the device" in (larger.effect.basis if larger.effect else "")
    serial = make_case(findings=(SYNC,), **shares)
    assert effect_of(ask(serial, "larger-gpu")) == pytest.approx((amdahl(0.4, 1.6), amdahl(0.4, 2.4)))
    unknown = make_case(**shares)
    assert effect_of(ask(unknown, "larger-gpu"))[0] == 1.0


def test_beside_a_loader_a_slow_card_counts_once_it_takes_longer_than_the_host() -> None:
    case = make_case(host=0.2, memory=0.8, evidence=ROOM, candidates=(OWN, SMALL), findings=(LOADER,))
    low, high = effect_of(ask(case, "smaller-gpu"))
    assert (low, high) == pytest.approx((1 / (0.2 + 0.8 / 0.4), 1 / (0.8 / 0.6)))


def test_a_faster_card_of_the_same_price_is_named() -> None:
    same = msgspec.structs.replace(LARGE, usd_h=10.0)
    case = make_case(memory=1.0, evidence=ROOM, candidates=(OWN, same))
    one = ask(case, "larger-gpu")
    assert (one.title, one.spend) == ("Move to L200 (another card: assumed price)", "cheaper")
    slower = msgspec.structs.replace(SMALL, usd_h=10.0)
    assert ask(make_case(memory=1.0, evidence=ROOM, candidates=(OWN, slower)), "larger-gpu").refused


@pytest.mark.parametrize(
    ("figures", "because"),
    [
        ({"slo_met_high_frac": 0.4}, "missed already"),
        ({"slo": "itl=30ms", "slo_met_frac": 1.0, "itl_p99_s": 0.02}, "itl is 33 of 30 ms"),
    ],
)
def test_objectives_that_a_slower_card_misses(figures: dict[str, Any], because: str) -> None:
    case = make_case(memory=1.0, evidence=ROOM, candidates=(OWN, SMALL), serving=make_serving(**figures))
    assert because in (ask(case, "smaller-gpu").refused or "")


def test_an_objective_that_holds_at_the_upper_end_alone_is_said() -> None:
    serving = make_serving(slo="itl=30ms", slo_met_frac=1.0, itl_p99_s=0.015)
    case = make_case(memory=1.0, evidence=ROOM, candidates=(OWN, SMALL), serving=serving)
    assert any(
        "at the lower one" in text and "38 of 30 ms" in text for text in ask(case, "smaller-gpu").assumes
    )


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
        serving=make_serving(**starved(6.0, 0.05), usd_per_mtok=2.0),
        replicas=tuple(Replica(key=f"GPU-{i}", gpu=i, running=8.0, kv_use_frac=0.1) for i in (1, 2, 3)),
    )
    one = ask(case, "replicas")
    assert one.title == "Serve the same with 1 of 4 replicas"
    assert (one.price_low, one.price_high) == (0.25, 0.5)
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((2.5, 5.0))
    assert (one.usd_per_mtok_low, one.usd_per_mtok_high) == pytest.approx((0.5, 1.0))
    assert (one.outlook, one.spend) == ("no-gain", "cheaper")


def test_requests_stay_longer_on_fewer_replicas() -> None:
    """Four of 30 requests and 0.44 of a cache: on two of them 108 requests would be held, and 1.6 caches."""
    case = make_case(
        memory=1.0,
        evidence={"server": "vllm"},
        serving=make_serving(**starved(30.0, 0.44)),
        replicas=tuple(Replica(key=f"GPU-{i}", gpu=i, running=30.0, kv_use_frac=0.44) for i in (1, 2, 3)),
    )
    one = ask(case, "replicas")
    assert one.title == "Serve the same with 3 of 4 replicas"
    assert (one.price_low, one.price_high) == (0.75, 1.0)


@given(st.floats(0.0, 200.0))
def test_the_curve_backwards(requests: float) -> None:
    assert curve_requests(curve_tok_s(requests)) == pytest.approx(requests, abs=1e-6)
    assert curve_requests(9011.0) is None


def test_replicas_whose_cache_nobody_read_are_not_merged() -> None:
    case = make_case(
        memory=1.0,
        evidence={"server": "vllm"},
        serving=make_serving(running=20.0),
        replicas=tuple(Replica(key=f"GPU-{i}", gpu=i, running=20.0) for i in (1, 2, 3)),
    )
    assert "KV cache" in (ask(case, "replicas").refused or "")


def test_replicas_with_a_queue_stay() -> None:
    case = make_case(
        memory=1.0,
        evidence={"server": "vllm"},
        serving=make_serving(**starved(6.0, 0.1)),
        replicas=(Replica(key="GPU-1", gpu=1, running=6.0, waiting=3.0, kv_use_frac=0.1),),
    )
    assert "replicas" not in listed(case)


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
    assert (memory.watts_low, memory.watts_high) == pytest.approx((690 - 585 / 595 * 140, 560.0))
    compute = ask(make_case(compute=1.0, evidence=drawn, card={"power_limit_w": 700.0}), "power-cap")
    part = (560 - 105) / (700 - 105)
    assert effect_of(compute) == pytest.approx((part, part ** (1 / 3)))
    assert compute.usd_h_low is not None
    assert compute.usd_h_low > 10.0
    assert "price of the GPU is the same" in compute.assumes[0]


def test_watts_below_a_cap_stay_what_they_are() -> None:
    """A mean of 300 W by the counter: at most (300 - 105) / (700 - 105) of the time is at 700 W."""
    drawn = {"power_w_p90": 700.0, "power_w_p50": 120.0, "energy_j": 3000.0, "energy_s": 10.0}
    one = ask(make_case(memory=1.0, evidence=drawn, card={"power_limit_w": 700.0}), "power-cap")
    assert (one.watts_low, one.watts_high) == pytest.approx((300 - 195 / 595 * 140, 300.0))
    assert "energy counter" in (one.effect.basis if one.effect else "")


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
    assert (one.outlook, one.spend) == (None, "uncertain")


def test_too_little_known_gains_nothing() -> None:
    case = make_case(verdict={"class_": "unknown"})
    assert all(one.refused for one in listed(case).values())
    assert "too little was read" in (ask(case, "overlap").refused or "")


def test_names_that_are_nearly_right_are_suggested() -> None:
    with pytest.raises(UnknownFixError, match="did you mean pin-memory"):
        named("pin_memry")
    assert [fix.slug for fix in named("host_gap")] == ["host-gap"]
    assert [fix.slug for fix in named("mem002")] == ["batch", "fewer-bytes"]


def test_every_fix_has_a_page_and_says_a_name_once() -> None:
    assert all(fix.page and fix.title for fix in all_fixes())
    assert len({fix.slug for fix in all_fixes()}) == len(all_fixes())

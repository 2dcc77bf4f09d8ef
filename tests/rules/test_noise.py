"""Leads inside their noise are not decided, and what would settle them is said."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ceilings import Ceilings
from rules.confidence import FRAGILE, UNCALIBRATED
from rules.decide import decide, splits_of
from rules.evidence import HostEvidence
from rules.hysteresis import Steady
from rules.noise import noise_of
from rules.ranking import group_shares, lead_of, leads_of, ranking
from rules.split import merge, total
from rules.stacks import StackGroup, Stacks
from rules.verdict import Verdict
from tests.rules.loads import CEILINGS, Load, evidence, series
from tests.rules.test_classify import windows

COMPUTE: Load = {"tensor_active": 0.76}
MEMORY: Load = {"dram_active": 0.86}


def labelled(label: str, stale: str | None = None) -> Ceilings:
    """The made-up card, with readings of that label."""
    changed = [msgspec.structs.replace(r, label=label) for r in CEILINGS.readings]
    return msgspec.structs.replace(CEILINGS, label=label, readings=tuple(changed), stale=stale)


def verdict_of(*parts: tuple[int, Load], ceilings: Ceilings = CEILINGS, **more: Any) -> Verdict:
    return decide(evidence(series(*parts), **more), ceilings)


def random_order(memory: int, compute: int) -> Verdict:
    loads = [MEMORY] * memory + [COMPUTE] * compute
    random.Random(1).shuffle(loads)
    return verdict_of(*[(5, load) for load in loads])


def test_shares_too_close_to_tell_apart_are_unknown_and_say_how_long_to_watch() -> None:
    verdict = random_order(16, 14)
    assert (verdict.class_, verdict.cause, verdict.confidence) == ("unknown", "within-noise", 0.0)
    assert verdict.noise is not None
    lead = verdict.shares["memory"] - verdict.shares["compute"]
    noise = f"the lead of {lead:.2f} is within the noise of ±{verdict.noise:.2f}"
    said = f"memory-bound or compute-bound, 0.53/0.47 of the time: {noise}"
    assert verdict.unknown_because[0] == said
    assert verdict.headline == f"GPU 0 (H100 80GB HBM3) is {said}."
    assert any("advisor diagnose --duration" in sentence for sentence in verdict.settle)
    assert verdict.shares["memory"] > verdict.shares["compute"] > 0.4


def test_a_steady_mix_is_decided_with_both_shares_shown() -> None:
    """A server with 45 % decode and 42 % prefill in every second: near, yet no chance."""
    turns = [(9, MEMORY), (8, COMPUTE), (3, {"gr_active": 0.0})]
    verdict = verdict_of(*turns * 20)
    assert (verdict.class_, verdict.secondary) == ("memory", "compute")
    assert verdict.noise is not None and verdict.noise < 0.05
    assert verdict.confidence > 0.7


def test_a_mean_near_a_threshold_is_settled_by_a_probe() -> None:
    near: Load = {"dram_active": 0.63 * 0.9}
    sure = verdict_of((50, near))
    assert sure.class_ == "memory"
    unsure = verdict_of((50, near), ceilings=labelled("assumed"))
    assert (unsure.class_, unsure.cause) == ("unknown", "within-noise")
    (said,) = unsure.settle
    assert said == "`advisor probe --device 0` while it is idle, so that ceilings are measured"


def test_stale_ceilings_err_like_typical_ones() -> None:
    near: Load = {"dram_active": 0.64 * 0.9}
    assert verdict_of((50, near), ceilings=labelled("measured", stale="another driver")).class_ == "memory"
    nearer: Load = {"dram_active": 0.62 * 0.9}
    assert verdict_of((50, nearer)).class_ == "memory"
    stale = verdict_of((50, nearer), ceilings=labelled("measured", stale="another driver"))
    assert stale.class_ == "unknown"
    assert "advisor probe" in stale.settle[0]


@pytest.mark.parametrize("label", ["measured", "typical", "assumed"])
@pytest.mark.parametrize("roof", [x / 100 for x in range(40, 100, 2)])
def test_a_verdict_that_a_plausible_error_turns_is_never_sure(label: str, roof: float) -> None:
    error = {"measured": 0.02, "typical": 0.05, "assumed": 0.10}[label]
    verdict = verdict_of((50, {"dram_active": roof * 0.9}), ceilings=labelled(label))
    turned = (
        verdict_of((50, {"dram_active": min(1.0, roof * (1 + 2 * error)) * 0.9})),
        verdict_of((50, {"dram_active": roof * (1 - 2 * error) * 0.9})),
    )
    if len({t.class_ for t in turned if t.class_ != "unknown"}) > 1:
        assert verdict.confidence <= FRAGILE


def test_without_gpm_a_narrow_verdict_asks_for_it() -> None:
    load: Load = {"mem_util_frac": 0.58, "power_w": 430.0, "sm_active": None}
    verdict = verdict_of((30, load), tier="nvml", missing={"gpm": "compute capability 8.0"})
    assert verdict.class_ == "unknown"
    assert "Hopper or newer" in verdict.settle[0] and "compute capability 8.0" in verdict.settle[0]


def test_a_host_gap_without_a_cause_asks_for_stacks() -> None:
    verdict = verdict_of((50, {"gr_active": 0.3}), host=HostEvidence(threads=4))
    assert (verdict.class_, verdict.cause) == ("host", "unattributed")
    assert verdict.settle == ("`advisor diagnose --gpu 0 --stacks` samples what the threads do",)
    (elsewhere,) = verdict_of((50, {"gr_active": 0.3})).settle
    assert "where the process is visible" in elsewhere
    assert verdict_of((50, MEMORY)).settle == ()


def test_a_pegged_thread_keeps_a_latency_verdict_from_being_sure() -> None:
    """It may spin until a kernel is over, or launch just fast enough: the counters look alike."""
    small: Load = {"gr_active": 0.99, "sm_active": 0.02, "sm_occupancy": 0.01}
    spinning = verdict_of((50, {**small, "launching": True}))
    assert spinning.class_ == "device" and spinning.confidence <= FRAGILE
    assert verdict_of((50, small)).confidence == UNCALIBRATED


def test_a_look_inside_settles_whether_a_pegged_thread_launches() -> None:
    small: Load = {"gr_active": 0.9, "sm_active": 0.02, "sm_occupancy": 0.01, "launching": True}

    def seen(activity: str, samples: int = 500) -> Verdict:
        group = StackGroup(activity=activity, frac=0.9, thread="MainThread", main=True, frame="f (a.py:1)")
        looked = Stacks(pid=1, tool="py-spy", samples=samples, seconds=5.0, groups=(group,))
        return verdict_of((50, small), host=HostEvidence(stacks=looked))

    waiting = seen("synchronise")
    assert waiting.class_ == "device"
    assert waiting.shares["host"] == pytest.approx(0.1)
    assert waiting.confidence == UNCALIBRATED
    assert seen("launch").shares["host"] > 0.5
    assert seen("synchronise", samples=3).shares["host"] > 0.5, "three samples say nothing"


def test_one_load_has_the_least_noise_there_is() -> None:
    verdict = verdict_of((50, MEMORY))
    assert verdict.noise == pytest.approx(0.01)
    assert verdict.confidence == UNCALIBRATED


def noise_in(verdict: Verdict) -> float:
    assert verdict.noise is not None
    return verdict.noise


@pytest.mark.parametrize("first", range(160, 241, 8))
def test_a_long_phase_is_a_fact_of_the_window(first: int) -> None:
    """Its end counts as one change, whichever part is the longer one; nothing jumps as the lead grows."""
    verdict = verdict_of((first, MEMORY), (300 - first, COMPUTE))
    assert 0.1 < noise_in(verdict) < 0.17
    decided = first / 300 >= 0.6
    assert verdict.class_ == "memory" if decided else verdict.class_ in ("memory", "unknown")
    assert all(s.startswith("watch for ") or "both matter" in s for s in verdict.settle)


def test_longer_phases_make_less_sure_and_wider_leads_surer() -> None:
    sure = [verdict_of((n, MEMORY), (300 - n, COMPUTE)).confidence for n in (180, 210, 240)]
    assert 0.5 < sure[0] <= sure[1] <= sure[2]
    turns = verdict_of(*[(6, MEMORY), (4, COMPUTE)] * 30)
    once = verdict_of((180, MEMORY), (120, COMPUTE))
    assert turns.shares == pytest.approx(once.shares)
    assert noise_in(turns) < noise_in(once) / 5


def test_phases_in_turn_that_fill_stretches_are_decided() -> None:
    """The window is 60 % memory, and that is what counts, whatever the length of the turns."""
    verdict = verdict_of(*[(36, MEMORY), (24, COMPUTE)] * 5)
    assert (verdict.class_, verdict.secondary) == ("memory", "compute")


def test_a_trend_is_no_chance_and_the_same_stretches_in_any_order_are() -> None:
    """Memory's part of a stretch falls from 15 twentieths to 6, step by step; then the same out of order."""

    def falling(levels: list[int]) -> Verdict:
        return verdict_of(*[turn for n in levels for turn in ((n, MEMORY), (20 - n, COMPUTE))])

    levels = list(range(15, 5, -1))
    trend = falling(levels)
    mixed = [falling(random.Random(seed).sample(levels, 10)) for seed in range(10)]
    assert mixed[0].shares == pytest.approx(trend.shares)
    assert noise_in(trend) < 0.035 < 0.06 < sum(map(noise_in, mixed)) / 10


@pytest.mark.parametrize("label", ["measured", "assumed"])
@pytest.mark.parametrize("fp32", [0.3, 0.35, 0.4, 0.45, 0.5])
def test_noise_is_never_told_as_more_than_the_whole(fp32: float, label: str) -> None:
    verdict = verdict_of((50, {"fp32": fp32, "dram_active": 0.1}), ceilings=labelled(label))
    assert noise_in(verdict) <= 1.0
    told = re.findall(r"±([0-9.]+)", verdict.headline)
    assert all(float(figure.rstrip(".")) <= 1.0 for figure in told)
    if verdict.class_ == "unknown":
        assert told and "compute-bound" in verdict.headline and "latency-bound" in verdict.headline


def test_near_the_host_gaps_threshold_both_candidates_are_named() -> None:
    verdict = verdict_of(*[(18, COMPUTE), (7, {"gr_active": 0.0})] * 12)
    assert (verdict.class_, verdict.cause) == ("unknown", "within-noise")
    assert "is compute-bound or host-bound, 0.72/0.28 of the time" in verdict.headline
    assert "0.28 against 0.30" in verdict.headline


def test_prefill_and_decode_in_turns_of_seconds_are_phases_and_one_verdict() -> None:
    verdict = verdict_of(*[(15, MEMORY), (5, COMPUTE)] * 15)
    assert verdict.class_ == "memory"
    assert [p.class_ for p in verdict.phases] == ["memory", "compute"] * 15
    lengths = [p.t_end_s - p.t_start_s for p in verdict.phases]
    assert lengths == pytest.approx([3.0, 1.0] * 15)


def test_turns_of_two_seconds_live_are_one_steady_verdict() -> None:
    """A minute that moves along over prefill and decode: whatever its ends cut, one class is shown."""
    parts = series(*[(11, MEMORY), (9, COMPUTE)] * 30)
    steady = Steady()
    shown = []
    for second in range(60):
        seen = parts[second * 5 : second * 5 + 300]
        verdict = decide(evidence(seen, t_start_s=seen[0].t_s - 0.2), CEILINGS)
        shown.append(steady.update(verdict, float(second)))
    assert {v.class_ for v in shown} == {"memory"}
    assert all(len(v.phases) in range(29, 33) for v in shown)


@given(st.lists(windows, min_size=2, max_size=40), st.data())
def test_merging_neighbours_keeps_what_ceilings_may_move(ws: list[Any], data: st.DataObject) -> None:
    e = evidence(tuple(ws))
    before = splits_of(e, CEILINGS)
    i = data.draw(st.integers(0, len(before) - 2))
    after = [*before[:i], merge(before[i], before[i + 1]), *before[i + 2 :]]
    a, b = total(before).moved, total(after).moved
    assert (a is None) == (b is None)
    assert a is None or b is None or a == pytest.approx(b, abs=1e-9)


@given(st.lists(windows, min_size=1, max_size=40))
def test_noise_is_finite_and_no_lead_is_negative(ws: list[Any]) -> None:
    parts = splits_of(evidence(tuple(ws)), CEILINGS)
    sums = total(parts)
    groups = group_shares(sums)
    leader = ranking(groups)[0]
    noise = noise_of(leader, groups, sums, parts)
    assert noise.lead >= -1e-12
    assert math.isfinite(noise.total) and noise.total >= 0.01


def test_leads_follow_the_rules_of_the_ranking() -> None:
    shares: Any = {
        "idle": 0.0, "host": 0.35, "communication": 0.0, "device": 0.0, "memory": 0.65, "compute": 0.0,
    }  # fmt: skip
    assert ranking(shares)[0] == "host"
    assert lead_of("host", shares) == pytest.approx((0.05, None))
    assert lead_of("memory", shares).lead == pytest.approx(-0.05)
    shares["host"], shares["memory"] = 0.25, 0.75
    assert lead_of("memory", shares) == pytest.approx((0.05, None))
    shares["host"], shares["memory"] = 0.1, 0.9
    assert lead_of("memory", shares).lead == pytest.approx(0.2)


shares_of = st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).filter(lambda xs: sum(xs) > 0.1)


@given(shares_of)
def test_only_the_first_of_the_ranking_keeps_all_its_leads(xs: list[float]) -> None:
    classes: Any = ("idle", "host", "communication", "device", "memory", "compute")
    shares: Any = {c: x / sum(xs) for c, x in zip(classes, xs, strict=True)}
    first = ranking(shares)[0]
    assert lead_of(first, shares).lead >= 0.0
    for class_ in classes:
        found = lead_of(class_, shares)
        assert found in leads_of(class_, shares)
        if found.lead > 0.0 and shares["idle"] < max(shares["device"], shares["memory"], shares["compute"]):
            assert class_ == first


@pytest.mark.parametrize(
    ("roof", "class_", "sure"),
    [(0.45, "device", True), (0.55, "device", False), (0.66, "memory", False), (0.75, "memory", True)],
)
def test_a_round_number_alone_makes_no_verdict_sure(roof: float, class_: str, sure: bool) -> None:
    """One kind of kernel at this roof: from 0.5 to 0.7 the threshold decides which name it gets."""
    verdict = verdict_of((50, {"dram_active": 0.9 * roof, "tensor_active": 0.0, "fp32": 0.0}))
    assert verdict.class_ == class_
    assert verdict.noise == pytest.approx(0.01), "and yet it is decided"
    assert (verdict.confidence > FRAGILE) is sure

"""Fixes compose on shares of time: properties over made-up shares and levers."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.verdict import SHARES
from rules.whatif import Lever
from rules.whatifs.answers import TOGETHER, ExclusiveFixesError, combined, what_ifs
from rules.whatifs.case import Case
from rules.whatifs.compose import LEAST_LEFT, End, factor, kept, outlook, time_left
from rules.whatifs.registry import Draft, Fix, all_fixes, named
from tests.rules.whatifs.made import LARGE, OWN, SMALL, ask, ceilings, make_case, make_finding, make_serving
from tests.strategies import parts

ENDS: tuple[End, ...] = ("low", "high", "bound")


@st.composite
def levers(draw: st.DrawFn, least: float = 0.1) -> Lever:
    low = draw(st.floats(least, 8.0))
    high = draw(st.none() | st.floats(low, 16.0))
    bound = None if high is None else draw(st.none() | st.floats(high, 32.0))
    return Lever(
        share=draw(st.sampled_from(SHARES)),
        part=draw(st.floats(0.0, 1.0)),
        of=draw(st.sampled_from(("", "weights", "activations"))),
        low=low,
        high=high,
        bound=bound,
    )


many = st.lists(levers(), max_size=6)
shares = parts(SHARES)


@given(shares, many, st.integers(0, 1000))
def test_the_order_of_fixes_does_not_matter(split: dict[str, float], found: list[Lever], seed: int) -> None:
    shuffled = random.Random(seed).sample(found, len(found))
    for end in ENDS:
        assert time_left(split, found, end) == pytest.approx(time_left(split, shuffled, end), abs=1e-12)


@given(shares, many)
def test_low_is_at_most_high_is_at_most_the_bound(split: dict[str, float], found: list[Lever]) -> None:
    low, high, bound = (factor(split, found, end) for end in ENDS)
    assert 0.0 < low <= high * (1 + 1e-9) <= bound * (1 + 1e-9) ** 2


@given(shares, many)
def test_no_share_costs_less_than_nothing(split: dict[str, float], found: list[Lever]) -> None:
    touched = {lever.share for lever in found}
    rest = math.fsum(share for name, share in split.items() if name not in touched)
    for end in ENDS:
        assert time_left(split, found, end) >= rest - 1e-9
        assert factor(split, found, end) <= 1.0 / max(LEAST_LEFT, rest - 1e-9) * (1 + 1e-9)


@given(shares, st.lists(levers(least=1.0), min_size=1, max_size=5))
def test_fixes_that_speed_up_are_together_as_good_as_each(
    split: dict[str, float], found: list[Lever]
) -> None:
    for lever, end in itertools.product(found, ENDS):
        assert factor(split, found, end) >= factor(split, [lever], end) * (1 - 1e-9)


@given(shares, many)
def test_percentages_are_never_added(split: dict[str, float], found: list[Lever]) -> None:
    """Together they save at most what each saves alone, added up."""
    fast = [lever for lever in found if (lever.low or 0.0) >= 1.0]
    for end in ENDS:
        alone = math.fsum(1.0 - time_left(split, [lever], end) for lever in fast)
        assert 1.0 - time_left(split, fast, end) <= alone + 1e-9


def test_two_fixes_on_one_share_save_the_same_time_at_the_low_end_and_different_time_at_the_high_end() -> (
    None
):
    both = [Lever(share="memory", low=2.0, high=2.0), Lever(share="memory", low=4.0, high=4.0)]
    assert time_left({"memory": 1.0}, both, "low") == pytest.approx(0.25)
    assert time_left({"memory": 1.0}, both, "high") == pytest.approx(0.125)
    slow = Lever(share="memory", low=0.5, high=1.0)
    assert time_left({"memory": 1.0}, [*both, slow], "low") == pytest.approx(0.5)


def test_halves_of_two_things_halve_the_whole_at_most() -> None:
    weights, activations = (Lever(share="memory", of=of, high=2.0) for of in ("weights", "activations"))
    split = {"memory": 1.0}
    assert factor(split, [weights, activations], "high") == pytest.approx(2.0)
    assert factor(split, [weights, weights], "high") == pytest.approx(4.0)
    bandwidth = Lever(share="memory", high=3.0)
    assert factor(split, [weights, activations, bandwidth], "high") == pytest.approx(6.0)


def test_amdahl_of_two_shares() -> None:
    both = [Lever(share="host", low=2.0, high=None), Lever(share="compute", low=1.0, high=2.0, bound=2.0)]
    split = {"host": 0.4, "compute": 0.5, "memory": 0.1}
    assert factor(split, both, "high") == pytest.approx(1.0 / (0.25 + 0.1))
    assert factor(split, both, "low") == pytest.approx(1.0 / 0.8)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.0, 1.0, "no-gain"),
        (0.99, 1.015, "no-gain"),
        (1.1, 1.5, "faster"),
        (0.5, 0.9, "slower"),
        (0.8, 1.2, "uncertain"),
        (1.0, 1.7, "uncertain"),
    ],
)
def test_outlook(low: float, high: float, word: str) -> None:
    assert outlook(low, high) == word


@st.composite
def made_cases(draw: st.DrawFn) -> Case:
    codes = draw(st.lists(st.sampled_from(["HOST001", "HOST002", "HOST005", "MEM004", "COMP006", "CAP002"])))
    engine = make_serving(
        running=draw(st.none() | st.floats(0.0, 900.0)),
        waiting=draw(st.none() | st.floats(0.0, 9.0)),
        kv_use_frac=draw(st.none() | st.floats(0.0, 1.0)),
        usd_per_mtok=draw(st.none() | st.floats(0.0, 100.0)),
    )
    split: dict[str, Any] = {name: share for name, share in draw(shares).items() if name != "unknown"}
    return make_case(
        evidence={
            "mem_used_bytes": draw(st.none() | st.integers(0, 80 << 30)),
            "power_w_p90": draw(st.none() | st.floats(0.0, 800.0)),
            "server": draw(st.sampled_from([None, "vllm"])),
        },
        card={"power_limit_w": draw(st.none() | st.floats(0.0, 800.0))},
        verdict={
            "useful_frac": draw(st.floats(0.0, 1.0)),
            "pipe": draw(st.sampled_from([None, "hmma", "fp32", "imma", "tensor_active"])),
            "cause": draw(st.sampled_from(["", "launch-rate", "transfer", "no-demand"])),
        },
        limits=ceilings(draw(st.sampled_from(["measured", "assumed"]))),
        findings=tuple(make_finding(code) for code in codes),
        serving=draw(st.sampled_from([None, engine])),
        candidates=draw(st.sampled_from([(), (OWN, SMALL, LARGE)])),
        **split,
    )


@settings(max_examples=150)
@given(made_cases(), st.lists(st.sampled_from(all_fixes()), min_size=1, max_size=5, unique=True))
def test_any_fixes_together_hold_their_bounds(case: Case, fixes: list[object]) -> None:
    chosen = [fix for fix in all_fixes() if fix in fixes]
    try:
        one = combined(case, chosen)
    except ExclusiveFixesError:
        return
    assert (one.refused is None) or one.effect is None
    if one.effect is not None:
        assert one.effect.bound is not None
        assert 0.0 < one.effect.low <= one.effect.high <= one.effect.bound
        assert math.isfinite(one.effect.bound)
    if one.usd_h_low is not None and one.usd_h_high is not None:
        assert 0.0 <= one.usd_h_low <= one.usd_h_high < math.inf
    assert combined(case, chosen[::-1]) == one


def _ordered(lever: Lever) -> bool:
    low, high, bound = (math.inf if x is None else x for x in (lever.low, lever.high, lever.bound))
    return 0.0 < low <= high <= bound


@settings(max_examples=100)
@given(made_cases(), st.sampled_from(all_fixes()))
def test_every_lever_of_a_draft_is_in_order(case: Case, fix: Fix) -> None:
    draft = fix.work(case)
    if isinstance(draft, Draft):
        assert all(_ordered(lever) for lever in draft.levers)
        assert 0.0 <= draft.price_low <= draft.price_high
        assert draft.watts_low is None or draft.watts_high is None or draft.watts_low <= draft.watts_high


@settings(max_examples=150)
@given(made_cases(), st.sampled_from(all_fixes()))
def test_a_fix_that_moves_time_has_a_range(case: Case, fix: Fix) -> None:
    one = combined(case, [fix])
    if one.effect is not None and any(case.share(lever.share) > 0.01 for lever in one.levers):
        assert one.effect.low < one.effect.high


@settings(max_examples=200)
@given(made_cases(), st.lists(st.sampled_from(all_fixes()), min_size=1, max_size=5, unique=True))
def test_nothing_costs_less_than_the_busy_time_at_its_best(case: Case, fixes: list[Fix]) -> None:
    """Idle hours are handed back or filled, never both: what ran is paid for, at its best speed."""
    try:
        one = combined(case, fixes)
    except ExclusiveFixesError:
        return
    if one.usd_h_low is None or one.price_usd_h is None or one.refused is not None:
        return
    left = kept(one.levers, "high")
    busy = [name for name in SHARES if name not in ("host", "free", "idle_held")]
    ran = math.fsum(case.share(name) * left.get(name, 1.0) for name in busy)
    assert one.usd_h_low >= one.price_usd_h * (one.price_low or 0.0) * ran * (1 - 1e-9) - 1e-9


def test_idle_time_is_not_both_sold_and_filled() -> None:
    case = make_case(idle_held=0.4, memory=0.6, evidence={"mem_used_bytes": 1 << 30}, candidates=(OWN, SMALL))
    one = ask(case, "release", "smaller-gpu")
    assert (one.usd_h_low, one.usd_h_high) == pytest.approx((4 * 0.6 / 0.6, 4 * 0.6 / 0.4))


@pytest.mark.parametrize("other", ["release", "smaller-gpu", "larger-gpu", "batch"])
def test_replicas_count_what_others_count_too(other: str) -> None:
    with pytest.raises(ExclusiveFixesError, match="replace each other"):
        ask(make_case(memory=1.0), "replicas", other)


@settings(max_examples=150)
@given(made_cases())
def test_waiting_that_ends_never_buys_more_than_the_useful_floor(case: Case) -> None:
    """Fixes that leave the work as it is cannot do it in less than its useful time."""
    same_work = [fix for fix in all_fixes() if fix.slug in ("host-gap", "overlap", "full-clock")]
    one = combined(case, same_work)
    if one.effect is not None and one.effect.bound is not None:
        assert one.effect.bound <= 1.0 / max(LEAST_LEFT, case.ladder.shares["useful"]) * (1 + 1e-9)


@settings(max_examples=100)
@given(made_cases())
def test_what_is_listed_is_what_is_answered(case: Case) -> None:
    for one in what_ifs(case):
        assert combined(case, named(one.fix)) == one


def test_a_fix_without_a_share_gains_nothing_and_says_so() -> None:
    one = ask(make_case(host=0.0, compute=1.0), "host-gap")
    assert one.effect is not None
    assert (one.effect.low, one.effect.high, one.outlook) == (1.0, 1.0, "no-gain")
    assert one.assumes == ()
    assert "touches none" in one.effect.basis
    beside = ask(make_case(host=0.2, compute=0.8), "host-gap", "overlap")
    assert TOGETHER not in beside.assumes
    assert beside.effect is not None
    assert "overlap: it touches none" in beside.effect.basis


def test_fixes_that_replace_each_other_are_not_combined() -> None:
    with pytest.raises(ExclusiveFixesError, match="replace each other"):
        ask(make_case(compute=1.0, verdict={"pipe": "hmma"}), "fp8", "int8")


numbers = st.floats(-1e308, 1e308, allow_nan=False) | st.sampled_from([0.0, 5e-324, 1e-300, 1e308])


@st.composite
def hostile_cases(draw: st.DrawFn) -> Case:
    """What a document that somebody made up may hold: any number anywhere."""
    split: dict[str, Any] = {name: draw(numbers) for name in SHARES}
    case = make_case(
        evidence={"mem_used_bytes": draw(st.integers(-(2**62), 2**62)), "server": "vllm"},
        verdict={"pipe": draw(st.sampled_from(["hmma", "fp32"])), "cause": "launch-rate"},
        findings=tuple(make_finding(code) for code in ("HOST005", "MEM004", "COMP006", "CAP002")),
        limits=ceilings(
            "measured", **{name: draw(numbers) for name in ("bf16", "fp8", "tf32", "graph_node")}
        ),
        candidates=(OWN, SMALL, LARGE),
        serving=make_serving(
            running=draw(numbers),
            waiting=draw(numbers),
            kv_use_frac=draw(numbers),
            usd_per_mtok=draw(numbers),
        ),
        memory=1.0,
    )
    evidence = msgspec.structs.replace(
        case.evidence,
        power_w_p90=draw(numbers),
        power_w_p50=draw(numbers),
        device=msgspec.structs.replace(
            case.evidence.device,
            power_limit_w=draw(numbers),
            sm_mhz_limit=draw(numbers),
            sm_mhz_max=draw(numbers),
        ),
    )
    verdict = msgspec.structs.replace(case.verdict, shares=split)
    return msgspec.structs.replace(case, evidence=evidence, verdict=verdict)


@settings(max_examples=200)
@given(hostile_cases(), st.sampled_from(all_fixes()), st.sampled_from(all_fixes()))
def test_figures_that_no_device_gives_break_nothing(case: Case, first: object, second: object) -> None:
    chosen = [fix for fix in all_fixes() if fix in (first, second)]
    made = list(what_ifs(case))
    with contextlib.suppress(ExclusiveFixesError):
        made.append(combined(case, chosen))
    for one in made:
        effect = one.effect
        assert effect is None or 0.0 < effect.low <= effect.high < math.inf

"""Predictions beside what came of them."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compare.made import Circumstances, Moved
from rules.compare.predicted import judged, predictions, saving
from rules.compare.records import Throughput
from rules.finding import Effect
from rules.whatif import Lever, WhatIf
from rules.whatifs.registry import all_fixes
from tests.factories import make_finding


def what_if(**more: object) -> WhatIf:
    given_: dict[str, object] = {
        "fix": "host-gap",
        "title": "remove the host gap",
        "key": "GPU-0",
        "gpu": 0,
        "codes": ("HOST003",),
        "effect": Effect(low=1.3, high=1.6, basis="invented"),
        **more,
    }
    return WhatIf(**given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("factor", "low", "high", "says"),
    [
        (1.4, 1.38, 1.42, "inside"),
        (1.3, None, None, "inside"),
        (1.2, 1.1, 1.31, "within-noise"),
        (1.7, 1.55, 1.9, "within-noise"),
        (1.2, 1.15, 1.25, "below"),
        (1.8, 1.7, 1.9, "above"),
        (1.8, None, None, "above"),
        (None, None, None, "unknown"),
    ],
)
def test_where_it_lies(factor: float | None, low: float | None, high: float | None, says: str) -> None:
    assert judged(1.3, 1.6, Throughput(factor=factor, low=low, high=high)) == says


def price(usd_h: float | None, **more: object) -> Circumstances:
    return Circumstances(price_usd_h=usd_h, **more)  # type: ignore[arg-type]


def gap(before: float, after: float, half: float | None = 0.01) -> dict[str, Moved]:
    """The host gap in both, and half its change's interval."""
    return {"host": Moved(before, after, half)}


def circumstances(before: dict[str, float], after: dict[str, float], **more: object) -> Circumstances:
    """terms before and after, as shares of the paid time."""
    shares = gap(before.get("host_gap", 0.0), after.get("host_gap", 0.0))
    return Circumstances(terms_a=before, terms_b=after, shares=shares, **more)  # type: ignore[arg-type]


def test_predicted_beside_realised() -> None:
    got = Throughput(factor=1.5, low=1.45, high=1.55)
    known = circumstances({"host_gap": 0.4}, {"host_gap": 0.1}, price_usd_h=6.0)
    (found,) = predictions([what_if()], [make_finding("HOST003")], [], got, known)
    assert (found.fix, found.low, found.high, found.factor) == ("host-gap", 1.3, 1.6, 1.5)
    assert found.saving_usd_h == pytest.approx(2.0)
    assert found.saving_low_usd_h == pytest.approx(6.0 * (1 - 1 / 1.3))
    assert (found.made, found.because, found.says) == (True, "its finding went", "inside")


@pytest.mark.parametrize(("left", "made"), [(0.38, False), (0.35, False), (0.2, True)])
def test_a_fix_whose_finding_stayed_was_hardly_made(left: float, made: bool) -> None:
    after = [make_finding("HOST003", share=left)]
    (found,) = predictions(
        [what_if()],
        [make_finding("HOST003", share=0.38)],
        after,
        Throughput(factor=1.0),
        price(None, shares=gap(0.38, left)),
    )
    assert found.made is made
    assert (found.says == "not-made") is not made
    assert found.saving_usd_h is None


def test_another_card_is_the_fix_where_it_is_the_one_that_was_named() -> None:
    move = what_if(fix="smaller-gpu", title="Move to L4")
    for known, made in (
        (price(6.0, same_card=True), False),
        (price(6.0), True),
        (price(6.0, card_after="L4"), True),
        (price(6.0, card_after="B200 SXM"), False),
    ):
        (found,) = predictions([move], [], [], Throughput(factor=1.5), known)
        assert found.made is made
        assert (found.says == "not-made") is not made


@pytest.mark.parametrize(
    ("limits", "made", "because"),
    [
        ((400.0, 700.0), False, "raised, from 400 to 700 W"),
        ((700.0, 560.0), True, "lowered, from 700 to 560 W"),
        ((700.0, 600.0), True, "lowered"),
        ((700.0, 650.0), False, "the fix is a limit of 560 W"),
        ((700.0, 300.0), False, "the fix is a limit of 560 W"),
        ((700.0, 700.0), False, "the same"),
        ((None, 560.0), None, "not known"),
    ],
)
def test_a_cap_is_a_limit_that_was_lowered_to_what_was_proposed(
    limits: tuple[float | None, float | None], made: bool | None, because: str
) -> None:
    cap = what_if(fix="power-cap", effect=Effect(low=0.77, high=0.92, basis="invented"))
    (found,) = predictions([cap], [], [], Throughput(factor=0.9), price(6.0, power_limits_w=limits))
    assert found.made is made
    assert because in found.because
    assert found.says == {True: "inside", False: "not-made", None: "unknown"}[made]


@pytest.mark.parametrize(("clock", "made"), [("up", True), ("no-difference", False), ("unclear", None)])
def test_clocks_that_run_free_are_seen_to(clock: str, made: bool | None) -> None:
    free = what_if(fix="full-clock", codes=())
    (found,) = predictions([free], [], [], Throughput(factor=1.5), price(6.0, clock=clock))
    assert found.made is made


def test_where_nothing_tells_nothing_is_credited() -> None:
    (found,) = predictions([what_if(codes=())], [], [], Throughput(factor=1.5), price(6.0))
    assert (found.made, found.says) == (None, "unknown")
    assert (found.factor, found.saving_usd_h) == (None, None)


@pytest.mark.parametrize(
    ("moved", "factor", "made"),
    [
        (gap(0.4, 0.1), 1.5, True),
        (gap(0.095, 0.095), 1.0, False),
        (gap(0.4, 0.38), 1.0, False),
        (gap(0.4, 0.1, half=0.5), 1.5, None),
        (gap(0.4, 0.1, half=None), 1.5, None),
        # The share shrank since everything else became slower: the same gap for the same work.
        (gap(0.4, 0.2), 0.5, False),
        ({}, 1.5, None),
    ],
)
def test_a_fix_takes_its_own_time_away_beyond_noise(
    moved: dict[str, Moved], factor: float, made: bool | None
) -> None:
    fix = what_if(codes=(), levers=(Lever(share="host"),))
    (found,) = predictions([fix], [], [], Throughput(factor=factor), price(6.0, shares=moved))
    assert found.made is made


def test_time_at_a_roof_tells_nothing_by_an_estimate_from_it() -> None:
    fp8 = what_if(fix="fp8", codes=(), levers=(Lever(share="memory"),))
    known = price(6.0, shares={"memory": Moved(0.6, 0.5, 0.01)})
    for basis, made in (("estimate", None), ("work", True)):
        got = Throughput(factor=1.4, basis=basis)  # type: ignore[arg-type]
        assert predictions([fp8], [], [], got, known)[0].made is made


def test_fixes_that_may_both_have_been_made_share_one_figure() -> None:
    both = [what_if(fix=f, codes=(), levers=(Lever(share="host"),)) for f in ("host-gap", "cuda-graphs")]
    other = what_if(fix="power-cap")
    known = price(6.0, shares=gap(0.4, 0.1), power_limits_w=(700.0, 700.0))
    found = predictions([*both, other], [], [], Throughput(factor=1.5), known)
    assert [p.together for p in found] == [("cuda-graphs",), ("host-gap",), ()]
    assert [p.factor for p in found] == [1.5, 1.5, None]


def test_of_one_look_nothing_is_judged() -> None:
    known = price(6.0, same_look=True, shares=gap(0.4, 0.1))
    assert predictions([what_if()], [make_finding("HOST003")], [], Throughput(factor=1.0), known) == ()


def test_of_other_demand_nothing_is_judged() -> None:
    got = Throughput(factor=1.5, demand="2,347 to 69.8 tokens/s")
    known = price(6.0, shares=gap(0.4, 0.1))
    (found,) = predictions([what_if()], [make_finding("HOST003")], [], got, known)
    assert (found.made, found.says, found.factor) == (None, "unknown", None)
    assert found.because


@pytest.mark.parametrize(
    ("before", "after", "made"),
    [
        ({"host_gap": 0.4}, {"host_gap": 0.1}, True),
        # The same gap under another code, or looked at with less.
        ({"host_gap": 0.4}, {"host_gap": 0.4}, False),
        ({"host_gap": 0.4}, {}, None),
        ({}, {}, None),
        # A term of which the finding was a part, all of which went.
        ({"host_gap": 0.9}, {"host_gap": 0.52}, True),
    ],
)
def test_a_finding_that_went_took_its_time_along_or_was_not_looked_for(
    before: dict[str, float], after: dict[str, float], made: bool | None
) -> None:
    known = circumstances(before, after)
    gone = make_finding("HOST003", share=0.38)
    (found,) = predictions([what_if()], [gone], [make_finding("HOST001")], Throughput(factor=1.5), known)
    assert found.made is made
    assert found.says == {True: "inside", False: "not-made", None: "unknown"}[made]
    assert "its finding went" in found.because


def test_only_fixes_of_the_card_or_its_limit_are_told_by_those() -> None:
    """Every fix by its whole name: "fill-gpu" is no other card."""
    same = price(6.0, same_card=True, power_limits_w=(700.0, 700.0))
    told = {
        fix.slug
        for fix in all_fixes()
        for found in predictions([what_if(fix=fix.slug, codes=())], [], [], Throughput(factor=1.5), same)
        if found.made is False
    }
    assert told == {"smaller-gpu", "larger-gpu", "power-cap"}
    (both,) = predictions([what_if(fix="fp8+larger-gpu")], [], [], Throughput(factor=1.5), same)
    assert both.says == "not-made"


RENTED: dict[str, object] = {
    "fix": "smaller-gpu",
    "effect": Effect(low=0.67, high=0.75, basis="invented"),
    "price_low": 0.4,
    "price_high": 0.4,
    "price_usd_h": 10.0,
    "usd_h_low": 5.7,
    "usd_h_high": 8.0,
}


@pytest.mark.parametrize(
    ("factor", "after", "says", "saved"),
    [
        (0.6, 4.0, "inside", 10 - 4 / 0.6),
        (0.7, 4.0, "inside", 10 - 4 / 0.7),
        (0.3, 4.0, "below", 10 - 4 / 0.3),
        (1.0, 4.0, "above", 6.0),
        (0.7, None, "unknown", None),
        (None, 4.0, "unknown", None),
    ],
)
def test_another_card_is_judged_in_dollars_at_its_own_price(
    factor: float | None, after: float | None, says: str, saved: float | None
) -> None:
    known = Circumstances(price_usd_h=10.0, price_after_usd_h=after)
    (found,) = predictions([what_if(**RENTED)], [], [], Throughput(factor=factor), known)
    assert found.says == says
    assert found.saving_usd_h == (None if saved is None else pytest.approx(saved))
    assert (found.price_low, found.price_high) == (0.4, 0.4)
    assert ("not known or not comparable" in found.because) is (after is None)


def test_a_replica_that_takes_over_its_neighbours_requests_is_judged_by_what_that_costs() -> None:
    half = what_if(
        fix="replicas", codes=(), effect=Effect(low=1.0, high=1.0, basis="invented"),
        price_low=0.5, price_high=0.75, price_usd_h=10.0, usd_h_low=5.0, usd_h_high=7.5,
    )  # fmt: skip
    known = Circumstances(price_usd_h=10.0, price_after_usd_h=10.0, running=(10.0, 19.0))
    (found,) = predictions([half], [], [], Throughput(factor=1.9), known)
    assert found.says == "inside"
    assert found.saving_usd_h == pytest.approx(10 - 10 / 1.9)
    (idle,) = predictions([half], [], [], Throughput(factor=1.0), known)
    assert (idle.says, idle.saving_usd_h) == ("below", 0.0)
    for running, says in (((10.0, 10.5), "not-made"), ((None, 10.0), "unknown")):
        known = msgspec.structs.replace(known, running=running)
        assert predictions([half], [], [], Throughput(factor=1.9), known)[0].says == says


def test_what_a_fix_costs_afterwards_is_its_own_figure() -> None:
    half = what_if(fix="replicas", price_usd_h=6.0, usd_h_low=2.9, usd_h_high=3.1)
    (found,) = predictions([half], [], [], Throughput(factor=1.0), price(6.0))
    assert found.saving_low_usd_h == pytest.approx(2.9)
    assert found.saving_high_usd_h == pytest.approx(3.1)


def test_a_finding_speaks_where_no_what_if_does() -> None:
    refused = what_if(effect=None, refused="no precision is known", codes=("HOST003",))
    (found,) = predictions([refused], [make_finding("HOST003")], [], Throughput(factor=1.5), price(6.0))
    assert (found.basis, found.fix) == ("finding", "HOST003")
    (spoken,) = predictions([what_if()], [make_finding("HOST003")], [], Throughput(), price(None))
    assert (spoken.says, spoken.shares) == ("unknown", ("host",))


@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0))
def test_a_saving_is_what_the_same_work_costs_less(usd_h: float, factor: float) -> None:
    saved = saving(usd_h, factor)
    assert saved is not None
    assert math.isclose(usd_h - saved, usd_h / factor, rel_tol=1e-9)
    assert (saved > 0) == (factor > 1)


def test_no_work_has_no_saving() -> None:
    assert saving(6.0, 0.0) is None
    assert saving(None, 2.0) is None

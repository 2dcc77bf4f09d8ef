"""Predictions beside what came of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compare.predicted import Circumstances, judged, predictions, saving
from rules.compare.records import Throughput
from rules.finding import Effect
from rules.whatif import WhatIf
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


def price(usd_h: float | None, *unchanged: str) -> Circumstances:
    return Circumstances(price_usd_h=usd_h, unchanged=frozenset(unchanged))


def circumstances(before: dict[str, float], after: dict[str, float], **more: float | None) -> Circumstances:
    """terms before and after, as shares of the paid time."""
    return Circumstances(terms_a=before, terms_b=after, **more)  # type: ignore[arg-type]


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
        [what_if()], [make_finding("HOST003", share=0.38)], after, Throughput(factor=1.0), price(None)
    )
    assert found.made is made
    assert (found.says == "not-made") is not made
    assert found.saving_usd_h is None


@pytest.mark.parametrize(("fix", "what"), [("smaller-gpu", "card"), ("power-cap", "power limit")])
def test_what_did_not_change_was_not_the_fix(fix: str, what: str) -> None:
    other = what_if(fix=fix)
    (same,) = predictions([other], [], [], Throughput(factor=1.5), price(6.0, "card", "power limit"))
    assert (same.made, same.says) == (False, "not-made")
    (changed,) = predictions([other], [], [], Throughput(factor=1.5), price(6.0))
    assert (changed.made, changed.says) == (True, "inside")


def test_where_nothing_tells_it_is_judged_all_the_same() -> None:
    (found,) = predictions([what_if(codes=())], [], [], Throughput(factor=1.0), price(6.0))
    assert (found.made, found.says) == (None, "below")


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
    assert found.says == ("not-made" if made is False else "inside")
    assert "its finding went" in found.because


def test_only_fixes_of_the_card_or_its_limit_are_told_by_those() -> None:
    """Every fix by its whole name: "fill-gpu" is no other card."""
    same = price(6.0, "card", "power limit")
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
    known = Circumstances(price_usd_h=10.0, price_after_usd_h=10.0)
    (found,) = predictions([half], [], [], Throughput(factor=1.9), known)
    assert found.says == "inside"
    assert found.saving_usd_h == pytest.approx(10 - 10 / 1.9)
    (idle,) = predictions([half], [], [], Throughput(factor=1.0), known)
    assert (idle.says, idle.saving_usd_h) == ("below", 0.0)


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
    assert spoken.says == "unknown"


@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0))
def test_a_saving_is_what_the_same_work_costs_less(usd_h: float, factor: float) -> None:
    saved = saving(usd_h, factor)
    assert saved is not None
    assert math.isclose(usd_h - saved, usd_h / factor, rel_tol=1e-9)
    assert (saved > 0) == (factor > 1)


def test_no_work_has_no_saving() -> None:
    assert saving(6.0, 0.0) is None
    assert saving(None, 2.0) is None

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


def test_predicted_beside_realised() -> None:
    got = Throughput(factor=1.5, low=1.45, high=1.55)
    (found,) = predictions([what_if()], [make_finding("HOST003")], [], got, price(6.0))
    assert (found.fix, found.low, found.high, found.factor) == ("host-gap", 1.3, 1.6, 1.5)
    assert found.saving_usd_h == pytest.approx(2.0)
    assert found.saving_low_usd_h == pytest.approx(6.0 * (1 - 1 / 1.3))
    assert (found.made, found.because, found.says) == (True, "its finding went", "inside")


@pytest.mark.parametrize(("left", "made"), [(0.38, False), (0.35, False), (0.2, True), (0.0, True)])
def test_a_fix_whose_finding_stayed_was_hardly_made(left: float, made: bool) -> None:
    after = [make_finding("HOST003", share=left)] if left else []
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

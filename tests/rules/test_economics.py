"""Dollars sum to the bill, and no what-if passes its bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.economics import amdahl, host_gap_bound, host_gap_effect, no_dust, split_cents
from rules.finding import TERMS

shares = st.lists(st.floats(0, 1), min_size=len(TERMS), max_size=len(TERMS)).filter(lambda v: sum(v) > 1e-6)


@given(shares, st.floats(0, 200))
def test_displayed_dollars_sum_to_the_displayed_bill(values: list[float], price: float) -> None:
    terms = {name: value / sum(values) * price for name, value in zip(TERMS, values, strict=True)}
    if sum(terms.values()) <= 0:
        return
    shown = split_cents(terms, price)
    assert sum(round(value * 100) for value in shown.values()) == round(price * 100)
    assert list(shown) == list(terms)
    assert all(abs(shown[name] - terms[name]) < 0.0151 for name in terms)
    assert all(shown[name] == 0 for name in terms if terms[name] == 0)


def test_the_worked_ladder_of_an_h100_hour() -> None:
    terms = {"free": 0.688, "held": 1.032, "host": 1.032, "inefficiency": 1.548, "useful": 2.58}
    assert split_cents(terms, 6.88) == {
        "free": 0.69,
        "held": 1.03,
        "host": 1.03,
        "inefficiency": 1.55,
        "useful": 2.58,
    }


def test_thirds_of_a_dollar() -> None:
    assert sorted(split_cents(dict.fromkeys("abc", 1 / 3), 1.0).values()) == [0.33, 0.33, 0.34]


def test_nothing_costs_nothing_and_cannot_carry_a_bill() -> None:
    assert split_cents({"a": 0.0}, 0.0) == {"a": 0.0}
    with pytest.raises(ValueError, match=r"\$1\.00"):
        split_cents({"a": 0.0}, 1.0)
    with pytest.raises(ValueError, match="negative"):
        split_cents({"a": -1.0, "b": 2.0}, 1.0)


def test_host_gap_bound_is_the_inverse_of_the_busy_share() -> None:
    assert host_gap_bound(0.38) == pytest.approx(1.613, abs=1e-3)
    assert host_gap_bound(0.0) == 1.0
    assert host_gap_bound(0.99) is None


@given(st.floats(0, 0.95))
def test_the_range_of_a_host_gap_lies_under_its_bound(gap: float) -> None:
    effect = host_gap_effect(gap)
    assert effect is not None
    assert effect.bound is not None
    assert 1.0 <= effect.low <= effect.high <= effect.bound


@given(st.floats(0, 1), st.floats(1, 100))
def test_speeding_up_a_share_never_buys_more_than_the_share_allows(share: float, factor: float) -> None:
    whole = amdahl(share, factor)
    assert 1.0 - 1e-9 <= whole <= factor + 1e-9
    assert share == 1 or whole <= 1 / (1 - share) + 1e-6


@pytest.mark.parametrize(
    ("usd_h", "price_usd_h", "shown"),
    [
        (3.4e-14, 6.88, 0.0),
        (0.009, 6.88, 0.0),
        (0.011, 6.88, 0.011),
        (0.004, 0.05, 0.004),
        (1e-9, 0.05, 0.0),
        (0.5, None, 0.5),
        (1e-14, None, 0.0),
        (None, 6.88, None),
    ],
)
def test_dust_is_nothing(usd_h: float | None, price_usd_h: float | None, shown: float | None) -> None:
    assert no_dust(usd_h, price_usd_h) == shown

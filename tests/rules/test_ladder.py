from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.decide import decide
from rules.engine import ranked
from rules.evidence import SubWindow
from rules.finding import TERMS, Price
from rules.ladder import in_dollars, ladder_row
from tests.factories import make_finding
from tests.rules.loads import CEILINGS, evidence, series
from tests.rules.test_classify import windows

PRICE = Price(usd_h=6.88, basis="bundled", source="planted")
NO_PRICE = Price(usd_h=None, basis="none", source="no price is known")


def test_the_worked_example_of_half_a_roof() -> None:
    """20 % host gap, then busy at 0.5 of the DRAM roof: half of the busy 80 % is inefficiency."""
    e = evidence(series((50, {"gr_active": 0.8, "dram_active": 0.8 * 0.5 * 0.9, "sm_occupancy": 0.5})))
    row = ladder_row(e, decide(e, CEILINGS), PRICE)
    assert row.terms is not None
    assert row.terms["host_gap"] == pytest.approx(0.2 * 6.88)
    assert row.terms["inefficiency"] == pytest.approx(0.4 * 6.88)
    assert row.terms["useful"] == pytest.approx(0.4 * 6.88)
    assert row.wasted_usd_h == pytest.approx(0.6 * 6.88)


def test_without_a_price_there_are_shares_and_no_dollars() -> None:
    e = evidence(series((50, {"dram_active": 0.85})))
    row = ladder_row(e, decide(e, CEILINGS), NO_PRICE)
    assert row.terms is None and row.wasted_usd_h is None and row.price_usd_h is None
    assert sum(row.shares.values()) == pytest.approx(1.0)


def test_a_slice_costs_its_part() -> None:
    e = evidence(series((50, {"gr_active": 0.0})), price_share=1 / 7)
    row = ladder_row(e, decide(e, CEILINGS), PRICE)
    assert row.price_usd_h == pytest.approx(6.88 / 7)
    assert row.terms is not None
    assert row.terms["idle_held"] == pytest.approx(6.88 / 7)


@given(st.lists(windows, max_size=40), st.floats(0.01, 50.0), st.floats(0.0, 1.0))
def test_the_ladder_sums_to_the_price(ws: list[SubWindow], usd_h: float, part: float) -> None:
    e = evidence(tuple(ws), price_share=part)
    row = ladder_row(e, decide(e, CEILINGS), Price(usd_h=usd_h, basis="user", source="--price"))
    assert row.terms is not None
    assert tuple(row.terms) == TERMS
    assert math.fsum(row.terms.values()) == pytest.approx(usd_h * part, abs=1e-9)
    assert math.fsum(row.shares.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(value >= -1e-9 for value in row.terms.values())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 100))
def test_dollars_sum_exactly(values: list[float], usd_h: float) -> None:
    whole = math.fsum(values) or 1.0
    shares = {str(i): value / whole for i, value in enumerate(values)}
    assert math.fsum(in_dollars(shares, usd_h).values()) == pytest.approx(usd_h, abs=1e-9)


@given(st.lists(windows, min_size=1, max_size=20), st.lists(windows, min_size=1, max_size=20))
def test_a_whole_wastes_what_its_parts_waste(first: list[SubWindow], second: list[SubWindow]) -> None:
    """Useful work of one part never hides the waste of another: terms are those of the parts, by time."""

    def seconds(ws: list[SubWindow]) -> dict[str, float]:
        e = evidence(tuple(ws))
        shares = ladder_row(e, decide(e, CEILINGS), NO_PRICE).shares
        length = math.fsum(w.duration_s for w in ws)
        return {name: share * length for name, share in shares.items()}

    parts, whole = (seconds(first), seconds(second)), seconds(first + second)
    for name in ("useful", "inefficiency", "throttle", "communication", "free", "unknown"):
        assert whole[name] == pytest.approx(parts[0][name] + parts[1][name], abs=1e-6)


def test_faults_come_first_whatever_they_cost() -> None:
    cheap = make_finding(code="DEV006", severity="critical", usd_h=None, share=0.0)
    dear = make_finding(code="HOST003", severity="high", usd_h=5.0)
    assert [f.code for f in ranked([dear, cheap])] == ["DEV006", "HOST003"]

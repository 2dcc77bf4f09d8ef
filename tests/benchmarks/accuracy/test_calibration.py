"""Calibration: the table, its intervals, and the monotone fit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy.calibration import Claim, brier, isotonic, table, wilson

CLAIMS = st.lists(st.builds(Claim, st.floats(0.0, 1.0).map(lambda x: round(x, 2)), st.booleans()), min_size=1)


def test_brier_is_nought_for_the_sure_and_right_and_one_for_the_sure_and_wrong() -> None:
    assert brier([Claim(1.0, True)] * 3) == 0.0
    assert brier([Claim(1.0, False)]) == 1.0
    assert brier([Claim(0.5, True), Claim(0.5, False)]) == 0.25
    assert brier([]) is None


def test_every_claim_falls_into_one_bin_and_certainty_into_the_last() -> None:
    bins = table([Claim(c, True) for c in (0.0, 0.49, 0.5, 0.7, 0.9, 1.0)])
    assert [b.n for b in bins] == [2, 1, 0, 1, 0, 2]
    assert bins[2].right_share is None and bins[2].interval is None


def test_wilsons_interval_is_the_published_one() -> None:
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=0.001)
    assert wilson(0, 5)[0] == 0.0 and wilson(5, 5)[1] == 1.0


def test_violators_are_pooled() -> None:
    claims = [
        *(Claim(0.6, right) for right in (True, True, True, False)),
        *(Claim(0.7, right) for right in (True, False, False, False)),
        *(Claim(0.9, True),) * 18,
    ]
    steps = isotonic(claims)
    assert [(s.raw, s.n) for s in steps] == [(0.65, 8), (0.9, 18)]
    assert [s.calibrated for s in steps] == [0.5, 0.95]


@settings(max_examples=50, deadline=None)
@given(claims=CLAIMS)
def test_the_fit_rises_loses_nobody_and_is_never_certain(claims: list[Claim]) -> None:
    steps = isotonic(claims)
    assert sum(step.n for step in steps) == len(claims)
    assert all(a.raw < b.raw and a.calibrated <= b.calibrated for a, b in pairwise(steps))
    assert all(0.0 < step.calibrated < 1.0 for step in steps)


@settings(max_examples=50, deadline=None)
@given(right=st.integers(0, 50), more=st.integers(0, 50))
def test_an_interval_holds_the_share_it_is_of(right: int, more: int) -> None:
    n = right + more
    if n:
        low, high = wilson(right, n)
        assert 0.0 <= low <= right / n + 1e-12 and right / n - 1e-12 <= high <= 1.0

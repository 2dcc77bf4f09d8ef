"""Statistics of windows."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.stats import quantile, summary

FIGURES = st.lists(st.floats(1e-9, 1e15), min_size=1, max_size=60)


def test_quantiles_lie_between_order_statistics() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert [quantile(values, q) for q in (0, 0.5, 1)] == [1.0, 2.5, 4.0]
    assert quantile(values, 0.1) == pytest.approx(1.3)


def test_one_value_is_every_quantile_and_has_no_spread() -> None:
    s = summary([7.0])
    assert (s.median, s.p10, s.p90, s.cv, s.count) == (7.0, 7.0, 7.0, 0.0, 1)


def test_of_nothing_there_is_no_summary() -> None:
    with pytest.raises(ValueError, match="no values"):
        summary([])


@given(FIGURES)
def test_the_summary_agrees_with_the_standard_library(values: list[float]) -> None:
    s = summary(values)
    assert s.median == pytest.approx(statistics.median(values))
    assert s.count == len(values)
    assert min(values) <= s.p10 <= s.median <= s.p90 <= max(values)
    if len(values) > 1:
        expected = statistics.stdev(values) / statistics.fmean(values)
        assert s.cv == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(FIGURES, st.floats(0.001, 1000))
def test_the_spread_does_not_depend_on_the_unit(values: list[float], factor: float) -> None:
    assert summary([v * factor for v in values]).cv == pytest.approx(summary(values).cv, rel=1e-6, abs=1e-9)


@given(FIGURES)
def test_the_order_of_windows_does_not_matter(values: list[float]) -> None:
    assert summary(list(reversed(values))).median == summary(values).median

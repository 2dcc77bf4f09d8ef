"""Intervals of differences: covered as often as they say, whatever correlates neighbouring values."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import thresholds_compare as tc
from rules.compare.intervals import Mean, difference, mean_of, ratio, t_95

LEAST = int(tc.STRETCHES_MIN.value)
series = st.lists(st.floats(-1e3, 1e3), min_size=LEAST, max_size=60)


def correlated(count: int, correlation: float, rng: random.Random) -> list[float]:
    """Values around 0, each like the one before it; made up."""
    value, found = 0.0, []
    for _ in range(count + 100):
        value = correlation * value + rng.gauss(0.0, 1.0)
        found.append(value)
    return found[100:]


def known(values: list[float]) -> Mean:
    found = mean_of(values, [1.0] * len(values))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("correlation", "count", "least"),
    [
        (0.0, 120, 0.94),
        (0.5, 120, 0.94),
        (0.8, 120, 0.93),
        (0.9, 120, 0.91),
        (0.95, 120, 0.87),
        (0.5, 60, 0.92),
        (0.0, 20, 0.93),
    ],
)
def test_the_true_difference_is_covered(correlation: float, count: int, least: float) -> None:
    rng = random.Random(20)
    trials = 600
    covered = 0
    for _ in range(trials):
        a, b = (known(correlated(count, correlation, rng)) for _ in range(2))
        covered += difference(a, b).holds(0.0)
    assert covered / trials >= least


def test_a_plain_standard_error_would_not_do() -> None:
    """The same series, taken for independent values, are covered far less often: what the batches are for."""
    rng = random.Random(20)
    covered = 0
    for _ in range(300):
        means = []
        for _ in range(2):
            values = correlated(120, 0.8, rng)
            mean = sum(values) / 120
            means.append(Mean(mean, sum((v - mean) ** 2 for v in values) / 119 / 120, 119.0))
        covered += difference(means[0], means[1]).holds(0.0)
    assert covered / 300 < 0.7


def test_a_difference_that_is_there_is_found() -> None:
    rng = random.Random(3)
    a, b = ([0.3 + 0.02 * x for x in correlated(120, 0.5, rng)] for _ in range(2))
    found = difference(known(a), known([x + 0.1 for x in b]))
    assert found.low > 0.0
    assert found.high < 0.15


def test_turns_of_phases_are_no_change() -> None:
    """Two windows of the same two phases in turns, begun at other moments."""
    a = [float(i // 10 % 2) for i in range(120)]
    b = [float((i + 7) // 10 % 2) for i in range(120)]
    assert difference(known(a), known(b)).holds(0.0)


@given(series, st.floats(-10.0, 10.0), st.floats(0.1, 10.0))
def test_moves_and_scales_with_the_values(values: list[float], shift: float, by: float) -> None:
    plain, moved = known(values), known([shift + by * v for v in values])
    assert math.isclose(moved.value, shift + by * plain.value, abs_tol=1e-6)
    if plain.variance > 1e-6 and plain.freedom == moved.freedom:
        assert math.isclose(moved.variance, by * by * plain.variance, rel_tol=1e-3)


@given(series, series)
def test_holds_its_own_change_and_turns_with_its_sides(left: list[float], right: list[float]) -> None:
    a, b = known(left), known(right)
    there, back = difference(a, b), difference(b, a)
    assert there.low <= b.value - a.value <= there.high
    assert math.isclose(there.low, -back.high, abs_tol=1e-9)


@given(st.lists(st.floats(0.1, 10.0), min_size=LEAST, max_size=60), st.integers(1, 4))
def test_a_stretch_cut_into_equal_ones_keeps_the_mean(weights: list[float], pieces: int) -> None:
    values = [math.sin(i) for i in range(len(weights))]
    whole = mean_of(values, weights)
    cut = mean_of(
        [v for v in values for _ in range(pieces)], [w / pieces for w in weights for _ in range(pieces)]
    )
    assert whole is not None
    assert cut is not None
    assert math.isclose(whole.value, cut.value, abs_tol=1e-9)


def test_a_constant_is_off_by_nothing_but_the_floor() -> None:
    one = known([0.4] * 50)
    found = difference(one, one, floor=0.01)
    assert (found.low, found.high) == (-0.01, 0.01)
    assert not found.slow


def test_too_few_values_give_none() -> None:
    assert mean_of([1.0] * (LEAST - 1), [1.0] * (LEAST - 1)) is None
    assert mean_of([None] * 100, [1.0] * 100) is None
    assert mean_of([1.0] * 100, [0.0] * 100) is None


def test_a_drift_is_marked() -> None:
    a, b = known([i / 100 for i in range(100)]), known([0.5] * 100)
    assert a.slow
    assert difference(a, b).slow


def test_ratio() -> None:
    rng = random.Random(4)
    a, b = (known([1.0 + 0.05 * x for x in correlated(120, 0.3, rng)]) for _ in range(2))
    found = ratio(a, b.scaled(1.4))
    assert found is not None
    assert 1.3 < found.low < 1.4 < found.high < 1.5
    assert ratio(a, a.scaled(-1.0)) is None
    assert ratio(a.scaled(0.0), a) is None


def test_t_falls_from_one_degree_to_the_normal() -> None:
    values = [t_95(freedom / 7.0) for freedom in range(1, 4000)]
    assert all(more >= less for more, less in pairwise(values))
    assert t_95(9.0) == pytest.approx(2.262, abs=0.003)
    assert t_95(1e9) == pytest.approx(1.96, abs=1e-3)

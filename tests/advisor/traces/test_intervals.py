"""Interval algebra against bitmaps of single nanoseconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.traces.intervals import (
    NONE,
    Ints,
    Spans,
    clip,
    complement,
    cut,
    empty,
    gaps,
    intersect,
    join,
    paint,
    spans,
    subtract,
    totals,
    union,
    within,
)

SIZE = 60
PAIRS = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=12)
WINDOW = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))


def bits(pairs: list[tuple[int, int]]) -> Ints:
    """One entry a nanosecond: whether any of the pairs covers it."""
    result = np.zeros(SIZE, np.int64)
    for start, end in pairs:
        result[start : max(start, end)] = 1
    return result


def drawn(given_: Spans) -> Ints:
    return bits(list(zip(given_.start_ns.tolist(), given_.end_ns.tolist(), strict=True)))


def assert_normal(given_: Spans) -> None:
    assert (given_.end_ns > given_.start_ns).all()
    assert (given_.start_ns[1:] > given_.end_ns[:-1]).all()


@given(PAIRS, PAIRS, WINDOW)
@settings(max_examples=150, deadline=None)
def test_algebra_equals_bitmaps(
    one: list[tuple[int, int]], other: list[tuple[int, int]], window: tuple[int, int]
) -> None:
    a, b = spans(one), spans(other)
    left, right = bits(one), bits(other)
    frame = bits([window])
    expected = {
        "union": (a, left),
        "join": (join(a, b), left | right),
        "intersect": (intersect(a, b), left & right),
        "subtract": (subtract(a, b), left & ~right),
        "clip": (clip(a, *window), left & frame),
        "complement": (complement(a, *window), frame & (1 - left)),
    }
    for made, bitmap in expected.values():
        assert_normal(made)
        assert drawn(made).tolist() == bitmap.tolist()
        assert made.total_ns == int(bitmap.sum())


@given(st.lists(PAIRS, min_size=1, max_size=4), PAIRS)
@settings(max_examples=100, deadline=None)
def test_painting_and_cutting_equal_bitmaps(
    layers: list[list[tuple[int, int]]], segments: list[tuple[int, int]]
) -> None:
    picture = np.full(SIZE, NONE, np.int64)
    for number, pairs in reversed(list(enumerate(layers))):
        picture[bits(pairs) == 1] = number
    painted = paint([spans(pairs) for pairs in layers])
    assert (painted.start_ns[1:] >= painted.end_ns[:-1]).all()
    seen = np.full(SIZE, NONE, np.int64)
    for start, end, label in zip(painted.start_ns, painted.end_ns, painted.label, strict=True):
        seen[start:end] = label
    assert seen.tolist() == picture.tolist()

    whole = spans(segments)
    starts, ends, owner, label = cut(whole.start_ns, whole.end_ns, painted)
    assert (ends > starts).all() and (starts[1:] >= ends[:-1]).all()
    assert int((ends - starts).sum()) == whole.total_ns
    for start, end, number, what in zip(starts, ends, owner, label, strict=True):
        assert whole.start_ns[number] <= start and end <= whole.end_ns[number]
        assert set(picture[start:end].tolist()) == {int(what)}


def test_nothing_stays_nothing() -> None:
    nothing = empty()
    assert [len(f) for f in (union(nothing.start_ns, nothing.end_ns), join(), spans([]), gaps(nothing))] == [
        0
    ] * 4
    assert len(paint([])) == 0 and len(paint([nothing])) == 0
    assert len(complement(nothing, 5, 5)) == 0
    assert complement(nothing, 5, 9).total_ns == 4
    assert len(subtract(spans([(1, 3)]), nothing)) == 1


def test_neighbours_that_touch_are_one_and_empty_ones_are_dropped() -> None:
    made = spans([(5, 9), (0, 5), (12, 12), (20, 14)])
    assert (made.start_ns.tolist(), made.end_ns.tolist()) == ([0], [9])


def test_gaps_lie_between() -> None:
    between = gaps(spans([(0, 4), (6, 7), (20, 30)]))
    assert (between.start_ns.tolist(), between.end_ns.tolist()) == ([4, 7], [6, 20])


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 100, [10, 5]), (12, 31, [8, 1]), (50, 60, [0, 0])])
def test_within_clips_lengths(low: int, high: int, expected: list[int]) -> None:
    starts, ends = np.array([10, 30], np.int64), np.array([20, 35], np.int64)
    assert within(starts, ends, low, high).tolist() == expected


def test_totals_are_exact_beyond_what_floats_hold() -> None:
    lengths = np.array([2**53, 1, 2**53], np.int64)
    assert totals(lengths, np.array([0, 0, 1]), 3).tolist() == [2**53 + 1, 2**53, 0]

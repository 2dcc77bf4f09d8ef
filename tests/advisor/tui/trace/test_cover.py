"""Columns of a timeline: every nanosecond is in exactly one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.tui.trace.cover import Cover, edges

INTERVALS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), max_size=12)


def cover_of(intervals: list[tuple[int, int]]) -> Cover:
    starts = np.array([start for start, _ in intervals], np.int64)
    return Cover.of(starts, starts + np.array([size for _, size in intervals], np.int64))


@settings(max_examples=60, deadline=None)
@given(INTERVALS, st.integers(0, 200), st.integers(1, 300), st.integers(1, 40))
def test_columns_are_what_counting_every_nanosecond_gives(
    intervals: list[tuple[int, int]], start: int, length: int, columns: int
) -> None:
    borders = edges(start, start + length, columns)
    covered = {ns for first, size in intervals for ns in range(first, first + size)}
    counted = [
        sum(1 for ns in range(low, high) if ns in covered)
        for low, high in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
    ]
    assert cover_of(intervals).columns(borders).tolist() == counted


@pytest.mark.parametrize("columns", [1, 7, 80, 200])
def test_edges_of_a_day_are_exact_in_64_bits(columns: int) -> None:
    begin, length = 1 << 62, 86_400 * 10**9
    borders = edges(begin, begin + length, columns)
    assert (int(borders[0]), int(borders[-1])) == (begin, begin + length)
    sizes = np.diff(borders)
    assert int(sizes.max() - sizes.min()) <= 1


def test_nothing_covers_nothing() -> None:
    nothing = cover_of([])
    assert nothing.between(0, 100) == 0
    assert len(nothing) == 0

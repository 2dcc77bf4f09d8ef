"""The innermost and the outermost of nested intervals."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.traces.intervals import union
from advisor.traces.nesting import flat, innermost, outermost

INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=20)


def columns(given_: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted((start, -(start + length)) for start, length in given_)
    return np.array([s for s, _ in ordered], np.int64), np.array([-e for _, e in ordered], np.int64)


@settings(max_examples=60, deadline=None)
@given(INTERVALS, st.lists(st.integers(-2, 95), max_size=12))
def test_the_innermost_is_the_last_one_begun_that_still_holds_the_time(
    made: list[tuple[int, int]], times: list[int]
) -> None:
    starts, ends = columns(made)
    held = [[i for i in range(len(starts)) if starts[i] <= t <= ends[i]] for t in times]
    assert innermost(starts, ends, np.array(times, np.int64)).tolist() == [
        max(rows, default=-1) for rows in held
    ]


@settings(max_examples=60, deadline=None)
@given(INTERVALS)
def test_painted_time_is_the_time_covered_once(made: list[tuple[int, int]]) -> None:
    starts, ends = columns(made)
    covered = union(starts, ends).total_ns
    for painted in (flat(starts, ends), outermost(starts, ends)):
        assert int((painted.end_ns - painted.start_ns).sum()) == covered
        assert (painted.start_ns[1:] >= painted.end_ns[:-1]).all()
        assert (starts[painted.label] <= painted.start_ns).all()
        assert (painted.end_ns <= ends[painted.label]).all()


def test_deep_nesting_takes_one_pass() -> None:
    deep = 200_000
    starts, ends = np.arange(deep), 10 * deep - np.arange(deep)
    after = np.arange(5 * deep, 10 * deep, 7)
    assert (innermost(starts, ends, after) == np.minimum(10 * deep - after, deep - 1)).all()

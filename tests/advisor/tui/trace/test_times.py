"""Times on an axis and in a sentence."""

from __future__ import annotations

import pytest

from advisor.tui.trace import times


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "0 ns"), (999, "999 ns"), (1_250, "1.25 µs"), (12_340, "12.3 µs"), (840_000, "840 µs"),
        (9_999_000, "10.0 ms"), (1_250_000, "1.25 ms"), (12_000_000_000, "12.0 s"), (3_600 * 10**9, "3600 s"),
    ],
)  # fmt: skip
def test_duration(ns: int, words: str) -> None:
    assert times.duration(ns) == words


@pytest.mark.parametrize(
    ("ns", "step", "words"),
    [
        (1_500_000, 500_000, "1.5 ms"), (2_000_000_000, 100_000_000, "2.0 s"),
        (60_150_000_000, 50_000_000, "60.15 s"),
        (0, 20_000, "0 µs"), (2_160_000, 20_000, "2.16 ms"), (40, 10, "40 ns"),
    ],
)  # fmt: skip
def test_instant_has_the_digits_of_its_step(ns: int, step: int, words: str) -> None:
    assert times.instant(ns, step) == words


@pytest.mark.parametrize(("window", "most"), [(1, 5), (999, 4), (10**6, 7), (123_456_789, 5), (10**13, 14)])
def test_a_step_is_round_and_not_too_fine(window: int, most: int) -> None:
    step = times.nice_step(window, most)
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert window // step <= most + 1

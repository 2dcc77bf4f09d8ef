"""Durations as people type them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.cli.durations import UNIT_S, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("2m", 120.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("0.5s", 0.5),
        ("10", 10.0),
        (" 5S ", 5.0),
        ("1d", 86400.0),
    ],
)
def test_parses(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "0", "0s", "-5s", "5x", "5 s 3", "nan", "inf", "1e9", "1s junk", "٣s", "9" * 400 + "s"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|zero"):
        parse_duration(text)


@given(st.floats(min_value=0.001, max_value=99_999.0), st.sampled_from(sorted(UNIT_S)))
def test_any_amount_of_any_unit(amount: float, unit: str) -> None:
    text = f"{amount:.3f}"
    assert parse_duration(f"{text}{unit}") == pytest.approx(float(text) * UNIT_S[unit])


@given(st.text(max_size=30))
def test_never_gives_a_useless_number(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds > 0
    assert math.isfinite(seconds)


@given(st.floats(min_value=0.01, max_value=1e6))
def test_what_is_shown_reads_back_nearly_the_same(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.1)

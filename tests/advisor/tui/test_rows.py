"""Rows: fitting text to cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from advisor.tui.rows import Span, clip, left, right, row, spread, text_of, width_of, wrap

NAMES = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Mn", "Me", "Cs")), max_size=40
)


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("host", 6, "host  "),
        ("memory", 6, "memory"),
        ("bandwidth", 6, "bandw…"),
        ("abc", 1, "a"),
        ("abc", 0, ""),
    ],
)
def test_left_pads_or_cuts(text: str, width: int, expected: str) -> None:
    assert left(text, width) == expected


def test_a_wide_character_is_never_halved() -> None:
    assert left("名前名前", 6) == "名前 …"


@given(NAMES, st.integers(0, 60))
def test_left_and_right_take_exactly_their_width(text: str, width: int) -> None:
    assert cell_len(left(text, width)) == width
    assert cell_len(right(text, width)) == width


@given(st.lists(NAMES, max_size=5), st.integers(0, 80))
def test_clip_takes_exactly_its_width(texts: list[str], width: int) -> None:
    assert width_of(clip(tuple(Span(text) for text in texts), width)) == width


def test_spread_cuts_the_start_first() -> None:
    assert text_of(spread(row("a long beginning"), row("end"), 10)) == "a long…end"


def test_wrap_says_that_text_is_left() -> None:
    assert wrap("one two three four five", 10, limit=2) == ["one two", "three fou…"]

"""Zoom, pan and jumps: the view never leaves the trace, nor the cursor the view."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.tui.trace.window import LEAST_NS, Window

WHOLE = Window.whole(1_000, 1_001_000)


def test_zoom_keeps_the_cursor_in_its_place_on_the_screen() -> None:
    at = WHOLE.at(250_000)
    near = at.zoom(2.0).zoom(2.0)
    assert near.length_ns == 250_000
    assert near.cursor_ns == 250_000
    assert abs(near.column(100) - at.column(100)) <= 1
    assert near.zoom(0.25).length_ns == WHOLE.length_ns


def test_zoom_ends_at_the_closest() -> None:
    near = WHOLE
    for _ in range(40):
        near = near.zoom(2.0)
    assert near.length_ns == LEAST_NS
    tiny = Window.whole(0, 100).zoom(2.0)
    assert (tiny.start_ns, tiny.end_ns) == (0, 100)


def test_moving_out_of_the_view_pans() -> None:
    near = WHOLE.zoom(10.0)
    for _ in range(200):
        near = near.move(1, 50)
    assert near.start_ns > WHOLE.zoom(10.0).start_ns
    assert near.start_ns <= near.cursor_ns < near.end_ns


@pytest.mark.parametrize("width", [8, 69, 189])
def test_one_key_is_one_column(width: int) -> None:
    at = WHOLE.zoom(3.0)
    column = at.column(width)
    assert at.move(1, width).column(width) == column + 1
    assert at.move(-1, width).column(width) == column - 1
    low, high = at.column_ns(width)
    assert low <= at.cursor_ns < high


def test_a_fit_shows_what_it_is_about() -> None:
    fitted = WHOLE.fit(500_000, 510_000)
    assert fitted.length_ns == 20_000
    assert fitted.cursor_ns == 505_000
    assert fitted.start_ns == 495_000


STEPS = st.lists(
    st.tuples(st.sampled_from(["zoom", "pan", "move", "at", "fit"]), st.floats(-3, 3)), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_is_pressed_the_cursor_is_in_view_and_the_view_in_the_trace(
    pressed: list[tuple[str, float]],
) -> None:
    window = Window.whole(7, 123_463)
    for what, by in pressed:
        if what == "zoom":
            window = window.zoom(2.0 if by > 0 else 0.5)
        elif what == "pan":
            window = window.pan(by)
        elif what == "move":
            window = window.move(round(by * 30), 69)
        elif what == "at":
            window = window.at(round(by * 60_000))
        else:
            window = window.fit(1_000, 1_000 + round(abs(by) * 1_000))
        assert 7 <= window.start_ns < window.end_ns <= 123_463
        assert window.start_ns <= window.cursor_ns < window.end_ns

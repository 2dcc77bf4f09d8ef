"""Bars and charts as literal rows of text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.snapshot import HistoryPoint
from advisor.tui.charts.history import buckets, column_means, sparkline, stacked, trend
from advisor.tui.charts.meter import meter
from advisor.tui.charts.share_bar import apportion, share_bar
from advisor.tui.glyphs import ASCII, UNICODE
from advisor.tui.rows import text_of, width_of
from rules.verdict import SHARES

MIXED = {"host": 0.4, "memory": 0.3, "device": 0.1, "compute": 0.2}


def point(t_s: float, gap: bool = False, **shares: float) -> HistoryPoint:
    return HistoryPoint(t_s=t_s, shares=shares, gap=gap, power_w=None if gap else 100.0 * t_s)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (MIXED, "▒▒▒▒░▓▓▓██"),
        ({"free": 1.0}, "··········"),
        ({"idle_held": 0.5, "free": 0.5}, "··········"),
        ({"throttle": 0.2, "communication": 0.1, "compute": 0.7}, "▞▞▞███████"),
        ({"unknown": 1.0}, "??????????"),
        ({}, "          "),
    ],
)
def test_share_bar(shares: dict[str, float], expected: str) -> None:
    assert text_of(share_bar(shares, 10, UNICODE)) == expected


def test_share_bar_in_ascii_names_its_groups() -> None:
    assert text_of(share_bar(MIXED, 10, ASCII)) == "hhhhdmmmCC"


def test_every_group_has_its_own_glyph() -> None:
    for glyphs in (UNICODE, ASCII):
        assert len(set(glyphs.group.values())) == len(glyphs.group)


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=len(SHARES)), st.integers(1, 120))
def test_a_bar_is_exactly_full(weights: list[float], width: int) -> None:
    shares = {name: weight / sum(weights) for name, weight in zip(SHARES, weights, strict=False)}
    assert sum(apportion(shares, width).values()) == width
    assert width_of(share_bar(shares, width, UNICODE)) == width


def test_stacked_columns_stand_on_useful_work() -> None:
    points = [point(0, free=1.0), point(1, host=0.5, compute=0.5), point(2, memory=0.25, compute=0.75)]
    assert [text_of(line) for line in stacked(points, 3, 4, UNICODE)] == ["·▒▓", "·▒█", "·██", "·██"]


def test_time_without_data_is_a_hole_and_not_zero() -> None:
    points = [point(0, compute=1.0), point(1, gap=True), point(2, compute=1.0), point(5, compute=1.0)]
    assert [text_of(line) for line in stacked(points, 8, 2, UNICODE)] == ["  █ █  █", "  █ █  █"]


def test_newest_is_at_the_right() -> None:
    points = [point(second, host=1.0) for second in range(300)] + [point(300, memory=1.0)]
    line = text_of(stacked(points, 10, 1, UNICODE)[0])
    assert line == "▒▒▒▒▒▒▒▒▒▓"


def test_columns_do_not_move_within_their_step() -> None:
    points = [point(second, host=1.0) for second in range(100)]
    before = [[p.t_s for p in column] for column in buckets(points, 30)]
    after = [[p.t_s for p in column] for column in buckets([*points, point(100, host=1.0)], 30)]
    assert before[1:-1] == after[1 : len(before) - 1]


@pytest.mark.parametrize("times", [(5, 6, 7, 4), (5, 4, 4, 4), (9, 0), (7, 7), (100.9, 99.1)])
def test_points_told_out_of_order_have_their_columns(times: tuple[float, ...]) -> None:
    points = [point(t_s, host=1.0) for t_s in times]
    columns = buckets(points, 30)
    assert sum(len(column) for column in columns) == len(times)
    assert [len(line) for line in map(text_of, stacked(points, 30, 3, UNICODE))] == [30] * 3


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_a_clock_that_was_set_leaves_a_chart(by_s: int) -> None:
    points = [point(5000 + second, host=1.0) for second in range(20)]
    points += [point(5020 + by_s + second, host=1.0) for second in range(20)]
    columns = buckets(points, 30)
    assert points[-1] in columns[-1]
    assert len(columns) <= 30


def test_trend_holds_each_group_in_proportion_and_its_glyphs_stay() -> None:
    points = [point(second, compute=0.6, throttle=0.4) for second in range(100)]
    line = text_of(trend(points, 40, UNICODE))
    assert 14 <= line.count("▞") <= 18
    assert set(line) == {"▞", "█"}
    later = text_of(trend([*points, point(100, host=1.0)], 40, UNICODE))
    assert later == line[1:] + "▒"


def test_trend_of_ticks_of_one_group_each() -> None:
    points = [point(0, host=0.6, compute=0.4), point(1, gap=True), point(2, compute=1.0)]
    assert text_of(trend(points, 5, UNICODE)) == "  ▒ █"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 50.0, 100.0], "▁▅█"),
        ([None, 100.0, None], " █ "),
        ([1.0] * 9, "▁▁▁▁▁▁"),
        ([300.0], "     █"),
        ([], "      "),
    ],
)
def test_sparkline(values: list[float | None], expected: str) -> None:
    assert sparkline(values, 6, 100.0, UNICODE) == expected.rjust(6)


def test_column_means_skip_what_is_unknown() -> None:
    columns = [[point(1), point(3)], [point(5, gap=True)], []]
    assert column_means(columns, "power_w") == [200.0, None, None]


@pytest.mark.parametrize(
    ("frac", "expected"), [(0.5, "████····"), (0.0, "········"), (1.4, "████████"), (None, "        ")]
)
def test_meter(frac: float | None, expected: str) -> None:
    assert text_of(meter(frac, 8, UNICODE)) == expected

"""Figures as people read them."""

from __future__ import annotations

import pytest

from advisor.tui import format as fmt


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (fmt.percent(0.314), "31 %"),
        (fmt.percent(None), "–"),
        (fmt.points(None), "–"),
        (fmt.money(1234.5), "$1,234.50"),
        (fmt.money(None), "–"),
        (fmt.gib(0), "0"),
        (fmt.gib(3 * 2**29), "1.5"),
        (fmt.of_total(40 * 2**30, 80 * 2**30), "40/80"),
        (fmt.of_total(None, 80 * 2**30), "–/80"),
        (fmt.rate(412e6), "412 MB/s"),
        (fmt.rate(2.5e12), "2.5 TB/s"),
        (fmt.rate(None), "–"),
        (fmt.span(45), "45 s"),
        (fmt.span(300), "5 min"),
        (fmt.span(172_800), "2 d"),
        (fmt.value(0.38, "frac"), "0.38"),
        (fmt.value(8.0, "count"), "8"),
        (fmt.value(691.4, "w"), "691 W"),
        (fmt.value("yes", ""), "yes"),
        (fmt.value(None, "frac"), "unknown"),
    ],
)
def test_figures(shown: str, expected: str) -> None:
    assert shown == expected


def test_clock_is_local_time() -> None:
    assert fmt.clock(1_700_000_060.0) == "22:14:20"

"""Figures: digits a person would write, and always the unit."""

from __future__ import annotations

import math

import pytest

from advisor.reports import figures


@pytest.mark.parametrize(
    ("figure", "unit", "shown"),
    [
        (0.3812, "frac", "0.38"),
        (1.0, "frac", "1.00"),
        (0.0, "frac", "0.00"),
        (0.0042, "frac", "0.004"),
        (3.35e12, "bytes_s", "3.4 TB/s"),
        (4e8, "bytes_s", "400 MB/s"),
        (0.0, "bytes_s", "0 B/s"),
        (40 * 1024**3, "bytes", "40 GiB"),
        (291.0, "w", "291 W"),
        (1755.0, "mhz", "1,755 MHz"),
        (61.0, "c", "61 °C"),
        (8.0, "count", "8"),
        (7.9, "cores", "7.9 cores"),
        (2.607, "usd_h", "$2.61/h"),
        (12.0, "", "12"),
        (12.0, "widgets", "12 widgets"),
        (None, "w", "unknown"),
        ("8 of 8", "count", "8 of 8"),
        (math.nan, "w", "unknown"),
        (math.inf, "bytes_s", "unknown"),
    ],
)
def test_value(figure: float | str | None, unit: str, shown: str) -> None:
    assert figures.value(figure, unit) == shown


@pytest.mark.parametrize(
    ("frac", "shown"), [(0.38, "38 %"), (1.0, "100 %"), (0.0, "0 %"), (0.004, "<1 %"), (0.006, "1 %")]
)
def test_percent(frac: float, shown: str) -> None:
    assert figures.percent(frac) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(2.607, "$2.61"), (0.0, "$0.00"), (-0.001, "$0.00"), (-0.4, "-$0.40"), (12345.678, "$12,345.68")],
)
def test_usd(amount: float, shown: str) -> None:
    assert figures.usd(amount) == shown


@pytest.mark.parametrize(
    ("times", "shown"), [(1.4, "1.4×"), (1.61, "1.61×"), (1.0, "1.0×"), (12.3, "12×"), (0.9, "0.9×")]
)
def test_factor(times: float, shown: str) -> None:
    assert figures.factor(times) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "0.2 s"), (60.0, "60 s"), (179.0, "179 s"), (600.0, "10 min"), (7200.0, "2.0 h")],
)
def test_span(seconds: float, shown: str) -> None:
    assert figures.span(seconds) == shown


def test_instant() -> None:
    assert figures.instant(1_700_000_000.0) == "2023-11-14 22:13:20Z"
    assert figures.instant(1e300) == "unknown"

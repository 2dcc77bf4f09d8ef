"""Figures as a report prints them: sensible digits, always with their unit."""

from __future__ import annotations

import datetime
import math

UNKNOWN = "unknown"
# Bills below this are shown with more digits than cents have.
SMALL_USD = 0.1

_UNITS = {
    "w": "W",
    "mhz": "MHz",
    "c": "°C",
    "cores": "cores",
    "s": "s",
    "ms": "ms",
    "us": "µs",
    "j": "J",
    "count": "",
}
UNITS = frozenset({"frac", "bytes_s", "bytes", "usd_h", "", *_UNITS})
_RATES = ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (0.0, "B/s"))
_SIZES = ((1024.0**4, "TiB"), (1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"), (0.0, "B"))


def value(figure: float | str | None, unit: str) -> str:
    """An evidence value with its unit; a fraction keeps the two decimals its threshold has."""
    if figure is None:
        return UNKNOWN
    if isinstance(figure, str):
        return figure
    if not math.isfinite(figure):
        return UNKNOWN
    if unit == "frac":
        return fraction(figure)
    if unit in ("bytes_s", "bytes"):
        return _scaled(figure, _RATES if unit == "bytes_s" else _SIZES)
    if unit == "usd_h":
        return f"{usd(figure)}/h"
    return f"{number(figure)} {_UNITS.get(unit, unit)}".rstrip()


def fraction(figure: float) -> str:
    """0.3812 -> "0.38"; below a hundredth one significant digit is kept."""
    return f"{figure:.1g}" if 0 < abs(figure) < 0.01 else f"{figure:.2f}"


def number(figure: float) -> str:
    """Three digits, more in front of the point, thousands separated: 7.9, 291, 1,755."""
    if not math.isfinite(figure):
        return UNKNOWN
    if figure == int(figure) or abs(figure) >= 100:
        return f"{figure:,.0f}" if abs(figure) < 1e15 else f"{figure:.3g}"
    return f"{figure:.3g}"


def usd(figure: float) -> str:
    """Dollars and cents: "$2.61", "-$0.40"."""
    return f"{'-' if figure <= -0.005 else ''}${abs(figure):,.2f}"


def usd_of(figure: float, whole: float) -> str:
    """Dollars of a bill of `whole` dollars: cents, and three digits of a bill of less than ten cents."""
    if not 0.0 < whole < SMALL_USD:
        return usd(figure)
    return f"${figure:.{min(12, 2 - math.floor(math.log10(whole)))}f}"


def percent(frac: float) -> str:
    """0.381 -> "38 %"; a part that is there but rounds to nothing is "<1 %"."""
    return "<1 %" if 0 < frac < 0.005 else f"{frac * 100:.0f} %"


def factor(times: float) -> str:
    """1.4 -> "1.4×". Two decimals near 1, none from 10 on."""
    if times >= 10:
        return f"{times:,.0f}×"
    return f"{times:.2f}".removesuffix("0") + "×"


def size(count: float) -> str:
    """Bytes in binary units: "40 GiB"."""
    return _scaled(count, _SIZES)


def span(seconds: float) -> str:
    """A duration: "0.2 s", "60 s", "12 min", "3.5 h"."""
    if seconds < 180:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def instant(t_s: float) -> str:
    """Unix time in UTC: "2026-04-01 14:02:31Z"."""
    try:
        moment = datetime.datetime.fromtimestamp(t_s, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        return UNKNOWN
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _scaled(figure: float, scales: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next((s for s in scales if abs(figure) >= s[0]), scales[-1])
    digits = figure / scale if scale else figure
    decimals = 0 if not scale or abs(digits) >= 100 else 1
    return f"{_trim(digits, decimals)} {unit}"


def _trim(digits: float, decimals: int) -> str:
    return f"{digits:,.{decimals}f}".removesuffix(".0")

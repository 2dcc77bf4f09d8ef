"""Figures as people read them. A missing figure is shown as a dash, never as 0."""

from __future__ import annotations

import time

NONE = "–"


def percent(frac: float | None, unit: str = " %") -> str:
    """0.314 -> "31 %"."""
    return NONE if frac is None else f"{frac * 100:.0f}{unit}"


def points(frac: float | None) -> str:
    """0.314 -> "31": a per cent figure in a column whose head names the unit."""
    return NONE if frac is None else f"{frac * 100:.0f}"


def money(usd: float | None) -> str:
    """2.607 -> "$2.61"."""
    return NONE if usd is None else f"${usd:,.2f}"


def gib(count: float | None) -> str:
    """Bytes as GiB, with a decimal below 10."""
    if count is None:
        return NONE
    value = count / 2**30
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def of_total(used: int | None, total: int | None) -> str:
    """Used and total GiB: "61/80"."""
    return f"{gib(used)}/{gib(total)}" if total else gib(used)


_SCALES: tuple[tuple[float, str], ...] = ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"))


def rate(bytes_s: float | None) -> str:
    """412e6 -> "412 MB/s"."""
    if bytes_s is None:
        return NONE
    for scale, unit in _SCALES:
        if bytes_s >= scale:
            value = bytes_s / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{bytes_s:.0f} B/s"


def whole(value: float | None, unit: str = "") -> str:
    """A figure without decimals, with its unit."""
    return NONE if value is None else f"{value:.0f}{unit}"


def clock(t_s: float) -> str:
    """Unix time as local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(t_s))


def span(seconds: float) -> str:
    """A duration in its largest sensible unit: "45 s", "3 min", "2.5 h", "2 d"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 129_600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} d"


def value(figure: float | str | None, unit: str) -> str:
    """An evidence value with its unit. Fractions keep two decimals, since thresholds do."""
    if figure is None:
        return "unknown"
    if isinstance(figure, str):
        return figure
    if unit in ("bytes_s", "B/s"):
        return rate(figure)
    if unit == "bytes":
        return f"{gib(figure)} GiB"
    if unit == "frac":
        return f"{figure:.2f}"
    shown = f"{figure:.0f}" if abs(figure) >= 100 or float(figure).is_integer() else f"{figure:.3g}"
    return f"{shown} {_UNITS.get(unit, unit)}".rstrip()


_UNITS: dict[str, str] = {"w": "W", "mhz": "MHz", "c": "°C", "count": "", "j": "J"}

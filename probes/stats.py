"""Statistics of timed windows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Windows in a few figures. cv: sample standard deviation over mean, 0 for a single window."""

    median: float
    p10: float
    p90: float
    cv: float
    count: int


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile (0 to 1) by linear interpolation between order statistics. Raises ValueError on none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(values: Sequence[float]) -> Summary:
    """Median, 10th and 90th percentile and coefficient of variation. Raises ValueError on none."""
    mean = math.fsum(values) / len(values) if values else 0.0
    spread = math.fsum((v - mean) ** 2 for v in values)
    cv = math.sqrt(spread / (len(values) - 1)) / mean if len(values) > 1 and mean else 0.0
    return Summary(
        median=quantile(values, 0.5),
        p10=quantile(values, 0.1),
        p90=quantile(values, 0.9),
        cv=cv,
        count=len(values),
    )

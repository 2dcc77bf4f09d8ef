"""A line of small bars: how a figure moved, in one cell of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-~=+*#"
# A range of less than this part of the largest value is drawn flat, so that noise does not look like news.
FLAT = 0.25


def spark(values: Sequence[float], width: int, *, unicode: bool = True, least: float = 0.0) -> str:
    """One bar a value, the newest last; of more than `width` values each bar is the mean of its stretch.

    least: a range below which changes are not worth a look, in the unit of the values.
    """
    known = [v for v in values if math.isfinite(v)]
    if not known or width < 1:
        return ""
    drawn = _stretched(known, width)
    bars = BARS if unicode else ASCII_BARS
    high, low = max(drawn), min(drawn)
    span = max(high - low, FLAT * max(abs(high), abs(low)), least)
    if not span or not math.isfinite(span):
        return bars[0] * len(drawn)
    return "".join(bars[_level(1.0 - (high - v) / span, len(bars))] for v in drawn)


def _level(part: float, count: int) -> int:
    return min(count - 1, max(0, round(part * (count - 1))))


def _stretched(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    ends = [round(i * len(values) / width) for i in range(width + 1)]
    return [math.fsum(values[a:b]) / (b - a) for a, b in pairwise(ends)]

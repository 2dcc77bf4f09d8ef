"""How fixes compose: each is a set of levers on shares of time, and time that is left adds up to a factor.

Amdahl's law over shares. Levers on different shares are independent of each other by construction. On one
share several levers follow one rule, whatever their order:

- at the upper end and for the bound what each leaves of the share multiplies, as if each found its own part
  of the time untouched by the others;
- at the lower end the fixes are taken to save the same time, so only the one that saves most counts, while
  those that slow the share down all count.

So a share never costs less than nothing, no percentages are added, and fixes together never exceed the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rules.whatif import Lever, Outlook

End = Literal["low", "high", "bound"]

# Something is left to run, so that a factor stays a number.
LEAST_LEFT = 0.01
# No figure that a device gives slows a share down further; a made-up one must not end in infinity.
SLOWEST = 1e-3
# Closer to 1 than this is no gain.
_NO_GAIN = 0.02
# Rounding of sums of shares.
_EXACT = 1e-9


def time_left(shares: Mapping[str, float], levers: Iterable[Lever], end: End) -> float:
    """Time that today's work takes afterwards, as a part of today's; shares sum to at most 1."""
    by_share: dict[str, list[Lever]] = {}
    for lever in levers:
        by_share.setdefault(lever.share, []).append(lever)
    kept = (shares.get(name, 0.0) * (1.0 - _kept(found, end)) for name, found in by_share.items())
    return 1.0 - math.fsum(kept)


def factor(shares: Mapping[str, float], levers: Iterable[Lever], end: End) -> float:
    """Throughput factor at one end of the range: 1 over the time left, at most 1 / LEAST_LEFT."""
    return 1.0 / max(LEAST_LEFT, time_left(shares, levers, end))


def outlook(low: float, high: float) -> Outlook:
    """A range of throughput factors in a word."""
    if abs(low - 1.0) <= _NO_GAIN and abs(high - 1.0) <= _NO_GAIN:
        return "no-gain"
    if low > 1.0 + _EXACT:
        return "faster"
    return "slower" if high < 1.0 - _EXACT else "uncertain"


def _kept(levers: Sequence[Lever], end: End) -> float:
    """What levers together leave of the time of the share they are on."""
    parts = [_one(lever, end) for lever in levers]
    if end != "low":
        return math.prod(sorted(parts))
    slower = math.prod(sorted(part for part in parts if part > 1.0))
    return slower * min((part for part in parts if part <= 1.0), default=1.0)


def _one(lever: Lever, end: End) -> float:
    times = {"low": lever.low, "high": lever.high, "bound": lever.bound}[end]
    part = min(1.0, max(0.0, lever.part))
    return 1.0 - part if times is None else 1.0 - part + part / max(SLOWEST, times)

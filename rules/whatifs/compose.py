"""How fixes compose: each is a set of levers on shares of time, and time that is left adds up to a factor.

Amdahl's law over shares. On one share several levers follow one rule, whatever their order:

- at the upper end and for the bound levers on the same thing multiply: the second works on what the first
  left. Levers on different things (`Lever.of`: weights and activations) divide the share among them, in parts
  nobody knows, so that the best of them counts; those on all of the share multiply with it;
- at the lower end all are taken to save the same time, so only the one that saves most counts;
- levers on causes that a trace tells apart (`Lever.of` is a key of CAUSES) save different time: it adds up;
- what slows the share down counts in full at every end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rules.traces.records import CAUSES
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
    left = kept(levers, end)
    return 1.0 - math.fsum(shares.get(name, 0.0) * (1.0 - part) for name, part in left.items())


def kept(levers: Iterable[Lever], end: End) -> dict[str, float]:
    """Share -> what is left of its time, as a part of today's; over 1 where it becomes slower."""
    by_share: dict[str, list[Lever]] = {}
    for lever in levers:
        by_share.setdefault(lever.share, []).append(lever)
    return {name: _kept(found, end) for name, found in by_share.items()}


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
    parts = [(lever.of, _one(lever, end)) for lever in levers]
    slower = math.prod(sorted(part for _, part in parts if part > 1.0))
    faster = [(of, part) for of, part in parts if part <= 1.0]
    told = _told_apart([(of, part) for of, part in faster if of in CAUSES], end)
    faster = [(of, part) for of, part in faster if of not in CAUSES]
    if end == "low":
        return slower * min((told, *(part for _, part in faster)))
    by_thing = {of: math.prod(sorted(p for o, p in faster if o == of)) for of, _ in faster}
    everything = by_thing.pop("", 1.0)
    return slower * everything * min((told, *by_thing.values()))


def _told_apart(parts: Sequence[tuple[str, float]], end: End) -> float:
    """What is left of a share after levers on causes that a trace measured: each takes from its own time.

    Of several on one cause the best counts at the low end, and they multiply at the others.
    """
    of_each = min if end == "low" else math.prod
    saved = [1.0 - of_each(sorted(p for o, p in parts if o == of)) for of in sorted({of for of, _ in parts})]
    return max(0.0, 1.0 - math.fsum(saved))


def _one(lever: Lever, end: End) -> float:
    times = {"low": lever.low, "high": lever.high, "bound": lever.bound}[end]
    part = min(1.0, max(0.0, lever.part))
    return 1.0 - part if times is None else 1.0 - part + part / max(SLOWEST, times)

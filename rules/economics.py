"""Money and what-ifs: dollars that sum to the bill, and bounds on what a fix can buy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rules.finding import Effect

# A host gap above this leaves too little busy time to say how fast the rest would run.
_GAP_MAX = 0.95
# Time that falls away leaves something to run, so that a bound stays a number.
_GONE_MAX = 0.99
# Closer than this to a whole cent is a whole cent: what is off is floating point.
_DUST = 1e-6
# Of dollars below it, and of as small a part of the price, no finding is worth anything.
CENT_USD = 0.01


def split_cents(terms: dict[str, float], total: float) -> dict[str, float]:
    """Round terms to cents so that they sum to `total` rounded to cents (largest remainders first).

    A term that is 0 stays 0, and each term is off by less than a cent where the terms sum to `total`.
    Raises ValueError for a negative term or total, or when nothing can carry a total above 0.
    """
    cents = round(total * 100)
    whole = sum(terms.values())
    if cents < 0 or min(terms.values(), default=0.0) < 0:
        raise ValueError("dollars must not be negative")
    if whole <= 0:
        return _nothing(terms, cents)
    given = divide(tuple(terms.values()), cents)
    return {name: count / 100 for name, count in zip(terms, given, strict=True)}


def divide(parts: Sequence[float], whole: int, lean: Sequence[float] | None = None) -> list[int]:
    """`whole` cents divided in proportion to `parts`, each off by less than one; a part of 0 gets none.

    lean: what parts are still owed from elsewhere, which decides who gets the cents left over.
    """
    total = math.fsum(parts)
    if total <= 0.0:
        return [0] * len(parts)
    exact = [_snapped(part / total * whole) for part in parts]
    given = [math.floor(e) for e in exact]
    owed = [e - g + (lean[i] if lean else 0.0) for i, (e, g) in enumerate(zip(exact, given, strict=True))]
    able = sorted((i for i, e in enumerate(exact) if e > given[i]), key=lambda i: -owed[i])
    for i in able[: max(0, whole - sum(given))]:
        given[i] += 1
    return given


def _snapped(value: float) -> float:
    near = round(value)
    return float(near) if abs(value - near) < _DUST else value


def _nothing(terms: dict[str, float], cents: int) -> dict[str, float]:
    if cents:
        raise ValueError(f"no term to carry ${cents / 100:.2f}")
    return dict.fromkeys(terms, 0.0)


def no_dust(usd_h: float | None, price_usd_h: float | None) -> float | None:
    """Dollars an hour, and 0 where they are less than a cent, or a hundredth of a price below a dollar.

    Shares that cancel leave 1e-14 behind, which is no finding's worth.
    """
    if usd_h is None:
        return None
    least = CENT_USD * min(1.0, price_usd_h or 1.0)
    return 0.0 if usd_h < least else usd_h


def host_gap_bound(gap: float) -> float | None:
    """Most that closing a host gap can multiply throughput by: 1/(1-gap). None where hardly anything ran.

    With a busy share of 1-gap, the same work cannot take less than its busy time.
    """
    return 1.0 / (1.0 - gap) if 0.0 <= gap <= _GAP_MAX else None


def amdahl(share: float, factor: float) -> float:
    """Throughput factor when a `share` of the time runs `factor` times as fast and the rest as before."""
    return 1.0 / (1.0 - share + share / factor)


def saved(effect: Effect) -> float:
    """Part of today's cost for the same work that the upper end of the range saves: 1 - 1/high."""
    return max(0.0, 1.0 - 1.0 / effect.high) if effect.high > 0.0 else 0.0


def removed(part: float, basis: str) -> Effect:
    """From nothing to all of a `part` of the time falling away, while the rest runs as before."""
    high = 1.0 / (1.0 - min(part, _GONE_MAX))
    return Effect(low=1.0, high=high, bound=high, basis=basis)


def host_gap_effect(gap: float) -> Effect | None:
    """Closing between half of the gap and all of it; None where the bound says nothing."""
    bound = host_gap_bound(gap)
    if bound is None:
        return None
    return Effect(
        low=1.0 / (1.0 - gap / 2.0),
        high=bound,
        bound=bound,
        basis=f"bound 1/(1-{gap:.2f}) = {bound:.2f}x when the gap closes; the low end closes half of it",
    )

"""Small figures over samples: quantiles, rates, growth, shares of time under a reason, settled heat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from advisor.telemetry.records import Sample

SETTLE_MIN_S = 30.0
SETTLE_BAND_C = 2.0


def quantile(values: Iterable[float | None], q: float) -> float | None:
    """The q-quantile of the known values (nearest rank), None when there are none."""
    known = sorted(v for v in values if v is not None)
    return known[min(len(known) - 1, int(q * len(known)))] if known else None


def rate(before: Sample | None, after: Sample, counter: str) -> float | None:
    """A byte counter's growth a second between two samples; None when either lacks it or it restarted."""
    if before is None or after.t_s <= before.t_s:
        return None
    a, b = getattr(before, counter), getattr(after, counter)
    if a is None or b is None or b < a:
        return None
    return float((b - a) / (after.t_s - before.t_s))


def reason_fracs(samples: Sequence[Sample]) -> dict[str, float]:
    """Clock-limit reason -> share of the samples that show it, of those that know their reasons."""
    known = [s.throttle_reasons for s in samples if s.throttle_reasons is not None]
    names = {name for reasons in known for name in reasons}
    return {name: sum(name in r for r in known) / len(known) for name in sorted(names)}


def growth(counts: Iterable[int | None]) -> int | None:
    """By how much a counter grew over a window; None with fewer than two looks, or where it was reset."""
    known = [count for count in counts if count is not None]
    return known[-1] - known[0] if len(known) > 1 and known[-1] >= known[0] else None


def settled(samples: Sequence[Sample]) -> bool | None:
    """True when the core's temperature in the last third stayed within 2 °C of the third before it.

    None when the window is shorter than 30 s or has no temperatures: a short look cannot tell.
    """
    known = [(s.t_s, s.temp_c) for s in samples if s.temp_c is not None]
    if len(known) < 6 or known[-1][0] - known[0][0] < SETTLE_MIN_S:
        return None
    third = len(known) // 3
    before = _mean(t for _, t in known[-2 * third : -third])
    return abs(_mean(t for _, t in known[-third:]) - before) <= SETTLE_BAND_C


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return math.fsum(kept) / len(kept)

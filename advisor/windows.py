"""Small figures over samples: quantiles, rates between two counters, shares of time under a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from advisor.telemetry.records import Sample


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

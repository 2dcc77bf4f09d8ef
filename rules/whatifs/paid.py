"""Time that today's work takes after a fix, at each end of a range, and what of it is paid for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rules.whatif import Lever
from rules.whatifs.case import Case
from rules.whatifs.compose import LEAST_LEFT, End, kept, time_left


class After(msgspec.Struct, frozen=True, kw_only=True):
    """Today's work after a fix. low, high, bound: throughput factors. cheap, dear: hours of a card that an
    hour of today's takes, at the upper and at the lower end.
    """

    low: float
    high: float
    bound: float
    cheap: float
    dear: float


def after(case: Case, levers: Sequence[Lever]) -> After:
    """What levers do to a case, in time and in paid time.

    Where the host may set the pace there are two worlds, and each end is of the one that is further out: the
    host's time and the device's follow each other, or they run beside each other and the longer one counts.
    """
    least, most = _worlds(case, levers, "high"), _worlds(case, levers, "low")
    return After(
        low=1.0 / max(LEAST_LEFT, max(left for left, _ in most)),
        high=1.0 / max(LEAST_LEFT, min(left for left, _ in least)),
        bound=1.0 / max(LEAST_LEFT, min(left for left, _ in _worlds(case, levers, "bound"))),
        cheap=min(hours for _, hours in least),
        dear=max(hours for _, hours in most),
    )


def _worlds(case: Case, levers: Sequence[Lever], end: End) -> list[tuple[float, float]]:
    """Time left and hours paid, one after the other and, where that may be, beside each other."""
    parts = kept(levers, end)
    left = time_left({name: case.share(name) for name in parts}, levers, end)
    slack = sum(share * parts.get(name, 1.0) for name, share in case.idle.items())
    found = [left]
    if case.may_overlap:
        gap = case.share("host")
        gone = gap * (1.0 - min(1.0, parts.get("host", 1.0))) + case.slack - slack
        found.append(max(1.0 - gone, left - gap * parts.get("host", 1.0)))
    return [(time, _hours(time, slack)) for time in found]


def _hours(left: float, slack: float) -> float:
    """Hours of a card that an hour's work takes: slower work first fills what is left of idle time."""
    return max(0.0, left - slack, min(1.0, left))

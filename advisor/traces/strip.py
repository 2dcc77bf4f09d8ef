"""A device over time in a few dozen equal stretches, for bars and screens."""

from __future__ import annotations

import numpy as np

from advisor.traces.attribution import Attribution
from advisor.traces.intervals import Ints, Painted, cut
from rules.traces.records import BUSY, CAUSES, Strip

STRETCHES = 60


def strip(attribution: Attribution, stretches: int = STRETCHES) -> Strip:
    """The span in equal stretches (never more than it has nanoseconds); only what occurs is listed. The sums
    over all stretches are those of the whole span, to the nanosecond."""
    count = max(1, min(stretches, attribution.span_ns))
    bins = _bins(attribution, count)
    idle, busy = attribution.idle, attribution.busy
    return Strip(
        width_us=attribution.span_ns / count / 1000,
        causes=_named(_sums(idle.start_ns, idle.end_ns, idle.cause, bins, (count, len(CAUSES))), CAUSES),
        busy=_named(_sums(busy.start_ns, busy.end_ns, busy.nature, bins, (count, len(BUSY))), BUSY),
    )


def _bins(attribution: Attribution, count: int) -> Painted:
    edges = np.array([attribution.start_ns + attribution.span_ns * n // count for n in range(count + 1)])
    return Painted(edges[:-1], edges[1:], np.arange(count))


def _sums(start: Ints, end: Ints, label: Ints, bins: Painted, shape: tuple[int, int]) -> Ints:
    starts, ends, owner, which = cut(start, end, bins)
    sums = np.zeros(shape, np.int64)
    np.add.at(sums, (which, label[owner]), ends - starts)
    return sums


def _named(sums: Ints, names: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    return {
        name: tuple((sums[:, index] / 1000).tolist())
        for index, name in enumerate(names)
        if sums[:, index].any()
    }

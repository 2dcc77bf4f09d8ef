"""A window over readings of an engine: growth of counters, means of gauges, quantiles of histograms.

Counters only grow, except when the engine starts anew: then they count from 0, and what was counted between
the last reading and the end is lost, never negative. Histograms are counters by bucket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import msgspec

from rules.engine_reading import Buckets, Reading

# A difference of rounded counters that may be off by more than this share is no figure.
_ROUNDING_FRAC = 0.1
# Series of one quantity that are followed: real engines have one a rank and reason.
_SERIES = 256
Unit = Buckets | float


class Quantile(msgspec.Struct, frozen=True, kw_only=True):
    """A quantile of a histogram: linear within its bucket, from low_s to high_s; high_s None: it has no end.

    value_s is None where the bucket has no end: the quantile is at least low_s.
    """

    value_s: float | None
    low_s: float
    high_s: float | None


class Within(msgspec.Struct, frozen=True, kw_only=True):
    """The share of a histogram at or below a limit: linear within the limit's bucket, from low to high."""

    frac: float | None
    low: float
    high: float


class Window:
    """What grew, and how it stood, over readings of one model, oldest first. resets: starts of the engine."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self.readings = tuple(readings)
        self._resets: set[float] = set()
        self._restarted = _restarts(self.readings)
        self._resets |= self._restarted

    @property
    def length_s(self) -> float:
        """Seconds from the first reading to the last."""
        return self.readings[-1].t_s - self.readings[0].t_s if self.readings else 0.0

    @property
    def resets(self) -> int:
        """How often the engine began anew, as far as the counters asked for so far tell."""
        return len(self._resets)

    def growth(self, name: str) -> float | None:
        """How much a counter grew, all its series together; None where it was never there, or too coarse."""
        if self.length_s <= 0.0 or not any(name in r.counters for r in self.readings):
            return None
        total, error = 0.0, 0.0
        for series in self._names(lambda r: r.counters.get(name, {})):
            grown, unsure = self._of_series([r.counters.get(name, {}).get(series) for r in self.readings])
            total, error = total + grown, error + unsure
        return None if error > _ROUNDING_FRAC * total and total > 0.0 else total

    def coarse(self, name: str) -> bool:
        """Whether a counter is there and grew, but is printed with too few digits to tell by how much."""
        return any(name in r.counters for r in self.readings) and self.growth(name) is None

    def rate(self, name: str) -> float | None:
        """Growth a second."""
        grown = self.growth(name)
        return None if grown is None else grown / self.length_s

    def mean(self, name: str, *, together: Callable[[Sequence[float]], float] = sum) -> float | None:
        """Mean over the readings of a gauge, its series put `together` in each."""
        seen = self._gauge(name, together)
        return math.fsum(seen) / len(seen) if seen else None

    def most(self, name: str) -> float | None:
        """The highest value of any series of a gauge."""
        return max(self._gauge(name, max), default=None)

    def histogram(self, name: str) -> Buckets | None:
        """What was counted meanwhile, all series together on the bounds that they share.

        None where nothing was, or where series have no bound in common (see `unlike`).
        """
        grown = self._histograms(name)
        return _together(grown) if grown and not self.unlike(name) else None

    def unlike(self, name: str) -> bool:
        """Whether a histogram's series have no bound in common, so that they cannot be put together."""
        grown = self._histograms(name)
        return len({g.bounds for g in grown}) > 1 and not _shared(grown)

    def _histograms(self, name: str) -> list[Buckets]:
        found = (
            self._grown([r.histograms.get(name, {}).get(series) for r in self.readings])
            for series in self._names(lambda r: r.histograms.get(name, {}))
        )
        return [grown for grown in found if grown is not None]

    def _gauge(self, name: str, together: Callable[[Sequence[float]], float]) -> list[float]:
        found = (r.gauges.get(name) for r in self.readings)
        return [float(together(tuple(series.values()))) for series in found if series]

    def _names(self, of: Callable[[Reading], Mapping[str, object]]) -> list[str]:
        return list(dict.fromkeys(series for r in self.readings for series in of(r)))[:_SERIES]

    def _of_series(self, values: Sequence[float | None]) -> tuple[float, float]:
        """Growth of one series, and by how much rounding may have moved it."""
        total = error = 0.0
        last: float | None = None
        for reading, value in zip(self.readings, values, strict=True):
            if value is None:
                continue
            if last is None:
                step = value if self._began_within(reading) else 0.0
            elif value < last or reading.t_s in self._restarted:
                self._resets.add(reading.t_s)
                step = value
            else:
                step = value - last
            error += _half_digit(last, reading.digits) + _half_digit(value, reading.digits) if step else 0.0
            total, last = total + step, value
        return total, error

    def _grown(self, values: Sequence[Buckets | None]) -> Buckets | None:
        """Growth of one histogram; None where its buckets were another engine's all the time."""
        last: Buckets | None = None
        grown: list[float] | None = None
        for reading, value in zip(self.readings, values, strict=True):
            if value is None:
                continue
            if last is not None and last.bounds != value.bounds:
                grown = None
            step = self._step(reading, last, value)
            grown = step if grown is None else [a + b for a, b in zip(grown, step, strict=True)]
            last = value
        return None if last is None or grown is None else Buckets(bounds=last.bounds, counts=tuple(grown))

    def _step(self, reading: Reading, last: Buckets | None, value: Buckets) -> list[float]:
        if last is None:
            return list(value.counts) if self._began_within(reading) else [0.0] * len(value.counts)
        if last.bounds != value.bounds or reading.t_s in self._restarted:
            return list(value.counts)
        steps = [b - a for a, b in zip(last.counts, value.counts, strict=True)]
        if any(step < 0.0 for step in steps):
            self._resets.add(reading.t_s)
            return list(value.counts)
        return _rising(steps)

    def _began_within(self, reading: Reading) -> bool:
        """Whether a series that this reading shows first counts from 0: it was not there, nor unreadable."""
        before = [r for r in self.readings if r.t_s < reading.t_s]
        return bool(before) and not any(r.damaged for r in before)


def _restarts(readings: Sequence[Reading]) -> set[float]:
    """Times of the readings that another process of the engine gave."""
    return {
        b.t_s
        for a, b in pairwise(readings)
        if a.started is not None and b.started is not None and a.started != b.started
    }


def _rising(steps: Sequence[float]) -> list[float]:
    """Growth by bucket, cumulative: buckets are not read in one instant, so they may stand a little askew."""
    out: list[float] = []
    for step in steps:
        out.append(max(step, out[-1] if out else 0.0))
    return out


def _half_digit(value: float | None, digits: int | None) -> float:
    """Half of the last digit that is printed; 0 where all are, or where they are whole numbers."""
    if value is None or digits is None or value <= 0.0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    return 0.5 * step if step >= 1.0 else 0.0


def _shared(series: Sequence[Buckets]) -> tuple[float, ...]:
    """Bounds that every series has."""
    shared = set(series[0].bounds).intersection(*(s.bounds for s in series[1:]))
    return tuple(sorted(shared))


def _together(series: Sequence[Buckets]) -> Buckets:
    """Counts up to a bound are cumulative, so on shared bounds they add up exactly."""
    bounds = _shared(series)
    places = [[*(s.bounds.index(bound) for bound in bounds), -1] for s in series]
    columns = zip(*([s.counts[i] for i in at] for s, at in zip(series, places, strict=True)), strict=True)
    return Buckets(bounds=bounds, counts=tuple(math.fsum(column) for column in columns))


def quantile(buckets: Buckets, q: float) -> Quantile | None:
    """The quantile, linear within its bucket as Prometheus does it; None for an empty histogram."""
    if buckets.total <= 0.0:
        return None
    rank = q * buckets.total
    place = next(i for i, count in enumerate(buckets.counts) if count >= rank and count > 0.0)
    low = buckets.bounds[place - 1] if place > 0 else min(0.0, *buckets.bounds[:1])
    if place == len(buckets.bounds):
        return Quantile(value_s=None, low_s=low, high_s=None)
    high, below = buckets.bounds[place], buckets.counts[place - 1] if place > 0 else 0.0
    frac = (rank - below) / (buckets.counts[place] - below)
    return Quantile(value_s=low + (high - low) * min(1.0, max(0.0, frac)), low_s=low, high_s=high)


def within(buckets: Buckets, limit_s: float) -> Within | None:
    """The share at or below the limit; None for an empty histogram. frac is None beyond the last bound."""
    total = buckets.total
    if total <= 0.0:
        return None
    edges = (min(0.0, *buckets.bounds[:1]), *buckets.bounds)
    counts = (0.0, *buckets.counts[:-1])
    place = max((i for i, edge in enumerate(edges) if edge <= limit_s), default=0)
    low = counts[place] / total
    if edges[place] == limit_s and place > 0:
        return Within(frac=low, low=low, high=low)
    if place + 1 == len(edges):
        return Within(frac=low if low == 1.0 else None, low=low, high=1.0)
    high = counts[place + 1] / total
    part = (limit_s - edges[place]) / (edges[place + 1] - edges[place])
    return Within(frac=low + (high - low) * min(1.0, max(0.0, part)), low=low, high=high)

"""Money of engines: what their devices cost, and what power their energy counters tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from advisor.config import Config
from advisor.serving.tracks import Pricing
from advisor.telemetry.records import Sample
from rules.finding import LadderRow
from rules.serving_figures import Money

# The part of a window that the energy counter must have seen.
_COVERED = 0.8


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device: dollars an hour of what is allotted of it, whose price that is, and its samples."""

    usd_h: float | None
    source: str
    samples: Sequence[Sample] = ()


def pricing(ladder: Iterable[LadderRow], samples: Mapping[str, Sequence[Sample]], config: Config) -> Pricing:
    """What tells price and power of devices, from the ladder's rows and the samples of each."""
    devices = {
        row.key: Device(usd_h=row.price_usd_h, source=row.price_source, samples=samples.get(row.key, ()))
        for row in ladder
    }

    def of(keys: tuple[str, ...], start_s: float, end_s: float) -> Money:
        return money_of(devices, keys, (start_s, end_s), config.electricity_usd_kwh, config.pue)

    return of


def money_of(
    devices: Mapping[str, Device],
    keys: Iterable[str],
    between: tuple[float, float],
    electricity_usd_kwh: float | None,
    pue: float,
) -> Money:
    """Price and power of the devices of these keys over a time."""
    mine = [devices[key] for key in keys if key in devices]
    money = Money(electricity_usd_kwh=electricity_usd_kwh, pue=pue)
    if not mine:
        return msgspec.structs.replace(money, no_price="the engine's GPUs are not known: give --price")
    prices = [one.usd_h for one in mine if one.usd_h is not None]
    if len(prices) == len(mine):
        source = "; ".join(dict.fromkeys(one.source for one in mine))
        money = msgspec.structs.replace(money, usd_h=math.fsum(prices), source=source)
    powers = [power_w(one.samples, *between) for one in mine]
    known = [power for power in powers if power is not None]
    if len(known) < len(mine):
        return msgspec.structs.replace(money, no_power="no energy counter was read of the engine's GPUs")
    return msgspec.structs.replace(money, power_w=math.fsum(known))


def power_w(samples: Sequence[Sample], start_s: float, end_s: float) -> float | None:
    """Mean watts by the energy counter between two times, linear between its readings.

    None where the counter was not read over most of it, or began anew.
    """
    points = [(s.t_s, s.energy_j) for s in samples if s.energy_j is not None]
    if len(points) < 2 or end_s <= start_s:
        return None
    if any(b[1] < a[1] for a, b in pairwise(points)):
        return None
    first_s, last_s = max(start_s, points[0][0]), min(end_s, points[-1][0])
    if last_s - first_s < _COVERED * (end_s - start_s):
        return None
    return (_at(points, last_s) - _at(points, first_s)) / (last_s - first_s)


def _at(points: Sequence[tuple[float, float]], t_s: float) -> float:
    """The counter at a time, linear between two readings."""
    place = next(i for i, (when, _) in enumerate(points) if when >= t_s)
    if place == 0 or points[place][0] == t_s:
        return points[place][1]
    (t0, e0), (t1, e1) = points[place - 1], points[place]
    return e0 + (e1 - e0) * (t_s - t0) / (t1 - t0)

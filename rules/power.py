"""Electricity of a device: from its energy counter, as a figure of its own beside the price.

A rental price has the electricity in it already, and so has a cost of ownership that counts kilowatts: what
stands here says how much of it that is, and is never added to a price.
"""

from __future__ import annotations

import math

import msgspec

from rules.tokens import JOULES_PER_KWH

SECONDS_PER_HOUR = 3600.0


class ElectricityRates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars a kilowatt-hour and the site's overhead (PUE), each with where it came from.

    usd_kwh_label, pue_label: "default" where nobody set it, else "config", "environment" or "flag".
    """

    usd_kwh: float
    pue: float
    usd_kwh_label: str = "default"
    pue_label: str = "default"


class Electricity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a board drew over a window, by its energy counter, and what an hour of that costs.

    mean_w: joules over seconds. usd_h: dollars an hour of the board alone, without the node around it, times
    the site's overhead. It is contained in a rental price, and never added to one.
    """

    energy_j: float
    seconds: float
    mean_w: float
    usd_h: float
    rates: ElectricityRates


def mean_power_w(energy_j: float | None, energy_s: float | None) -> float | None:
    """W = J/s, over the time between the readings of the counter that the joules are between.

    That is not the window: it begins before the first reading and ends after the last. None without two
    readings apart in time, or where the counter did not count on.
    """
    if energy_j is None or energy_s is None or not _is_positive(energy_s) or not 0.0 <= energy_j < math.inf:
        return None
    return energy_j / energy_s


def electricity(energy_j: float | None, seconds: float | None, rates: ElectricityRates) -> Electricity | None:
    """W = J/s; $/h = W × 3600 / 3.6e6 × PUE × $/kWh. None without two readings of the counter apart in time.

    Never from a board's rated power: that is what it may draw.
    """
    mean_w = mean_power_w(energy_j, seconds)
    if energy_j is None or seconds is None or mean_w is None:
        return None
    return Electricity(
        energy_j=energy_j,
        seconds=seconds,
        mean_w=mean_w,
        usd_h=mean_w * SECONDS_PER_HOUR / JOULES_PER_KWH * rates.pue * rates.usd_kwh,
        rates=rates,
    )


def _is_positive(value: float) -> bool:
    return 0.0 < value < math.inf

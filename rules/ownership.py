"""Cost of ownership: what an hour of a GPU that one bought costs, part by part."""

from __future__ import annotations

import math

import msgspec

HOURS_PER_YEAR = 8760.0


class OwnershipInputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one GPU and its part of the node cost to buy and to run.

    capex_usd_per_gpu: price of purchase. life_y: years of linear write-off. maintenance_frac_y: share of the
    purchase a year. kw_per_gpu: kilowatts of the GPU with its part of the node; None is not known.
    staffing_usd_h: dollars an hour. utilisation_frac: share of owned hours in which it is used; None is not
    known.
    """

    capex_usd_per_gpu: float
    life_y: float
    maintenance_frac_y: float
    electricity_usd_kwh: float
    pue: float
    kw_per_gpu: float | None = None
    staffing_usd_h: float = 0.0
    utilisation_frac: float | None = None


class OwnedCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars an hour of one owned GPU, by part. electricity_usd_h is None where no power was given.

    total_usd_h: an owned hour, used or not; without electricity where that is unknown, so a lower bound then.
    used_usd_h: an hour in which it is used: total_usd_h over the utilisation. None where that is not given.
    """

    writeoff_usd_h: float
    maintenance_usd_h: float
    staffing_usd_h: float
    total_usd_h: float
    electricity_usd_h: float | None = None
    used_usd_h: float | None = None


def owned_cost(given: OwnershipInputs) -> OwnedCost:
    """The cost of an hour: capex / (life x 8760) + kW x PUE x $/kWh + capex x maintenance / 8760 + staffing.

    A price of an hour is `total_usd_h`. Do not divide a price by the utilisation where idle hours are counted
    on their own, as in the ladder: they would be paid for twice.
    Raises ValueError for a quantity that no purchase has, such as a life of 0 years.
    """
    _check(given)
    writeoff = given.capex_usd_per_gpu / (given.life_y * HOURS_PER_YEAR)
    maintenance = given.capex_usd_per_gpu * given.maintenance_frac_y / HOURS_PER_YEAR
    kw = given.kw_per_gpu
    electricity = None if kw is None else kw * given.pue * given.electricity_usd_kwh
    total = math.fsum((writeoff, maintenance, electricity or 0.0, given.staffing_usd_h))
    used = None if given.utilisation_frac is None else total / given.utilisation_frac
    return OwnedCost(
        writeoff_usd_h=writeoff,
        maintenance_usd_h=maintenance,
        staffing_usd_h=given.staffing_usd_h,
        total_usd_h=total,
        electricity_usd_h=electricity,
        used_usd_h=used,
    )


def _check(given: OwnershipInputs) -> None:
    """Raises ValueError, naming the quantity, where one is not a number that can be meant."""
    for name in given.__struct_fields__:
        value = getattr(given, name)
        if value is not None and (not math.isfinite(value) or value < 0.0):
            raise ValueError(f"{name} = {value}: expected a number of at least 0")
    if given.life_y == 0.0:
        raise ValueError("life_y = 0: expected years above 0")
    if given.pue < 1.0:
        raise ValueError(f"pue = {given.pue}: a site needs at least what its machines do, so at least 1")
    if given.utilisation_frac is not None and not 0.0 < given.utilisation_frac <= 1.0:
        raise ValueError(f"utilisation_frac = {given.utilisation_frac}: expected above 0 and at most 1")

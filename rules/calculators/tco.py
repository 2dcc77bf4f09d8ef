"""Cost of ownership of one GPU: an hour of it, an hour of its use, and against what renting costs."""

from __future__ import annotations

from rules.calculators.calculation import Calculation, Input, Sheet
from rules.ownership import HOURS_PER_YEAR, OwnedCost, OwnershipInputs, owned_cost

TITLE = "What an owned GPU costs an hour"


def tco(
    *,
    capex_usd_per_gpu: Input,
    life_y: Input,
    maintenance_frac_y: Input,
    electricity_usd_kwh: Input,
    pue: Input,
    kw_per_gpu: Input,
    staffing_usd_h: Input,
    gpus: Input,
    utilisation_frac: Input | None = None,
    price_usd_h: Input | None = None,
) -> Calculation:
    """Dollars an owned hour, by part; over the life; a used hour; and from which use on owning is cheaper."""
    sheet = Sheet(
        capex_usd_per_gpu, life_y, maintenance_frac_y, electricity_usd_kwh, pue, kw_per_gpu, staffing_usd_h,
        gpus, utilisation_frac, price_usd_h,
    )  # fmt: skip
    hour = owned_cost(
        OwnershipInputs(
            capex_usd_per_gpu=capex_usd_per_gpu.value,
            life_y=life_y.value,
            maintenance_frac_y=maintenance_frac_y.value,
            electricity_usd_kwh=electricity_usd_kwh.value,
            pue=pue.value,
            kw_per_gpu=kw_per_gpu.value,
            staffing_usd_h=staffing_usd_h.value,
        )
    )
    _hour(sheet, hour)
    life = hour.total_usd_h * life_y.value * HOURS_PER_YEAR * gpus.value
    sheet.add("life_usd", "$", "all GPUs, over their life", "owned_usd_h × life_y × 8760 × gpus", life)
    main = _used(sheet)
    _against_renting(sheet)
    return sheet.result("tco", TITLE, main)


def _hour(sheet: Sheet, hour: OwnedCost) -> None:
    """What an owned hour is made of."""
    power, upkeep = "kw_per_gpu × pue × electricity_usd_kwh", "capex_usd_per_gpu × maintenance_frac_y / 8760"
    writeoff = "capex_usd_per_gpu / (life_y × 8760)"
    sheet.add("writeoff_usd_h", "$/h", "write-off", writeoff, hour.writeoff_usd_h)
    sheet.add("energy_usd_h", "$/h", "electricity", power, hour.electricity_usd_h or 0.0)
    sheet.add("maintenance_usd_h", "$/h", "maintenance", upkeep, hour.maintenance_usd_h)
    whole = "writeoff_usd_h + energy_usd_h + maintenance_usd_h + staffing_usd_h"
    sheet.add("owned_usd_h", "$/h", "an owned hour, used or not", whole, hour.total_usd_h)
    share = sheet["energy_usd_h"] / sheet["owned_usd_h"]
    sheet.add("energy_frac", "frac", "electricity, of an owned hour", "energy_usd_h / owned_usd_h", share)


def _used(sheet: Sheet) -> str:
    """The name of the result: an hour of use where it is known how much there is, else an owned hour."""
    if not sheet.has("utilisation_frac"):
        sheet.note(
            "How much of the time it is used is not given (--utilisation-frac): this is an owned hour."
        )
        return "owned_usd_h"
    used = sheet["owned_usd_h"] / sheet["utilisation_frac"]
    sheet.add("used_usd_h", "$/h", "an hour in which it is used", "owned_usd_h / utilisation_frac", used)
    sheet.note("Do not use an hour of use as a price where idle hours are counted on their own.")
    return "used_usd_h"


def _against_renting(sheet: Sheet) -> None:
    if not sheet.has("price_usd_h"):
        return
    share = sheet["owned_usd_h"] / sheet["price_usd_h"]
    meaning = "use from which owning is cheaper than renting by the hour"
    sheet.add("breakeven_frac", "x", meaning, "owned_usd_h / price_usd_h", share)
    if share > 1.0:
        sheet.note("Renting is cheaper at any use: an owned hour costs more than a rented one.")

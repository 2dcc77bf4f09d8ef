"""Scaling efficiency: what N devices do of N times one device's work, and what the rest costs.

E_N = T_N / (N T_1). It must come from T_1 of one device alone and T_N of all of them. A figure that was made
by dividing a whole system's throughput by its devices has the loss in it: a further factor counts it twice.
"""

from __future__ import annotations

import math

from rules.calculators.calculation import Calculation, CalculationError, Input, Sheet

TITLE = "How well it scales"
# Measurements of one thing differ by as much; a larger excess over N single devices is a mistake.
NOISE = 0.02
TWICE = (
    "the figures are aggregates divided by their devices: the loss of scaling is in them already, and a "
    "further efficiency would count it twice"
)


def refuse_aggregated(aggregated: bool) -> None:
    """Raises CalculationError where figures hold the loss already."""
    if aggregated:
        raise CalculationError(
            TWICE, "give figures of one device alone, or compare the aggregates as they are"
        )


def measured(
    *,
    gpus: Input,
    one_tok_s: Input,
    all_tok_s: Input | None = None,
    each_tok_s: Input | None = None,
    price_usd_h: Input | None = None,
    servers: Input | None = None,
    racks: Input | None = None,
    kw: Input | None = None,
    aggregated: bool = False,
) -> Calculation:
    """E_N, what is lost in dollars an hour, and throughput per server, rack and kilowatt.

    Raises CalculationError for a figure of one device given as one of all, for more than N single devices do,
    and where the single device's figure is itself an aggregate.
    """
    refuse_aggregated(aggregated)
    sheet = Sheet(gpus, one_tok_s, all_tok_s, each_tok_s, price_usd_h, servers, racks, kw)
    _several(sheet)
    if not sheet.has("all_tok_s"):
        total = sheet["each_tok_s"] * sheet["gpus"]
        sheet.add("all_tok_s", "tok/s", "all devices together", "each_tok_s × gpus", total)
    _plausible(sheet)
    value = sheet["all_tok_s"] / (sheet["gpus"] * sheet["one_tok_s"])
    sheet.add("efficiency_frac", "frac", "scaling efficiency", "all_tok_s / (gpus × one_tok_s)", value)
    doubling = value ** (1.0 / math.log2(sheet["gpus"]))
    formula = "efficiency_frac ^ (1 / log2(gpus))"
    sheet.add("per_doubling_frac", "frac", "kept at each doubling", formula, doubling)
    _loss(sheet)
    _per_unit(sheet)
    return sheet.result("scaling", TITLE, "efficiency_frac")


def compounded(
    *,
    gpus: Input,
    per_doubling_frac: Input,
    one_tok_s: Input | None = None,
    price_usd_h: Input | None = None,
    aggregated: bool = False,
) -> Calculation:
    """E_N when each doubling keeps the same part: e ^ log2(N). Not e once, and not e for each device."""
    refuse_aggregated(aggregated)
    sheet = Sheet(gpus, per_doubling_frac, one_tok_s, price_usd_h)
    _several(sheet)
    value = sheet["per_doubling_frac"] ** math.log2(sheet["gpus"])
    formula = "per_doubling_frac ^ log2(gpus)"
    sheet.add("efficiency_frac", "frac", "scaling efficiency", formula, value)
    if sheet.has("one_tok_s"):
        total = sheet["gpus"] * sheet["one_tok_s"] * value
        sheet.add("all_tok_s", "tok/s", "all devices", "gpus × one_tok_s × efficiency_frac", total)
    _loss(sheet)
    sheet.note("Assumes that every doubling keeps the same part, across servers and racks as within them.")
    return sheet.result("scaling", TITLE, "efficiency_frac")


def compared(
    *,
    one_tok_s: Input,
    efficiency_frac: Input,
    other_tok_s: Input,
    other_efficiency_frac: Input,
    aggregated: bool = False,
) -> Calculation:
    """Two kinds of devices, each with its own efficiency: the ratio, and the efficiency at which it flips."""
    refuse_aggregated(aggregated)
    sheet = Sheet(one_tok_s, efficiency_frac, other_tok_s, other_efficiency_frac)
    one = sheet["one_tok_s"] * sheet["efficiency_frac"]
    other = sheet["other_tok_s"] * sheet["other_efficiency_frac"]
    sheet.add("scaled_tok_s", "tok/s", "scaled", "one_tok_s × efficiency_frac", one)
    formula = "other_tok_s × other_efficiency_frac"
    sheet.add("other_scaled_tok_s", "tok/s", "the other kind, scaled", formula, other)
    sheet.add(
        "ratio", "x", "of the other kind, both scaled", "scaled_tok_s / other_scaled_tok_s", one / other
    )
    flip = other / sheet["one_tok_s"]
    meaning = "efficiency at or below which the other is no slower"
    sheet.add("flip_frac", "frac", meaning, "other_scaled_tok_s / one_tok_s", flip)
    ahead, was = one > other, sheet["one_tok_s"] > sheet["other_tok_s"]
    sheet.note("Scaling flips the order." if ahead != was else "Scaling does not flip the order.")
    sheet.warn(
        "Holds only for figures of one device alone. For aggregates divided by devices say --aggregated."
    )
    return sheet.result("scaling", TITLE, "ratio")


def _several(sheet: Sheet) -> None:
    if sheet["gpus"] < 2:
        raise CalculationError("one device does not scale", "give --gpus, 2 or more")


def _plausible(sheet: Sheet) -> None:
    """That the total is one: more than one device's work, and no more than N times that."""
    one, total, gpus = sheet["one_tok_s"], sheet["all_tok_s"], sheet["gpus"]
    if total > one * gpus * (1.0 + NOISE):
        raise CalculationError(
            f"{gpus:g} devices cannot do {total / one:.4g} times the work of one: --one-tok-s is not of one "
            "device alone at the same work (an aggregate divided by its devices is too low)",
            "measure one device alone, with the same model and as much work as it can take",
        )
    if total <= one:
        raise CalculationError(
            f"{gpus:g} devices would do no more than one ({total:g} of {one:g} tok/s): this looks like a "
            "figure of each device, given as one of all",
            "give it as --each-tok-s, or the total as --all-tok-s",
        )


def _loss(sheet: Sheet) -> None:
    """Dollars an hour that buy no work."""
    if sheet.has("price_usd_h"):
        lost = sheet["gpus"] * sheet["price_usd_h"] * max(0.0, 1.0 - sheet["efficiency_frac"])
        formula = "gpus × price_usd_h × max(0, 1 - efficiency_frac)"
        if sheet["efficiency_frac"] > 1.0:
            sheet.note("More than N single devices, within what measurements differ by: nothing is lost.")
        sheet.add("loss_usd_h", "$/h", "lost to scaling", formula, lost)


def _per_unit(sheet: Sheet) -> None:
    for unit, name in (("servers", "server"), ("racks", "rack"), ("kw", "kW")):
        if sheet.has(unit):
            rate = sheet["all_tok_s"] / sheet[unit]
            sheet.add(f"{name.lower()}_tok_s", "tok/s", f"for each {name}", f"all_tok_s / {unit}", rate)

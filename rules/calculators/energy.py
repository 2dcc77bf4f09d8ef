"""Energy: of a million tokens, and of GPUs over years. From the energy counter, never from a board's rating.

A rating (TDP) is what a board may draw. Energy comes from the counter's difference, or from a mean power
made of it; the 90th percentile of power says what must be provided, not what is paid.
"""

from __future__ import annotations

from rules.calculators.calculation import Calculation, CalculationError, Input, Sheet
from rules.ownership import HOURS_PER_YEAR
from rules.tokens import JOULES_PER_KWH, energy_usd_per_mtok, tokens_per_joule, usd_per_mtok

TITLE_TOKENS = "What a token's electricity costs"
TITLE_PERIOD = "What electricity costs over a period"
# The power that is paid -> what is worked out of it.
TITLES = {
    "more_w": "What the difference of two GPUs' electricity costs over a period",
    "less_w": "What the difference of two GPUs' electricity saves over a period",
}
YEAR = "A year has 8,760 hours."
COUNTED = f"{YEAR} Power is a mean by the energy counter, and stands for the whole period."
SAID = f"{YEAR} Power is taken for the mean at work, as given; a board's rating overstates it."


def energy_of_tokens(
    *,
    electricity_usd_kwh: Input,
    pue: Input,
    tok_j: Input | None = None,
    tokens: Input | None = None,
    energy_j: Input | None = None,
    tok_s: Input | None = None,
    power_w: Input | None = None,
    gpus: Input | None = None,
    price_usd_h: Input | None = None,
) -> Calculation:
    """Dollars of electricity per million tokens: 1e6 / (tok/J) / 3.6e6 × $/kWh × PUE.

    Tokens a joule are given, or made of tokens and joules, or of tokens a second and watts.
    """
    sheet = Sheet(electricity_usd_kwh, pue, tok_j, tokens, energy_j, tok_s, power_w, gpus, price_usd_h)
    _tokens_a_joule(sheet)
    per_kwh = sheet["tok_j"] * JOULES_PER_KWH
    sheet.add("tok_kwh", "tok/kWh", "tokens for a kilowatt-hour", "tok_j × 3.6e6", per_kwh)
    price = sheet["electricity_usd_kwh"]
    per_mtok = energy_usd_per_mtok(sheet["tok_j"], price, sheet["pue"])
    formula = "1e6 / tok_kwh × electricity_usd_kwh × pue"
    sheet.add("energy_usd_per_mtok", "$/Mtok", "electricity", formula, per_mtok)
    sheet.add("energy_usd_per_tok", "$/tok", "electricity", "energy_usd_per_mtok / 1e6", per_mtok / 1e6)
    _beside_the_price(sheet)
    return sheet.result("energy", TITLE_TOKENS, "energy_usd_per_mtok")


def _tokens_a_joule(sheet: Sheet) -> None:
    meaning = "tokens a joule, which is (tok/s) per watt"
    if sheet.has("tok_j"):
        return
    if sheet.has("tokens", "energy_j"):
        value = tokens_per_joule(sheet["tokens"], sheet["energy_j"])
        sheet.add("tok_j", "tok/J", meaning, "tokens / energy_j", value)
    elif sheet.has("tok_s", "power_w", "gpus"):
        value = sheet["tok_s"] / (sheet["power_w"] * sheet["gpus"])
        sheet.add("tok_j", "tok/J", meaning, "tok_s / (power_w × gpus)", value)
    else:
        fix = "give --tok-j, or --tokens and --energy-j, or --tok-s and --power-w"
        raise CalculationError("tokens a joule are not known", fix)


def _beside_the_price(sheet: Sheet) -> None:
    """What electricity is of all that a million tokens cost, where price and rate are known."""
    if not sheet.has("price_usd_h", "tok_s", "gpus"):
        return
    usd = usd_per_mtok(sheet["tok_s"], sheet["price_usd_h"] * sheet["gpus"])
    sheet.add("usd_per_mtok", "$/Mtok", "the GPUs' price", "1e6 × price_usd_h × gpus / (3600 × tok_s)", usd)
    share = sheet["energy_usd_per_mtok"] / usd
    formula = "energy_usd_per_mtok / usd_per_mtok"
    sheet.add("energy_of_price_frac", "frac", "electricity, of the GPUs' price", formula, share)
    sheet.note("A price of a cloud has the electricity in it: the two are compared here, never added.")


def energy_of_period(
    *,
    gpus: Input,
    nodes: Input,
    years: Input,
    electricity_usd_kwh: Input,
    pue: Input,
    power_w: Input | None = None,
    energy_j: Input | None = None,
    window_s: Input | None = None,
    other_power_w: Input | None = None,
    power_p90_w: Input | None = None,
    price_usd_h: Input | None = None,
) -> Calculation:
    """Dollars of electricity over years: of all that was asked for, or the difference to another GPU.

    Power is given, or made of the energy counter's difference and its seconds. One GPU is called that; a
    node has several, or is one of several.
    """
    sheet = Sheet(
        gpus, nodes, years, electricity_usd_kwh, pue, power_w, energy_j, window_s, other_power_w, power_p90_w,
        price_usd_h,
    )  # fmt: skip
    watts = _watts(sheet, power_w)
    one = "node" if sheet["gpus"] > 1 or sheet["nodes"] > 1 else "gpu"
    site = _of_one(sheet, one, watts)
    result = _of_all(sheet, one)
    hourly = site / sheet["hours"] / sheet["gpus"]
    formula = f"{one}_usd / hours" + (" / gpus" if one == "node" else "")
    sheet.add("gpu_usd_h", "$/h", f"one GPU, {_where(sheet)}", formula, hourly)
    if sheet.has("price_usd_h") and watts == "power_w":
        share = hourly / sheet["price_usd_h"]
        sheet.add("of_price_frac", "frac", "of the GPU's price", "gpu_usd_h / price_usd_h", share)
    _capacity(sheet)
    return sheet.result("energy", TITLES.get(watts, TITLE_PERIOD), result)


def _of_one(sheet: Sheet, one: str, watts: str) -> float:
    """Energy and dollars of one node, or of the one GPU there is; gives the dollars with cooling."""
    what = "one node" if one == "node" else "one GPU"
    hours = sheet.add("hours", "h", "the period", "years × 8760", sheet["years"] * HOURS_PER_YEAR)
    drawn = sheet[watts]
    if one == "node":
        drawn, watts = sheet.add("node_w", "W", what, f"{watts} × gpus", drawn * sheet["gpus"]), "node_w"
    kwh = sheet.add(
        f"{one}_kwh", "kWh", f"{what}, at the plug", f"{watts} × hours / 1000", drawn * hours / 1e3
    )
    plug = kwh * sheet["electricity_usd_kwh"]
    sheet.add(f"{one}_usd_plug", "$", f"{what}, at the plug", f"{one}_kwh × electricity_usd_kwh", plug)
    site = plug * sheet["pue"]
    return sheet.add(f"{one}_usd", "$", f"{what}, {_where(sheet)}", f"{one}_usd_plug × pue", site)


def _of_all(sheet: Sheet, one: str) -> str:
    """The name of what was asked for: all nodes, or the one node or GPU there is."""
    for where, at in (("usd_plug", "at the plug"), ("usd", _where(sheet))):
        usd = sheet[f"{one}_{where}"]
        if sheet["nodes"] > 1:
            meaning, formula = f"all {sheet['nodes']:,.0f} nodes, {at}", f"node_{where} × nodes"
            sheet.add(f"all_{where}", "$", meaning, formula, usd * sheet["nodes"])
        if one == "node" and sheet["gpus"] > 1:
            sheet.add(f"gpu_{where}", "$", f"one GPU, {at}", f"node_{where} / gpus", usd / sheet["gpus"])
    return "all_usd" if sheet["nodes"] > 1 else f"{one}_usd"


def _where(sheet: Sheet) -> str:
    """Whether the site's cooling is in a figure."""
    return "with the site's cooling" if sheet["pue"] > 1.0 else "without the site's cooling (PUE 1)"


def _watts(sheet: Sheet, power_w: Input | None) -> str:
    """The name of the power that is paid: of one GPU, or its difference to the other."""
    sheet.note(SAID if power_w is not None and power_w.label == "flag" else COUNTED)
    if not sheet.has("power_w"):
        if not sheet.has("energy_j", "window_s"):
            raise CalculationError("power is not known", "give --power-w, or --energy-j and --window-s")
        mean = sheet["energy_j"] / sheet["window_s"]
        sheet.add("power_w", "W", "mean power, by the energy counter", "energy_j / window_s", mean)
    if not sheet.has("other_power_w"):
        return "power_w"
    more = sheet["power_w"] - sheet["other_power_w"]
    sheet.note("Energy and dollars are the difference between the two GPUs, not what either of them takes.")
    sheet.note("More power is more cost only for the same work: compare tokens a joule, not watts alone.")
    if more < 0.0:
        sheet.note("This GPU draws less than the other: energy and dollars are what it saves.")
        sheet.add("less_w", "W", "less for each GPU", "other_power_w - power_w", -more)
        return "less_w"
    sheet.add("more_w", "W", "more for each GPU", "power_w - other_power_w", more)
    return "more_w"


def _capacity(sheet: Sheet) -> None:
    """What must be provided: by the 90th percentile of power, which is no energy."""
    if sheet.has("power_p90_w"):
        kw = sheet["power_p90_w"] * sheet["gpus"] * sheet["nodes"] * sheet["pue"] / 1e3
        formula = "power_p90_w × gpus × nodes × pue / 1000"
        sheet.add("provide_kw", "kW", "to be provided, by P90", formula, kw)

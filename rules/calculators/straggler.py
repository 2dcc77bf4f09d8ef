"""Stragglers: in step, N devices wait for the slowest.

N p (1 - t_median / t_slowest) dollars an hour buy waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rules.calculators.calculation import Calculation, CalculationError, Input, Label, Sheet, given
from rules.cents import HOURS

TITLE = "What a straggler costs"


def straggler(
    *,
    price_usd_h: Input,
    gpus: Input,
    median_s: Input | None = None,
    slowest_s: Input | None = None,
    slower_frac: Input | None = None,
) -> Calculation:
    """Dollars an hour spent waiting. The slowest rank's time is given, or by how much more it takes.

    Raises CalculationError where neither is, for one GPU, or where the slowest is faster than the median.
    """
    sheet = Sheet(price_usd_h, gpus, median_s, slowest_s, slower_frac)
    if sheet["gpus"] < 2:
        raise CalculationError("one rank waits for nobody", "give --gpus, 2 or more")
    waiting = _waiting(sheet)
    usd = sheet["gpus"] * sheet["price_usd_h"] * waiting
    sheet.add("loss_usd_h", "$/h", "all devices, waiting", "gpus × price_usd_h × waiting_frac", usd)
    sheet.add("loss_usd_day", "$", "a day", "loss_usd_h × 24", usd * HOURS["day"])
    sheet.add("loss_usd_month", "$", "a month of 730 h", "loss_usd_h × 730", usd * HOURS["month"])
    sheet.note("Holds for work in step (each step ends with all ranks); work that is not in step waits less.")
    return sheet.result("straggler", TITLE, "loss_usd_h")


def of_times(
    times_s: Sequence[float], label: Label = "flag", source: str = "--times-s"
) -> tuple[Input, Input, Input]:
    """Ranks, their median and the slowest, of each rank's time for a step; CalculationError for one rank."""
    if len(times_s) < 2:
        raise CalculationError("one rank waits for nobody", "give a time for each rank, two or more")
    figures = (("gpus", float(len(times_s))), ("median_s", median(times_s)), ("slowest_s", max(times_s)))
    ranks, middle, slowest = (given(name, value, label, source) for name, value in figures)
    return ranks, middle, slowest


def _waiting(sheet: Sheet) -> float:
    """Share of time that a median rank waits."""
    if sheet.has("median_s", "slowest_s"):
        if sheet["slowest_s"] < sheet["median_s"]:
            fix = "check --median-s and --slowest-s: the slowest takes the most time"
            raise CalculationError("the slowest rank is faster than the median", fix)
        value = 1.0 - sheet["median_s"] / sheet["slowest_s"]
        formula = "1 - median_s / slowest_s"
    elif sheet.has("slower_frac"):
        value = 1.0 - 1.0 / (1.0 + sheet["slower_frac"])
        formula = "1 - 1 / (1 + slower_frac)"
    else:
        fix = "give --slower-frac 0.15, or --median-s and --slowest-s, or --times-s 1.0,1.0,1.15"
        raise CalculationError("how slow the slowest rank is, is not known", fix)
    return sheet.add("waiting_frac", "frac", "time a median rank waits", formula, value)

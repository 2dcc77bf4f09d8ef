"""Options of the calculators, made from the quantities they take."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click

from advisor.cli.options import Decorator, json_option
from rules.calculators.quantities import QUANTITIES, Quantity

if TYPE_CHECKING:
    _Number = click.ParamType[float]
    _Numbers = click.ParamType[tuple[float, ...]]
else:
    _Number = _Numbers = click.ParamType  # not generic at run time in every click we support
# A number in which a comma parts thousands, or stands for the decimal point.
_COMMAS = re.compile(r"[+-]?\d+(,\d+)+(\.\d*)?")
# Quantities whose default is a setting of the same name.
SETTINGS = frozenset(
    {
        "price_usd_h",
        "electricity_usd_kwh",
        "pue",
        "capex_usd_per_gpu",
        "life_y",
        "maintenance_frac_y",
        "kw_per_gpu",
        "staffing_usd_h",
        "utilisation_frac",
    }
)


class QuantityType(_Number):
    """A number that the quantity can be; NaN, infinity and what is out of range are usage errors."""

    name = "number"

    def __init__(self, quantity: Quantity) -> None:
        self._quantity = quantity

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error that says what is accepted."""
        text = str(value).strip()
        if _COMMAS.fullmatch(text):
            plain = text.replace(",", "")
            point = f", or {text.replace(',', '.')}" if text.count(",") == 1 and "." not in text else ""
            self.fail(f"{text!r}: a comma is not read; write {plain}{point}", param, ctx)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if problem := self._quantity.problem(number):
            self.fail(f"{str(value)!r}: {problem} ({self._quantity.unit})", param, ctx)
        return number


class TimesType(_Numbers):
    """Seconds of each rank for a step, separated by commas."""

    name = "times"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The times, or a usage error."""
        one = QuantityType(QUANTITIES["median_s"])
        words = [word for word in str(value).split(",") if word.strip()]
        if not 2 <= len(words) <= 100_000:
            self.fail("expected a time for each rank, two or more: 1.0,1.0,1.15", param, ctx)
        return tuple(one.convert(word, param, ctx) for word in words)


def takes(*names: str, models: tuple[str, ...] = ("model",)) -> Decorator:
    """An option for each quantity, in this order; then models, a saved diagnosis, and JSON."""
    options = [_option(QUANTITIES[name]) for name in names]
    options += [_model_option(name) for name in models]
    options += [_from_option, _gpu_option, json_option]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _option(quantity: Quantity) -> Decorator:
    return click.option(
        quantity.flag,
        quantity.name,
        type=QuantityType(quantity),
        metavar=quantity.unit.upper() if quantity.unit != "x" else "N",
        help=f"{quantity.meaning[:1].upper()}{quantity.meaning[1:]}.{_default(quantity)}",
    )


def _default(quantity: Quantity) -> str:
    if quantity.default is not None:
        return f" Default: {quantity.default:g} ({quantity.why})."
    if quantity.name == "price_usd_h":
        return " Default: of --model, of the diagnosis, configuration."
    return " Default: configuration." if quantity.name in SETTINGS else ""


def _model_option(name: str) -> Decorator:
    other = "the other GPU" if name.startswith("other") else "the GPU"
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        metavar="MODEL",
        help=f'Model of {other}, such as "H100 SXM5 80GB", for its bundled price and data sheet.',
    )


_from_option = click.option(
    "--from",
    "document",
    metavar="FILE",
    help="Take what is not given from a diagnosis saved as JSON; - is stdin.",
)
_gpu_option = click.option("--gpu", metavar="SEL", help="Which of its GPUs: an index, a UUID or a MIG UUID.")

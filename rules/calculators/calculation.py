"""What a calculator says: a formula, its inputs with whose figures they are, and each step worked out."""

from __future__ import annotations

import math
import re
from typing import Literal

import msgspec

from rules.calculators.quantities import QUANTITIES

SCHEMA_VERSION = 1
Label = Literal["flag", "environment", "config", "diagnosis", "bundled", "default"]

_WORD = re.compile(r"[A-Za-z_]\w*")


class CalculationError(ValueError):
    """Inputs with which a formula makes no sense. `fix` says what to give instead."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure that went in. label: whose it is; source: where exactly, untrusted text."""

    name: str
    value: float
    unit: str
    meaning: str
    label: Label
    source: str


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. formula: with names of inputs and earlier steps; worked: the same with numbers put in."""

    name: str
    meaning: str
    formula: str
    worked: str
    value: float
    unit: str


class Calculation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A result (name, formula, worked, value, unit), what it was made of, and what to know about it.

    calculator: tokens, energy, response, tco, scaling, rightsize or straggler. parts: every other step, in
    the order in which they were worked out. Formulas use + - × / ^ and log2; units are in the names.
    """

    schema_version: int = SCHEMA_VERSION
    calculator: str
    title: str
    name: str
    meaning: str
    formula: str
    worked: str
    value: float
    unit: str
    inputs: tuple[Input, ...]
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def part(self, name: str) -> float:
        """The value of a step, or of the result itself. Raises KeyError for one that was not worked out."""
        found = {self.name: self.value, **{part.name: part.value for part in self.parts}}
        return found[name]


def given(name: str, value: float, label: Label = "flag", source: str = "") -> Input:
    """An input with what `QUANTITIES` says of it. Raises CalculationError for a value it cannot have."""
    quantity = QUANTITIES[name]
    if problem := quantity.problem(value):
        raise CalculationError(f"{name} = {value:g}: {problem}", f"give another {quantity.flag}")
    return Input(
        name=name,
        value=float(value),
        unit=quantity.unit,
        meaning=quantity.meaning,
        label=label,
        source=source or quantity.flag,
    )


class Sheet:
    """A calculation in the making: inputs by name, then steps, each a formula and its value."""

    def __init__(self, *inputs: Input | None) -> None:
        self._inputs = tuple(item for item in inputs if item is not None)
        self._values = {item.name: item.value for item in self._inputs}
        self._parts: list[Part] = []
        self._notes: list[str] = []
        self._warnings: list[str] = []

    def has(self, *names: str) -> bool:
        """Whether all of these are known by now."""
        return all(name in self._values for name in names)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def add(self, name: str, unit: str, meaning: str, formula: str, value: float) -> float:
        """Note a step and give its value. Raises CalculationError where it is no finite number."""
        if not math.isfinite(value):
            raise CalculationError(f"{name} is too large to be a figure", "check the inputs' units")
        worked = _WORD.sub(lambda word: self._number(word[0]), formula)
        self._parts.append(
            Part(name=name, meaning=meaning, formula=formula, worked=worked, value=value, unit=unit)
        )
        self._values[name] = value
        return value

    def note(self, text: str) -> None:
        """Something to know about the result."""
        self._notes.append(text)

    def warn(self, text: str) -> None:
        """Something that may make the result wrong."""
        self._warnings.append(text)

    def result(self, calculator: str, title: str, name: str) -> Calculation:
        """The whole, with the step called `name` as its result."""
        main = next(part for part in self._parts if part.name == name)
        used = {word for part in self._parts for word in _WORD.findall(part.formula)}
        for item in self._inputs:
            is_one = item.unit == "count" and item.value == 1.0
            if item.name not in used and item.label == "flag" and not is_one:
                self.warn(
                    f"Not used, as other inputs decide or one that goes with it is missing: {item.source}."
                )
        return Calculation(
            calculator=calculator,
            title=title,
            name=main.name,
            meaning=main.meaning,
            formula=main.formula,
            worked=main.worked,
            value=main.value,
            unit=main.unit,
            inputs=tuple(item for item in self._inputs if item.name in used),
            parts=tuple(part for part in self._parts if part is not main),
            notes=tuple(self._notes),
            warnings=tuple(self._warnings),
        )

    def _number(self, word: str) -> str:
        return plain(self._values[word]) if word in self._values else word


def plain(value: float) -> str:
    """A number within a formula: six digits, thousands separated."""
    if value == 0.0 or 1e-4 <= abs(value) < 1e15:
        whole = abs(value) >= 1e6 or value == round(value)
        return f"{value:,.0f}" if whole else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.6g}"
    return re.sub(r"e([+-])0*", lambda sign: "e-" if sign[1] == "-" else "e", f"{value:.4g}")

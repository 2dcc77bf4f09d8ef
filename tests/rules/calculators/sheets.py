"""Inputs and calculations for tests, and formulas worked out by Python itself."""

from __future__ import annotations

import math
import re
from typing import Any

from rules.calculators.calculation import Calculation, given

_MATH = {"log2": math.log2, "max": max, "min": min, "__builtins__": {}}


def figures(**values: float) -> dict[str, Any]:
    """Inputs by name, as flags give them."""
    return {name: given(name, value) for name, value in values.items()}


def by_its_formulas(calculation: Calculation) -> dict[str, float]:
    """Every step, worked out from the inputs by the formula that is printed, in whatever order they allow."""
    known = {item.name: item.value for item in calculation.inputs}
    steps = {part.name: part.formula for part in calculation.parts}
    steps[calculation.name] = calculation.formula
    while steps:
        ready = [name for name, formula in steps.items() if _names(formula) <= {*known, "log2", "max", "min"}]
        assert ready, f"no formula gives what {steps} need"
        for name in ready:
            known[name] = _worked(steps.pop(name), known)
    return known


def _names(formula: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\b\d+e\d+\b", "1", formula)))


def _worked(formula: str, known: dict[str, float]) -> float:
    """A formula as Python reads it: the tests' own text, and nobody else's."""
    python = formula.replace("×", "*").replace("^", "**")
    return float(eval(python, dict(_MATH), known))  # noqa: S307

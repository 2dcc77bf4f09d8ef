"""A calculation as plain text: the result first, then each step, then every input with whose figure it is."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from advisor.reports.escape import terminal
from rules.calculators.calculation import Calculation, Input, Part, plain

_PREFIX = frozenset({"$", "$/h", "$/Mtok", "$/tok", "$/kWh"})
_WORDS = {"$/Mtok": " per million tokens", "$/tok": " per token", "$": "", "$/h": "/h", "$/kWh": "/kWh"}


def as_text(calculation: Calculation, columns: int) -> str:
    """The whole, at most `columns` wide where words allow."""
    width = max(40, columns)
    main = Part(
        name=calculation.name,
        meaning=calculation.meaning,
        formula=calculation.formula,
        worked=calculation.worked,
        value=calculation.value,
        unit=calculation.unit,
    )
    steps = (main, *calculation.parts)
    pad = max(len(part.name) for part in steps) + 3
    blocks = [
        _wrapped("", f"{calculation.title}: {_said(main)}", width),
        _table(steps) if _is_table(steps) else "".join(_step(part, pad, width) for part in steps),
        _inputs(_shown(calculation.inputs, steps), width),
        "".join(_wrapped("note     ", text, width) for text in calculation.notes),
        "".join(_wrapped("warning  ", text, width) for text in calculation.warnings),
    ]
    return "\n".join(block for block in blocks if block)


def figure(value: float, unit: str) -> str:
    """A result with its unit: four digits, whole from a thousand on. Shares are percentages."""
    if unit == "frac":
        return f"{digits(value * 100)} %"
    if unit in _PREFIX:
        return f"{'-' if value < 0 else ''}${digits(abs(value))}{_WORDS[unit]}"
    if unit == "x":
        return f"{digits(value)}×"
    return digits(value) if unit == "count" else f"{digits(value)} {unit}"


def digits(value: float) -> str:
    """Four digits; whole, and thousands separated, from a thousand on; very small as 1.574e-8."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "unknown"
    if abs(value) < 1e-4 or abs(value) >= 1e15:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    if abs(value) >= 999.95:
        return f"{value:,.0f}"
    return f"{float(f'{value:.4g}'):f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"{value:.4g}"


def _step(part: Part, pad: int, width: int) -> str:
    """Name and formula; the formula with numbers; the value and what it means."""
    room = width - pad - 2
    lines = [(mark, line) for text in (part.formula, part.worked) for mark, line in _formula(text, room)]
    lines += _formula(_said(part), room)
    names = [f"  {part.name} ", *[""] * len(lines)]
    shown = [f"{name.ljust(pad)}{mark}{line}\n" for name, (mark, line) in zip(names, lines, strict=False)]
    return "".join(shown)


def _said(part: Part) -> str:
    """A value and what it is."""
    meaning = terminal(part.meaning or part.name)
    return f"{figure(part.value, part.unit)} ({meaning})"


def _formula(text: str, width: int) -> list[tuple[str, str]]:
    """A formula's lines, the first with an equals sign."""
    lines = textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]
    return [("  " if n else "= ", line) for n, line in enumerate(lines)]


def _is_table(parts: Sequence[Part]) -> bool:
    """Whether all steps are the same one, of different things."""
    return len(parts) > 1 and len({part.formula for part in parts}) == 1


def _table(parts: Sequence[Part]) -> str:
    wide = max(len(terminal(part.name)) for part in parts)
    deep = max(len(part.worked) for part in parts)
    head = f"  each = {parts[0].formula}\n"
    return head + "".join(
        f"  {terminal(part.name).ljust(wide)}  {part.worked.ljust(deep)} = {figure(part.value, part.unit)}\n"
        for part in parts
    )


def _shown(inputs: Sequence[Input], parts: Sequence[Part]) -> Sequence[Input]:
    """Every input; below a table, whose figures are in it already, those that need a source of their own."""
    return [item for item in inputs if item.unit == "$/h"] if _is_table(parts) else inputs


def _inputs(inputs: Sequence[Input], width: int) -> str:
    """A line for each input: name, value with unit, label; its source where that says more."""
    rows = [(terminal(item.name), given_figure(item), item.label, _source(item)) for item in inputs]
    if not rows:
        return ""
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    return "inputs\n" + "".join(_row(row, wide, width) for row in rows)


def _row(row: tuple[str, str, str, str], wide: Sequence[int], width: int) -> str:
    cells = "  ".join(cell.ljust(space) for cell, space in zip(row[:3], wide, strict=True))
    return "".join(_lines(f"  {cells}  ", row[3], width))


def _lines(lead: str, text: str, width: int) -> Iterator[str]:
    """`text` beside `lead`, or below it where too little room is left."""
    room = width - len(lead)
    if room >= min(len(text), 24):
        lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        yield (lead + lines[0]).rstrip() + "\n"
        yield from (" " * len(lead) + line + "\n" for line in lines[1:])
    else:
        yield lead.rstrip() + "\n"
        yield from ("      " + line + "\n" for line in textwrap.wrap(text, width - 6, break_on_hyphens=False))


def given_figure(item: Input) -> str:
    """An input as it was given, with its unit: a share stays a share."""
    number = plain(item.value) if abs(item.value) < 1e6 else f"{item.value:,.10g}"
    unit = {"frac": "", "count": "", "x": ""}.get(item.unit, item.unit)
    return f"{number} {unit}".rstrip()


def _source(item: Input) -> str:
    return terminal(item.source)


def _wrapped(lead: str, text: str, width: int) -> str:
    return "".join(_lines(lead, terminal(text), width))

"""What traces show, in a text report: a bar of a device's time, its causes, facts and kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor.document import Diagnosis
from advisor.reports.common import Style
from advisor.reports.escape import terminal
from advisor.reports.text_parts import bar, grid, head, indented, text
from advisor.reports.trace_sections import trace_sections
from advisor.reports.trace_tables import Bar, Room, Section, Table
from rules.economics import divide

if TYPE_CHECKING:
    from rich.console import RenderableType

# From this width on tables have bars.
NARROW_BARS = 80
# Kernels and gaps that are listed unless more are asked for.
KERNELS = 10
GAPS = 3
HOSTS = 5
# What of a name should be seen, or the figures before it give way.
_NAME = 16
# Columns that the figures beside a kernel's name take.
_BESIDE_NAMES = 42
_STYLE = Style(terminal, lambda raw: f"`{terminal(raw)}`")
_COLOURS = {
    "compute": "green",
    "memory": "blue",
    "device": "cyan",
    "link": "magenta",
    "host": "yellow",
    "unknown": "bright_black",
}


def traces(d: Diagnosis, width: int, top: int | None) -> list[RenderableType]:
    """What profiler traces show, device by device. top: how many kernels to list of each."""
    room = Room(
        kernels=KERNELS if top is None else top,
        gaps=GAPS if top is None else max(GAPS, top // 3),
        hosts=HOSTS if top is None else max(HOSTS, top // 2),
        name=max(16, width - _BESIDE_NAMES),
    )
    return [part for section in trace_sections(d, _STYLE, room) for part in _section(section, width)]


def _section(section: Section, width: int) -> list[RenderableType]:
    parts: list[RenderableType] = [head(section.title)]
    parts += [_split(section.split, width)] if section.split else []
    parts += [text(section.lead)] if section.lead else []
    parts += [part for table in section.first for part in _table(table, width)]
    if section.facts:
        made = grid("left", "fill")
        for fact in section.facts:
            made.add_row(text(f"  {fact.what}", "dim"), text(fact.text))
        parts += [*([text("")] if section.first else []), made]
    return parts + [part for table in section.tables for part in _table(table, width)]


def _split(bars: Sequence[Bar], width: int) -> RenderableType:
    """One bar of the whole width: busy classes full, idle causes hollow."""
    drawn = text("")
    for one, count in zip(bars, divide([one.frac for one in bars], width), strict=True):
        drawn.append(("█" if one.busy else "░") * count, _COLOURS.get(one.role, "bright_black"))
    return drawn


def _table(table: Table, width: int) -> list[RenderableType]:
    parts: list[RenderableType] = [text(f"\n{table.title}", "bold") if table.title else text("")]
    table = _fitted(table, width - 2)
    if table.columns[-1].align == "fill":
        parts += _rows_with_names(table)
    else:
        parts.append(indented(_drawn(table, width)))
    return [*parts, *([indented(text(table.note, "dim"))] if table.note else [])]


def _fitted(table: Table, room: int) -> Table:
    """The table without columns for which there is no room: no figure may lose its end."""
    kept = list(range(len(table.columns)))
    while _needed(table, kept) > room and any(table.columns[i].drop for i in kept):
        kept.remove(max(kept, key=lambda i: table.columns[i].drop))
    return msgspec.structs.replace(
        table,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
    )


def _needed(table: Table, kept: Sequence[int]) -> int:
    """Columns that cells take side by side; a name that is cut or wraps takes a few."""
    sizes = [max(len(row[i]) for row in (_heads(table), *table.rows)) for i in kept]
    if table.columns[kept[-1]].align == "fill":
        sizes[-1] = _NAME
    return sum(sizes) + 2 * (len(kept) - 1)


def _heads(table: Table) -> tuple[str, ...]:
    return tuple(column.head for column in table.columns)


def _drawn(table: Table, width: int) -> RenderableType:
    bars = table.bars if width >= NARROW_BARS else ()
    tight = _needed(table, range(len(table.columns))) > width - 2
    kinds = [column.align for column in table.columns]
    made = grid(*(["fill", *kinds[1:]] if tight else kinds), *(["left"] if bars else []))
    made.add_row(*(text(column.head, "dim") for column in table.columns))
    for place, row in enumerate(table.rows):
        style = "bold" if table.total and place == len(table.rows) - 1 else ""
        found = bars[place] if bars else None
        more = [bar(found.frac, _COLOURS.get(found.role, "bright_black"))] if found else []
        made.add_row(*(text(cell, style) for cell in row), *more)
    return made


def _rows_with_names(table: Table) -> list[RenderableType]:
    """Rows of figures with a name at their end, and what else is known below, across the page."""
    heads = _heads(table)
    widths = [max(len(row[place]) for row in (heads, *table.rows)) for place in range(len(heads) - 1)]

    def line(row: Sequence[str], style: str = "") -> RenderableType:
        figures = "".join(f"{cell:>{width}}  " for cell, width in zip(row, widths, strict=False))
        return indented(text(f"{figures}{row[-1]}", style))

    parts = [line(heads, "dim")]
    for place, row in enumerate(table.rows):
        parts.append(line(row))
        more = table.under[place] if table.under else ()
        parts += [indented(text(said, "dim"), widths[0] + 4) for said in more if said]
    return parts

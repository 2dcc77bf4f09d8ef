"""What traces show, on a page: sections with their charts' names, in the words of the other formats."""

from __future__ import annotations

import msgspec

from advisor.document import Diagnosis
from advisor.reports.charts.traces import slug
from advisor.reports.common import Style
from advisor.reports.trace_sections import trace_sections
from advisor.reports.trace_tables import Room, Section, Table

ROOM = Room(devices=8, kernels=25, gaps=10, hosts=12, steps=24, name=160, all=True)


class TraceTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table as the page's macro takes it. right: columns of figures."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...]
    note: str


class TraceSection(msgspec.Struct, frozen=True, kw_only=True):
    """One section; slug: of its device's charts, empty for what is of no device."""

    slug: str
    title: str
    lead: str
    first: tuple[TraceTable, ...]
    facts: tuple[tuple[str, str], ...]
    tables: tuple[TraceTable, ...]


def trace_views(diagnosis: Diagnosis, style: Style, top: int | None = None) -> list[TraceSection]:
    """All sections, in order. top: how many kernels to list of each device."""
    if diagnosis.trace is None:
        return []
    room = ROOM if top is None else msgspec.structs.replace(ROOM, kernels=top)
    places = {device.key: slug(place) for place, device in enumerate(diagnosis.trace.devices)}
    return [_view(section, places) for section in trace_sections(diagnosis, style, room)]


def _view(section: Section, places: dict[str, str]) -> TraceSection:
    return TraceSection(
        slug=places.get(section.key or "", ""),
        title=section.title,
        lead=section.lead,
        first=tuple(_table(table) for table in section.first),
        facts=tuple((fact.what, fact.text) for fact in section.facts),
        tables=tuple(_table(table) for table in section.tables),
    )


def _table(table: Table) -> TraceTable:
    heads = tuple(column.head for column in table.columns)
    rows = table.rows
    if any(table.under):
        heads = (*heads, "known of it")
        rows = tuple((*row, "; ".join(more)) for row, more in zip(rows, table.under, strict=True))
    right = tuple(place for place, column in enumerate(table.columns) if column.align == "right")
    return TraceTable(title=table.title, heads=heads, rows=rows, right=right, note=table.note)

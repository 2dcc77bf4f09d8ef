"""What traces show, in a ticket: causes and facts to read, kernels and steps folded."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.document import Diagnosis
from advisor.reports.fitting import Part
from advisor.reports.markup import Align, Markup
from advisor.reports.trace_sections import trace_sections
from advisor.reports.trace_tables import Room, Section, Table

ROOM = Room(devices=4, kernels=15, gaps=8, hosts=10, steps=16, name=110, all=True)
BRIEF = Room(devices=2, kernels=5, gaps=3, name=80)


def traces(d: Diagnosis, m: Markup, top: int | None = None) -> Part:
    """All sections, fewer of them, or none. top: how many kernels to list of each device."""
    if d.trace is None:
        return Part(sizes=("", "", ""), lost=("", ""))
    room = (
        ROOM if top is None else Room(devices=4, kernels=top, gaps=8, hosts=10, steps=16, name=110, all=True)
    )
    sizes = ["".join(_section(s, m) for s in trace_sections(d, m.style, each)) for each in (room, BRIEF)]
    return Part(sizes=(*sizes, ""), lost=("details of the trace", "what the trace shows"))


def _section(section: Section, m: Markup) -> str:
    facts = [f"{m.bold(fact.what)} {fact.text}" if fact.what else fact.text for fact in section.facts]
    head = m.heading(3, section.title) + (m.paragraph(section.lead) if section.lead else "")
    head += "".join(_table(table, m) for table in section.first) + (m.bullets(facts) if facts else "")
    body = "".join((m.paragraph(m.bold(t.title)) if t.title else "") + _table(t, m) for t in section.tables)
    if not section.key:
        return head + body
    return head + (m.details(f"Of this device: {_listed(section.tables)}", body) if body else "")


def _listed(tables: Sequence[Table]) -> str:
    """The tables' names, which are our own words."""
    return ", ".join(table.name for table in tables)


def _table(table: Table, m: Markup) -> str:
    heads: list[tuple[str, Align]] = [
        (c.head, "right" if c.align == "right" else "left") for c in table.columns
    ]
    rows = [list(row) for row in table.rows]
    if any(table.under):
        heads.append(("known of it", "left"))
        rows = [[*row, "; ".join(more)] for row, more in zip(rows, table.under, strict=True)]
    if table.total and rows:
        rows[-1] = [m.bold(cell) for cell in rows[-1]]
    return m.table(heads, rows) + (m.paragraph(table.note) if table.note else "")

"""Sections of a report as data: titles, lines, tables. Cells are ready to show in the format that asked."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from advisor.document import Diagnosis

Align = Literal["left", "right", "fill"]
Cell: TypeAlias = str


def gpu_numbers(diagnosis: Diagnosis) -> dict[str, int]:
    """Key -> the number that verdicts and findings call a traced device by: ranks may all have a device 0."""
    devices = diagnosis.trace.devices if diagnosis.trace is not None else ()
    return {d.key: d.device for d in devices} | {v.key: v.gpu for v in diagnosis.verdicts}


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a format has room for. kernels: rows of a table of kernels; gaps, hosts, steps: of theirs.

    devices: that are shown in full, those that lose most. name: characters of a kernel's name. all: also what
    a reader at a terminal does without.
    """

    devices: int = 2
    kernels: int = 10
    gaps: int = 3
    hosts: int = 5
    steps: int = 8
    name: int = 120
    all: bool = False


class Column(msgspec.Struct, frozen=True):
    """One column of a table. drop: where there is no room, the columns with the highest go first; 0 never."""

    head: str
    align: Align = "left"
    drop: int = 0


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a whole, with the palette's role whose colour it has. busy: drawn full, else hollow."""

    frac: float
    role: str
    busy: bool = True


class Fact(msgspec.Struct, frozen=True):
    """One thing to know: what it is about, and what is so."""

    what: str
    text: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows below heads. bars: one a row, drawn beside it where a format can. total: the last row sums up.

    under: lines below each row, small, where there is more to say. note: one below the table.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    bars: tuple[Bar | None, ...] = ()
    under: tuple[tuple[str, ...], ...] = ()
    total: bool = False
    title: str = ""
    note: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One part under a title: a bar of how a device's time divides, a line, tables, facts, more tables.

    first: tables before the facts. small: for checking, not for reading.
    """

    title: str
    split: tuple[Bar, ...] = ()
    lead: str = ""
    first: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    key: str | None = None
    small: bool = False

"""What-ifs and engines as a page shows them, in the words of the other formats."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from advisor.document import Diagnosis
from advisor.reports import whatifs
from advisor.reports.common import CELL, SENTENCE, Style, row_name
from advisor.reports.serving import Line, heading, lines
from rules.serving import ServingFigures
from rules.whatif import WhatIf

MAX_ENGINES = 40
MAX_OTHERS = 60


class WhatIfView(msgspec.Struct, frozen=True, kw_only=True):
    """One what-if worth trying: its row, what else is to be said of it."""

    row: whatifs.Row
    facts: tuple[tuple[str, str], ...]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """One inference engine, as other formats word it."""

    name: str
    lines: tuple[Line, ...]


def what_if_views(diagnosis: Diagnosis, style: Style) -> list[WhatIfView]:
    """The few what-ifs of each GPU that save most, each with what it rests on."""
    shown = {(row.name, row.fix): row for row in whatifs.rows(diagnosis, style)}
    found = [(shown.get(_place(one, style)), one) for one in diagnosis.what_ifs]
    return [
        WhatIfView(row=row, facts=tuple(whatifs.facts(one, style))) for row, one in found if row is not None
    ]


def other_what_ifs(diagnosis: Diagnosis, style: Style) -> list[tuple[str, str, str]]:
    """What was weighed as well: where, which fix, and what speaks against it or that it saves less."""
    shown = {(row.name, row.fix) for row in whatifs.rows(diagnosis, style)}
    rest = [one for one in diagnosis.what_ifs if _place(one, style) not in shown]
    return [
        (row_name(one.gpu, one.mig, style), style.text(one.title, CELL), _because(one, style))
        for one in rest[:MAX_OTHERS]
    ]


def _place(one: WhatIf, style: Style) -> tuple[str, str]:
    return row_name(one.gpu, one.mig, style), style.text(one.fix, 80)


def _because(one: WhatIf, style: Style) -> str:
    if one.refused is not None:
        return style.prose(one.refused, SENTENCE)
    if one.outlook is None:
        return "no work ran, and it saves less"
    said = whatifs.said(one)
    return f"{'faster, and saves less' if said == 'faster' else said}: {whatifs.times(one)}"


def engines(serving: Sequence[ServingFigures], style: Style) -> list[Engine]:
    """What inference engines said of themselves."""
    return [Engine(name=heading(made, style), lines=lines(made, style)) for made in serving[:MAX_ENGINES]]

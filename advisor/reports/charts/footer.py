"""Where a chart's figures come from, in a few words below it: an image is shown alone, without its report."""

from __future__ import annotations

import textwrap

import msgspec

from advisor.document import Diagnosis
from advisor.reports.charts.drawing import Footer, label
from advisor.reports.common import Style, marks
from advisor.reports.escape import terminal
from advisor.reports.figures import instant, span
from advisor.reports.ladders import ladder

# What fits into a line of a chart's width; strong type is wider.
_COLUMNS = 104
_STRONG_COLUMNS = 90
_MAX_LINES = 4
_PLAIN = Style(terminal, terminal)


def footer(diagnosis: Diagnosis, key: str | None) -> Footer:
    """What must be read beside a chart of one device, or of the node where `key` is None.

    That its data is synthetic, a demo's or a replay's; host, window, prices with their basis, ceilings.
    """
    p = diagnosis.provenance
    facts = (
        *_name(diagnosis, key),
        *([f"host {label(p.host, 60)}"] if p.host else ()),
        f"{span(p.t_end_s - p.t_start_s)} to {instant(p.t_end_s)}",
        _price(diagnosis, key),
        _ceilings(diagnosis, key),
        f"advisor {label(p.advisor_version, 20)}",
    )
    return Footer(
        marks=tuple(textwrap.wrap(" ".join(marks(diagnosis)), _STRONG_COLUMNS)),
        facts=tuple(textwrap.wrap("; ".join(facts), _COLUMNS, break_on_hyphens=False)[:_MAX_LINES]),
    )


def _name(diagnosis: Diagnosis, key: str | None) -> list[str]:
    """The card's name, below a chart of one device."""
    return [label(d.name, 60) for d in diagnosis.provenance.devices if d.key == key][:1]


def _price(diagnosis: Diagnosis, key: str | None) -> str:
    rows = tuple(row for row in diagnosis.ladder if key in (None, row.key))
    if not any(row.price_usd_h is not None for row in rows):
        return "no price is known"
    return label(ladder(msgspec.structs.replace(diagnosis, ladder=rows), _PLAIN).price, 240)


def _ceilings(diagnosis: Diagnosis, key: str | None) -> str:
    devices = [d for d in diagnosis.provenance.devices if key in (None, d.key)]
    known = dict.fromkeys(d.ceilings_label or "unknown" for d in devices)
    return f"ceilings {label(', '.join(known), 60)}" if known else "ceilings unknown"

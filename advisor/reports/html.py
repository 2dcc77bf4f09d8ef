"""A Diagnosis as one page of HTML: no network, no script, for a manager at the top and an engineer below.

Every string goes through Jinja's escaping. The page's own policy allows one style block, named by its hash,
and nothing else: no script, no request, no style in an attribute.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from advisor.document import Diagnosis
from advisor.reports import sources, whatifs
from advisor.reports.bills import job_rows, won_back
from advisor.reports.charts.catalogue import charts_of
from advisor.reports.charts.drawing import Chart
from advisor.reports.charts.palette import DARK, LIGHT
from advisor.reports.common import is_node, labels, overlap, ranked
from advisor.reports.findings import FindingView, nothing_found, view
from advisor.reports.html_devices import device_sections
from advisor.reports.html_money import cards, first
from advisor.reports.html_more import engines, other_what_ifs, what_if_views
from advisor.reports.html_style import STYLE, finalize, plain
from advisor.reports.html_traces import trace_views
from advisor.reports.ladders import ladder, unpriced
from advisor.reports.titles import title, workload_line

TEMPLATES = Path(__file__).parent / "templates"
MAX_FINDINGS = 200
MAX_ROWS = 256


def render_html(diagnosis: Diagnosis, images: tuple[str, ...] = (), *, top: int | None = None) -> str:
    """The document as a page. The same document gives the same bytes. Redaction is the caller's.

    images: names of PNG files that lie beside the page, which it then mentions. top: how many kernels of a
    trace to list.
    """
    css = style_sheet()
    found = ranked(diagnosis.findings)
    head, second = title(diagnosis, STYLE)
    table = ladder(diagnosis, STYLE)
    charts = {chart.name: _drawn(chart) for chart in charts_of(diagnosis)}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            css=Markup(css),  # noqa: S704 - ours alone
            csp=policy(css),
            page_title=plain(head),
            labels=labels(diagnosis, STYLE),
            head=head,
            second=second,
            who=workload_line(diagnosis, STYLE),
            cards=cards(diagnosis),
            first=first(diagnosis, STYLE),
            ladder=table,
            ladder_note=unpriced(table.unpriced) if table.unpriced else "",
            charts=charts,
            rows=sources.device_rows(diagnosis, STYLE)[:MAX_ROWS] if is_node(diagnosis) else [],
            devices=device_sections(diagnosis, STYLE),
            devices_left=len(diagnosis.verdicts),
            findings=_findings(diagnosis),
            findings_left=max(0, len(found) - MAX_FINDINGS),
            overlap=overlap(diagnosis),
            nothing_found=nothing_found(diagnosis),
            won=won_back(diagnosis, STYLE),
            jobs=job_rows(diagnosis, STYLE),
            what_ifs=what_if_views(diagnosis, STYLE),
            what_ifs_note=STYLE.prose(whatifs.note(diagnosis)),
            other_what_ifs=other_what_ifs(diagnosis, STYLE),
            engines=engines(diagnosis.serving, STYLE),
            traces=trace_views(diagnosis, STYLE, top),
            notes=sources.unknowns(diagnosis, STYLE)[:MAX_ROWS] + sources.notes(diagnosis, STYLE),
            provenance=sources.provenance(diagnosis, STYLE),
            redactions=sources.redactions(diagnosis, STYLE),
            command=STYLE.text(diagnosis.provenance.command, 1000),
            images=images,
        )
    )


def _findings(diagnosis: Diagnosis) -> list[FindingView]:
    return [view(finding, diagnosis, STYLE) for finding in ranked(diagnosis.findings)[:MAX_FINDINGS]]


def _drawn(chart: Chart) -> dict[str, str]:
    """An SVG to embed. Its text was escaped as it was written."""
    return {"title": chart.title, "desc": chart.desc, "svg": Markup(chart.svg())}  # noqa: S704


@cache
def style_sheet() -> str:
    """The page's one style block: the sheet of the templates, and the palette in light and in dark."""
    sheet = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {_variables(DARK)} }}"
    return "\n".join(("", _variables(LIGHT), dark, _classes(), sheet))


def _variables(palette: dict[str, str]) -> str:
    return f":root {{ {' '.join(f'--{role}: {colour};' for role, colour in palette.items())} }}"


def _classes() -> str:
    """A class for each role: as a fill, as a stroke, and as a background of keys and badges."""
    return "\n".join(
        f".f-{role} {{ fill: var(--{role}); }} .s-{role} {{ stroke: var(--{role}); }} "
        f".b-{role} {{ background: var(--{role}); }}"
        for role in LIGHT
    )


def policy(css: str) -> str:
    """The content security policy of a page with this style block."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["fields"] = _fields
    return made


def _fields(rows: Sequence[Any], *names: str) -> list[tuple[Any, ...]]:
    """The named attributes of each row, as a table's cells."""
    return [tuple(getattr(row, name) for name in names) for row in rows]

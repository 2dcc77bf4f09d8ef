"""A Diagnosis as one tidy table (RFC 4180): a line a figure, so that a spreadsheet can filter and pivot it.

A figure that is unknown has no line, or an empty value where the document gives the reason. Text that a
spreadsheet would take for a formula gets an apostrophe in front; figures are never text.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from advisor.bills import statement
from advisor.document import Diagnosis
from advisor.reports.escape import terminal
from advisor.reports.figures import instant
from advisor.reports.trace_csv import trace_lines
from advisor.reports.trace_tables import gpu_numbers
from advisor.reports.whatifs import SURE_SPENDS, said
from rules.economics import no_dust
from rules.finding import TERMS, Finding, LadderRow
from rules.serving import ServingFigures
from rules.verdict import SHARES, Verdict
from rules.whatif import WhatIf

COLUMNS = ("time", "host", "source", "gpu", "mig", "kind", "name", "value", "unit", "detail")
MAX_TEXT = 1000

Value = float | int | str | None

# Full-width forms are read as formulas as well, where the keyboard gives them.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u2212")
# The end of a field's name is its unit.
_UNITS = ("usd_h", "tok_s", "tok_j", "tok_usd", "bytes_s", "bytes", "frac", "mhz", "usd", "w", "j", "c", "s")
_DEVICE = (
    *("power_w_p50", "power_w_p90", "power_w_max", "power_limit_w", "energy_j", "sm_mhz_p50", "sm_mhz_max"),
    *("temp_c_max", "mem_used_bytes", "mem_total_bytes", "observed_s", "windows"),
)
_OF_VERDICTS = (
    *("confidence", "cause_confidence", "noise"),
    *("dram_roof_frac", "pipe_roof_frac", "useful_frac"),
)
_NOT_FIGURES = frozenset({"t_start_s", "t_end_s"})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line below the columns that are the same throughout."""

    kind: str
    name: str
    value: Value
    unit: str = ""
    detail: str = ""
    gpu: int | None = None
    mig: str | None = None


def render_csv(diagnosis: Diagnosis) -> str:
    """The document as CSV with CRLF line ends and a header. Redaction is the caller's."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    p = diagnosis.provenance
    source = f"{p.source}, synthetic" if p.synthetic else p.source
    same = (instant(p.t_end_s), text(p.host), source)
    for row in rows(diagnosis):
        writer.writerow((*same, *_cells(row)))
    return out.getvalue()


def text(raw: str) -> str:
    """Untrusted text as a cell: one printable line that no spreadsheet takes for a formula."""
    shown = terminal(raw[:MAX_TEXT])
    return f"'{shown}" if shown.lstrip(" '").startswith(_FORMULA) else shown


def rows(diagnosis: Diagnosis) -> Iterator[Row]:
    """Every line: the document, then each device's, findings, what-ifs, engines, traces, flags."""
    yield from _document(diagnosis)
    for verdict in diagnosis.verdicts:
        yield from _verdict(verdict)
    for row in diagnosis.ladder:
        yield from _ladder(row)
    yield from _recoverable(diagnosis)
    yield from _devices(diagnosis)
    prices = {row.key: row.price_usd_h for row in diagnosis.ladder}
    for finding in diagnosis.findings:
        yield from _finding(finding, prices.get(finding.key))
    for found in diagnosis.what_ifs:
        yield from _what_if(found)
    for engine in diagnosis.serving:
        yield from _serving(engine)
    if diagnosis.trace is not None:
        for line in trace_lines(diagnosis.trace, gpu_numbers(diagnosis)):
            yield Row(**line._asdict())
    for flag in diagnosis.flags:
        yield Row(kind="flag", name=flag.code, value=None, detail=flag.message)


def _cells(row: Row) -> tuple[str, ...]:
    gpu = "" if row.gpu is None else str(row.gpu)
    unit = text(row.unit)
    return gpu, text(row.mig or ""), text(row.kind), text(row.name), _value(row.value), unit, text(row.detail)


def _value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return text(value)
    return f"{value:.10g}" if math.isfinite(value) else ""


def _document(diagnosis: Diagnosis) -> Iterator[Row]:
    p = diagnosis.provenance
    for name in ("advisor_version", "driver_version", "cuda_version", "note", "command"):
        said = getattr(p, name)
        if said:
            yield Row(kind="document", name=name, value=said)
    yield Row(kind="document", name="window", value=p.t_end_s - p.t_start_s, unit="s")
    yield Row(kind="document", name="interval", value=p.interval_s, unit="s")


def _verdict(v: Verdict) -> Iterator[Row]:
    def row(name: str, value: Value, unit: str = "", detail: str = "", kind: str = "verdict") -> Row:
        return Row(kind=kind, name=name, value=value, unit=unit, detail=detail, gpu=v.gpu, mig=v.mig)

    yield row("class", v.class_, detail=v.headline)
    yield row("cause", v.cause)
    yield row("tier", v.tier)
    yield row("device", v.device_name)
    if v.workload is not None:
        yield row("workload", v.workload.name, detail=v.workload.job or "")
    for name in _OF_VERDICTS:
        value = getattr(v, name)
        if value is not None:
            yield row(name, value, "frac")
    for because in v.unknown_because:
        yield row("unknown", None, detail=because)
    for name in SHARES:
        yield row(name, v.shares.get(name, 0.0), "frac", kind="share")


def _ladder(found: LadderRow) -> Iterator[Row]:
    def row(name: str, value: Value, unit: str, detail: str = "") -> Row:
        return Row(
            kind="ladder", name=name, value=value, unit=unit, detail=detail, gpu=found.gpu, mig=found.mig
        )

    for term in TERMS:
        yield row(term, found.shares.get(term, 0.0), "frac")
    if found.terms is None or found.price_usd_h is None:
        yield row("price", None, "usd_h", found.price_source or "no price is known")
        return
    for term in TERMS:
        yield row(term, found.terms.get(term, 0.0), "usd_h")
    yield row("price", found.price_usd_h, "usd_h", f"{found.basis}: {found.price_source}")
    yield row("wasted", found.wasted_usd_h, "usd_h")


def _recoverable(diagnosis: Diagnosis) -> Iterator[Row]:
    """Of the node, by term: at least and at most."""
    made = statement(diagnosis)
    for part in made.node.bill.recoverable if made is not None else ():
        for name in ("share_low", "share_high", "usd_h_low", "usd_h_high"):
            value, unit = getattr(part, name), name.replace("share", "frac")
            if value is not None:
                detail = f"{part.owner}: {part.because}"
                yield Row(kind="recoverable", name=part.term, value=value, unit=unit, detail=detail)


def _devices(diagnosis: Diagnosis) -> Iterator[Row]:
    for device in diagnosis.provenance.devices:
        place: dict[str, Any] = {"gpu": device.gpu, "mig": device.mig}
        for name in _DEVICE:
            value = getattr(device, name)
            if value is not None:
                yield Row(kind="device", name=name, value=value, unit=unit_of(name), **place)
        for name, why in device.unknown.items():
            yield Row(kind="device", name=name, value=None, detail=why, **place)


def _finding(f: Finding, price_usd_h: float | None) -> Iterator[Row]:
    low, high = (f.effect.low, f.effect.high) if f.effect else (None, None)
    figures = ((f.share, "frac"), (no_dust(f.usd_h, price_usd_h), "usd_h"), (f.confidence, "confidence"))
    detail = f"{f.severity}: {f.claim}"
    yield from _each("finding", f.code, (*figures, (low, "factor_low"), (high, "factor_high")), f, detail)


def _what_if(w: WhatIf) -> Iterator[Row]:
    low, high = (w.effect.low, w.effect.high) if w.effect else (None, None)
    figures = ((low, "factor_low"), (high, "factor_high"), (w.usd_h_low, "usd_h_low"))
    more = ((w.usd_h_high, "usd_h_high"), (w.watts_low, "w_low"), (w.watts_high, "w_high"))
    detail = f"{w.title} ({', '.join((said(w), *([w.spend] if w.spend in SURE_SPENDS else [])))}; {w.basis})"
    if w.refused is not None:
        place: dict[str, Any] = {"gpu": w.gpu, "mig": w.mig}
        yield Row(kind="whatif", name=w.fix, value=None, detail=f"{w.title}: {w.refused}", **place)
    yield from _each("whatif", w.fix, (*figures, *more), w, detail)


def _each(
    kind: str, name: str, figures: Iterable[tuple[float | None, str]], of: Finding | WhatIf, detail: str
) -> Iterator[Row]:
    for value, unit in figures:
        if value is not None:
            yield Row(kind=kind, name=name, value=value, unit=unit, detail=detail, gpu=of.gpu, mig=of.mig)


def _serving(engine: ServingFigures) -> Iterator[Row]:
    detail = " ".join(part for part in (engine.engine, engine.endpoint, engine.model) if part)
    for name in engine.__struct_fields__:
        value = getattr(engine, name)
        if isinstance(value, float | int) and not isinstance(value, bool) and name not in _NOT_FIGURES:
            yield Row(kind="serving", name=name, value=value, unit=unit_of(name), detail=detail)
    for name, why in engine.missing.items():
        yield Row(kind="serving", name=name, value=None, detail=f"{detail}: {why}")


def unit_of(name: str) -> str:
    """The unit that a field's name ends in, past a percentile or an extreme."""
    stem = name
    for suffix in ("_p50", "_p90", "_p99", "_max", "_low", "_high"):
        stem = stem.removesuffix(suffix)
    if "usd_per" in stem:
        return "usd"
    return next((unit for unit in _UNITS if stem == unit or stem.endswith(f"_{unit}")), "")

"""Devices, validity and provenance: the part of a report that lets a second engineer check the first."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec

from advisor.document import DeviceProvenance, Diagnosis, Flag, Provenance
from advisor.reports.bills import row_totals
from advisor.reports.common import CELL, SENTENCE, Style, row_name, rows_by_key, wasted_share
from advisor.reports.figures import UNKNOWN, fraction, instant, number, percent, size, span, usd
from advisor.reports.findings import EvidenceRow, evidence_rows
from advisor.reports.ladders import row_cents
from advisor.reports.trace_figures import duration
from advisor.reports.trace_sections import unknown_lines
from rules.finding import LadderRow
from rules.headline import WORDS, cause_words
from rules.ladder import wasted
from rules.power import Electricity
from rules.verdict import Verdict

MAX_FLAGS = 30
MAX_REDACTED = 12


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the summary table."""

    name: str
    workload: str
    verdict: str
    confidence: str
    price: str
    wasted: str
    recoverable: str = "–"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One line of evidence of a verdict."""

    name: str
    evidence: EvidenceRow


def device_rows(diagnosis: Diagnosis, style: Style) -> list[DeviceRow]:
    """Every verdict with its cost, then ladder rows that have none (unallocated parts of MIG GPUs)."""
    rows = rows_by_key(diagnosis)
    known = {v.key for v in diagnosis.verdicts}
    dollars, won = row_cents(diagnosis.ladder), row_totals(diagnosis)

    def money(row: LadderRow | None) -> tuple[str, str, str]:
        return _price(row, dollars), _wasted(row, dollars), won.get(row.key, "–") if row else "–"

    found = [_verdict_row(v, *money(rows.get(v.key)), style) for v in diagnosis.verdicts]
    bare = [row for row in diagnosis.ladder if row.key not in known]
    return found + [_bare_row(row, *money(row), style) for row in bare]


def _verdict_row(verdict: Verdict, price: str, wasted: str, won: str, style: Style) -> DeviceRow:
    return DeviceRow(
        name=row_name(verdict.gpu, verdict.mig, style),
        workload=_workload(verdict, style),
        verdict=_verdict(verdict, style),
        confidence="–" if verdict.class_ == "unknown" else fraction(verdict.confidence),
        price=price,
        wasted=wasted,
        recoverable=won,
    )


def _bare_row(row: LadderRow, price: str, wasted: str, won: str, style: Style) -> DeviceRow:
    return DeviceRow(
        name=row_name(row.gpu, row.mig, style),
        workload="–",
        verdict="not observed as a device",
        confidence="–",
        price=price,
        wasted=wasted,
        recoverable=won,
    )


def _verdict(verdict: Verdict, style: Style) -> str:
    if verdict.class_ == "unknown":
        return f"unknown: {style.text(missing(verdict), CELL)}"
    return f"{WORDS[verdict.class_]}: {style.text(cause_words(verdict.cause), CELL)}"


def missing(verdict: Verdict) -> str:
    """What an unknown verdict lacks."""
    return "; ".join(verdict.unknown_because) or cause_words(verdict.cause)


def _workload(verdict: Verdict, style: Style) -> str:
    found = verdict.workload
    if found is None:
        return "–"
    job = f", {style.text(found.job, 60)}" if found.job else ""
    others = f", {found.others} more" if found.others else ""
    return f"{style.text(found.name, 60)} (pid {found.pid}{job}{others})"


def _price(row: LadderRow | None, dollars: dict[str, dict[str, float]]) -> str:
    """The row's part of the bill as the table has it, so that rows sum to the node's dollars."""
    if row is None or row.price_usd_h is None:
        return UNKNOWN
    return usd(sum(dollars[row.key].values()) if row.key in dollars else row.price_usd_h)


def _wasted(row: LadderRow | None, dollars: dict[str, dict[str, float]]) -> str:
    if row is None or row.shares.get("unknown", 0.0) > 0.99:
        return UNKNOWN
    share = percent(wasted_share(row))
    if row.wasted_usd_h is None:
        return share
    shown = wasted(dollars[row.key]) if row.key in dollars else row.wasted_usd_h
    return f"{usd(shown)} ({share})"


def readings(diagnosis: Diagnosis, style: Style) -> list[Reading]:
    """What each verdict rests on."""
    return [
        Reading(name=row_name(v.gpu, v.mig, style), evidence=row)
        for v in diagnosis.verdicts
        for row in evidence_rows(v.evidence, style)
    ]


def unknowns(diagnosis: Diagnosis, style: Style) -> list[str]:
    """What is missing or weakens a verdict, once for all rows that lack the same.

    A row whose flags say as much already is named only where it has no verdict at all.
    """
    flagged = {flag.key for flag in diagnosis.flags}
    places: dict[str, list[str]] = {}
    for v in diagnosis.verdicts:
        if v.unknown_because and (v.class_ == "unknown" or v.key not in flagged):
            places.setdefault(missing(v), []).append(row_name(v.gpu, v.mig, style))
    said = [f"{_some(found)}: {style.text(said, SENTENCE)}" for said, found in places.items()]
    return said + unknown_lines(diagnosis, style) + settling(diagnosis, style)


def settling(diagnosis: Diagnosis, style: Style) -> list[str]:
    """What measurement would settle verdicts that are unknown or narrow."""
    return [
        f"{row_name(v.gpu, v.mig, style)}, to settle it: {style.prose(sentence)}"
        for v in diagnosis.verdicts
        for sentence in v.settle
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def notes(diagnosis: Diagnosis, style: Style) -> list[str]:
    """Validity flags, one line a code: eight cards with assumed ceilings are one thing to know."""
    said_above = {"cpu-only", *(["synthetic"] if diagnosis.provenance.synthetic else [])}
    groups: dict[str, list[Flag]] = {}
    for flag in diagnosis.flags:
        if flag.code not in said_above:
            groups.setdefault(flag.code, []).append(flag)
    lines = [_note(code, found, style) for code, found in groups.items()]
    more = len(lines) - MAX_FLAGS
    return lines[:MAX_FLAGS] + ([f"{more} more flags are in the JSON"] if more > 0 else [])


def _note(code: str, found: Sequence[Flag], style: Style) -> str:
    more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
    return f"{style.text(code, 40)}: {style.prose(found[0].message, SENTENCE)}{more}"


def provenance(diagnosis: Diagnosis, style: Style) -> list[tuple[str, str]]:
    """Facts of the whole document, as pairs."""
    p = diagnosis.provenance
    if p.source == "trace":
        return _traced(p, style)
    versions = [("driver", p.driver_version), ("CUDA", p.cuda_version), ("pynvml", p.pynvml_version)]
    versions += [("Python", p.python_version), ("advisor", p.advisor_version)]
    said = ", ".join(f"{name} {style.text(version or UNKNOWN, 40)}" for name, version in versions)
    cores = UNKNOWN if p.cores is None else str(p.cores)
    pairs = [
        ("host", f"{style.text(p.host, 80)}, {cores} cores"),
        ("versions", said),
        ("window", f"{span(p.t_end_s - p.t_start_s)}, from {instant(p.t_start_s)} to {instant(p.t_end_s)}"),
        ("interval", f"{span(p.interval_s)}, GPM every {span(p.gpm_interval_s)}"),
        ("source", f"{p.source}, document made {_created(p.created, style)}"),
    ]
    if p.watch_cost_frac is not None:
        pairs.append(("cost of watching", f"{p.watch_cost_frac * 100:.2g} % of one core in the sampler"))
    pairs += _node_electricity(p.devices)
    if p.note:
        pairs.append(("note", style.prose(p.note, SENTENCE)))
    pairs += _selection(p, style)
    return pairs + [("unknown", style.text(f"{k}: {v}", CELL)) for k, v in list(p.unknown.items())[:4]]


def _traced(p: Provenance, style: Style) -> list[tuple[str, str]]:
    """Of a document made from traces: nothing was sampled, and the node is that of the reader."""
    length = duration((p.t_end_s - p.t_start_s) * 1e6)
    when = f", from {instant(p.t_start_s)} to {instant(p.t_end_s)}" if p.t_start_s > 0 else ""
    pairs = [
        *([("traced time", f"{length}{when}")] if p.t_end_s > p.t_start_s else ()),
        *([("host", style.text(p.host, 80))] if p.host else ()),
        ("read by", f"advisor {style.text(p.advisor_version, 40)}"),
        ("source", f"profiler traces, document made {_created(p.created, style)}"),
    ]
    pairs += [("note", style.prose(p.note, SENTENCE))] if p.note else []
    pairs += _selection(p, style)
    return pairs + [("unknown", style.text(f"{k}: {v}", CELL)) for k, v in list(p.unknown.items())[:4]]


def _selection(p: Provenance, style: Style) -> list[tuple[str, str]]:
    """By which words findings were chosen, and what is therefore not in this document."""
    words = [f"{name} {style.text(','.join(said), CELL)}" for name, said in _chosen(p) if said]
    lost = [f"{style.text(code, 20)} ({count})" for code, count in list(p.ignored.items())[:MAX_REDACTED]]
    said = f"{'; '.join(words)}: {', '.join(lost) or 'nothing'} left out"
    return [("rules", said)] if words or lost else []


def _chosen(p: Provenance) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("--select", p.select), ("--ignore", p.ignore))


def _created(text: str, style: Style) -> str:
    try:
        return instant(datetime.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return style.text(text, 40)


def device_facts(device: DeviceProvenance, style: Style) -> str:
    """How one row was observed, as one line of facts."""
    windows = "" if device.tier == "trace" else f", {device.windows:,} sub-windows"
    facts = [
        f"{style.text(device.name, 80)}",
        f"{device.tier} tier{windows} over {_observed(device)}",
        _ceilings(device, style) + _stale(device, style),
        *_power(device),
        *_state(device),
    ]
    facts += [style.text(f"{name} unknown: {why}", CELL) for name, why in list(device.unknown.items())[:4]]
    return "; ".join(facts)


def short_device_facts(device: DeviceProvenance, style: Style) -> str:
    """What a reader of many rows needs of each: what was read, against what, and what could not be."""
    facts = [
        f"{device.tier} tier over {_observed(device)}",
        _ceilings(device, style) + (", stale" if device.ceilings_stale else ""),
        *_power(device)[:1],
    ]
    if device.unknown:
        facts.append(f"unknown: {style.text(', '.join(device.unknown), CELL)}")
    return "; ".join(facts)


def _observed(device: DeviceProvenance) -> str:
    """How long: of a trace finely, as it may span a few milliseconds."""
    return duration(device.observed_s * 1e6) if device.tier == "trace" else span(device.observed_s)


def _ceilings(device: DeviceProvenance, style: Style) -> str:
    if device.ceilings_label is None:
        return "no ceilings known"
    model = f" ({style.text(device.ceilings_model, 60)})" if device.ceilings_model else ""
    when = f" {style.text(device.ceilings_measured[:10], 80)}" if device.ceilings_measured else ""
    partly = "partly measured" if when and device.ceilings_label != "measured" else device.ceilings_label
    return f"ceilings {style.text(partly, 20)}{when}{model}"


def _stale(device: DeviceProvenance, style: Style) -> str:
    return f", stale: {style.text(device.ceilings_stale, CELL)}" if device.ceilings_stale else ""


def _power(device: DeviceProvenance) -> list[str]:
    parts = [("p50", device.power_w_p50), ("p90", device.power_w_p90), ("max", device.power_w_max)]
    parts.append(("limit", device.power_limit_w))
    known = [f"{name} {number(watts)} W" for name, watts in parts if watts is not None]
    energy = [] if device.energy_j is None else [f"energy {number(device.energy_j / 1e3)} kJ"]
    return ([f"power {', '.join(known)}"] if known else []) + energy + _electricity(device.electricity)


def _electricity(found: Electricity | None) -> list[str]:
    """What an hour of the board's own electricity costs."""
    if found is None:
        return []
    return [f"electricity {_small_usd(found.usd_h)}/h (mean {number(found.mean_w)} W by the energy counter)"]


def _small_usd(figure: float) -> str:
    return usd(figure) if figure >= 1.0 else f"${figure:.3f}"


def _node_electricity(devices: Sequence[DeviceProvenance]) -> list[tuple[str, str]]:
    """The boards together: a figure beside the price, not on top of it."""
    found = [device.electricity for device in devices if device.electricity is not None]
    if not found:
        return []
    rates = found[0].rates
    cents = usd(rates.usd_kwh) if round(rates.usd_kwh, 2) == rates.usd_kwh else f"${rates.usd_kwh:g}"
    usd_kwh = f"{cents}/kWh{_defaulted(rates.usd_kwh_label)}"
    pue = f"PUE {rates.pue:g}{_defaulted(rates.pue_label)}"
    boards = "1 board" if len(found) == 1 else f"{len(found)} boards"
    cost = f"{_small_usd(sum(each.usd_h for each in found))}/h for {boards} by energy counter"
    return [("electricity", f"{cost}, {usd_kwh}, {pue}; contained in a price, never on top of it")]


def _defaulted(label: str) -> str:
    return " (default)" if label == "default" else ""


def _state(device: DeviceProvenance) -> list[str]:
    facts = []
    if device.sm_mhz_p50 is not None:
        top = "" if device.sm_mhz_max is None else f" of {number(device.sm_mhz_max)}"
        facts.append(f"SM clock p50 {number(device.sm_mhz_p50)}{top} MHz")
    if device.temp_c_max is not None:
        facts.append(f"at most {number(device.temp_c_max)} °C")
    if device.mem_used_bytes is not None:
        total = "" if device.mem_total_bytes is None else f" of {size(device.mem_total_bytes)}"
        facts.append(f"memory {size(device.mem_used_bytes)}{total}")
    if device.ecc_enabled is not None:
        facts.append(f"ECC {'on' if device.ecc_enabled else 'off'}")
    if device.thermally_settled is not None:
        facts.append("temperature settled" if device.thermally_settled else "temperature not settled")
    return facts


def redactions(diagnosis: Diagnosis, style: Style) -> list[str]:
    """What was taken out of the document, as it says itself."""
    found = diagnosis.provenance.redacted
    more = len(found) - MAX_REDACTED
    lines = [style.prose(item, CELL) for item in found[:MAX_REDACTED]]
    return lines + ([f"{more} more"] if more > 0 else [])

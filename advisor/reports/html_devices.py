"""One device's section of a page: verdict, margins, shares, roofs and power in figures beside its charts."""

from __future__ import annotations

import msgspec

from advisor.document import DeviceProvenance, Diagnosis
from advisor.reports.charts.catalogue import charted, slugs
from advisor.reports.charts.palette import CLASS_ROLE, SHARE_ROLE, SHARE_WORDS
from advisor.reports.charts.rooflines import rate, roof_name, roof_rate
from advisor.reports.common import SENTENCE, Style, row_name
from advisor.reports.figures import fraction, number, percent
from advisor.reports.findings import EvidenceRow, evidence_rows
from advisor.reports.roofs import observed_by_key, roofline_of, series_of
from advisor.reports.sources import device_facts
from rules.headline import WORDS, headline
from rules.roofline import Roofline
from rules.verdict import SHARES, Verdict

MAX_MARGINS = 12
MAX_SECTIONS = 64


class ShareRow(msgspec.Struct, frozen=True, kw_only=True):
    """One share of time, with the role whose colour it has."""

    role: str
    name: str
    share: str


class RoofRow(msgspec.Struct, frozen=True, kw_only=True):
    """One ceiling: its figure, how it came about, and from where."""

    name: str
    value: str
    label: str
    source: str


class PointRow(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a roofline in figures."""

    name: str
    bytes_s: str
    flop_s: str
    intensity: str


class DeviceSection(msgspec.Struct, frozen=True, kw_only=True):
    """One device, ready to show. no_*: why a chart is missing, else empty."""

    slug: str
    key: str
    name: str
    device: str
    role: str
    class_: str
    headline: str
    workload: str
    facts: tuple[str, ...]
    shares: tuple[ShareRow, ...]
    margins: tuple[tuple[str, str, str, str], ...]
    evidence: tuple[EvidenceRow, ...]
    notes: tuple[str, ...]
    roofs: tuple[RoofRow, ...]
    points: tuple[PointRow, ...]
    roofline_note: str
    no_roofline: str
    no_series: str
    power: tuple[tuple[str, str], ...]
    provenance: str


def device_sections(diagnosis: Diagnosis, style: Style) -> list[DeviceSection]:
    """Sections of the devices that have charts, in the document's order."""
    names = slugs(diagnosis)
    return [_section(diagnosis, verdict, names[verdict.key], style) for verdict in charted(diagnosis)]


def _section(diagnosis: Diagnosis, verdict: Verdict, slug: str, style: Style) -> DeviceSection:
    observed = observed_by_key(diagnosis).get(verdict.key)
    facts = next((p for p in diagnosis.provenance.devices if p.key == verdict.key), None)
    found = roofline_of(verdict, observed)
    return DeviceSection(
        slug=slug,
        key=verdict.key,
        name=row_name(verdict.gpu, verdict.mig, style),
        device=style.text(verdict.device_name, 80),
        role=CLASS_ROLE.get(verdict.class_, "unknown"),
        class_="limit unknown" if verdict.class_ == "unknown" else WORDS[verdict.class_],
        headline=style.text(verdict.headline or headline(verdict), SENTENCE),
        workload=_workload(verdict, style),
        facts=_facts(verdict, style),
        shares=_shares(verdict),
        margins=_margins(verdict, style),
        evidence=evidence_rows(verdict.evidence[:24], style),
        notes=_notes(verdict, style),
        roofs=_roofs(found, style),
        points=_points(found),
        roofline_note=_roofline_note(found),
        no_roofline=found.missing or "",
        no_series="" if series_of(observed) is not None else _NO_SERIES,
        power=_power(facts),
        provenance=device_facts(facts, style) if facts else "",
    )


_NO_SERIES = "This document holds no series over time for this device, so there is nothing to draw."


def _workload(verdict: Verdict, style: Style) -> str:
    found = verdict.workload
    if found is None:
        return ""
    job = f", {style.text(found.job, 80)}" if found.job else ""
    more = f", {found.others} more" if found.others else ""
    return f"{style.text(found.name, 120)} (pid {found.pid}{job}{more})"


def _facts(verdict: Verdict, style: Style) -> tuple[str, ...]:
    facts = [f"{verdict.tier} tier"]
    if verdict.class_ != "unknown":
        facts.insert(0, f"confidence {fraction(verdict.confidence)}")
    if verdict.cause_confidence is not None:
        facts.append(f"cause with confidence {fraction(verdict.cause_confidence)}")
    if verdict.noise is not None:
        facts.append(f"the lead may be off by {fraction(verdict.noise)}")
    if verdict.secondary is not None:
        facts.append(f"also {WORDS[verdict.secondary]}")
    if verdict.useful_frac is not None:
        facts.append(f"{percent(verdict.useful_frac)} useful")
    facts.append(f"ceilings {style.text(verdict.ceilings_label or 'unknown', 20)}")
    return tuple(facts)


def _shares(verdict: Verdict) -> tuple[ShareRow, ...]:
    return tuple(
        ShareRow(role=SHARE_ROLE[name], name=SHARE_WORDS[name], share=percent(verdict.shares[name]))
        for name in SHARES
        if verdict.shares.get(name, 0.0) > 0.0
    )


def _margins(verdict: Verdict, style: Style) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(
        (style.text(m.name, 80), fraction(m.value), fraction(m.threshold), f"{m.margin:+.2f}")
        for m in verdict.margins[:MAX_MARGINS]
    )


def _notes(verdict: Verdict, style: Style) -> tuple[str, ...]:
    missing = tuple(f"Unknown, because {style.prose(text, SENTENCE)}" for text in verdict.unknown_because[:6])
    return missing + tuple(f"To settle it: {style.prose(text, SENTENCE)}" for text in verdict.settle[:6])


def _roofs(found: Roofline, style: Style) -> tuple[RoofRow, ...]:
    return tuple(
        RoofRow(
            name=style.text(roof_name(roof), 40) + (" (the workload's)" if roof.used else ""),
            value=roof_rate(roof),
            label=roof.label,
            source=style.text(roof.source, 200),
        )
        for roof in found.roofs
    )


def _points(found: Roofline) -> tuple[PointRow, ...]:
    return tuple(
        PointRow(
            name=f"{point.class_} time" if point.class_ else "all busy time",
            bytes_s=rate(point.bytes_s, "B/s"),
            flop_s=rate(point.flop_s, "FLOP/s"),
            intensity=f"{point.intensity:.3g}",
        )
        for point in (found.mean, *found.classes)
        if point is not None
    )


def _roofline_note(found: Roofline) -> str:
    if found.mean is None:
        return ""
    error = (
        f" A point's place below its roofs holds within {percent(found.error_frac)}."
        if found.error_frac
        else ""
    )
    dots = " Small dots are stretches of the window." if found.stretches else ""
    precision = f" Roughly, as {found.note}." if found.note else ""
    return (
        "Rates are each counter's share of its reading at the ceiling, times that ceiling; nobody counted "
        f"bytes or operations.{precision}{error}{dots}"
    )


def _power(facts: DeviceProvenance | None) -> tuple[tuple[str, str], ...]:
    if facts is None:
        return ()
    known = (
        ("power, P50", facts.power_w_p50, "W"),
        ("power, P90", facts.power_w_p90, "W"),
        ("power, most", facts.power_w_max, "W"),
        ("power limit", facts.power_limit_w, "W"),
        ("energy", None if facts.energy_j is None else facts.energy_j / 1e3, "kJ"),
        ("SM clock, P50", facts.sm_mhz_p50, "MHz"),
        ("SM clock, highest", facts.sm_mhz_max, "MHz"),
        ("temperature, most", facts.temp_c_max, "°C"),
    )
    return tuple((name, f"{number(value)} {unit}") for name, value, unit in known if value is not None)

"""What a probe run says, as tables and lines: the same for a terminal, a ticket, and a history.

Untrusted text (names of devices, reasons, versions) goes through a `Style` the moment it is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from advisor.reports.common import SENTENCE, Style
from advisor.reports.figures import UNKNOWN, instant, percent, span
from probes import plain
from probes.derive import alike, is_ceiling
from probes.metrics import METRICS
from probes.record import DeviceFacts, Measurement, ProbeReport, ProbeRun, Unit
from probes.registry import PROBES
from probes.staleness import stale

Align = Literal["left", "right"]
Tone = Literal["", "dim", "warn", "bad"]

# Runs that a page of history lists; the JSON has all.
SHOWN_RUNS = 12
MAX_LINES = 8

_TONES: dict[str, Tone] = {"degraded": "warn", "rejected": "bad", "failed": "bad", "unsupported": "dim"}


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """The newest usable figure of a metric before this run, and the Unix time of its run."""

    take: Measurement
    t_s: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a table. names: what it may be called, shortest first. note: what must be said below it."""

    names: tuple[str, ...]
    cells: tuple[str, ...] = ()
    note: str = ""
    tone: Tone = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Rows under a heading of their own."""

    title: str
    lines: tuple[Line, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """heads: of the columns after the first. spare: columns in the order in which they may be left out."""

    heads: tuple[str, ...]
    sections: tuple[Section, ...]
    spare: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One device. labels: what must not be overlooked. facts: name and value."""

    title: str
    said: str
    labels: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def earlier(history: Sequence[ProbeReport]) -> dict[str, Earlier]:
    """Of runs of one device, oldest first, the newest figure of each metric that could be a ceiling."""
    found: dict[str, Earlier] = {}
    for report in history:
        if report.contended is not None:
            continue
        for metric in {m.metric for m in report.measurements}:
            m = report.measurement(metric)
            if m is not None and is_ceiling(m):
                found[metric] = Earlier(take=m, t_s=report.t_s)
    return found


def run_page(report: ProbeReport, before: Mapping[str, Earlier], style: Style) -> Page:
    """What one device did, beside its data sheet, what such cards usually reach, and its earlier runs."""
    if report.refused is not None:
        reason = style.text(report.refused, SENTENCE)
        return Page(title=device_title(report, style), said=f"not measured: {reason}")
    return Page(
        title=device_title(report, style),
        said=f"{report.mode} mode, {instant(report.t_s)}, took {span(report.wall_s)}",
        labels=_labels(report, style),
        tables=(_figures(report, before, style),) if report.measurements else (),
        facts=_facts(report, before, style),
    )


def history_page(reports: Sequence[ProbeReport], style: Style, now_s: float | None = None) -> Page:
    """Stored runs of one device, oldest first, and how each figure moved. now_s: Unix time, for their age."""
    newest, count = reports[-1], len(reports)
    said = f"{count} stored run{'s' * (count != 1)}"
    if now_s is not None and now_s >= newest.t_s:
        said += f", the newest {_age(now_s - newest.t_s)} ago"
    said += f", {SHOWN_RUNS} shown" if count > SHOWN_RUNS else ""
    why = stale(newest, mig_profile=newest.device.mig_profile, now_s=now_s)
    return Page(
        title=device_title(newest, style),
        said=said,
        labels=(f"STALE: {style.text(why)}.",) if why else (),
        tables=(_runs(reports[-SHOWN_RUNS:], style), _moves(reports, style)),
    )


def _age(seconds: float) -> str:
    return span(seconds) if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"


def device_title(report: ProbeReport, style: Style) -> str:
    """ "GPU 0 NVIDIA H100 80GB HBM3", or "CPU ..."."""
    d = report.device
    is_named = d.mig_profile is not None and d.mig_profile in d.name
    where = place(msgspec.structs.replace(d, mig_profile=None) if is_named else d, style)
    return f"{where} {style.text(d.name)}"


def place(device: DeviceFacts, style: Style) -> str:
    """ "GPU 0", "GPU 0 MIG 1g.10gb", or "CPU"."""
    where = "CPU" if device.kind == "cpu" else "GPU" if device.index is None else f"GPU {device.index}"
    return f"{where} MIG {style.text(device.mig_profile, 60)}" if device.mig_profile else where


def figure(value: float | None, unit: Unit) -> str:
    """A figure with its unit, three digits: "3.01 TB/s", "2.31 µs"."""
    return plain.figure(value, unit) if value is not None and math.isfinite(value) else UNKNOWN


def spread(low: float | None, high: float | None, beside: float | None, unit: Unit) -> str:
    """A range in the unit in which the figure `beside` is shown: "2.99–3.02"."""
    ends = [_beside(end, beside, unit) for end in (low, high)]
    return "–".join(ends) if all(ends) else ""


def change(take: Measurement, before: Measurement | None) -> str:
    """How a figure moved: "+0.3 %", "-12 %"; empty where one of them is unknown."""
    now, then = alike([take, before]) if before and take.value is not None else (0.0, 0.0)
    if not then or not math.isfinite(now / then):
        return ""
    moved = (now / then - 1.0) * 100
    if abs(moved) >= 1000:
        return f"{now / then:.3g}x"
    return f"{moved:+.0f} %" if abs(moved) >= 9.95 else f"{moved:+.1f} %"


def typical_frac(report: ProbeReport, metric: str) -> float | None:
    """What such cards are seen to reach of the data sheet or the link's rate; None where nobody knows."""
    from probes.ceilings import pcie_copy_bytes_s, pcie_line_bytes_s
    from probes.specs import find_spec
    from probes.typical import dram_frac, rate_frac

    d, key = report.device, METRICS[metric].spec if metric in METRICS else None
    if d.kind == "cpu" or key is None:
        return None
    if key == "pcie":
        line = pcie_line_bytes_s(d.pcie_gen_max, d.pcie_width_max)
        copy = pcie_copy_bytes_s(d.pcie_gen_max, d.pcie_width_max)
        return copy / line if copy and line and "pageable" not in metric and "remote" not in metric else None
    spec = find_spec(d.name, d.memory_total_bytes, d.compute_capability, d.power_limit_w)
    if spec is None:
        return None
    if key == "dram":  # seen of copies and triads; pure reads reach more
        return dram_frac(spec.gpu)[0] if metric in ("dram_copy", "dram_triad") else None
    known = rate_frac(spec.gpu, key)
    return None if known is None else known[0]


def _beside(value: float | None, shown: float | None, unit: Unit) -> str:
    """A figure as a number of the unit in which another one is shown; empty where that cannot be said."""
    if value is None or not shown or not math.isfinite(value) or not math.isfinite(shown):
        return ""
    digits = float(figure(shown, unit).split()[0].replace(",", ""))
    return _digits(value / 10 ** round(math.log10(shown / digits))) if digits else ""


def _digits(value: float) -> str:
    """Three of them, as `plain.figure` has."""
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{decimals}f}"


def _labels(report: ProbeReport, style: Style) -> tuple[str, ...]:
    found = []
    if report.contended is not None:
        reason = style.text(report.contended, SENTENCE)
        found.append(f"CONTENDED: {reason}. No figure of this run is used as a ceiling.")
    if report.interrupted:
        found.append("INTERRUPTED: not every probe ran.")
    return tuple(found)


_HEADS = ("measured", "p10–p90", "of spec", "typical", "of clock", "change")
_SPARE = ("p10–p90", "typical", "of clock", "change")


def _figures(report: ProbeReport, before: Mapping[str, Earlier], style: Style) -> Table:
    sections = []
    for probe, metrics in _by_probe(report).items():
        takes = [m for metric in metrics if (m := report.measurement(metric)) is not None]
        lines = tuple(_line(report, m, before, style) for m in takes)
        sections.append(Section(title=style.text(probe), lines=lines))
    return Table(heads=_HEADS, sections=tuple(sections), spare=_SPARE)


def _by_probe(report: ProbeReport) -> dict[str, list[str]]:
    """Metrics of each probe, in the order in which probes run and metrics are listed."""
    order = {p.name: i for i, p in enumerate(PROBES) if p.kind == report.device.kind}
    rank = {name: i for i, name in enumerate(METRICS)}
    seen = dict.fromkeys((m.probe, m.metric) for m in report.measurements)
    ordered = sorted(seen, key=lambda x: (order.get(x[0], len(order)), x[0], rank.get(x[1], len(rank))))
    found: dict[str, list[str]] = {}
    for probe, metric in ordered:
        found.setdefault(probe, []).append(metric)
    return found


def _line(report: ProbeReport, m: Measurement, before: Mapping[str, Earlier], style: Style) -> Line:
    known, then = METRICS.get(m.metric), before.get(m.metric)
    typical = typical_frac(report, m.metric) if m.of_spec is not None else None
    cells = (
        figure(m.value, m.unit) if m.value is not None else "",
        _around(m),
        _percent(m.of_spec),
        _percent(typical),
        _percent(m.of_clock),
        change(m, then.take if then else None),
    )
    names = (style.text(m.metric, 40), *([known.title] if known else []))
    tone = "warn" if m.label == "contended" and m.valid == "valid" else _TONES.get(m.valid, "")
    return Line(names=names, cells=cells, note=_note(m, style), tone=tone)


def _around(m: Measurement) -> str:
    """The windows' range; a sustained figure stands beside its burst instead."""
    if m.sustained is None:
        return spread(m.p10, m.p90, m.value, m.unit)
    burst = _beside(m.burst, m.sustained, m.unit)
    return f"burst {burst}" if burst else ""


def _note(m: Measurement, style: Style) -> str:
    """Why a figure is not an ordinary one."""
    reason = style.text(m.reason, SENTENCE) if m.reason else ""
    if m.valid == "valid":
        label = "contended" if m.label == "contended" else ""
        return ": ".join(part for part in (label, reason) if part)
    head = "" if reason.startswith(m.valid) else m.valid
    return ": ".join(part for part in (head, reason) if part)


def _percent(frac: float | None) -> str:
    return "" if frac is None or not math.isfinite(frac) else percent(frac)


def _facts(report: ProbeReport, before: Mapping[str, Earlier], style: Style) -> tuple[tuple[str, str], ...]:
    facts = [
        ("clocks", _clocks(report)),
        ("power", _power(report)),
        ("slowed by", _throttled(report, style)),
        (
            "versions",
            ", ".join(f"{style.text(k, 20)} {style.text(v, 40)}" for k, v in report.versions.items()),
        ),
        ("change", _since(report, before)),
        *(("not known", text) for text in _unknown(report, style)),
    ]
    return tuple((name, said) for name, said in facts if said)


def _seen(report: ProbeReport, field: str) -> list[float]:
    values = (getattr(m.conditions, field) for m in report.measurements)
    return [v for v in values if v is not None and math.isfinite(v)]


def _clocks(report: ProbeReport) -> str:
    sm, mem = _seen(report, "sm_mhz"), _seen(report, "mem_mhz")
    parts = [f"SM {_range(sm)} MHz" if sm else "", f"memory {_range(mem)} MHz" if mem else ""]
    return ", ".join(part for part in parts if part)


def _range(values: list[float]) -> str:
    low, high = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return low if low == high else f"{low} to {high}"


def _power(report: ProbeReport) -> str:
    power, temp = _seen(report, "power_w"), _seen(report, "temp_c")
    limits = _seen(report, "power_limit_w")
    of_limit = f" of {max(limits):,.0f} W" if limits else ""
    drawn = f"up to {max(power):,.0f} W{of_limit}" if power else ""
    return ", ".join(part for part in (drawn, f"up to {max(temp):.0f} °C" if temp else "") if part)


def _throttled(report: ProbeReport, style: Style) -> str:
    """Reasons the driver gave for a lower clock, and during what."""
    during: dict[str, list[str]] = {}
    for m in report.measurements:
        for reason in m.conditions.throttle_reasons:
            during.setdefault(reason, []).append(m.metric)
    return ", ".join(
        f"{style.text(reason, 40)} ({style.text(', '.join(dict.fromkeys(names)), 80)})"
        for reason, names in during.items()
    )


def _since(report: ProbeReport, before: Mapping[str, Earlier]) -> str:
    times = [before[m.metric].t_s for m in report.measurements if m.metric in before]
    if not times:
        return ""
    first, last = instant(min(times)), instant(max(times))
    if first == last:
        return f"against the run of {last}"
    return f"against each figure's newest earlier one, of {first} to {last}"


_SHAPE = re.compile(r"[0-9]+x[0-9]+x[0-9]+")


def _unknown(report: ProbeReport, style: Style) -> list[str]:
    reasons: dict[str, list[str]] = {}
    of_figures = (m.conditions.missing for m in report.measurements)
    for missing in (report.missing, report.device.missing, *of_figures):
        for name, why in missing.items():
            if _SHAPE.match(name):  # a choice that was not tried: for the JSON
                continue
            names = reasons.setdefault(why, [])
            names += [] if name in names else [name]
    said = [f"{style.text(', '.join(names))}: {style.text(why)}" for why, names in reasons.items()]
    more = [f"{len(said) - MAX_LINES} more are in the JSON"] if len(said) > MAX_LINES else []
    return said[:MAX_LINES] + more


def _runs(reports: Sequence[ProbeReport], style: Style) -> Table:
    lines = []
    for report in reversed(reports):
        takes = [report.measurement(metric) for metric in {m.metric for m in report.measurements}]
        good = sum(m is not None and is_ceiling(m) for m in takes)
        said = [report.mode, f"{good} of {len(takes)}", style.text(report.versions.get("driver", ""), 20)]
        note = "contended" if report.contended is not None else "interrupted" if report.interrupted else ""
        tone: Tone = "warn" if note else ""
        lines.append(Line(names=(instant(report.t_s),), cells=(*said, note), tone=tone))
    heads = ("mode", "usable", "driver", "")
    return Table(heads=heads, sections=(Section(title="runs", lines=tuple(lines)),), spare=("driver",))


def _moves(reports: Sequence[ProbeReport], style: Style) -> Table:
    """Of each metric: the newest usable figure, the one before, and all of them."""
    series: dict[str, list[Measurement]] = {}
    for report in reports:
        for metric in dict.fromkeys(m.metric for m in report.measurements):
            m = report.measurement(metric)
            if m is not None and is_ceiling(m) and report.contended is None:
                series.setdefault(metric, []).append(m)
    ordered = sorted(series, key=lambda name: list(METRICS).index(name) if name in METRICS else len(METRICS))
    lines = tuple(_move(name, series[name], style) for name in ordered)
    heads = ("newest", "before", "change", "lowest–highest", "runs")
    section = Section(title="figures", lines=lines)
    return Table(heads=heads, sections=(section,), spare=("lowest–highest", "runs", "before"))


def _move(metric: str, takes: Sequence[Measurement], style: Style) -> Line:
    unit, values = takes[-1].unit, alike(takes)
    then = values[-2] if len(values) > 1 else None
    cells = (
        figure(values[-1], unit),
        "" if then is None else figure(then, unit),
        change(takes[-1], takes[-2] if len(takes) > 1 else None),
        spread(min(values), max(values), values[-1], unit) if then is not None else "",
        str(len(values)),
    )
    title = [METRICS[metric].title] if metric in METRICS else []
    return Line(names=(style.text(metric, 40), *title), cells=cells)


def said_outliers(run: ProbeRun, style: Style) -> list[str]:
    """One sentence for each GPU that falls behind its siblings."""
    return [style.text(outlier.message, SENTENCE) for outlier in run.outliers]


def widest(texts: Iterable[str]) -> int:
    """Length of the longest text."""
    return max((len(text) for text in texts), default=0)

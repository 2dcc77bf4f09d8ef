"""Which charts a document has: the node's first, then each device's, all made from the document alone."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.document import DeviceProvenance, Diagnosis, TimeSeries
from advisor.reports.charts import ladders, rooflines, timelines
from advisor.reports.charts.drawing import Chart, label
from advisor.reports.charts.ladders import Bar, Step
from advisor.reports.charts.palette import SHARE_WORDS
from advisor.reports.charts.traces import trace_charts
from advisor.reports.common import Style, is_node, rows_by_key, wasted_share
from advisor.reports.escape import terminal
from advisor.reports.figures import percent, span, usd
from advisor.reports.ladders import Ladder, ladder, row_cents
from advisor.reports.roofs import observed_by_key, roofline_of, series_of
from advisor.reports.trace_tables import gpu_numbers
from rules.finding import LadderRow
from rules.ladder import TERM_WORDS
from rules.roofline import Roofline
from rules.verdict import SHARES, Verdict

# Devices that get charts of their own, the most wasteful first; bars in one chart.
MAX_DEVICES = 16
MAX_BARS = 24
PLAIN = Style(terminal, terminal)


def charts_of(diagnosis: Diagnosis) -> tuple[Chart, ...]:
    """Every chart that the document has figures for."""
    return (
        *_node(diagnosis),
        *(chart for verdict in charted(diagnosis) for chart in _device(diagnosis, verdict)),
        *(trace_charts(diagnosis.trace, gpu_numbers(diagnosis)) if diagnosis.trace is not None else ()),
    )


def charted(diagnosis: Diagnosis) -> tuple[Verdict, ...]:
    """The devices with charts of their own, in the document's order: at most MAX_DEVICES."""
    rows = rows_by_key(diagnosis)

    def cost(verdict: Verdict) -> tuple[float, float]:
        row = rows.get(verdict.key)
        return (0.0, 0.0) if row is None else (row.wasted_usd_h or 0.0, wasted_share(row))

    by_key = {verdict.key: verdict for verdict in reversed(diagnosis.verdicts)}
    most = sorted(by_key.values(), key=cost, reverse=True)[:MAX_DEVICES]
    kept = {verdict.key for verdict in most}
    return tuple(by_key[key] for key in dict.fromkeys(v.key for v in diagnosis.verdicts) if key in kept)


def slugs(diagnosis: Diagnosis) -> dict[str, str]:
    """Key -> a name for files and ids: gpu0, gpu1, or gpu0-1 and gpu0-2 where rows share a GPU."""
    found: dict[str, str] = {}
    for verdict in diagnosis.verdicts:
        same = [v.key for v in diagnosis.verdicts if v.gpu == verdict.gpu]
        number = "" if len(same) == 1 else f"-{same.index(verdict.key) + 1}"
        found[verdict.key] = f"gpu{max(0, verdict.gpu)}{number}"
    return found


def _node(diagnosis: Diagnosis) -> Iterator[Chart]:
    table = ladder(diagnosis, PLAIN)
    if table.lines:
        yield _staircase(table)
    if is_node(diagnosis) and diagnosis.ladder:
        yield _bars(diagnosis)


def _staircase(table: Ladder) -> Chart:
    price = table.price_usd_h
    whole = price if price else 1.0
    shown = price is not None
    steps = [
        Step(
            term=line.term,
            size=line.frac * whole,
            said=f"{line.usd} · {line.share}" if line.usd else line.share,
        )
        for line in table.lines
    ]
    total = "100 %" if price is None else f"{usd(price)} · 100 %"
    title = "Where the money goes, per hour" if shown else "Where the paid time goes"
    said = ", ".join(f"{TERM_WORDS[step.term]} {step.said}" for step in steps)
    return Chart(
        name="ladder",
        title=title,
        desc=f"Of {total}: {said}.",
        draw=lambda: ladders.staircase(steps, whole, total, dollars=shown),
    )


def _bars(diagnosis: Diagnosis) -> Chart:
    shown = any(row.terms is not None for row in diagnosis.ladder)
    cents = row_cents(diagnosis.ladder)
    used = [row for row in diagnosis.ladder if not shown or row.terms is not None]
    most = sorted(used, key=lambda row: (row.wasted_usd_h or 0.0, wasted_share(row)), reverse=True)[:MAX_BARS]
    rows = [_bar(row, cents.get(row.key)) for row in used if row in most]
    more = f" The {len(used) - len(rows)} least wasteful rows are left out." if len(used) > len(rows) else ""
    return Chart(
        name="gpus",
        title="Dollars an hour, by GPU" if shown else "Paid time, by GPU",
        desc="One bar a GPU or MIG instance: "
        + "; ".join(f"{row.name} {row.said}" for row in rows)
        + f".{more}",
        draw=lambda: ladders.bars(rows, dollars=shown),
    )


def _bar(row: LadderRow, cents: dict[str, float] | None) -> Bar:
    sizes = cents if cents is not None else row.shares
    wasted = f"{percent(wasted_share(row))} wasted" if row.shares.get("unknown", 0.0) <= 0.99 else "unknown"
    said = wasted if cents is None else f"{usd(sum(cents.values()))}, {wasted}"
    name = f"GPU {row.gpu}" + (f" {label(row.mig, 14)}" if row.mig else "")
    return Bar(name=name, sizes={k: max(0.0, v) for k, v in sizes.items()}, said=said)


def _device(diagnosis: Diagnosis, verdict: Verdict) -> Iterator[Chart]:
    observed = observed_by_key(diagnosis).get(verdict.key)
    slug = slugs(diagnosis)[verdict.key]
    place = f"GPU {verdict.gpu}" + (f" MIG {label(verdict.mig)}" if verdict.mig else "")
    series = series_of(observed)
    if series is not None and series.shares:
        yield _shares(slug, place, verdict, series)
    if series is not None and {"power_w", "sm_mhz"} & series.figures.keys():
        facts = next((p for p in diagnosis.provenance.devices if p.key == verdict.key), None)
        yield _power(slug, place, verdict, series, facts)
    found = roofline_of(verdict, observed)
    if found.mean is not None:
        yield _roofline(slug, place, verdict, found)


def _shares(slug: str, place: str, verdict: Verdict, series: TimeSeries) -> Chart:
    said = ", ".join(
        f"{SHARE_WORDS[name]} {percent(verdict.shares[name])}"
        for name in SHARES
        if verdict.shares.get(name, 0.0) > 0
    )
    length = span(series.t_s[-1] - series.t_s[0] + series.duration_s[0])
    return Chart(
        name=f"{slug}-shares",
        title=f"{place}: how its time was shared out",
        desc=f"{len(series.t_s)} stretches over {length}. Over the whole window: {said}.",
        draw=lambda: timelines.shares_over_time(series),
        key=verdict.key,
    )


def _power(
    slug: str, place: str, verdict: Verdict, series: TimeSeries, facts: DeviceProvenance | None
) -> Chart:
    limit, top = (facts.power_limit_w, facts.sm_mhz_max) if facts else (None, None)
    return Chart(
        name=f"{slug}-power",
        title=f"{place}: power and SM clock",
        desc=_power_words(facts),
        draw=lambda: timelines.power_and_clock(series, limit, top),
        key=verdict.key,
    )


def _power_words(facts: DeviceProvenance | None) -> str:
    if facts is None:
        return "Means over each stretch of the window."
    known = (
        ("power P50", facts.power_w_p50, "W"),
        ("P90", facts.power_w_p90, "W"),
        ("most", facts.power_w_max, "W"),
        ("power limit", facts.power_limit_w, "W"),
        ("SM clock P50", facts.sm_mhz_p50, "MHz"),
        ("highest SM clock", facts.sm_mhz_max, "MHz"),
    )
    said = ", ".join(f"{name} {value:,.0f} {unit}" for name, value, unit in known if value is not None)
    return f"Means over each stretch of the window. Of its samples: {said or 'nothing is known'}."


def _roofline(slug: str, place: str, verdict: Verdict, found: Roofline) -> Chart:
    return Chart(
        name=f"{slug}-roofline",
        title=f"{place}: roofline",
        desc=_roofline_words(found),
        draw=lambda: rooflines.chart(found),
        key=verdict.key,
    )


def _roofline_words(found: Roofline) -> str:
    roofs = "; ".join(f"{rooflines.roof_name(r)} {rooflines.roof_rate(r)} ({r.label})" for r in found.roofs)
    points = [p for p in (found.mean, *found.classes) if p is not None]
    said = "; ".join(
        f"{p.class_ or 'all busy'} time at {rooflines.rate(p.bytes_s, 'B/s')} and "
        f"{rooflines.rate(p.flop_s, 'FLOP/s')}, {p.intensity:.3g} operations a byte"
        for p in points
    )
    return f"Roofs: {roofs}. Points, while busy: {said}."

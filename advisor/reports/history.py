"""What the history says, as tables and lines. Untrusted text goes through a `Style` as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast, get_args

from advisor.keeping.records import DeviceTrends, KeptDiagnosis, KeptFigure
from advisor.keeping.trends import WORKLOADS, Workload, fallen, price_of
from advisor.reports.common import SENTENCE, Style
from advisor.reports.figures import instant, percent, usd, value
from advisor.reports.probes import Line, Page, Section, Table, figure
from advisor.reports.sparks import spark
from probes import plain
from probes.metrics import METRICS
from probes.record import Unit
from rules.thresholds_history import HISTORY_FALL
from rules.trend import Fall, Trend

SPARK_WIDTH = 16
# Shares that move by less than this look flat: a share of 1 % that doubles is no news.
SHARE_STEP = 0.1
_SOURCES = {"replay": "from a recording", "demo": "from the bundled demo"}
_UNITS = frozenset(get_args(Unit))
_Row = TypeVar("_Row")


def list_pages(rows: Sequence[KeptDiagnosis], figures: Sequence[KeptFigure], style: Style) -> list[Page]:
    """A page a device: its diagnoses, newest first, and how many probe runs are kept of it."""
    probed = {own[0].key: own for own in _by_device(figures, lambda f: f.key)}
    pages = [
        _listed(own, _runs(probed.pop(own[0].key, [])), style) for own in _by_device(rows, lambda d: d.key)
    ]
    return pages + [_probed(own, style) for own in probed.values()]


def _runs(figures: Sequence[KeptFigure]) -> int:
    return len({f.t_s for f in figures})


def _probed(figures: Sequence[KeptFigure], style: Style) -> Page:
    first = figures[0]
    return Page(
        title=device_title(first.gpu, first.mig, first.name, first.key, style),
        said=f"no diagnosis, {_count(_runs(figures), 'probe run')} kept: --trends shows how figures moved",
    )


def metric_pages(
    diagnoses: Sequence[KeptDiagnosis], figures: Sequence[KeptFigure], metric: str, style: Style
) -> list[Page]:
    """A page a device: one figure at every time it was seen, newest first."""
    workload = WORKLOADS.get(metric)
    if workload is not None:
        return [_seen(own, workload, style) for own in _by_device(diagnoses, lambda d: d.key)]
    wanted = [f for f in figures if f.metric == metric]
    return [_measured(own, style) for own in _by_device(wanted, lambda f: f.key)]


def trend_pages(devices: Sequence[DeviceTrends], style: Style, *, unicode: bool = True) -> list[Page]:
    """A page a device: how its ceilings and what ran on it moved, and which ceiling fell."""
    return [_trends(device, style, unicode) for device in devices]


def device_title(gpu: int | None, mig: str | None, name: str, key: str, style: Style) -> str:
    """ "GPU 0 NVIDIA H100 80GB HBM3, GPU-1234abcd"."""
    where = "CPU" if gpu is None and key.startswith("cpu:") else "GPU" if gpu is None else f"GPU {gpu}"
    part = f" MIG {style.text(mig, 60)}" if mig and mig not in name else ""
    return f"{where}{part} {style.text(name, 60)}, {style.text(key, 44)}"


def _by_device(rows: Iterable[_Row], key: Callable[[_Row], str]) -> list[list[_Row]]:
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return list(found.values())


def _listed(rows: Sequence[KeptDiagnosis], runs: int, style: Style) -> Page:
    first = rows[0]
    size = max(len(str(row.id)) for row in rows)
    is_mixed = len({_source(row) for row in rows}) > 1
    prices = list(dict.fromkeys(price_of(row) for row in rows if row.price_usd_h is not None))
    heads = ("conf", "useful", "wasted", "$/h wasted", *(("price",) if len(prices) > 1 else ()))
    said = f"{_count(len(rows), 'diagnosis', 'diagnoses')} listed, {_count(runs, 'probe run')} kept"
    return Page(
        title=device_title(first.gpu, first.mig, first.name, first.key, style),
        said=said,
        labels=_source_labels(rows),
        tables=(
            Table(
                heads=heads,
                sections=(
                    Section(
                        title="Diagnoses",
                        lines=tuple(_line(r, size, is_mixed, len(prices) > 1, style) for r in rows),
                    ),
                ),
                spare=("conf", "useful"),
            ),
        ),
        facts=_price_facts(rows, prices, style),
    )


def _price_facts(
    rows: Sequence[KeptDiagnosis], prices: Sequence[tuple[float | None, str | None]], style: Style
) -> tuple[tuple[str, str], ...]:
    """What the dollars rest on: one price of all, or that it changed."""
    if not prices:
        return ()
    if len(prices) == 1:
        unpriced = sum(row.price_usd_h is None for row in rows)
        without = f"; {_count(unpriced, 'diagnosis', 'diagnoses')} without a price" if unpriced else ""
        return (("Price", f"{_priced(*prices[0], style)}{without}"),)
    same = len({usd_h for usd_h, _ in prices}) == 1
    return () if same else (("Price", "changed between these diagnoses: compare shares, not dollars"),)


def _priced(usd_h: float | None, basis: str | None, style: Style) -> str:
    """A price and whose it is."""
    return "" if usd_h is None else f"{usd(usd_h)}/h ({style.text(basis or 'basis unknown', 20)})"


def _line(row: KeptDiagnosis, size: int, is_mixed: bool, with_price: bool, style: Style) -> Line:
    when = f"{row.id:>{size}}  {_minute(row.t_s)}  "
    class_ = style.text(row.class_, 20)
    return Line(
        names=(when + class_, f"{when}{class_}: {style.text(row.cause, 30)}"),
        cells=(
            f"{row.confidence:.2f}",
            _share(row.useful_frac),
            _share(row.wasted_frac),
            "" if row.wasted_usd_h is None else f"{usd(row.wasted_usd_h)}/h",
            *((_priced(*price_of(row), style),) if with_price else ()),
        ),
        note=_source(row) if is_mixed else "",
        tone="dim" if is_mixed and _source(row) else "",
    )


def _source(row: KeptDiagnosis) -> str:
    said = [_SOURCES[row.source]] if row.source in _SOURCES else []
    return ", ".join([*said, *(["synthetic: no GPU produced these figures"] if row.synthetic else [])])


def _source_labels(rows: Sequence[KeptDiagnosis]) -> tuple[str, ...]:
    """Where all of the figures come from; nothing where that differs by line."""
    sources = {_source(row) for row in rows}
    alike = sources if len(sources) == 1 else ()
    return tuple(f"{source[:1].upper()}{source[1:]}." for source in alike if source)


def _seen(rows: Sequence[KeptDiagnosis], workload: Workload, style: Style) -> Page:
    in_usd = workload.unit == "usd_h"
    is_mixed = len({_source(row) for row in rows}) > 1
    heads = ("value", "price") if in_usd else ("value",)
    lines = [
        Line(
            names=(f"{row.id}  {_minute(row.t_s)}",),
            cells=(
                _workload_figure(workload.figure(row), workload.unit) or "unknown",
                *((_priced(*price_of(row), style),) if in_usd else ()),
            ),
            note=_source(row) if is_mixed else "",
        )
        for row in rows
    ]
    first = rows[0]
    return Page(
        title=device_title(first.gpu, first.mig, first.name, first.key, style),
        said=f"{workload.title}, {_count(len(rows), 'diagnosis', 'diagnoses')}",
        labels=_source_labels(rows),
        tables=(Table(heads=heads, sections=(Section(title="Diagnoses", lines=tuple(lines)),)),),
    )


def _measured(rows: Sequence[KeptFigure], style: Style) -> Page:
    first = rows[0]
    lines = [
        Line(
            names=(_minute(f.t_s),),
            cells=(
                _ceiling_figure(f.value, f.unit),
                "" if f.cv is None else plain.percent(f.cv),
                style.text(f.mode, 10),
                style.text(f.versions.get("driver", ""), 20),
                "" if f.power_limit_w is None else f"{f.power_limit_w:g} W",
                "" if f.sm_mhz is None else f"{f.sm_mhz:.0f} MHz",
            ),
            note="" if f.valid == "valid" else style.text(f.valid, 40),
            tone="" if f.valid == "valid" else "warn",
        )
        for f in rows
    ]
    heads = ("value", "cv", "mode", "driver", "limit", "SM clock")
    table = Table(
        heads=heads, sections=(Section(title="Probe runs", lines=tuple(lines)),), spare=("cv", "mode")
    )
    return Page(
        title=device_title(first.gpu, first.mig, first.name, first.key, style),
        said=f"{plain.title(first.metric)}, {_count(len(rows), 'probe run')}",
        tables=(table,),
    )


def _trends(device: DeviceTrends, style: Style, unicode: bool) -> Page:
    sections = [
        Section(
            title="Ceilings, by `advisor probe`",
            lines=tuple(_ceiling_line(t, unicode) for t in device.ceilings),
        ),
        Section(
            title="What ran on it, by diagnoses",
            lines=tuple(_workload_line(t, device, unicode) for t in device.workloads),
        ),
    ]
    kept = tuple(section for section in sections if section.lines)
    table = Table(heads=("now", "usual", "change", "trend"), sections=kept, spare=("usual",))
    return Page(
        title=device_title(device.gpu, device.mig, device.name, device.key, style),
        said=_span_said(device),
        labels=tuple(_fall_said(t, style) for t in fallen(device)),
        tables=(table,) if kept else (),
        facts=_facts(device, style),
    )


def _span_said(device: DeviceTrends) -> str:
    counts = (
        f"{_count(device.diagnoses, 'diagnosis', 'diagnoses')} and {_count(device.probe_runs, 'probe run')}"
    )
    said = f"{counts}, {_day(device.t_start_s)} to {_day(device.t_end_s)}"
    if not device.synthetic:
        return said
    if device.synthetic_diagnoses == device.diagnoses and not device.probe_runs:
        return f"{said}; synthetic: no GPU produced these figures"
    return f"{said}; {device.synthetic_diagnoses} of the diagnoses synthetic: no GPU produced them"


def _fall_said(trend: Trend, style: Style) -> str:
    """One ceiling that fell: how far, since when, beside what noise explains, and what else changed."""
    fall = trend.fall
    if fall is None:
        return ""
    now, best = _ceiling_figure(fall.now, trend.unit), _ceiling_figure(fall.best, trend.unit)
    word = "SEVERELY DEGRADED" if fall.severity == "severe" else "DEGRADED"
    runs = _count(fall.runs, "run")
    last = f", last good {_day(fall.before_s)}" if fall.before_s is not None else ""
    said = (
        f"{word} since {_day(fall.since_s)} ({runs}{last}): {plain.title(trend.metric)} {now} is "
        f"{percent(fall.of_best)} of the {best} that this card could do on {_day(fall.best_t_s)}; noise "
        f"explains {percent(fall.allowed_frac)}. {_beside(fall, style)}"
    )
    return said + (_once_more(trend) if fall.runs == 1 else "")


def _beside(fall: Fall, style: Style) -> str:
    same = "Driver, libraries, power limit and method were the same."
    if not fall.meanwhile:
        return f"{same} No clock, power or temperature was seen to change with it."
    return f"{same} What changed with it: {style.text('; '.join(fall.meanwhile), SENTENCE)}."


def _once_more(trend: Trend) -> str:
    probe = METRICS[trend.metric].probe if trend.metric in METRICS else ""
    return f" One run alone says so: measure again with advisor probe {probe}".rstrip() + "."


def _ceiling_line(trend: Trend, unicode: bool) -> Line:
    return Line(
        names=(plain.title(trend.metric),),
        cells=(
            _ceiling_figure(trend.now, trend.unit),
            "" if trend.usual is None else _ceiling_figure(trend.usual, trend.unit),
            _percent_change(trend.change_frac),
            spark(trend.values, SPARK_WIDTH, unicode=unicode),
        ),
        tone="bad" if trend.fall else "",
    )


def _workload_line(trend: Trend, device: DeviceTrends, unicode: bool) -> Line:
    is_new_price = trend.unit == "usd_h" and trend.usual is None and bool(device.other_prices)
    moved = "price changed" if is_new_price else _percent_change(trend.change_frac)
    return Line(
        names=(WORKLOADS[trend.metric].title,),
        cells=(
            _workload_figure(trend.now, trend.unit),
            _workload_figure(trend.usual, trend.unit),
            _points(trend) if trend.unit == "frac" else moved,
            spark(trend.values, SPARK_WIDTH, unicode=unicode, least=SHARE_STEP * (trend.unit == "frac")),
        ),
    )


def _facts(device: DeviceTrends, style: Style) -> tuple[tuple[str, str], ...]:
    """Which runs are not compared, and that nothing fell, or why nobody can tell."""
    facts: list[tuple[str, str]] = []
    for words, trends in _apart(device).items():
        facts.append(("Not compared", _apart_said(words, trends, style)))
    if device.ceilings and not fallen(device):
        judged = sum(trend.judged for trend in device.ceilings)
        said = f"of {_count(judged, 'ceiling')} with earlier runs, none fell below this card's own past"
        facts.append(
            ("Degraded", said if judged else "unknown: no two runs were made under the same setting")
        )
    if not device.probe_runs:
        facts.append(("Degraded", "unknown: no probe run is kept; advisor probe makes one"))
    if any(trend.unit == "usd_h" for trend in device.workloads):
        facts.append(("Price", _trend_price(device, style)))
    if device.workloads:
        facts.append(("Usual", "the median of earlier values; workloads differ, so none of theirs is judged"))
    return tuple(facts)


def _trend_price(device: DeviceTrends, style: Style) -> str:
    """What the dollars of trends rest on, and which diagnoses are left out of them."""
    said = f"dollars are at {_priced(device.price_usd_h, device.price_basis, style)}"
    if not device.other_prices:
        return said
    low, high = min(device.other_prices), max(device.other_prices)
    at = usd(low) if low == high else f"{usd(low)} to {usd(high)}"
    left = _count(len(device.other_prices), "other diagnosis", "other diagnoses")
    return f"{said}. Left out of them: {left} at {at}/h, as the price changed; shares compare across prices"


def _apart(device: DeviceTrends) -> dict[tuple[str, ...], list[Trend]]:
    found: dict[tuple[str, ...], list[Trend]] = {}
    for trend in device.ceilings:
        if trend.apart is not None:
            found.setdefault(trend.apart.differences, []).append(trend)
    return found


def _apart_said(words: tuple[str, ...], trends: Sequence[Trend], style: Style) -> str:
    runs = max(t.apart.runs for t in trends if t.apart)
    said = f"{_count(runs, 'earlier run')}: {style.text('; '.join(words), SENTENCE)}"
    moved = [t for t in trends if t.apart and abs(t.apart.change_frac or 0.0) > HISTORY_FALL.value]
    if not moved:
        return said
    named = ", ".join(
        f"{plain.title(t.metric)} {_percent_change(t.apart.change_frac)}" for t in moved if t.apart
    )
    return f"{said}. Changed with that, which the card itself need not have caused: {named}"


def _ceiling_figure(number: float | None, unit: str) -> str:
    return figure(number, cast(Unit, unit)) if unit in _UNITS else value(number, unit)


def _workload_figure(number: float | None, unit: str) -> str:
    if number is None:
        return ""
    return percent(number) if unit == "frac" else value(number, unit)


def _points(trend: Trend) -> str:
    if trend.usual is None:
        return ""
    moved = (trend.now - trend.usual) * 100
    return f"{moved:+.0f} pt" if abs(moved) >= 0.95 else f"{moved:+.1f} pt"


def _percent_change(change: float | None) -> str:
    if change is None:
        return ""
    return f"{change * 100:+.0f} %" if abs(change) >= 0.0995 else f"{change * 100:+.1f} %"


def _share(frac: float | None) -> str:
    return "" if frac is None else percent(frac)


def _minute(t_s: float) -> str:
    return instant(t_s)[:16]


def _day(t_s: float) -> str:
    return instant(t_s)[:10]


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"

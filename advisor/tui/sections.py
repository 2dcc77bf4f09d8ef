"""Sections of a device's detail: history, verdict, ladder, processes, trends, and how they are laid out."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.snapshot import DeviceView, HistoryPoint
from advisor.telemetry.records import ProcessSample
from advisor.tui import format as fmt
from advisor.tui.banner import price_source
from advisor.tui.blocks import beside, heading, paragraph
from advisor.tui.charts.history import buckets, column_means, column_seconds, sparkline, stacked
from advisor.tui.charts.meter import meter
from advisor.tui.clocks import clock_rows
from advisor.tui.counters import counter_rows
from advisor.tui.devices import full_label, job_of, user_of, verdict_words
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import SEVERITY_ROLE, TERM_GROUP
from advisor.tui.rows import Row, Span, clip, left, right, wrap
from advisor.tui.text import safe
from advisor.tui.unallocated import is_unallocated
from rules.cents import cells
from rules.economics import split_cents
from rules.finding import TERMS, Finding, LadderRow
from rules.ladder import TERM_WORDS
from rules.recover import recoverable
from rules.verdict import EvidenceItem, Verdict

# Below this width a line of evidence has no room for where it was read.
SOURCE_WIDTH = 90
# From this share of time on something is worth a line.
_LEAST_SHARE = 0.005


def history_rows(
    view: DeviceView, width: int, height: int, glyphs: Glyphs, title: str = "where the time went"
) -> list[Row]:
    """Stacked shares over time, with the time they span."""
    points = view.history
    head = heading(title, width, glyphs, "blank: no data" if _has_gap(points) else "")
    if not points:
        return [head, (Span("no history yet", "dim"),)]
    chart = stacked(points, width, height, glyphs)
    return [head, *chart, _axis(points, width)]


def _has_gap(points: Sequence[HistoryPoint]) -> bool:
    return any(point.gap or not point.shares for point in points)


def _axis(points: Sequence[HistoryPoint], width: int) -> Row:
    """How long ago the leftmost drawn column is, and now at the right."""
    shown = min(width, len(buckets(points, width)))
    first = f"{fmt.span(shown * column_seconds(points, width))} ago"
    indent = max(0, min(width - shown, width - len(first) - 5))
    return (Span(" " * indent + first + right("now", width - indent - len(first)), "dim"),)


def verdict_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    """What limits it, how sure, the margins, the evidence, and what is missing."""
    verdict = view.verdict
    if view.state in ("lost", "silent"):
        words = "the driver has lost this GPU" if view.state == "lost" else "not answering"
        lines = wrap(f"{words}: {safe(view.state_reason)}", width)
        return [heading("verdict", width, glyphs), *((Span(line, "bad"),) for line in lines)]
    if verdict is None:
        return [heading("verdict", width, glyphs), (Span("not enough data yet", "dim"),)]
    if is_unallocated(view):
        return [heading("verdict", width, glyphs), *paragraph(verdict.headline, width, "strong")]
    rows = [heading("verdict", width, glyphs, f"{_sure(verdict)}, read from {verdict.tier}")]
    rows += [(Span(line, "strong"),) for line in wrap(safe(verdict.headline), width)]
    rows += [
        (Span(line, "warn"),) for reason in verdict.unknown_because for line in wrap(safe(reason), width)
    ]
    for sentence in verdict.settle:
        rows += paragraph(f"To settle it: {sentence}", width, "dim")
    rows += [
        _margin_row(margin.name, margin.value, margin.threshold, margin.margin, width)
        for margin in verdict.margins
    ]
    return rows + evidence_rows(verdict.evidence, width)


def _sure(verdict: Verdict) -> str:
    """How sure the class is, and how sure the cause is where that was inferred."""
    cause = verdict.cause_confidence
    return f"confidence {verdict.confidence:.2f}" + (f", cause {cause:.2f}" if cause is not None else "")


def _margin_row(name: str, value: float, threshold: float, margin: float, width: int) -> Row:
    role = "good" if margin >= 0.05 else "warn"
    figures = f"{value:>8.2f} vs {threshold:.2f}  margin {margin:+.2f}"
    return (Span(left(safe(name), max(8, min(48, width - len(figures) - 1)))), Span(figures, role))


def evidence_rows(items: Sequence[EvidenceItem], width: int) -> list[Row]:
    """One line a metric: what, value, threshold and where it was read, as far as there is room."""
    out: list[Row] = []
    source_width = 0 if width < SOURCE_WIDTH else min(44, width // 3)
    limit_width = max([8, *(len(safe(item.threshold or "")) for item in items)])
    limit_width = min(limit_width, 16)
    name_width = max(12, min(44, width - 12 - limit_width - 1 - source_width - 2))
    for item in items:
        value = right(safe(fmt.value(item.value, item.unit)), 12)
        source = Span(" " + left(safe(item.source), source_width), "dim") if source_width else Span("")
        threshold = Span(" " + left(safe(item.threshold or ""), limit_width), "dim")
        out.append((Span(left(safe(item.metric), name_width)), Span(value, "strong"), threshold, source))
    return out


def ladder_rows(
    ladder: LadderRow | None,
    width: int,
    glyphs: Glyphs,
    findings: Sequence[Finding] = (),
    verdict: Verdict | None = None,
) -> list[Row]:
    """Where one device's dollars go, and what is recoverable; the cents sum to the price."""
    rows = [heading("money", width, glyphs)]
    if ladder is None:
        return [*rows, (Span("no ladder yet", "dim"),)]
    dollars = _cents(ladder)
    for term in TERMS:
        share = ladder.shares.get(term, 0.0)
        if share > 0.0:
            rows.append(_term_row(term, share, dollars.get(term) if dollars else None, width, glyphs))
    return [*rows, *_price_rows(ladder, width), *_won_back(ladder, findings, verdict, width)]


def _won_back(
    ladder: LadderRow, findings: Sequence[Finding], verdict: Verdict | None, width: int
) -> list[Row]:
    """What of the device's waste is recoverable, and because of which findings."""
    every = recoverable(ladder, findings, verdict.cause if verdict else None)
    entries = [e for e in every if e.basis != "none" and e.share_high >= _LEAST_SHARE]
    if not entries:
        return []
    (found,) = cells([ladder], [tuple(entries)])
    if found:
        low, high = (fmt.money(sum(getattr(c, w) for c in found.values()) / 100) for w in ("low", "high"))
    else:
        low, high = (fmt.percent(sum(getattr(e, f"share_{w}") for e in entries)) for w in ("low", "high"))
    codes = ", ".join(safe(e.because) for e in entries if e.basis == "finding")
    least = "" if low == high else "up to " if low in (fmt.money(0.0), fmt.percent(0.0)) else f"{low} to "
    words = f"  {least}{high} recoverable{f': {codes}' if codes else ''}"
    return [(Span(left(words, width).rstrip(), "good"),)]


def _cents(ladder: LadderRow) -> dict[str, float] | None:
    if ladder.terms is None or ladder.price_usd_h is None:
        return None
    return split_cents(ladder.terms, ladder.price_usd_h)


def _term_row(term: str, share: float, usd: float | None, width: int, glyphs: Glyphs) -> Row:
    role = TERM_GROUP[term]
    words = left(TERM_WORDS[term], 18)
    figures = f"{fmt.money(usd).removeprefix('$'):>8} {fmt.percent(share):>6}  "
    room = max(4, min(40, width - len(figures) - 19))
    return (Span(figures), Span(words + " ", role), *meter(share, room, glyphs, role))


def _price_rows(ladder: LadderRow, width: int) -> list[Row]:
    if ladder.price_usd_h is None:
        return [(Span("no price known: give --price, or set one in the configuration", "dim"),)]
    total: Row = (Span(f"{ladder.price_usd_h:>8.2f}  100 %  price per hour", "strong"),)
    lines = wrap(price_source(ladder.price_source, ladder.basis), width - 2)
    return [total, *((Span(f"  {line}", "dim"),) for line in lines)]


def process_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    """Processes on the device: CPU, the busiest thread, children at work, memory, job."""
    rows = [heading("processes", width, glyphs, "CPU in % of one core")]
    if not view.processes:
        reason = (view.sample.missing.get("processes") if view.sample else None) or "none seen"
        return [*rows, (Span(safe(reason), "dim"),)]
    threads = width >= 90
    room = width - 44 - (5 if threads else 0)
    name_width = max(10, min(40, room // 2))
    figures = _process_figures("pid", "CPU", "busiest", "thr", "children", "mem GiB", threads)
    rows.append((Span(left("name", name_width) + figures + "  job, user", "dim"),))
    by_memory = sorted(view.processes, key=lambda process: -(process.mem_used_bytes or 0))
    return rows + [
        _process_row(process, name_width, max(8, room - name_width), threads) for process in by_memory
    ]


def _process_row(process: ProcessSample, name_width: int, job_width: int, threads: bool) -> Row:
    at_work = None if process.children is None else f"{process.children_busy or 0} of {process.children}"
    figures = _process_figures(
        str(process.pid),
        fmt.points(process.cpu_frac),
        fmt.points(process.busiest_thread_frac),
        fmt.whole(process.threads),
        at_work or fmt.NONE,
        fmt.gib(process.mem_used_bytes),
        threads,
    )
    owner = " ".join(safe(text) for text in (process.job, process.user) if text)
    return (
        Span(left(safe(process.name), name_width)),
        Span(figures),
        Span("  " + left(owner, job_width), "dim"),
    )


def _process_figures(
    pid: str, cpu: str, busiest: str, threads: str, children: str, memory: str, with_threads: bool
) -> str:
    middle = f" {threads:>4}" if with_threads else ""
    return f" {pid:>7} {cpu:>5} {busiest:>7}{middle} {children:>9} {memory:>8}"


def trend_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    """Power, SM clock and temperature over time, each against its own limit where one is known."""
    info, sample = view.info, view.sample
    room = max(4, width - 32)
    columns = buckets(view.history, room)
    rows = [heading("power, clock, temperature", width, glyphs)]
    for name, field, limit, unit, now in (
        ("power", "power_w", info.power_limit_w, "W", sample.power_w if sample else None),
        ("SM clock", "sm_mhz", info.sm_mhz_max, "MHz", sample.sm_mhz if sample else None),
        ("temperature", "temp_c", None, "°C", sample.temp_c if sample else None),
    ):
        of_limit = f" of {limit:.0f}" if limit else ""
        text = left(f"{left(name, 12)}{fmt.whole(now)}{of_limit} {unit}", 31)
        line = sparkline(column_means(columns, field), room, limit or 100.0, glyphs)
        rows.append((Span(text + " "), Span(line, "memory")))
    return [*rows, *clock_rows((sample.throttle_reasons if sample else None) or ())]


def finding_rows(findings: Sequence[Finding], width: int, glyphs: Glyphs) -> list[Row]:
    """One line a finding: code, dollars an hour, claim."""
    rows = [heading("findings", width, glyphs, "f for all of them")]
    if not findings:
        return [*rows, (Span("none", "dim"),)]
    for found in findings:
        lead = f"{found.code:<9}{fmt.money(found.usd_h):>7}/h  "
        if found.role == "contributing":
            rows.append((Span(left(f"{lead}also: {safe(found.claim)}", width), "dim"),))
            continue
        role = SEVERITY_ROLE.get(found.severity, "")
        rows.append(
            (Span(lead, f"{role} strong".strip()), Span(left(safe(found.claim), max(8, width - len(lead)))))
        )
    return rows


def preview_rows(
    view: DeviceView, findings: Sequence[Finding], width: int, height: int, glyphs: Glyphs
) -> list[Row]:
    """The selected device below the table: history at the left, verdict and money at the right."""
    name = f"{full_label(view)} {safe(view.info.name)}"
    if is_unallocated(view):
        title = heading(name, width, glyphs)
        return [title, *_unallocated_rows(view, width, glyphs)][:height]
    if width < 110:
        return history_rows(view, width, height - 2, glyphs, f"{name}: where the time went")
    title = heading(name, width, glyphs, "Enter for all of it")
    room = height - 1
    split = width // 2 - 1
    other = width - split - 2
    under = _that_fit((counter_rows(view, split, glyphs), trend_rows(view, split, glyphs)), room - 9)
    first = [*history_rows(view, split, max(3, min(26, room - len(under) - 2)), glyphs), *under]
    second = [
        *verdict_rows(view, other, glyphs),
        (),
        *ladder_rows(view.ladder, other, glyphs, findings, view.verdict),
    ]
    more = (finding_rows(findings, other, glyphs), process_rows(view, other, glyphs))
    second += _that_fit(more, room - len(second))
    return [title, *beside(first, second, split)][:height]


def _that_fit(blocks: Sequence[list[Row]], room: int) -> list[Row]:
    """The blocks that fit whole, each after a blank line."""
    out: list[Row] = []
    for block in blocks:
        if len(out) + 1 + len(block) <= room:
            out += [(), *block]
    return out


def _unallocated_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    """Nothing runs there, so there is only why, and what it costs."""
    return [
        *verdict_rows(view, width, glyphs),
        (),
        *ladder_rows(view.ladder, width, glyphs, (), view.verdict),
    ]


def title_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    """The device's name and job, then its verdict in one word with the cause."""
    word, role, cause = verdict_words(view)
    who = () if is_unallocated(view) else job_of(view)[:1]
    facts = [safe(view.info.name), *who, *([user_of(view)] if user_of(view) else [])]
    name: Row = (Span(full_label(view), "title"), Span(f"  {f' {glyphs.dot} '.join(facts)}"))
    found = view.verdict if view.state == "ok" else None
    sure = f" {found.confidence:.2f}" if found else ""
    cause_sure = f" {found.cause_confidence:.2f}" if found and found.cause_confidence is not None else ""
    verdict: Row = (
        Span(word, f"{role} strong"),
        Span(sure, "dim"),
        Span(f"  {cause}"),
        Span(cause_sure, "dim"),
    )
    return [clip(name, width), clip(verdict, width)]


def detail_rows(
    view: DeviceView, findings: Sequence[Finding], width: int, chart_height: int, glyphs: Glyphs
) -> list[Row]:
    """Everything about one device, in two columns where the terminal is wide enough."""
    head = [*title_rows(view, width, glyphs), ()]
    if is_unallocated(view):
        return [*head, *_unallocated_rows(view, width, glyphs)]
    processes = process_rows(view, width, glyphs)
    if width < 120:
        blocks = (
            history_rows(view, width, chart_height, glyphs),
            verdict_rows(view, width, glyphs),
            counter_rows(view, width, glyphs),
            ladder_rows(view.ladder, width, glyphs, findings, view.verdict),
            finding_rows(findings, width, glyphs),
            processes,
            trend_rows(view, width, glyphs),
        )
        return head + [line for block in blocks for line in (*block, ())]
    split = width // 2 - 1
    other = width - split - 2
    first = [*history_rows(view, split, chart_height, glyphs), (), *counter_rows(view, split, glyphs), ()]
    first += trend_rows(view, split, glyphs)
    second = [
        *verdict_rows(view, other, glyphs),
        (),
        *ladder_rows(view.ladder, other, glyphs, findings, view.verdict),
        (),
    ]
    second += finding_rows(findings, other, glyphs)
    return [*head, *beside(first, second, split), (), *processes]

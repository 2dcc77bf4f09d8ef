"""The lines around the table: what node this is, what it wastes, what to do first, how the host is."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from advisor.bills import NodeCents, node_cents
from advisor.snapshot import Snapshot
from advisor.telemetry.records import HostSample
from advisor.tui import format as fmt
from advisor.tui.ceilings import header_spans
from advisor.tui.charts.history import sparkline
from advisor.tui.devices import shown_devices
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import TERM_GROUP, TERM_SHORT
from advisor.tui.rows import Row, Span, join, left, spread, width_of
from advisor.tui.text import safe
from advisor.tui.unallocated import is_unallocated, parents_of
from rules.finding import Finding
from rules.ladder import NOT_WASTED, TERM_WORDS
from rules.roles import grouped

# The longer ways to begin the money line leave room for a term or two.
_TERMS_ROOM = Span(" " * 14)


def header_row(snapshot: Snapshot, width: int, glyphs: Glyphs, *, recording: bool = False) -> Row:
    """Name, host, GPUs, driver, GPM, ceilings; at the right the badges and the clock of the newest data."""
    dot = f" {glyphs.dot} "
    badges = _badges(snapshot, recording)
    room = width - width_of(badges) - len(" advisor  ") - 1
    start = (Span(" advisor ", "title"), Span(" "), *_facts_within(snapshot, room, dot))
    return spread(start, badges, width)


def _facts_within(snapshot: Snapshot, room: int, dot: str) -> Row:
    """All facts where they fit, ceilings in as many words as fit; else the most needed ones."""
    for ceilings in header_spans(snapshot):
        facts = _facts(snapshot, dot, ceilings)
        if _length(facts, dot) <= room:
            break
    while len(facts) > 1 and _length(facts, dot) > room:
        facts.remove(max(facts))
    return join(((span,) for _, _, span in sorted(facts, key=lambda fact: fact[1])), dot)


def _length(facts: list[tuple[int, int, Span]], dot: str) -> int:
    return sum(width_of((span,)) for _, _, span in facts) + len(dot) * (len(facts) - 1)


def _facts(snapshot: Snapshot, dot: str, ceilings: Span) -> list[tuple[int, int, Span]]:
    """(rank, place, words): the highest rank goes first where room is short. A warning outlives the host."""
    hello = snapshot.hello
    driver = f"driver {safe(hello.driver_version)}" if hello.driver_version else "driver unknown"
    ranked = (
        (2, Span(safe(hello.host.host))),
        (0, Span(_models(snapshot, dot))),
        (1 if ceilings.role else 3, ceilings),
        (4, Span(_gpm(snapshot))),
        (5, Span(driver)),
    )
    return [(rank, place, span) for place, (rank, span) in enumerate(ranked) if span.text]


def _models(snapshot: Snapshot, dot: str) -> str:
    """Each model with its count, and the MIG instances they are split into."""
    instances = [view for view in snapshot.devices if view.info.parent_key is not None]
    whole = {view.info.key: view.info for view in snapshot.devices if view.info.parent_key is None}
    gpus = whole | parents_of(snapshot)
    counts = Counter(safe(info.name).removeprefix("NVIDIA ") for info in gpus.values())
    models = ", ".join(f"{count} × {name}" for name, count in counts.items()) or "no GPU"
    if not instances:
        return models
    return f"{models}{dot}{len(instances)} MIG instance" + ("s" if len(instances) > 1 else "")


def _gpm(snapshot: Snapshot) -> str:
    known = [view.info.gpm for view in shown_devices(snapshot) if not is_unallocated(view)]
    if all(known) and known:
        return "GPM"
    return "GPM on some" if any(known) else "no GPM"


def _badges(snapshot: Snapshot, recording: bool) -> Row:
    badges: list[Span] = []
    if snapshot.hello.synthetic:
        badges += [Span(" SYNTHETIC ", "badge warn"), Span(" ")]
    if recording:
        badges += [Span(" REC ", "badge bad"), Span(" ")]
    word, role = mode_word(snapshot)
    badges += [Span(f" {word} ", f"badge {role}"), Span(f" {fmt.clock(snapshot.t_s)} ")]
    return tuple(badges)


def mode_word(snapshot: Snapshot) -> tuple[str, str]:
    """The badge: where data comes from, and what is the matter with it."""
    # The demo shown in place of a live node is a replay like any other; its reason stands below.
    mode = "replay" if snapshot.reason else snapshot.mode
    # What is not live says so whatever else is the matter.
    lead = "" if mode == "live" else f"{mode.upper()} "
    if snapshot.ended:
        return f"{lead}ENDED", "warn"
    if snapshot.stale:
        return f"{lead}STALE", "bad"
    if snapshot.paused:
        return f"{lead}PAUSED", "warn"
    return mode.upper(), "good" if mode == "live" else "warn"


def notice_row(snapshot: Snapshot, width: int) -> Row | None:
    """The sentence that must not be missed, if any: stale, ended, or why a replay is shown."""
    text = snapshot.stale or snapshot.ended or snapshot.reason
    role = "bad" if snapshot.stale else "warn"
    return (Span(left(f" {safe(text)}", width), role),) if text else None


def money_row(snapshot: Snapshot, width: int) -> Row:
    """What the node wastes an hour, by term as far as there is room, and whose price that is."""
    totals = snapshot.diagnosis.totals
    cents = node_cents(snapshot.diagnosis)
    if not totals.price_usd_h or cents is None:
        return _without_price(snapshot, width)
    share = fmt.percent((totals.wasted_usd_h or 0.0) / totals.price_usd_h)
    shares = {name: usd / totals.price_usd_h for name, usd in totals.terms.items()}
    lead = Span(f" {fmt.money(cents.wasted / 100)}", "money strong")
    unknown = _unknown(shares)
    of_price = f" of {fmt.money(cents.price / 100)}"
    won = _won_back(cents)
    starts: list[Row] = [
        (lead, Span(f"{of_price} per hour wasted ({share})", "strong"), *won, *unknown, _TERMS_ROOM),
        (lead, Span(f"{of_price}/h wasted ({share})", "strong"), *won, *unknown, _TERMS_ROOM),
        (lead, Span(f"{of_price}/h wasted", "strong"), *won, *unknown),
        (lead, Span(f"{of_price} per hour wasted ({share})", "strong"), *unknown),
        (lead, Span(f"{of_price}/h wasted ({share})", "strong"), *unknown),
        (lead, Span(f"{of_price}/h wasted", "strong"), *unknown),
        (lead, Span(of_price, "strong"), *unknown),
    ]
    start = next((row for row in starts if width_of(row) <= width), starts[-1])
    start = tuple(span for span in start if span is not _TERMS_ROOM)
    if totals.unpriced:
        start = (*start, Span(f"  {totals.unpriced} without price", "warn"))
    return _with_terms(start, shares, (Span(f"{price_words(snapshot)} ", "dim"),), width)


def _won_back(cents: NodeCents) -> Row:
    """What of it is known to be recoverable; left out where that is nothing."""
    low, high = cents.low, cents.high
    if not high:
        return ()
    least = "up to " if not low else "" if low == high else f"{fmt.money(low / 100)} to "
    return (Span(", "), Span(f"{least}{fmt.money(high / 100)} recoverable", "good"))


def _unknown(shares: dict[str, float]) -> Row:
    """What the money bought and nobody can tell; it is not counted as wasted, so it is always named."""
    share = shares.get("unknown", 0.0)
    if share <= 1e-6:
        return ()
    return (Span("  "), Span(f"unknown {fmt.percent(share) if share >= 0.005 else '< 1 %'}", "warn"))


def _with_terms(start: Row, shares: dict[str, float], end: Row, width: int) -> Row:
    """The terms, largest first: all of them, or in fewer and shorter words, or as many as fit.

    The price's source stands only where everything else has room.
    """
    combined = _combined(shares)
    for terms in (_terms(shares, TERM_WORDS), _terms(combined, TERM_WORDS), _terms(combined, TERM_SHORT)):
        line, whole = _appended(start, terms, width)
        if whole:
            break
    return spread(line, end, width) if whole and width_of(line) + width_of(end) + 3 <= width else line


def _appended(start: Row, terms: list[Row], width: int) -> tuple[Row, bool]:
    """The line with as many terms as fit, and whether that is all of them."""
    line, gap = start, "   "
    for term in terms:
        if width_of(line) + len(gap) + width_of(term) > width - 1:
            return line, False
        line, gap = (*line, Span(gap), *term), "  "
    return line, True


def _combined(shares: dict[str, float]) -> dict[str, float]:
    """Both kinds of idleness as one."""
    kinds = ("free", "idle_held")
    idle = sum(shares.get(name, 0.0) for name in kinds)
    return {"idle": idle} | {name: share for name, share in shares.items() if name not in kinds}


def price_words(snapshot: Snapshot) -> str:
    """Whose price: "price: aws p5.48xlarge on-demand 2025 (bundled)"."""
    sources = {
        (row.price_source, row.basis) for row in snapshot.diagnosis.ladder if row.price_usd_h is not None
    }
    if not sources:
        return "no price"
    if len(sources) > 1:
        return f"prices from {len(sources)} sources"
    return f"price: {price_source(*sources.pop())}"


def price_source(source: str, basis: str) -> str:
    """The price's source, with its basis where the source does not say it."""
    return safe(source) if basis in source else f"{safe(source)} ({basis})"


def _without_price(snapshot: Snapshot, width: int) -> Row:
    rows = snapshot.diagnosis.ladder
    if not rows:
        return (Span(" no verdict yet", "dim"),)
    mean = {name: sum(row.shares.get(name, 0.0) for row in rows) / len(rows) for name in rows[0].shares}
    wasted = 1.0 - mean.get("useful", 0.0) - mean.get("unknown", 0.0)
    start: Row = (
        Span(f" {fmt.percent(wasted)} of GPU time wasted", "strong"),
        *_unknown(mean),
        Span("  no price: --price", "dim"),
    )
    return _with_terms(start, mean, (), width)


def _terms(shares: dict[str, float], words: dict[str, str]) -> list[Row]:
    """The wasted terms of at least 1 %, largest first."""
    wasted = [name for name, share in shares.items() if share >= 0.01 and name not in NOT_WASTED]
    return [
        (Span(words.get(name, name), TERM_GROUP.get(name, "")), Span(f" {fmt.percent(shares[name])}"))
        for name in sorted(wasted, key=lambda name: -shares[name])
    ]


def top_finding(snapshot: Snapshot) -> Finding | None:
    """The finding worth most: by dollars, or by share where there is no price."""
    return next(iter(by_weight(snapshot.diagnosis.findings)), None)


def by_weight(findings: Sequence[Finding]) -> list[Finding]:
    """Worth most first, each with what contributes to it right behind it."""
    groups = grouped(sorted(findings, key=finding_weight, reverse=True))
    return [found for group in groups for found in group]


def finding_weight(finding: Finding) -> tuple[bool, float, float]:
    """What findings are ranked by, largest first; one that only contributes never leads its group."""
    return (finding.role == "primary", finding.usd_h or 0.0, finding.share)


def place_of(finding: Finding) -> str:
    """ "GPU 2" or "GPU 2 1g.10gb/7"."""
    return f"GPU {finding.gpu}" + (f" {safe(finding.mig)}" if finding.mig else "")


def effect_words(finding: Finding) -> str:
    """ "Expect 1.4× to 1.6×, up to $2.61 per hour." as far as both are known."""
    parts = []
    if finding.effect:
        parts.append(f"Expect {finding.effect.low:.2g}× to {finding.effect.high:.2g}×")
    if finding.usd_h is not None:
        parts.append(f"up to {fmt.money(finding.usd_h)} per hour")
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def do_first_rows(snapshot: Snapshot, width: int, height: int) -> list[Row]:
    """The top finding in at most `height` lines: code, claim, first action, effect."""
    finding = top_finding(snapshot)
    if finding is None:
        nothing = "nothing stands out" if snapshot.diagnosis.verdicts else "waiting for the first window"
        return [(Span(" Do first  ", "title"), Span(nothing, "dim"))]
    indent = 11
    lead = indent + len(finding.code) + 1
    first, *rest = _hanging(_advice(finding), width, lead, indent, height)
    out: list[Row] = [(Span(" Do first  ", "title"), Span(f"{finding.code} ", "strong bad"), Span(first))]
    return out + [(Span(" " * indent + line),) for line in rest]


def _advice(finding: Finding) -> tuple[str, str, str]:
    """What is so, what to do, and what that buys. The middle may be shortened."""
    action = safe(finding.actions[0]) if finding.actions else ""
    return f"on {place_of(finding)}: {safe(finding.claim)}", action, effect_words(finding)


@lru_cache(maxsize=16)
def _hanging(advice: tuple[str, str, str], width: int, first: int, indent: int, height: int) -> list[str]:
    """Lines of text, the first shorter by what stands before it; the action is cut where it is too long."""
    start, middle, end = advice
    words = middle.split()
    room = max(16, width - indent - 1)
    while True:
        shown = " ".join(words) + ("…" if len(words) < len(middle.split()) else "")
        text = " ".join(part for part in (start, shown, end) if part)
        lines = textwrap.wrap("x" * (first - indent) + text, room, break_on_hyphens=False)
        if len(lines) <= height or not words:
            break
        words.pop()
    if len(lines) > height:
        lines = [*lines[: height - 1], left(" ".join(lines[height - 1 :]), room).rstrip()]
    return [lines[0][first - indent :], *lines[1:]]


def host_rows(host: HostSample | None, width: int, glyphs: Glyphs) -> list[Row]:
    """CPU with a bar a core (or the busiest of a few), pressure, memory, disk, throttling."""
    if host is None:
        return [(Span(" host  ", "title"), Span("no host data", "dim"))]
    cores = host.cpu_fracs
    mean = sum(cores) / len(cores) if cores else None
    lead: Row = (Span(" host  ", "title"), Span(f"CPU {fmt.percent(mean)} "))
    tail = _host_tail(host)
    while len(tail) > 2 and width_of(lead) + width_of(tail) + 10 > width:
        tail = tail[:-2] + tail[-1:]
    room = min(64, width - width_of(lead) - width_of(tail) - 2)
    return [(*lead, Span(_core_bars(cores, room, glyphs), "host"), *tail)]


def _core_bars(cores: tuple[float, ...], room: int, glyphs: Glyphs) -> str:
    """A bar a core where they fit, otherwise each the busiest of equally many."""
    if room < 4 or not cores:
        return ""
    per_bar = -(-len(cores) // room)
    busiest = [max(cores[start : start + per_bar]) for start in range(0, len(cores), per_bar)]
    return sparkline(busiest, len(busiest), 1.0, glyphs)


def _host_tail(host: HostSample) -> Row:
    """Facts in the order they are given up, the last but one first; throttling always stays."""
    disk = (
        None if host.disk_read_bytes_s is None else host.disk_read_bytes_s + (host.disk_write_bytes_s or 0.0)
    )
    throttled = host.throttled_frac or 0.0
    return (
        Span(f"  PSI cpu {fmt.percent(host.psi_cpu_frac)} io {fmt.percent(host.psi_io_frac)}"),
        Span(f"  mem {fmt.of_total(host.mem_used_bytes, host.mem_total_bytes)} GiB"),
        Span(f"  disk {fmt.rate(disk)}"),
        Span(f"  throttled {fmt.percent(host.throttled_frac)}", "bad" if throttled > 0.05 else ""),
    )

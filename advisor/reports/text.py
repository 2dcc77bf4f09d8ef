"""A Diagnosis for a plain terminal or a log: the ticket's content, shorter."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from advisor.document import Diagnosis
from advisor.reports import bills, serving, sources, whatifs
from advisor.reports.common import Style, criticals, is_node, labels, overlap, ranked
from advisor.reports.escape import as_ascii, terminal
from advisor.reports.findings import MAX_ALSO, EvidenceRow, FindingView, is_remark, nothing_found, view
from advisor.reports.ladders import Ladder, ladder, unpriced
from advisor.reports.text_parts import bar as _bar
from advisor.reports.text_parts import grid as _grid
from advisor.reports.text_parts import head as _head
from advisor.reports.text_parts import text as _text
from advisor.reports.text_traces import traces as _traces
from advisor.reports.titles import render_summary_line, title, workload_line
from rules.finding import Finding

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["render_summary_line", "render_text"]

MIN_WIDTH = 40
MAX_WIDTH = 140
MAX_FINDINGS = 20
MAX_ROWS = 64
# Below this width a table of many columns leaves out what its others tell.
ROOMY = 100
# Below this one such a table keeps what is wasted and what is recoverable.
NARROW_PAGE = 70
# Cells up to this length stay on one line; a longer one wraps rather than push others out.
NARROW = 18

_STYLE = Style(terminal, lambda raw: f"`{terminal(raw)}`")
_COLOURS = {"useful": "green", "unknown": "bright_black"}
_SEVERE = {"severity critical": "bold red", "severity high": "red", "severity medium": "yellow"}


def render_text(
    diagnosis: Diagnosis, width: int, color: bool, *, unicode: bool = True, top: int | None = None
) -> str:
    """The document as lines of at most `width` columns (40 to 140), with ANSI colours if `color`.

    unicode: False for a terminal that shows ASCII alone. top: how many kernels of a trace to list. Untrusted
    text can neither drive the terminal nor be read as markup. Redaction is the caller's: see
    `advisor.reports.redact`.
    """
    console = _console(min(MAX_WIDTH, max(MIN_WIDTH, width)), color)
    for part in _parts(diagnosis, console.width, top):
        console.print(part)
    out = console.file
    text = out.getvalue() if isinstance(out, io.StringIO) else ""
    lines = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    return lines if unicode else as_ascii(lines)


def _console(width: int, color: bool) -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )


def _parts(d: Diagnosis, width: int, top: int | None = None) -> list[RenderableType]:
    parts: list[RenderableType] = [_text(label, "bold black on yellow") for label in labels(d, _STYLE)]
    first, second = title(d, _STYLE)
    parts += [*_gap(parts), _text(first, "bold"), _text(second)]
    parts += [_text(line) for line in (workload_line(d, _STYLE),) if line]
    parts += _ladder(ladder(d, _STYLE), width) + _won_back(d)
    parts += _findings(d) + _what_ifs(d) + _traces(d, width, top) + _serving(d)
    if is_node(d):
        parts += [_head("All GPUs"), _devices(sources.device_rows(d, _STYLE), width), *_jobs(d, width)]
    parts += _listed("Read this with care", sources.unknowns(d, _STYLE) + sources.notes(d, _STYLE))
    return parts + _provenance(d)


def _gap(before: Sequence[object]) -> list[RenderableType]:
    return [_text("")] if before else []


def _ladder(table: Ladder, width: int) -> list[RenderableType]:
    if not table.lines:
        return []
    priced, bars = table.price_usd_h is not None, width >= 76
    kinds = [*(["right"] if priced else []), "right", *(["left"] if bars else []), "fill"]
    grid = _grid(*kinds)
    for line in table.lines:
        money = [_text(line.usd or "")] if priced else []
        bar = [_bar(line.frac, _COLOURS.get(line.term, "red"))] if bars else []
        grid.add_row(*money, _text(line.share), *bar, _text(line.where))
    total = [_text(table.usd(table.price_usd_h), "bold")] if table.price_usd_h is not None else []
    grid.add_row(*total, _text("100 %", "bold"), *([_text("")] if bars else []), _text(table.price, "dim"))
    left = [_text(unpriced(table.unpriced), "dim")] if table.unpriced else []
    heading = "Where the money goes, per hour" if priced else "Where the time goes"
    return [_head(heading), grid, *left]


def _won_back(d: Diagnosis) -> list[RenderableType]:
    """Of each wasted term, who could recover how much; then what it all comes to in a month."""
    found, month = bills.won_back(d, _STYLE), bills.month_line(d)
    grid = _grid("left", "left", "fill")
    for won in (won for won in found if won.known):
        grid.add_row(_text(won.amount, "bold"), _text(won.who), _text(f"{won.name}: {won.because}"))
    heading = f"Recoverable, {'per hour' if month else 'of the paid time'}"
    parts: list[RenderableType] = [_head(heading)] if found else []
    parts += [grid] if grid.row_count else []
    rest = [won.name for won in found if not won.known]
    parts += [_text(f"Not known to be recoverable: {', '.join(rest)}.", "dim")] if rest else []
    return [*parts, *([_text(month)] if month else [])]


def _jobs(d: Diagnosis, width: int) -> list[RenderableType]:
    """What each job costs, and the fleet."""
    rows = bills.job_rows(d, _STYLE)
    kept = (0, 1, 2, 3, 4, 5) if width >= NARROW_PAGE else (0, 3, 4)
    grid = _grid("fill", *["right"] * (len(kept) - 1))
    heads = ("job", "GPU", "$/h", "wasted", "recoverable", "month")
    grid.add_row(*(_text(heads[place], "dim") for place in kept))
    for row in [*rows[:-1][:MAX_ROWS], *rows[-1:]]:
        wasted = row.wasted if width >= NARROW_PAGE else row.wasted.partition(" (")[0]
        cells = (row.name, row.gpus, row.price.replace("$", ""), wasted, row.won, row.month)
        grid.add_row(*(_text(cells[place]) for place in kept))
    more = len(rows) - 1 - MAX_ROWS
    left = [_text(f"{more} more jobs are in the JSON.", "dim")] if more > 0 else []
    return [_head("By job"), grid, *left] if rows else []


def _findings(d: Diagnosis) -> list[RenderableType]:
    if not d.findings:
        return [_head("No findings"), _text(f"{nothing_found(d)}.")]
    found = ranked(d.findings)
    shown = max(MAX_FINDINGS, criticals(found))
    said: list[RenderableType] = [_text(f"\n{overlap(d)}", "dim")] if overlap(d) else []
    brief = [finding for finding in found[:shown] if is_remark(finding, d)]
    parts = said + [part for f in found[:shown] if f not in brief for part in _finding(f, d)]
    parts += _remarks(brief, d)
    more = len(found) - shown
    if more > 0:
        parts.append(_text(f"\n{more} smaller finding{'s' * (more > 1)} left out; the JSON has all.", "bold"))
    return parts


def _remarks(brief: Sequence[Finding], d: Diagnosis) -> list[RenderableType]:
    """What is worth knowing and costs nothing, a line each."""
    grid = _grid("left", "left", "fill")
    for finding in brief:
        seen = view(finding, d, _STYLE)
        grid.add_row(_text(seen.code, "bold"), _text(seen.facts[0], "dim"), _text(seen.claim or seen.title))
    more = _text("No dollars are counted on these; `advisor explain CODE` says what to do.", "dim")
    return [_head("Also seen"), grid, more] if brief else []


def _finding(finding: Finding, d: Diagnosis) -> list[RenderableType]:
    from rich.padding import Padding

    seen = view(finding, d, _STYLE)
    if seen.is_contributing:
        return [_also(seen)]
    head = _head(f"{seen.code} {seen.title}")
    body: list[RenderableType] = [_facts(seen), *([_text(seen.claim)] if seen.claim else [])]
    if seen.evidence:
        body.append(_evidence(seen.evidence))
    return [head, *(Padding(part, (0, 0, 0, 2)) for part in (*body, _advice(seen)))]


def _also(seen: FindingView) -> Table:
    """What contributes to the finding above it, in a few lines; the JSON has its evidence."""
    grid = _grid("left", "fill")
    grid.add_row(_text(f"  also: {seen.code}", "bold"), _text(seen.claim or seen.title))
    for action in seen.actions[:MAX_ALSO]:
        grid.add_row(_text("  Do"), _text(action))
    if seen.expect:
        grid.add_row(_text("  Expect"), _text(seen.expect, "dim"))
    return grid


def _what_ifs(d: Diagnosis) -> list[RenderableType]:
    """What fixes would buy, the few that save most on each GPU."""
    rows = whatifs.rows(d, _STYLE)
    if not rows:
        return []
    priced = any(row.cost for row in rows)
    grid = _grid("left", "fill", "right", *(["right"] if priced else []), "left")
    heads = ("GPU", "fix", "throughput", *(["$/h after"] if priced else []), "basis")
    grid.add_row(*(_text(name, "dim") for name in heads))
    for row in rows:
        title = _text(row.title).append(f" ({row.fix})", "dim")
        money = [_text(row.cost.replace("$", ""))] if priced else []
        grid.add_row(_text(row.name), title, _text(row.times, "bold"), *money, _text(row.basis, "dim"))
    return [_head(whatifs.HEADING), grid, _text(whatifs.note(d), "dim")]


def _serving(d: Diagnosis) -> list[RenderableType]:
    """Inference engines on this node, as they describe themselves."""
    parts: list[RenderableType] = [_head("Serving")] if d.serving else []
    for made in d.serving[: serving.MAX_ENGINES]:
        grid = _grid("left", "fill")
        for what, text in serving.lines(made, _STYLE):
            grid.add_row(_text(f"  {what}", "dim"), _text(text))
        parts += [_text(serving.heading(made, _STYLE), "bold"), grid]
    return [*parts, *(_text(line, "dim") for line in serving.left_out(d.serving))]


def _facts(seen: FindingView) -> Text:
    text = _text("")
    for i, fact in enumerate(seen.facts):
        text.append(" · " if i else "", "dim").append(fact, _SEVERE.get(fact, "dim"))
    return text


def _evidence(rows: Sequence[EvidenceRow]) -> Table:
    same = rows[0].source if len(rows) > 1 and len({row.source for row in rows}) == 1 else ""
    if same.startswith("trace:"):
        return _of_one_trace(rows, same)
    narrow = all(len(cell) <= NARROW for row in rows for cell in (row.value, row.threshold))
    grid = _grid("fill", "right" if narrow else "fill", "left" if narrow else "fill", "fill")
    grid.add_row(*(_text(name, "dim") for name in ("evidence", "value", "threshold", "read from")))
    for row in rows:
        grid.add_row(
            _text(row.metric), _text(row.value, "bold"), _text(row.threshold), _text(row.source, "dim")
        )
    return grid


def _of_one_trace(rows: Sequence[EvidenceRow], source: str) -> Table:
    """All of it from one device of one file, which is said once."""
    grid = _grid("fill", "right", "left")
    grid.add_row(*(_text(name, "dim") for name in (f"evidence ({source})", "value", "threshold")))
    for row in rows:
        grid.add_row(_text(row.metric), _text(row.value, "bold"), _text(row.threshold))
    return grid


def _advice(seen: FindingView) -> Table:
    grid = _grid("left", "fill")
    lines = [("Why", seen.why), *(("Do", action) for action in seen.actions), ("Expect", seen.expect)]
    lines += [("Check", command) for command in seen.check]
    for name, said in lines:
        if said:
            grid.add_row(_text(name, "bold"), _text(said))
    return grid


def _devices(rows: Sequence[sources.DeviceRow], width: int) -> Table:
    kinds = ("fill", "fill", "right", "right", "right", "right", "fill")
    heads = ("GPU", "verdict", "conf.", "$/h", "wasted", "recoverable", "workload")
    kept = range(7) if width >= NARROW_PAGE else (0, 1, 4, 6)
    grid = _grid(*(kinds[place] for place in kept))
    grid.add_row(*(_text(heads[place], "dim") for place in kept))
    for row in rows[:MAX_ROWS]:
        price, won = row.price.replace("$", ""), row.recoverable.replace("$", "")
        cells = (row.name, row.verdict, row.confidence, price, _wasted(row, width), won, row.workload)
        grid.add_row(*(_text(cells[place]) for place in kept))
    if len(rows) > MAX_ROWS:
        grid.add_row(_text(f"{len(rows) - MAX_ROWS} more"))
    return grid


def _wasted(row: sources.DeviceRow, width: int) -> str:
    """Dollars with their share, or alone where columns are many."""
    brief = width < ROOMY and "$" in row.wasted
    return row.wasted.partition(" (")[0].replace("$", "") if brief else row.wasted


def _listed(heading: str, lines: Sequence[str]) -> list[RenderableType]:
    if not lines:
        return []
    grid = _grid("left", "fill")
    for line in lines[:MAX_ROWS]:
        grid.add_row(_text("-"), _text(line))
    return [_head(heading), grid]


def _provenance(d: Diagnosis) -> list[RenderableType]:
    grid = _grid("left", "fill")
    facts = sources.provenance(d, _STYLE)
    say = sources.short_device_facts if is_node(d) else sources.device_facts
    facts += [(_place(p.gpu, p.mig), say(p, _STYLE)) for p in d.provenance.devices[:MAX_ROWS]]
    facts.append(("redacted", ", ".join(sources.redactions(d, _STYLE)) or "nothing"))
    if d.provenance.command:
        facts.append(("reproduce", _STYLE.text(d.provenance.command, 1000)))
    for name, said in facts:
        grid.add_row(_text(name, "dim"), _text(said, "dim"))
    return [_head("Provenance"), grid]


def _place(gpu: int, mig: str | None) -> str:
    return f"GPU {gpu} {_STYLE.text(mig, 24)}" if mig else f"GPU {gpu}"

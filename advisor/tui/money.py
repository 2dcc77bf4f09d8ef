"""The node's money as a table by GPU, by job, or by term: sums that agree both ways to the cent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from advisor.bills import Amount, Statement, row_amounts, statement
from advisor.document import Diagnosis
from advisor.tui import format as fmt
from advisor.tui.banner import price_source
from advisor.tui.blocks import heading
from advisor.tui.charts.share_bar import apportion
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import TERM_GROUP
from advisor.tui.money_terms import term_rows
from advisor.tui.rows import Row, Span, left, right, width_of, wrap
from advisor.tui.text import safe
from rules.cents import HOURS, Horizon
from rules.finding import TERMS
from rules.ladder import TERM_WORDS

View = Literal["gpu", "job", "node"]
VIEWS: tuple[View, ...] = ("gpu", "job", "node")
VIEW_WORDS: dict[View, str] = {"gpu": "GPU", "job": "job", "node": "term"}
HORIZONS: tuple[Horizon, ...] = ("hour", "day", "month")

SHORT_TERMS: dict[str, str] = {
    "free": "free",
    "idle_held": "held",
    "host_gap": "host",
    "communication": "link",
    "throttle": "thrott",
    "inefficiency": "ineff",
    "useful": "useful",
    "unknown": "unkn",
}
WIDE_COLUMN = 14
LEAD = 14
# Names of jobs are longer than those of GPUs.
JOB_LEAD = 28
JOB_LEAD_WIDE = 44
LEAST_BAR = 6
# From this share on a term is there.
LEAST_SHARE = 0.005

Line = tuple[str, Amount]


def money_rows(
    diagnosis: Diagnosis, width: int, glyphs: Glyphs, view: View = "gpu", horizon: Horizon = "hour"
) -> list[Row]:
    """A table of GPUs or jobs, then a line a term with who could recover it, and whose prices these are."""
    made = statement(diagnosis, horizon)
    if made is None:
        return [heading("money", width, glyphs), (Span("no ladder yet", "dim"),)]
    if made.node.costs is None:
        return _unpriced(diagnosis, made, width, glyphs, view)
    rows: list[Row] = []
    if view != "node":
        sums = "each line sums to its price"
        rows += [heading(f"dollars per {horizon}, by {VIEW_WORDS[view]}", width, glyphs, sums)]
        rows += [*_table(_lines(diagnosis, made, view), made.node, width, glyphs, view), ()]
    rows += [heading(f"dollars per {horizon}, by term", width, glyphs, "who could recover how much")]
    rows += [*term_rows(made.node, width, glyphs, reasons=view == "node"), ()]
    return [*rows, heading("prices", width, glyphs), *_sources(diagnosis, width, horizon)]


def _lines(diagnosis: Diagnosis, made: Statement, view: View) -> list[Line]:
    """What the table lists. Instances stand below their GPU, indented, and are part of it."""
    if view == "job":
        return [(job_label(amount), amount) for amount in made.jobs]
    rows = row_amounts(diagnosis, made.horizon)
    names = {row.key: safe(row.mig or "") for row in diagnosis.ladder}
    found: list[Line] = []
    for gpu in made.gpus:
        found.append((gpu.bill.name, gpu))
        if len(gpu.bill.rows) > 1:
            found += [(f"  {names[key]}", rows[key]) for key in gpu.bill.rows]
    return found


def job_label(amount: Amount) -> str:
    """ "train.py slurm:123", "train.py (pid 7)" or "fleet"; an asterisk where others share its GPUs."""
    bill = amount.bill
    name, program = safe(bill.name), safe(bill.program or "")
    known = not program or name.startswith(program)
    return (name if known else f"{program} {name}") + (" *" if bill.shared else "")


def _table(lines: Sequence[Line], node: Amount, width: int, glyphs: Glyphs, view: View) -> list[Row]:
    """A column a term where they fit; else a bar of terms."""
    terms = [term for term in TERMS if (node.costs or {}).get(term)]
    lead = LEAD if view == "gpu" else JOB_LEAD if width < 120 else JOB_LEAD_WIDE
    full = [("node", node)]
    for words, least in ((TERM_WORDS, WIDE_COLUMN), (SHORT_TERMS, 7)):
        drawn = _full(lines, full, terms, lead, words, least)
        if max(width_of(row) for row in drawn) <= width:
            return [*drawn, *_notes(lines)]
    return [*_compact(lines, full, lead, width, glyphs), *_notes(lines)]


def _notes(lines: Sequence[Line]) -> list[Row]:
    shared = any(amount.bill.shared and amount.bill.scope == "job" for _, amount in lines)
    return (
        [(Span("* shares a GPU with other processes; all of it is counted here", "dim"),)] if shared else []
    )


def _full(
    lines: Sequence[Line],
    last: Sequence[Line],
    terms: Sequence[str],
    lead: int,
    words: dict[str, str],
    least: int,
) -> list[Row]:
    """Name, terms, wasted, recoverable, price. Each column is as wide as its widest cell."""
    every = [*lines, *last]
    columns = [_term_cells(term, words[term], every) for term in terms]
    columns += [_column("wasted", [_usd(a.wasted) for _, a in every], "money strong")]
    columns += [_column("recoverable", [won_cell(a) for _, a in every], "good")]
    columns += [_column("price", [_usd(a.price) for _, a in every], "")]
    drawn = [_padded(cells, least) for cells in columns]
    names = [Span(left("", lead)), *(_name(label, lead) for label, _ in every)]
    table: list[Row] = [(name, *(cells[i] for cells in drawn)) for i, name in enumerate(names)]
    return [
        row
        if number == 0 or every[number - 1][1].price is not None
        else (row[0], Span(" no price known", "dim"))
        for number, row in enumerate(table)
    ]


def _term_cells(term: str, word: str, lines: Sequence[Line]) -> list[Span]:
    return _column(word, [_usd((a.costs or {}).get(term)) for _, a in lines], TERM_GROUP[term])


def _column(head: str, cells: Sequence[str], role: str) -> list[Span]:
    return [Span(head, "dim"), *(Span(cell, role) for cell in cells)]


def _padded(cells: Sequence[Span], least: int) -> list[Span]:
    size = max(least, *(len(cell.text) + 1 for cell in cells))
    return [Span(right(cell.text, size), cell.role) for cell in cells]


def _compact(lines: Sequence[Line], last: Sequence[Line], lead: int, width: int, glyphs: Glyphs) -> list[Row]:
    """Name, price, wasted, recoverable, and a bar of where it goes in the room that is left."""
    every = [*lines, *last]
    columns = [
        _padded(_column("price", [_usd(a.price) for _, a in every], ""), 7),
        _padded(_column("wasted", [_usd(a.wasted) for _, a in every], "money strong"), 7),
        _padded(_column("recoverable", [won_cell(a) for _, a in every], "good"), 7),
    ]
    lead = max(10, min(lead, width - sum(len(cells[0].text) for cells in columns) - LEAST_BAR - 2))
    room = width - lead - sum(len(cells[0].text) for cells in columns) - 2
    rows: list[Row] = [(Span(left("", lead)), *(cells[0] for cells in columns))]
    for number, (label, amount) in enumerate(every, 1):
        bar = _bar(amount, room, glyphs) if room >= LEAST_BAR else ()
        rows.append((_name(label, lead), *(cells[number] for cells in columns), Span("  "), *bar))
    return rows


def _bar(amount: Amount, room: int, glyphs: Glyphs) -> Row:
    groups: dict[str, float] = {}
    for term, share in amount.bill.shares.items():
        groups[TERM_GROUP[term]] = groups.get(TERM_GROUP[term], 0.0) + share
    return tuple(Span(glyphs.group[name] * count, name) for name, count in apportion(groups, room).items())


def _name(label: str, lead: int) -> Span:
    return Span(left(label, lead - 1) + " ", "dim" if label.startswith(" ") else "strong")


def _usd(count: int | None) -> str:
    return f"{count / 100:,.2f}" if count else fmt.NONE


def won_cell(amount: Amount) -> str:
    """What is recoverable, as a range of figures."""
    if amount.won_back is None or not amount.won_back[1]:
        return fmt.NONE
    low, high = (f"{cents / 100:,.2f}" for cents in amount.won_back)
    return high if low == high else f"{low}–{high}"


def _sources(diagnosis: Diagnosis, width: int, horizon: Horizon) -> list[Row]:
    known = dict.fromkeys(
        (row.price_source, row.basis) for row in diagnosis.ladder if row.price_usd_h is not None
    )
    said = [price_source(source, basis) for source, basis in known]
    if horizon != "hour":
        said.append(f"a {horizon} is {HOURS[horizon]:g} h at the rates of this window")
    return [(Span(line, "dim"),) for text in said for line in wrap(text, width)]


def _unpriced(diagnosis: Diagnosis, made: Statement, width: int, glyphs: Glyphs, view: View) -> list[Row]:
    advice = (
        "No price is known for these GPUs. Give --price USD (per GPU-hour), or set one in the configuration."
    )
    rows = [
        heading("shares of time", width, glyphs),
        *((Span(line, "warn"),) for line in wrap(advice, width)),
    ]
    lines = _lines(diagnosis, made, view) if view != "node" else []
    for label, amount in [*lines, ("node", made.node)]:
        lead = LEAD if view != "job" else JOB_LEAD
        words = wrap(_share_words(amount), width - lead)
        rows += [
            (_name(label, lead) if number == 0 else Span(" " * lead), Span(line))
            for number, line in enumerate(words)
        ]
    return rows


def _share_words(amount: Amount) -> str:
    """ "host gap 38 %, useful 62 %; recoverable 19 % to 38 %"."""
    shares = amount.bill.shares
    said = [
        f"{TERM_WORDS[term]} {fmt.percent(shares[term])}" for term in TERMS if shares[term] >= LEAST_SHARE
    ]
    low, high = (fmt.percent(share) for share in amount.won_back_share)
    won = high if low == high else f"{low} to {high}"
    return ", ".join(said) + (f"; recoverable {won}" if amount.won_back_share[1] >= LEAST_SHARE else "")

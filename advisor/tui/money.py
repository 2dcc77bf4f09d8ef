"""The node's money as a table: a row a GPU, a column a term, sums that agree both ways to the cent."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.document import Diagnosis
from advisor.tui import format as fmt
from advisor.tui.banner import price_source
from advisor.tui.blocks import heading
from advisor.tui.charts.share_bar import apportion
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import TERM_GROUP, TERM_WORDS
from advisor.tui.rows import Row, Span, left, right, wrap
from advisor.tui.text import safe
from rules.economics import split_cents
from rules.finding import TERMS, LadderRow

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
NARROW_COLUMN = 7


def cents(row: LadderRow) -> dict[str, int] | None:
    """A priced row's terms in whole cents, which sum to its price in cents."""
    if row.terms is None or row.price_usd_h is None:
        return None
    return {term: round(usd * 100) for term, usd in split_cents(row.terms, row.price_usd_h).items()}


def money_rows(diagnosis: Diagnosis, width: int, glyphs: Glyphs) -> list[Row]:
    """Table, node total, a bar a term, and whose prices these are."""
    priced = {row.key: found for row in diagnosis.ladder if (found := cents(row)) is not None}
    if not priced:
        return _unpriced(diagnosis, width, glyphs)
    sums = {term: sum(row.get(term, 0) for row in priced.values()) for term in TERMS}
    terms = [term for term in TERMS if sums[term]]
    column = WIDE_COLUMN if 14 + (len(terms) + 2) * WIDE_COLUMN <= width else NARROW_COLUMN
    rows = [heading("dollars per hour", width, glyphs, "each line sums to its price"), _head(terms, column)]
    by_index = sorted(diagnosis.ladder, key=lambda row: (row.gpu, row.mig or ""))
    rows += [_line(_label(row), priced.get(row.key), terms, column) for row in by_index]
    rows.append(_line("node", sums, terms, column, "strong"))
    rows += [(), heading("where the node's money goes", width, glyphs), *_bars(sums, terms, width, glyphs)]
    return [*rows, (), heading("prices", width, glyphs), *_sources(diagnosis, width)]


def _label(row: LadderRow) -> str:
    return f"GPU {row.gpu}" + (f" {safe(row.mig)}" if row.mig else "")


def _head(terms: Sequence[str], column: int) -> Row:
    names = [right((TERM_WORDS if column == WIDE_COLUMN else SHORT_TERMS)[term], column) for term in terms]
    words = "".join(names) + right("wasted", column) + right("price", column)
    return (Span(left("", 14) + words, "dim"),)


def _line(label: str, found: dict[str, int] | None, terms: Sequence[str], column: int, role: str = "") -> Row:
    lead = Span(left(label, 14), role or "strong")
    if found is None:
        return (lead, Span(" no price known", "dim"))
    spans = [Span(_usd(found.get(term, 0), column), f"{TERM_GROUP[term]} {role}".strip()) for term in terms]
    price = sum(found.values())
    wasted = price - found.get("useful", 0) - found.get("unknown", 0)
    return (lead, *spans, Span(_usd(wasted, column), "money strong"), Span(_usd(price, column), role))


def _usd(count: int, column: int) -> str:
    return right(f"{count / 100:,.2f}" if count else fmt.NONE, column)


def _bars(sums: dict[str, int], terms: Sequence[str], width: int, glyphs: Glyphs) -> list[Row]:
    total = sum(sums.values()) or 1
    room = max(10, min(100, width - 40))
    cells = apportion({term: sums[term] / total for term in terms}, room)
    return [
        (
            Span(left(TERM_WORDS[term], 18) + " ", TERM_GROUP[term]),
            Span(f"{fmt.money(sums[term] / 100):>9} {fmt.percent(sums[term] / total):>6}  "),
            Span(glyphs.full * cells[term], TERM_GROUP[term]),
        )
        for term in sorted(terms, key=lambda term: -sums[term])
    ]


def _sources(diagnosis: Diagnosis, width: int) -> list[Row]:
    known = dict.fromkeys(
        (row.price_source, row.basis) for row in diagnosis.ladder if row.price_usd_h is not None
    )
    lines = [line for source, basis in known for line in wrap(price_source(source, basis), width)]
    return [(Span(line, "dim"),) for line in lines]


def _unpriced(diagnosis: Diagnosis, width: int, glyphs: Glyphs) -> list[Row]:
    advice = (
        "No price is known for these GPUs. Give --price USD (per GPU-hour), or set one in the configuration."
    )
    rows = [
        heading("dollars per hour", width, glyphs),
        *((Span(line, "warn"),) for line in wrap(advice, width)),
    ]
    for row in diagnosis.ladder:
        shares = [
            f"{TERM_WORDS[term]} {fmt.percent(row.shares.get(term))}"
            for term in TERMS
            if row.shares.get(term)
        ]
        rows.append((Span(left(_label(row), 14), "strong"), Span(", ".join(shares))))
    return rows

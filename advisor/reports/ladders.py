"""The waste ladder as a table whose displayed dollars sum to the displayed bill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from advisor.document import Diagnosis
from advisor.reports.common import CELL, Style
from advisor.reports.figures import SMALL_USD, fraction, percent, usd, usd_of
from rules.bill import known_of
from rules.cents import Cell, cells, same
from rules.finding import TERMS, Finding, LadderRow
from rules.headline import cause_words
from rules.ladder import wasted
from rules.verdict import Verdict

LABELS: dict[str, str] = {
    "free": "free: no process uses it",
    "idle_held": "idle-held: memory held, nothing runs",
    "host_gap": "host gap",
    "communication": "communication",
    "throttle": "throttle: clocks held down",
    "inefficiency": "inefficiency: busy, below the card's ceiling",
    "useful": "useful",
    "unknown": "unknown",
}

_SHOWN_PLACES = 3
HALF_A_CENT = 0.005
# Shares below this are shown as nothing where no dollars are.
LEAST_SHARE = 0.005


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One term. usd is None without a price; frac is what a bar draws."""

    term: str
    usd: str | None
    share: str
    frac: float
    where: str


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """The lines, and what they sum to. Dollars are those shown, in whole cents.

    price: where the price comes from, or that there is none. unpriced: rows left out for want of one.
    """

    lines: tuple[Line, ...]
    price_usd_h: float | None
    wasted_usd_h: float | None
    wasted_share: float
    unknown_usd_h: float | None
    unknown_share: float
    price: str
    unpriced: int

    def usd(self, figure: float | None) -> str:
        """An amount of this bill, with the digits that the whole of it needs."""
        return usd_of(figure or 0.0, self.price_usd_h or 0.0)


def ladder(diagnosis: Diagnosis, style: Style) -> Ladder:
    """The node's ladder: over the rows that have a price, or over all rows in shares when none has."""
    rows = diagnosis.ladder
    priced = [row for row in rows if row.price_usd_h is not None and row.terms is not None]
    used = priced or list(rows)
    shares = _mean_shares(used, by_price=bool(priced))
    price = sum(row.price_usd_h or 0.0 for row in priced) if priced else None
    dollars = None if price is None else _dollars(rows, price)
    return Ladder(
        lines=_lines(diagnosis, used, shares, dollars, style),
        price_usd_h=None if dollars is None else round(sum(dollars.values()), 12),
        wasted_usd_h=None if dollars is None else wasted(dollars),
        wasted_share=wasted(shares),
        unknown_usd_h=None if dollars is None else dollars.get("unknown", 0.0),
        unknown_share=shares.get("unknown", 0.0),
        price=_price_source(priced, style),
        unpriced=len(rows) - len(used),
    )


def shown_usd(finding: Finding, diagnosis: Diagnosis) -> float | None:
    """A finding's dollars; those of the table where it is a whole term, or what is recoverable of its own.

    Rounded by itself, it could differ from its own line by a cent.
    """
    place = _place_of(finding, diagnosis)
    if finding.usd_h is None or place is None:
        return finding.usd_h
    row, table, won = place
    for term, usd_h in sorted((row.terms or {}).items(), key=lambda item: item[0] != finding.term):
        if same(usd_h, finding.usd_h) and term in table:
            return table[term].cost / 100
    mine = finding.term in table and same(won.get(finding.term or "", (None, None))[1], finding.usd_h)
    return table[finding.term or ""].high / 100 if mine else finding.usd_h


def shown_least(finding: Finding, diagnosis: Diagnosis) -> float | None:
    """The least that a finding wins back, as the bill has it; None where the bill rests on something else."""
    place = _place_of(finding, diagnosis)
    entries = () if place is None else known_of((place[0],), _of(finding.key, diagnosis))[finding.key]
    speaks = any(e.term == finding.term and e.because == finding.code for e in entries)
    return None if place is None or not speaks else place[1][finding.term or ""].low / 100


def _of(key: str, diagnosis: Diagnosis) -> list[Finding]:
    return [f for f in diagnosis.findings if f.key == key]


_Place = tuple[LadderRow, dict[str, Cell], dict[str, tuple[float | None, float | None]]]


def _place_of(finding: Finding, diagnosis: Diagnosis) -> _Place | None:
    """The finding's row, its cells, and term -> what of it is recoverable; None without a price."""
    found = next(((i, row) for i, row in enumerate(diagnosis.ladder) if row.key == finding.key), None)
    if found is None or found[1].terms is None:
        return None
    known = known_of(diagnosis.ladder, diagnosis.findings, diagnosis.verdicts)
    table = cells(diagnosis.ladder, [known[row.key] for row in diagnosis.ladder])[found[0]]
    return found[1], table, {e.term: (e.usd_h_low, e.usd_h_high) for e in known[finding.key]}


def is_well_spent(finding: Finding) -> bool:
    """True where there is no cent to win back: what is left is to do more with the same money."""
    return finding.usd_h is not None and finding.usd_h < HALF_A_CENT


def row_cents(rows: Sequence[LadderRow]) -> dict[str, dict[str, float]]:
    """key -> term -> dollars in whole cents of each priced row, as `rules.cents` has them.

    Over its terms a row sums to its price, over the rows the terms sum to the node's.
    """
    found: dict[str, dict[str, float]] = {}
    for row, terms in zip(rows, cells(rows, [()] * len(rows)), strict=True):
        if terms:
            before = found.get(row.key, {})
            found[row.key] = {term: before.get(term, 0.0) + cell.cost / 100 for term, cell in terms.items()}
    return found


def unpriced(count: int) -> str:
    """What the table leaves out."""
    if count == 1:
        return "One row has no known price and is not in this table."
    return f"{count} rows have no known price and are not in this table."


def _dollars(rows: Sequence[LadderRow], price: float) -> dict[str, float]:
    """Each term's dollars: whole cents that sum, or exact ones of a bill that has hardly any."""
    if not 0.0 < price < SMALL_USD:
        return _summed(row_cents(rows).values())
    return {term: math.fsum((row.terms or {}).get(term, 0.0) for row in rows) for term in TERMS}


def _summed(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Cents of all rows, term by term."""
    found = list(rows)
    return {term: round(sum(row.get(term, 0.0) for row in found), 2) for term in TERMS}


def _mean_shares(rows: Sequence[LadderRow], *, by_price: bool) -> dict[str, float]:
    """Shares over all rows, weighted by what each costs where that is known."""
    weights = [(row.price_usd_h or 0.0) if by_price else 1.0 for row in rows]
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1.0] * len(rows), float(len(rows))
    pairs = list(zip(rows, weights, strict=True))
    return {
        term: sum(row.shares.get(term, 0.0) * w for row, w in pairs) / whole if pairs else 0.0
        for term in TERMS
    }


def _lines(
    diagnosis: Diagnosis,
    rows: Sequence[LadderRow],
    shares: dict[str, float],
    dollars: dict[str, float] | None,
    style: Style,
) -> tuple[Line, ...]:
    shown = [term for term in TERMS if shares[term] >= LEAST_SHARE or (dollars or {}).get(term)]
    price = round(sum((dollars or {}).values()), 12)
    return tuple(
        Line(
            term=term,
            usd=None if dollars is None else usd_of(dollars[term], price),
            share=percent(shares[term]),
            frac=shares[term],
            where=_where(term, diagnosis, rows, style),
        )
        for term in shown
    )


def _where(term: str, diagnosis: Diagnosis, rows: Sequence[LadderRow], style: Style) -> str:
    codes = _codes(term, diagnosis, style)
    if len(rows) > 1:
        return f"{LABELS[term]}{_places(term, rows, style)}{codes and f': {codes}'}"
    return f"{LABELS[term]}{_reason(term, diagnosis, style)}{codes and f' ({codes})'}"


def _places(term: str, rows: Sequence[LadderRow], style: Style) -> str:
    """On a node: which rows the term comes from, largest first."""
    shown = row_cents(rows)

    def amount(row: LadderRow) -> float:
        return row.shares.get(term, 0.0) if row.terms is None else shown[row.key].get(term, 0.0)

    top = sorted((row for row in rows if amount(row) >= 0.005), key=lambda row: (-amount(row), row.gpu))
    said = [
        f"{_name(row, style)} {percent(amount(row)) if row.terms is None else usd(amount(row))}"
        for row in top
    ]
    more = f", {len(said) - _SHOWN_PLACES} more" if len(said) > _SHOWN_PLACES else ""
    return f" ({', '.join(said[:_SHOWN_PLACES])}{more})" if said else ""


def _name(row: LadderRow, style: Style) -> str:
    return f"GPU {row.gpu} {style.text(row.mig, 30)}" if row.mig else f"GPU {row.gpu}"


def _reason(term: str, diagnosis: Diagnosis, style: Style) -> str:
    """On one GPU: the verdict's words for the term."""
    verdict = diagnosis.verdicts[0] if diagnosis.verdicts else None
    if verdict is None:
        return ""
    if term == "host_gap":
        return _host_cause(verdict, style)
    if term == "inefficiency":
        return _roofs(verdict, style)
    if term == "unknown" and diagnosis.ladder and _mostly_unroofed(verdict, diagnosis.ladder[0]):
        return ": it was busy, and how near its kernels came to a roof is not known"
    if term == "unknown" and verdict.unknown_because:
        return f": {style.text(verdict.unknown_because[0], CELL)}"
    return ""


def _mostly_unroofed(verdict: Verdict, row: LadderRow) -> bool:
    """Whether most of what is unknown is busy time of which no roof is known."""
    return verdict.unroofed_frac > 0.5 * row.shares.get("unknown", 0.0)


def _host_cause(verdict: Verdict, style: Style) -> str:
    cause = (
        verdict.cause
        if verdict.class_ == "host"
        else verdict.secondary_cause
        if verdict.secondary == "host"
        else None
    )
    return f": {style.text(cause_words(cause), CELL)}" if cause else ""


def _roofs(verdict: Verdict, style: Style) -> str:
    label = f" {style.text(verdict.ceilings_label, 20)}" if verdict.ceilings_label else ""
    said = []
    if verdict.dram_roof_frac is not None:
        said.append(f"DRAM at {fraction(verdict.dram_roof_frac)}")
    if verdict.pipe_roof_frac is not None:
        said.append(f"{style.text(verdict.pipe or 'compute', 30)} at {fraction(verdict.pipe_roof_frac)}")
    return f" ({', '.join(said)} of its{label} ceiling)" if said else ""


def _codes(term: str, diagnosis: Diagnosis, style: Style) -> str:
    """Codes of the findings that explain the term, primaries first."""
    found = sorted({(f.role != "primary", f.code) for f in diagnosis.findings if f.term == term})
    return ", ".join(style.text(code, 20) for code in list(dict.fromkeys(code for _, code in found))[:4])


def _price_source(rows: Sequence[LadderRow], style: Style) -> str:
    """Whose price it is, once for each different one."""
    if not rows:
        return f"no price is known, so these are shares of time alone; {style.code('--price')} gives one"
    said = list(dict.fromkeys(_price(row, style) for row in rows))
    more = f"; {len(said) - _SHOWN_PLACES} more" if len(said) > _SHOWN_PLACES else ""
    return "; ".join(said[:_SHOWN_PLACES]) + more


def _price(row: LadderRow, style: Style) -> str:
    """Basis and source; a source that names its basis itself is not told twice."""
    source = style.text(row.price_source, CELL)
    if row.basis and row.price_source.lower().startswith(row.basis.lower()):
        return f"price: {source}"
    return f"price ({style.text(row.basis, 30)}){f': {source}' if row.price_source else ''}"

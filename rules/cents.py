"""Whole cents that sum at every level: a ladder's cells are rounded once, all that is shown is their sum.

Per hour, day or month, the node's exact price is rounded to cents; these are divided among GPUs, a GPU's
among its rows and a row's among its terms, each time by largest remainders. What rounding gives a term in one
row counts against it in the next, so that the node's terms stay within two cents of their exact sums too.
GPUs, jobs, the fleet and the node are then sums of the same cells, so that they agree to the cent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rules.economics import divide
from rules.finding import TERMS, LadderRow
from rules.recover import Recoverable

Horizon = Literal["hour", "day", "month"]
# A year of 8,760 hours has twelve months of 730.
HOURS: dict[Horizon, float] = {"hour": 1.0, "day": 24.0, "month": 730.0}


class Cell(NamedTuple):
    """One term of one row in whole cents: what it costs, and what of it could be won back."""

    cost: int
    low: int = 0
    high: int = 0


def cells(
    rows: Sequence[LadderRow], known: Sequence[tuple[Recoverable, ...]], horizon: Horizon = "hour"
) -> list[dict[str, Cell]]:
    """Term -> cell of each row, in order; empty for a row without a price.

    known: what could be won back of each row. A row whose terms do not sum to its price, which only a damaged
    document has, is rounded term by term.
    """
    hours = HOURS[horizon]
    carried, low, high = (dict.fromkeys(TERMS, 0.0) for _ in range(3))
    found: list[dict[str, Cell]] = []
    for row, entries, price in zip(rows, known, _prices(rows, hours), strict=True):
        costs = _row(row, price, hours, carried)
        won = {entry.term: entry for entry in entries}
        found.append(
            {term: _cell(cost, won.get(term), hours, (low, high), row) for term, cost in costs.items()}
        )
    return found


def _prices(rows: Sequence[LadderRow], hours: float) -> list[int]:
    """Each row's price in cents; over the rows they sum to the node's."""
    exact = [_exact(row.price_usd_h, hours) if row.terms is not None else 0.0 for row in rows]
    gpus = list(dict.fromkeys(row.gpu for row in rows))
    by_gpu = [math.fsum(e for e, row in zip(exact, rows, strict=True) if row.gpu == gpu) for gpu in gpus]
    prices = [0] * len(rows)
    for gpu, cents in zip(gpus, divide(by_gpu, round(math.fsum(by_gpu))), strict=True):
        places = [i for i, row in enumerate(rows) if row.gpu == gpu]
        for i, part in zip(places, divide([exact[i] for i in places], cents), strict=True):
            prices[i] = part
    return prices


def _exact(usd_h: float | None, hours: float) -> float:
    """Cents as they are; what is no price at all counts as none."""
    return usd_h * hours * 100.0 if usd_h is not None and math.isfinite(usd_h) and usd_h > 0.0 else 0.0


def _row(row: LadderRow, price: int, hours: float, carried: dict[str, float]) -> dict[str, int]:
    """One row's terms in cents. carried: term -> what earlier rows got too little of it."""
    if row.price_usd_h is None or row.terms is None:
        return {}
    exact = [row.terms.get(term, 0.0) for term in TERMS]
    if not _sound(exact, row.price_usd_h):
        return {term: _by_itself(value, hours) for term, value in zip(TERMS, exact, strict=True)}
    given = divide(exact, price, [carried[term] for term in TERMS])
    for term, value, cents in zip(TERMS, exact, given, strict=True):
        carried[term] += value * hours * 100.0 - cents
    return dict(zip(TERMS, given, strict=True))


def _sound(terms: Sequence[float], price: float) -> bool:
    """Whether the terms are parts of the price."""
    fine = all(math.isfinite(value) and value >= 0.0 for value in (*terms, price))
    return fine and math.isclose(math.fsum(terms), price, rel_tol=1e-6, abs_tol=1e-6)


def _by_itself(usd_h: float, hours: float) -> int:
    value = usd_h * hours * 100.0
    return round(value) if math.isfinite(value) else 0


def _cell(
    cost: int,
    won: Recoverable | None,
    hours: float,
    carry: tuple[dict[str, float], dict[str, float]],
    row: LadderRow,
) -> Cell:
    """The cell with what could be won back, in cents that never exceed it; rounding is carried on, too.

    What is the whole term is shown as the term is, however that was rounded.
    """
    if won is None or cost <= 0:
        return Cell(cost)
    whole = (row.terms or {}).get(won.term, 0.0)
    most = cost if same(won.usd_h_high, whole) else _carried(won.usd_h_high, hours, carry[1], won.term, cost)
    if same(won.usd_h_low, won.usd_h_high):
        return Cell(cost, most, most)
    return Cell(cost, _carried(won.usd_h_low, hours, carry[0], won.term, most), most)


def same(usd_h: float | None, other: float | None) -> bool:
    """Whether two amounts are one and the same but for floating point."""
    return usd_h is not None and other is not None and math.isclose(usd_h, other, rel_tol=1e-9, abs_tol=1e-12)


def _carried(usd_h: float | None, hours: float, carry: dict[str, float], term: str, most: int) -> int:
    value = (usd_h or 0.0) * hours * 100.0
    if not math.isfinite(value):
        return 0
    given = min(most, max(0, round(value + carry[term])))
    carry[term] = max(-0.5, min(0.5, carry[term] + value - given))
    return given

"""Whether the money of a document that was read adds up, so that no two commands show different dollars.

Times of traces have to add up as well (`advisor.reports.trace_sound`).

The ladder is where a document's price stands. What else names one (the totals, what the verdict was reached
from) must say the same, so that no command works with another price than the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from advisor.document import Diagnosis
from advisor.reports.errors import DocumentError
from advisor.reports.escape import terminal
from advisor.reports.trace_sound import wrong_times
from rules.finding import Finding, LadderRow

# The most that a flag or a setting may give for an hour of one GPU.
MOST_USD_H = 10_000.0
# Sums may be off by floating point, and by figures that were written with six digits.
_CLOSE = 1e-6

_FIX = "check who changed it, and write it again with `advisor diagnose --format json -o FILE`"


def refuse_unsound_money(document: Diagnosis) -> None:
    """Raises DocumentError for the first amount that cannot be, named by its path in the document."""
    for wrong in _wrong(document):
        raise DocumentError(f"not a valid diagnosis: {terminal(wrong)}", _FIX)


def _wrong(document: Diagnosis) -> Iterator[str]:
    for i, row in enumerate(document.ladder):
        yield from _row(row, f"$.ladder[{i}]")
    prices = {row.key: row.price_usd_h for row in document.ladder}
    for i, found in enumerate(document.findings):
        yield from _finding(found, prices, f"$.findings[{i}]")
    yield from _totals(document)
    yield from _observed(document)
    if document.trace is not None:
        yield from wrong_times(document.trace)


def _row(row: LadderRow, at: str) -> Iterator[str]:
    if row.price_usd_h is not None:
        yield from _amount(row.price_usd_h, f"{at}.price_usd_h")
    for term, share in row.shares.items():
        if not 0.0 <= share <= 1.0 + _CLOSE:
            yield f"{share:g} is no share of time: at `{at}.shares.{term}`"
    if row.terms is None:
        return
    for term, usd_h in row.terms.items():
        yield from _amount(usd_h, f"{at}.terms.{term}")
    whole = math.fsum(row.terms.values())
    if row.price_usd_h is not None and not _near(whole, row.price_usd_h):
        yield f"the terms sum to {whole:g}, the price is {row.price_usd_h:g}: at `{at}.terms`"


def _amount(usd_h: float, at: str) -> Iterator[str]:
    if not math.isfinite(usd_h) or usd_h < -_CLOSE or usd_h > MOST_USD_H:
        yield f"{usd_h:g} dollars an hour is not within 0 to {MOST_USD_H:,.0f}: at `{at}`"


def _finding(found: Finding, prices: dict[str, float | None], at: str) -> Iterator[str]:
    if found.usd_h is None:
        return
    price = prices.get(found.key)
    most = MOST_USD_H if price is None else price
    if not math.isfinite(found.usd_h) or found.usd_h < 0.0:
        yield f"{found.usd_h:g} dollars an hour cannot be recoverable: at `{at}.usd_h`"
    if found.usd_h > most and not _near(found.usd_h, most):
        yield f"{found.usd_h:g} dollars an hour is more than the {most:g} paid: at `{at}.usd_h`"


def _totals(document: Diagnosis) -> Iterator[str]:
    told = document.totals.price_usd_h
    prices = [row.price_usd_h for row in document.ladder if row.price_usd_h is not None and row.terms]
    if told is not None and not _near(told, math.fsum(prices)):
        yield f"it is {told:g}, the ladder's prices sum to {math.fsum(prices):g}: at `$.totals.price_usd_h`"


def _observed(document: Diagnosis) -> Iterator[str]:
    """What-ifs take a row's price from the ladder; what it was made from has to be that price."""
    rows = {row.key: row for row in document.ladder}
    for i, seen in enumerate(document.observed):
        row = rows.get(seen.key)
        if row is None or row.price_usd_h is None or seen.price.usd_h is None:
            continue
        if not _near(seen.price.usd_h * row.part, row.price_usd_h):
            said = f"{seen.price.usd_h:g} a GPU, the ladder says {row.price_usd_h / (row.part or 1.0):g}"
            yield f"{said}: at `$.observed[{i}].price.usd_h`"


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)

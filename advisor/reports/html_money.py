"""The top of a page, for whoever pays: what it costs, wastes, what is recoverable, and what to do first."""

from __future__ import annotations

import msgspec

from advisor.bills import Amount, statement
from advisor.document import Diagnosis
from advisor.reports.bills import share_span, total
from advisor.reports.common import SENTENCE, Style, ranked, row_name
from advisor.reports.figures import SMALL_USD, percent, usd, usd_of
from advisor.reports.findings import is_small_print, worth
from advisor.reports.ladders import is_well_spent
from rules.finding import Finding

# From this part of the price on, what is wasted is shown as bad.
_MUCH = 0.1
_MONTH = "a month of 730 h"


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One figure at the top. mood: a class of the style sheet."""

    name: str
    figure: str
    note: str
    mood: str = ""


class First(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing to do, and the finding that asks for it."""

    code: str
    title: str
    place: str
    action: str
    stake: str


def cards(diagnosis: Diagnosis) -> list[Card]:
    """Price, what is wasted and what of that is recoverable; in shares where there is no price."""
    hour, month = statement(diagnosis), statement(diagnosis, "month")
    if hour is None or month is None:
        return []
    if hour.node.price is None:
        return _shares(hour.node)
    return [_price(hour.node, month.node), _wasted(hour.node, month.node), _won(hour.node, month.node)]


def _shares(node: Amount) -> list[Card]:
    low, high = node.won_back_share
    return [
        Card(
            name="of paid time wasted",
            figure=percent(node.wasted_share),
            note="no price is known, so no dollars are named",
            mood=_mood(node),
        ),
        Card(
            name="of paid time recoverable",
            figure=share_span(low, high),
            note=_KNOWN if high else _NOT_KNOWN,
            mood="good",
        ),
    ]


_KNOWN = "by the fixes named below"
_NOT_KNOWN = "no fix named below is known to recover any"


def _price(hour: Amount, month: Amount) -> Card:
    return Card(
        name="costs",
        figure=f"{_hourly(hour, hour.price, hour.bill.price_usd_h)}/h",
        note=f"{_round(month.price)} {_MONTH}",
    )


def _wasted(hour: Amount, month: Amount) -> Card:
    wasted = _hourly(hour, hour.wasted, hour.bill.wasted_usd_h)
    note = f"{_round(month.wasted)} a month; {percent(hour.wasted_share)} of what is paid"
    return Card(name="wasted", figure=f"{wasted}/h", note=note, mood=_mood(hour))


def _won(hour: Amount, month: Amount) -> Card:
    monthly, found = month.won_back or (0, 0), total(hour)
    note = f"{_round_span(*monthly)} a month, {_KNOWN}" if found else _NOT_KNOWN
    return Card(name="recoverable", figure=f"{found or usd(0.0)}/h", note=note, mood="good")


def _mood(node: Amount) -> str:
    return "bad" if node.wasted_share >= _MUCH else ""


def _hourly(hour: Amount, cents: int | None, exact: float | None) -> str:
    """Cents of an hour, or more digits of a bill that has hardly any."""
    price = hour.bill.price_usd_h or 0.0
    return usd_of(exact or 0.0, price) if price < SMALL_USD else usd((cents or 0) / 100)


def _round(cents: int | None) -> str:
    """A month's dollars, without cents where there are many."""
    dollars = (cents or 0) / 100
    return f"${dollars:,.0f}" if dollars >= 100 else usd(dollars)


def _round_span(low: int, high: int) -> str:
    if low == high:
        return _round(high)
    return f"{_round(low)} to {_round(high)}" if low else f"up to {_round(high)}"


def first(diagnosis: Diagnosis, style: Style) -> First | None:
    """What to do first: of the most urgent finding that says what to do."""
    found = next((f for f in ranked(diagnosis.findings) if _is_worth_doing(f, diagnosis)), None)
    if found is None:
        return None
    return First(
        code=style.text(found.code, 40),
        title=style.text(found.title, 160),
        place=row_name(found.gpu, found.mig, style),
        action=style.prose(found.actions[0], SENTENCE),
        stake=worth(found, diagnosis),
    )


def _is_worth_doing(finding: Finding, diagnosis: Diagnosis) -> bool:
    if not finding.actions or is_small_print(finding, diagnosis):
        return False
    return finding.severity == "critical" or not is_well_spent(finding)

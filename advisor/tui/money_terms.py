"""Where the node's money goes, a line a term, with who could recover how much of it and why."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.bills import Amount
from advisor.tui import format as fmt
from advisor.tui.charts.share_bar import apportion
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import TERM_GROUP
from advisor.tui.rows import Row, Span, left, right, wrap
from advisor.tui.text import safe
from rules.finding import TERMS
from rules.ladder import NOT_WASTED, TERM_WORDS
from rules.recover import Recoverable

WHO: dict[str, str] = {"job": "job owner", "fleet": "fleet"}
NOT_KNOWN = "not known"
WORDS = 18
WHO_WIDTH = 10
LEAST_BAR = 8
MOST_BAR = 60


def term_rows(node: Amount, width: int, glyphs: Glyphs, *, reasons: bool) -> list[Row]:
    """Term, dollars, share, recoverable, who; then a bar, or with `reasons` the reason below each."""
    costs = node.costs or {}
    terms = [term for term in TERMS if costs.get(term)]
    won = [len(_won(node, term)) for term in terms] + [len(_range(*(node.won_back or (0, 0))))]
    size = max(len(_usd(node.price or 0)), 7, max(won) - 2)
    head = left("", WORDS) + right("dollars", size) + right("share", 7) + right("recoverable", size + 4)
    rows: list[Row] = [(Span(f"{head}  who", "dim"),)]
    room = min(MOST_BAR, width - len(head) - 2 - WHO_WIDTH)
    bars = apportion({term: node.bill.shares[term] for term in terms}, max(0, room))
    for term in terms:
        line = _line(node, term, size)
        bar = (
            Span(glyphs.full * bars[term], TERM_GROUP[term])
            if room >= LEAST_BAR and not reasons
            else Span("")
        )
        rows += [(*line, bar), *(_reasons(node, term, width) if reasons else [])]
    return [*rows, *_totals(node, size)]


def _line(node: Amount, term: str, size: int) -> Row:
    costs = (node.costs or {})[term]
    entries = _entries(node, term)
    who = ", ".join(dict.fromkeys(WHO[entry.owner] for entry in entries))
    return (
        Span(left(TERM_WORDS[term], WORDS), TERM_GROUP[term]),
        Span(right(_usd(costs), size)),
        Span(right(fmt.percent(node.bill.shares[term]), 7), "dim"),
        Span(right(_won(node, term), size + 4), "good" if node.high.get(term) else "dim"),
        Span(f"  {left(who, WHO_WIDTH)}", "dim"),
    )


def _totals(node: Amount, size: int) -> list[Row]:
    """What is wasted of it all, and all of it."""
    low, high = node.won_back or (0, 0)
    wasted, price = node.wasted or 0, node.price or 0
    won = _range(low, high) if high else fmt.NONE
    return [
        (
            Span(left("wasted", WORDS), "strong"),
            Span(right(_usd(wasted), size), "money strong"),
            Span(right(fmt.percent(node.wasted_share), 7), "dim"),
            Span(right(won, size + 4), "good strong"),
        ),
        (
            Span(left("price", WORDS), "strong"),
            Span(right(_usd(price), size), "strong"),
            Span(right("100 %", 7), "dim"),
        ),
    ]


def _entries(node: Amount, term: str) -> Sequence[Recoverable]:
    """Those for which something is known; all where nothing is."""
    mine = [entry for entry in node.bill.recoverable if entry.term == term]
    return [entry for entry in mine if entry.basis != "none"] or mine


def _won(node: Amount, term: str) -> str:
    if term in NOT_WASTED:
        return ""
    if all(entry.basis == "none" for entry in _entries(node, term)):
        return NOT_KNOWN
    return _range(node.low[term], node.high[term])


def _range(low: int, high: int) -> str:
    return _usd(high) if low == high else f"{_usd(low)}–{_usd(high)}"


def _usd(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _reasons(node: Amount, term: str, width: int) -> list[Row]:
    said = "; ".join(dict.fromkeys(safe(entry.because) for entry in _entries(node, term)))
    return [(Span(f"  {line}", "dim"),) for line in wrap(said, width - 2)] if said else []

"""The ladder a report shows: its sums, what explains a term, and whose price it is."""

from __future__ import annotations

import pytest

from advisor.bills import statement
from advisor.reports.common import Style
from advisor.reports.escape import terminal
from advisor.reports.figures import usd
from advisor.reports.ladders import ladder, shown_least, shown_usd
from rules.finding import TERMS, LadderRow, Price
from rules.ladder import priced_row
from tests.factories import (
    fill,
    make_diagnosis,
    make_effect,
    make_finding,
    make_ladder,
    make_verdict,
)

STYLE = Style(terminal, terminal)


def where(code: str, term: str) -> str:
    """The words beside `term` in a ladder in which every term has a part, and one finding."""
    shares = {name: 1 / len(TERMS) for name in TERMS}
    row = make_ladder(price_usd_h=8.0, shares=shares, terms=dict.fromkeys(TERMS, 1.0))
    table = ladder(make_diagnosis(ladder=(row,), findings=[make_finding(code)]), STYLE)
    return next(line.where for line in table.lines if line.term == term)


@pytest.mark.parametrize(
    ("code", "term"),
    [
        ("IDLE001", "free"),
        ("IDLE002", "idle_held"),
        ("HOST007", "host_gap"),
        ("COMM001", "communication"),
        ("DEV003", "throttle"),
        ("DEV001", "inefficiency"),
        ("MEM002", "inefficiency"),
        ("COMP001", "inefficiency"),
    ],
)
def test_a_finding_stands_beside_the_term_it_explains(code: str, term: str) -> None:
    assert code in where(code, term)
    assert all(code not in where(code, other) for other in TERMS if other != term)


@pytest.mark.parametrize("code", ["DEV006", "XYZ001", ""])
def test_other_findings_explain_no_term(code: str) -> None:
    assert all(not code or code not in where(code, term) for term in TERMS)


def test_a_finding_that_is_a_whole_term_shows_its_cents() -> None:
    """Three equal thirds of a dollar are 34, 33 and 33 cents in the table; each alone would round to 33."""
    thirds = dict.fromkeys(TERMS, 0.0) | {"host_gap": 1 / 3, "throttle": 1 / 3, "useful": 1 / 3}
    row = make_ladder(price_usd_h=1.0, shares=thirds, terms=thirds)
    finding = make_finding(usd_h=1 / 3)
    diagnosis = make_diagnosis(ladder=(row,), findings=[finding])
    line = next(line for line in ladder(diagnosis, STYLE).lines if line.term == "host_gap")
    assert line.usd == usd(shown_usd(finding, diagnosis) or 0.0) == "$0.34"
    part = make_finding(usd_h=0.25)
    assert shown_usd(part, diagnosis) == 0.25
    elsewhere = make_finding(usd_h=1 / 3, gpu=1)
    assert shown_usd(elsewhere, diagnosis) == 1 / 3


def test_a_node_names_where_each_term_comes_from() -> None:
    table = ladder(make_diagnosis("host", "memory", "idle"), STYLE)
    said = {line.term: line.where for line in table.lines}
    assert said["host_gap"] == "host gap (GPU 0 $2.62, GPU 1 $0.61): HOST003"
    assert said["idle_held"].endswith("(GPU 2 $6.88)")
    assert table.price_usd_h == 20.64


def test_many_places_are_counted() -> None:
    table = ladder(make_diagnosis(*(["idle"] * 8), findings=[]), STYLE)  # type: ignore[arg-type]
    assert table.lines[0].where.endswith("(GPU 0 $6.88, GPU 1 $6.88, GPU 2 $6.88, 5 more)")


def test_shares_of_a_node_are_weighted_by_price() -> None:
    verdicts = [make_verdict("idle", gpu=0), make_verdict("compute", gpu=1)]
    rows = (make_ladder(verdicts[0], price_usd_h=9.0), make_ladder(verdicts[1], price_usd_h=1.0))
    table = ladder(make_diagnosis(verdicts=verdicts, ladder=rows), STYLE)
    assert next(line.share for line in table.lines if line.term == "idle_held") == "90 %"


@pytest.mark.parametrize(
    ("basis", "source", "shown"),
    [
        ("user", "", "price (user)"),
        ("config", "contract", "price (config): contract"),
        ("bundled", "bundled table: example", "price: bundled table: example"),
    ],
)
def test_whose_price_it_is(basis: str, source: str, shown: str) -> None:
    row = make_ladder(basis=basis, price_source=source)
    assert ladder(make_diagnosis(ladder=(row,)), STYLE).price == shown


def priced(price: float, **shares: float) -> LadderRow:
    """One row at a price."""
    whose = Price(usd_h=price, basis="user", source="made up")
    return priced_row("g", 0, None, fill(TERMS, shares), whose, 1.0)


def test_equal_shares_show_equal_percents_whatever_the_price() -> None:
    for price in (0.001, 0.04, 2.95, 15.19):
        row = priced(price, free=0.125, idle_held=0.125, useful=0.75)
        shares = [line.share for line in ladder(make_diagnosis(ladder=(row,)), STYLE).lines]
        assert shares == ["12 %", "12 %", "75 %"]


@pytest.mark.parametrize(
    ("price", "shown"), [(0.001, "$0.00041"), (0.01, "$0.0041"), (0.04, "$0.0164"), (1.0, "$0.41")]
)
def test_a_bill_of_hardly_any_cents_has_more_digits(price: float, shown: str) -> None:
    table = ladder(make_diagnosis(ladder=(priced(price, host_gap=0.41, useful=0.59),), findings=[]), STYLE)
    assert table.lines[0].usd == table.usd(table.wasted_usd_h) == shown.ljust(len(table.usd(price)), "0")


def test_a_finding_shows_the_cents_of_what_is_recoverable_of_its_term() -> None:
    """0.1844 of a dollar, whose term is not all of it: the bill and the finding round it as one."""
    row = priced(1.0, host_gap=0.4, useful=0.6)
    finding = make_finding(key="g", effect=make_effect(1.1, 1.3), recoverable=0.1844, usd_h=0.1844)
    document = make_diagnosis(ladder=(row,), findings=[finding])
    made = statement(document)
    assert made is not None and shown_usd(finding, document) == made.node.high["host_gap"] / 100
    assert shown_least(finding, document) == made.node.low["host_gap"] / 100

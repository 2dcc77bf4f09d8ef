"""What a report says where part of the busy time has no known roof: waste is a lower bound, not the fact."""

from __future__ import annotations

import msgspec
import pytest

from advisor.document import Diagnosis
from advisor.reports.text import render_text
from rules.ladder import in_dollars
from tests.factories import make_diagnosis


def unroofed(price: bool) -> Diagnosis:
    """A busy device of which 90 % of the time is of unknown use."""
    d = make_diagnosis("compute")
    (verdict,), (row,) = d.verdicts, d.ladder
    shares = dict.fromkeys(row.shares, 0.0) | {"host_gap": 0.1, "unknown": 0.9}
    terms = in_dollars(shares, row.price_usd_h) if price and row.price_usd_h else None
    row = msgspec.structs.replace(
        row, shares=shares, terms=terms, price_usd_h=row.price_usd_h if price else None
    )
    verdict = msgspec.structs.replace(verdict, unroofed_frac=0.9, unknown_because=("something else",))
    return msgspec.structs.replace(d, verdicts=(verdict,), ladder=(row,), findings=())


@pytest.mark.parametrize("price", [True, False])
def test_what_is_wasted_is_at_least_that(price: bool) -> None:
    text = " ".join(render_text(unroofed(price), 120, color=False).split())
    assert ("At least $" if price else "At least 10 % of the paid time is wasted") in text
    assert "unknown: it was busy, and how near its kernels came to a roof is not known" in text
    assert "No rule saw a cost worth naming in what is known" in text


def test_where_all_roofs_are_known_the_figure_is_the_fact() -> None:
    assert "least" not in render_text(make_diagnosis("compute"), 120, color=False).split("\n\n")[0]

"""Documents whose dollars cannot be, or contradict each other, are refused when they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from advisor.reports.errors import DocumentError
from advisor.reports.json import decode, encode
from tests.factories import make_diagnosis, make_effect, make_finding

Change = Callable[[dict[str, Any]], None]


def changed(change: Change) -> bytes:
    """A sound document after a change by hand."""
    finding = make_finding(effect=make_effect(1.2, 1.5), usd_h=2.29)
    document = json.loads(encode(make_diagnosis("host", findings=(finding,))))
    change(document)
    return json.dumps(document).encode()


def price(usd_h: float) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["ladder"][0]["price_usd_h"] = usd_h

    return change


def term(name: str, usd_h: float) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["ladder"][0]["terms"][name] = usd_h

    return change


def stake(usd_h: float) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["findings"][0]["usd_h"] = usd_h

    return change


def total(document: dict[str, Any]) -> None:
    document["totals"]["price_usd_h"] = 3.0


def share(document: dict[str, Any]) -> None:
    document["ladder"][0]["shares"]["useful"] = 1.5


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (price(1e308), "$.ladder[0].price_usd_h"),
        (price(10_001.0), "$.ladder[0].price_usd_h"),
        (price(-5.0), "$.ladder[0].price_usd_h"),
        (price(3.0), "$.ladder[0].terms"),
        (term("useful", -1.0), "$.ladder[0].terms.useful"),
        (term("useful", 6.0), "$.ladder[0].terms"),
        (stake(999.0), "$.findings[0].usd_h"),
        (stake(-1.0), "$.findings[0].usd_h"),
        (total, "$.totals.price_usd_h"),
        (share, "$.ladder[0].shares.useful"),
    ],
)
def test_dollars_that_cannot_be_are_refused_by_name(change: Change, at: str) -> None:
    with pytest.raises(DocumentError) as refused:
        decode(changed(change))
    assert f"at `{at}`" in str(refused.value)


def test_dollars_that_add_up_are_read() -> None:
    assert decode(changed(price(6.88))).ladder[0].price_usd_h == 6.88


def test_a_hostile_name_of_a_term_moves_no_terminal() -> None:
    with pytest.raises(DocumentError) as refused:
        decode(changed(term("\x1b[31m", -1.0)))
    assert "\x1b" not in str(refused.value)

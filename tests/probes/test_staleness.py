"""When stored figures no longer hold."""

from __future__ import annotations

from typing import Any

import pytest

from probes import METHOD_VERSION
from probes.staleness import OLD_S, same_limit, stale
from tests.probes.reports import DAY_S, T0_S, full

NOW: dict[str, Any] = {"driver": "580.95.05", "power_limit_w": 700.0, "ecc": True, "now_s": T0_S + DAY_S}


def test_the_same_card_is_not_stale() -> None:
    assert stale(full(), **NOW) is None
    assert stale(full()) is None, "what is unknown is not compared"
    assert stale(full(), **{**NOW, "power_limit_w": 700.004}) is None


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"driver": "590.1"}, "driver 580.95.05, now it is 590.1"),
        ({"power_limit_w": 500.0}, "power limit of 700 W, now it is 500 W"),
        ({"ecc": False}, "ECC on, now it is off"),
        ({"mig_profile": "1g.10gb"}, "a whole GPU, now it is 1g.10gb"),
        ({"now_s": T0_S + OLD_S + DAY_S}, "91 days ago"),
        ({"now_s": T0_S - 2 * DAY_S}, "yet to come"),
    ],
)
def test_what_changed_is_said(now: dict[str, Any], said: str) -> None:
    assert said in (stale(full(), **{**NOW, **now}) or "")


def test_another_method_is_stale_before_anything_else() -> None:
    other = full(method_version=METHOD_VERSION + 1)
    assert f"method {METHOD_VERSION + 1}" in (stale(other, **{**NOW, "driver": "1"}) or "")


def test_an_unknown_limit_is_no_other() -> None:
    assert same_limit(None, 700.0)
    assert same_limit(700.0, None)
    assert same_limit(0.0, 700.0)
    assert same_limit(700.0, float("nan"))
    assert same_limit(700.0, 693.5)
    assert not same_limit(700.0, 690.0)

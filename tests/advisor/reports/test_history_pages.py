"""The history as text: within the width, escaped, and saying what else changed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.keeping.records import DeviceTrends, KeptDiagnosis, KeptFigure
from advisor.keeping.trends import device_trends
from advisor.reports.history import list_pages, metric_pages, trend_pages
from advisor.reports.probe_pages import TERMINAL, as_text
from advisor.reports.probes import Page
from advisor.reports.sparks import ASCII_BARS, BARS, spark
from rules.trend import Setting, Take, ceiling_trend, plain_trend

DAY_S = 86400.0
T0_S = 1_790_000_000.0
HOSTILE = "evil\x1b[31m\n‮name" + "x" * 90


def row(number: int = 1, **changes: Any) -> KeptDiagnosis:
    """A diagnosis of an invented card."""
    made = KeptDiagnosis(
        id=number,
        t_s=T0_S + number * DAY_S,
        source="live",
        synthetic=False,
        host="host-1",
        driver_version="580.1",
        key="GPU-00000000-0000-4000-8000-000000000000",
        gpu=0,
        mig=None,
        name="Simulated X100 80GB",
        model=None,
        class_="communication",
        cause="interconnect-of-a-long-name",
        confidence=0.9,
        shares={},
        useful_frac=0.35,
        wasted_frac=0.65,
        wasted_usd_h=1234.5,
        price_usd_h=1900.0,
        price_basis="user",
        power_w_p50=291.0,
        power_w_p90=None,
        power_limit_w=700.0,
        sm_mhz_p50=1755.0,
        ceilings_label="measured",
    )
    return msgspec.structs.replace(made, **changes)


def device(*values: float, driver_change: bool = False) -> DeviceTrends:
    """An invented card whose GEMM had these figures, a day each."""
    takes = [
        Take(
            t_s=T0_S + i * DAY_S,
            value=v,
            setting=Setting(driver="570" if driver_change and i < 2 else "580", power_limit_w=700.0),
            sm_mhz=1740.0 if v > 6.5e14 else 1400.0,
        )
        for i, v in enumerate(values)
    ]
    trend = ceiling_trend("bf16", "flop_s", takes)
    shown = plain_trend("useful", "frac", [(T0_S + i, 0.5) for i in range(4)], True)
    assert trend is not None and shown is not None
    return DeviceTrends(
        key="GPU-1",
        gpu=0,
        mig=None,
        name=HOSTILE,
        diagnoses=4,
        probe_runs=len(values),
        t_start_s=T0_S,
        t_end_s=T0_S + DAY_S,
        ceilings=(trend,),
        workloads=(shown,),
    )


def drawn(pages: list[Page], width: int = 80, *, unicode: bool = True) -> str:
    text = as_text(pages, (), width=width, color=False, unicode=unicode)
    assert "\x1b" not in text
    assert "\u202e" not in text
    return text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_lines_fit_and_hostile_names_do_no_harm(width: int) -> None:
    rows = [row(i, name=HOSTILE, cause=HOSTILE if i == 3 else "input-pipeline") for i in (12345, 3, 1)]
    text = drawn(list_pages(rows, (), TERMINAL), width)
    assert max(map(len, text.splitlines())) <= width
    assert "$1,234.50/h" in text
    assert "12345  " in text


def test_where_figures_come_from_is_said_once_or_by_line() -> None:
    alike = drawn(list_pages([row(2, synthetic=True), row(1, synthetic=True)], (), TERMINAL))
    assert alike.count("no GPU produced these figures") == 1
    mixed = drawn(list_pages([row(2, source="replay"), row(1)], (), TERMINAL))
    assert mixed.count("from a recording") == 1


def test_dollars_name_their_price_and_say_when_it_changed() -> None:
    alike = drawn(list_pages([row(2), row(1)], (), TERMINAL))
    assert alike.count("$1,900.00/h (user)") == 1
    assert "changed" not in alike
    bare = row(3, price_usd_h=None, price_basis=None, wasted_usd_h=None)
    assert "1 diagnosis without a price" in drawn(list_pages([bare, row(1)], (), TERMINAL))
    assert "Price" not in drawn(list_pages([bare], (), TERMINAL))
    other = row(2, price_usd_h=6.88, price_basis="bundled", wasted_usd_h=2.5)
    for pages in (
        list_pages([other, row(1)], (), TERMINAL),
        metric_pages([other, row(1)], (), "wasted_usd_h", TERMINAL),
    ):
        lines = drawn(pages).splitlines()
        assert max(map(len, lines)) <= 80
        assert sum("$2.50/h" in line and "$6.88/h (bundled)" in line for line in lines) == 1
        assert sum("$1,234.50/h" in line and "$1,900.00/h (user)" in line for line in lines) == 1
    changed = drawn(list_pages([other, row(1)], (), TERMINAL))
    assert "changed between these diagnoses: compare shares, not dollars" in changed
    hostile = drawn(list_pages([row(2, price_basis=HOSTILE), row(1)], (), TERMINAL))
    assert "evil" in hostile


def test_a_trend_of_dollars_is_within_one_price() -> None:
    def told(*rows: KeptDiagnosis) -> str:
        return " ".join(drawn(trend_pages(device_trends(rows, ()), TERMINAL)).split())

    new = row(3, price_usd_h=6.0, price_basis="environment", wasted_usd_h=0.12)
    before = row(2, price_usd_h=1.0, wasted_usd_h=0.02), row(1, price_usd_h=1.0, wasted_usd_h=0.02)
    said = told(new, *before)
    assert "wasted $0.12/h price changed" in said
    assert "dollars are at $6.00/h (environment)" in said
    assert "2 other diagnoses at $1.00/h, as the price changed; shares compare" in said
    assert "wasted share 65 % 65 %" in said
    (again,) = device_trends([row(4, price_usd_h=6.0, wasted_usd_h=0.24), new, *before], ())
    (dollars,) = [trend for trend in again.workloads if trend.metric == "wasted_usd_h"]
    assert (dollars.values, dollars.change_frac) == ((0.12, 0.24), 1.0)
    assert (again.price_usd_h, again.price_basis, again.other_prices) == (6.0, "user", (1.0, 1.0))
    same = told(row(2), row(1))
    assert "Left out" not in same
    assert "price changed" not in same


@pytest.mark.parametrize(
    ("synthetic", "said"),
    [
        ((True, True), "synthetic: no GPU produced these figures"),
        ((True, False), "1 of the diagnoses synthetic"),
    ],
)
def test_what_is_synthetic_is_counted(synthetic: tuple[bool, bool], said: str) -> None:
    rows = [row(i, synthetic=made) for i, made in enumerate(synthetic, 1)]
    assert said in " ".join(drawn(trend_pages(device_trends(rows, ()), TERMINAL)).split())


def test_unknown_figures_are_empty_and_never_zero() -> None:
    bare = row(useful_frac=None, wasted_frac=None, wasted_usd_h=None)
    text = drawn(list_pages([bare], (), TERMINAL))
    assert "$0" not in text and "0 %" not in text
    assert "unknown" in drawn(metric_pages([bare], (), "power_w_p90", TERMINAL))


def test_a_device_that_was_only_probed_is_named() -> None:
    values: dict[str, Any] = dict.fromkeys(KeptFigure.__struct_fields__)
    values |= {"t_s": T0_S, "key": "GPU-9", "gpu": 3, "name": "X100", "kind": "cuda", "mode": "default"}
    values |= {"method_version": 1, "versions": {}, "contended": False, "throttle_reasons": ()}
    values |= {"metric": "bf16", "unit": "flop_s", "value": 7e14, "held": True}
    figure = KeptFigure(**{**values, "valid": "degraded", "label": "measured"})
    text = drawn(list_pages([row()], [figure], TERMINAL))
    assert "GPU 3 X100, GPU-9" in text and "no diagnosis, 1 probe run kept" in text
    assert "700 TFLOP/s" in drawn(metric_pages((), [figure], "bf16", TERMINAL))
    assert metric_pages((), [figure], "fp16", TERMINAL) == []


def test_a_fall_says_since_when_and_what_else_changed() -> None:
    text = " ".join(drawn(trend_pages([device(7e14, 7e14, 7e14, 6e14)], TERMINAL)).split())
    assert "DEGRADED since 2026-09-24 (1 run, last good 2026-09-23)" in text
    assert "bf16 GEMM 600 TFLOP/s is 86 % of the 700 TFLOP/s" in text
    assert "power limit and method were the same" in text
    assert "SM clock 1740 MHz before, 1400 MHz since" in text
    assert "measure again with advisor probe tensor" in text
    assert "SEVERELY" in drawn(trend_pages([device(7e14, 7e14, 3e14)], TERMINAL))


def test_a_change_of_driver_is_not_blamed_on_the_card() -> None:
    page = trend_pages([device(7e14, 7e14, 6e14, 6e14, driver_change=True)], TERMINAL)
    text = " ".join(drawn(page).split())
    assert "DEGRADED" not in text
    assert "2 earlier runs: driver 570 then, 580 now" in text
    assert "bf16 GEMM -14 %" in text
    assert "none fell below this card's own past" in text


def test_ascii_alone_where_nothing_else_can_be_shown() -> None:
    pages = trend_pages([device(7e14, 7e14, 6e14)], TERMINAL, unicode=False)
    assert drawn(pages, unicode=False).replace("°", "").isascii()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=80), st.integers(1, 40))
def test_sparks_are_as_wide_as_they_may_be(values: list[float], width: int) -> None:
    known = [v for v in values if math.isfinite(v)]
    for bars, unicode in ((BARS, True), (ASCII_BARS, False)):
        made = spark(values, width, unicode=unicode)
        assert len(made) == min(width, len(known))
        assert set(made) <= set(bars)


def test_sparks_show_falls_and_not_noise() -> None:
    assert spark([1.0, 1.01, 0.99], 9) in ("███", "▇█▇", "██▇", "▇██")
    assert spark([1.0, 1.0, 0.5], 9) == "██▁"
    assert spark([0.0, 0.0], 9) == "▁▁"
    assert spark([0.0, 1.0], 9) == "▁█"
    assert spark([0.02, 0.01], 9) == "█▁"
    assert spark([0.02, 0.01], 9, least=0.1) == "█▇"

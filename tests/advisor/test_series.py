"""A window cut into stretches: bounded, summing to one, and telling what the verdict tells."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.document import SERIES_POINTS
from advisor.monitor import Monitor, MonitorOptions
from advisor.series import time_series
from rules.evidence import SubWindow
from rules.split import total
from rules.verdict import SHARES
from tests.advisor.streams import device, frames, hello
from tests.rules.loads import window
from tests.rules.test_classify import one, windows


@settings(max_examples=60)
@given(st.lists(windows, min_size=1, max_size=300), st.integers(1, 40))
def test_any_window_is_cut_into_few_stretches_that_lose_no_second(ws: list[SubWindow], points: int) -> None:
    found = time_series([(w, one(w)) for w in ws], (), points)
    assert found is not None
    assert 1 <= len(found.t_s) <= points
    assert math.fsum(found.duration_s) == pytest.approx(math.fsum(w.duration_s for w in ws), abs=0.01)
    assert set(found.shares) == set(SHARES)
    for column in zip(*found.shares.values(), strict=True):
        assert math.fsum(column) == pytest.approx(1.0, abs=1e-3)
    assert all(0.0 <= share <= 1.0 for share in found.useful_frac)
    assert all(len(column) == len(found.t_s) for column in found.figures.values())


@settings(max_examples=60)
@given(st.lists(windows, min_size=1, max_size=200))
def test_the_stretches_sum_to_the_whole(ws: list[SubWindow]) -> None:
    """All but what moves between waiting and idle, which are told apart by runs across stretches."""
    pieces = [(w, one(w)) for w in ws]
    found, whole = time_series(pieces, (), 7), total([part for _, part in pieces])
    assert found is not None
    length = math.fsum(found.duration_s)
    for name in set(SHARES) - {"host", "idle_held"}:
        mean = math.fsum(s * d for s, d in zip(found.shares[name], found.duration_s, strict=True)) / length
        assert mean == pytest.approx(whole.shares[name], abs=0.01)


def test_a_long_silence_of_the_engine_is_idle_held_and_a_short_one_waits() -> None:
    loads = [0.0 if 100 <= i < 450 else float(i % 2) for i in range(500)]
    pieces = [(w, one(w)) for w in (window(gr_active=load, dram_active=0.8 * load) for load in loads)]
    found = time_series(pieces, (), 100)
    assert found is not None
    assert found.shares["idle_held"][50] == 1.0
    assert found.shares["idle_held"][5] == 0.0
    assert found.shares["host"][5] > 0.3


def test_nothing_seen_is_no_series() -> None:
    assert time_series((), ()) is None


def test_a_document_that_is_kept_carries_its_series_and_one_for_a_screen_does_not() -> None:
    made = Monitor(MonitorOptions(price_flag=4.0, env={}))
    made.feed(hello(device()))
    for frame in frames({"dram_active": 0.8}, 40, device()):
        made.feed(frame)
    kept = made.diagnosis()
    series = kept.observed[0].series
    assert series is not None
    assert 0 < len(series.t_s) <= SERIES_POINTS
    assert {"gr_active", "dram_active", "power_w"} <= set(series.figures)
    assert kept.observed[0].evidence.windows == ()
    assert kept.observed[0].price.usd_h == 4.0
    assert made.snapshot().diagnosis.observed == ()
    assert msgspec.json.decode(msgspec.json.encode(kept), type=type(kept)) == kept

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor import compaction
from advisor.compaction import Piece, Series, keep_first, merge_pieces, merge_windows
from advisor.monitor import Monitor, MonitorOptions
from rules.evidence import SubWindow
from rules.split import total
from tests.advisor.streams import device, frames, hello
from tests.rules.loads import window
from tests.rules.test_classify import one, windows


def series(ws: list[SubWindow]) -> Series[Piece]:
    kept: Series[Piece] = Series(merge_pieces)
    for w in ws:
        kept.append((w, one(w)))
    return kept


@settings(max_examples=60)
@given(st.lists(windows, min_size=1, max_size=200))
def test_any_series_is_bounded_and_loses_no_second(ws: list[SubWindow]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "FULL", 16)
        kept = series(ws)
    assert len(kept) <= 17
    parts = [part for _, part in kept]
    assert math.fsum(p.duration_s for p in parts) == pytest.approx(math.fsum(w.duration_s for w in ws))
    whole, merged = total([one(w) for w in ws]), total(parts)
    assert all(merged.shares[key] == pytest.approx(share, abs=1e-9) for key, share in whole.shares.items())
    assert merged.useful == pytest.approx(whole.useful, abs=1e-9)


def test_alternating_bursts_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved loader: quiet and busy in turn, the case in which equal neighbours never occur."""
    monkeypatch.setattr(compaction, "FULL", 64)
    ws = [window(gr_active=float(i % 2), dram_active=0.8 * (i % 2)) for i in range(5000)]
    kept = series(ws)
    assert len(kept) <= 65
    shares = total([part for _, part in kept]).shares
    assert shares["host"] == pytest.approx(0.5)
    assert shares["idle_held"] == 0.0


def test_long_quiet_runs_stay_idle_when_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FULL", 32)
    ws = [window(gr_active=0.0 if 100 <= i < 450 else 1.0, dram_active=0.8) for i in range(500)]
    assert total([part for _, part in series(ws)]).shares["idle_held"] == pytest.approx(0.7)


def test_every_part_of_a_thinned_run_weighs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FULL", 64)
    kept: Series[int] = Series(keep_first)
    for i in range(10_000):
        kept.append(i)
    items = list(kept)
    assert len(items) <= 65
    assert kept.latest == 9_999
    strides = {b - a for a, b in pairwise(items)}
    assert strides == {kept.stride}


def test_a_short_series_is_kept_as_it_is() -> None:
    kept: Series[int] = Series(keep_first)
    for i in range(20):
        kept.append(i)
    kept.drop(lambda i: i < 5)
    assert list(kept) == list(range(5, 20))


def test_means_are_by_time_and_unknown_stays_unknown() -> None:
    a = window(duration_s=1.0, dram_active=0.2, fp32=None)
    b = window(duration_s=3.0, dram_active=0.6, fp32=None)
    merged = merge_windows(a, b)
    assert merged.dram_active == pytest.approx(0.5)
    assert merged.fp32 is None


def test_a_long_run_is_whole_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory-bound for the first half, compute-bound for the second: both halves are in the verdict."""
    monkeypatch.setattr(compaction, "FULL", 64)
    monitor = Monitor(MonitorOptions(env={}, price_flag=1.0))
    monitor.feed(hello())
    for message in frames({"dram_active": 0.86}, 200):
        monitor.feed(message)
    for message in frames({"tensor_active": 0.75, "hmma": 0.75}, 200, start=201):
        monitor.feed(message)
    track = monitor.tracks[device().key]
    assert max(len(track.windows), len(track.samples), len(track.looks)) <= 65
    (verdict,) = monitor.diagnosis().verdicts
    assert verdict.shares["memory"] == pytest.approx(0.5, abs=0.01)
    assert verdict.shares["compute"] == pytest.approx(0.5, abs=0.01)

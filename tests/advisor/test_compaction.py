from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor import compaction
from advisor.monitor import Monitor, MonitorOptions
from rules.classify import Split, total
from rules.evidence import SubWindow
from tests.advisor.streams import device, frames, hello
from tests.rules.loads import window
from tests.rules.test_classify import one, windows


def series(ws: list[SubWindow]) -> deque[tuple[SubWindow, Split]]:
    return deque((w, one(w)) for w in ws)


@settings(max_examples=50)
@given(st.lists(windows, min_size=2, max_size=40))
def test_seconds_of_every_share_survive_merging(ws: list[SubWindow]) -> None:
    before = series(ws)
    merged = list(compaction._pairs(before))
    for key in {key for _, part in before for key in part.seconds}:
        kept = math.fsum(part.seconds.get(key, 0.0) for _, part in merged)
        assert kept == pytest.approx(math.fsum(part.seconds.get(key, 0.0) for _, part in before))
    assert math.fsum(w.duration_s for w, _ in merged) == pytest.approx(math.fsum(w.duration_s for w in ws))
    whole = [total([part for _, part in side]) for side in (before, merged)]
    assert whole[0].useful == pytest.approx(whole[1].useful)


def test_quiet_runs_keep_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FULL", 50)
    ws = [window(gr_active=0.0 if 10 <= i < 45 else 1.0, dram_active=0.8) for i in range(50)]
    kept = series(ws)
    compaction.halve(kept)
    assert len(kept) < 50
    assert total([part for _, part in kept]).shares["idle_held"] == pytest.approx(0.7)


def test_a_short_series_is_left_alone() -> None:
    kept = series([window() for _ in range(20)])
    compaction.halve(kept)
    assert len(kept) == 20


def test_means_are_by_time_and_unknown_stays_unknown() -> None:
    a = window(duration_s=1.0, dram_active=0.2, fp32=None)
    b = window(duration_s=3.0, dram_active=0.6, fp32=None)
    merged = compaction.merge_windows(a, b)
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
    assert max(len(track.windows), len(track.samples), len(track.looks)) <= 64
    (verdict,) = monitor.diagnosis().verdicts
    assert verdict.shares["memory"] == pytest.approx(0.5, abs=0.01)
    assert verdict.shares["compute"] == pytest.approx(0.5, abs=0.01)

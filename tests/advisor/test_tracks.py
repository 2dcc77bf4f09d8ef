"""What a track believes of what it is given: values that make no sense are unread, and the reason is kept."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.records import Frame, Gpm
from rules.evidence import SubWindow
from rules.verdict import Verdict
from tests.advisor.streams import T0, device, frames, hello


def monitor(load: dict[str, float] | None, seconds: int = 20, **more: Any) -> Monitor:
    made = Monitor(MonitorOptions(price_flag=4.0, env={}))
    made.feed(hello(device(gpm=load is not None)))
    for frame in frames(load, seconds, device(gpm=load is not None), **more):
        made.feed(frame)
    return made


def seen(of: Monitor) -> list[SubWindow]:
    return [w for w, _ in of.tracks[device().key].windows]


def verdict(of: Monitor) -> Verdict:
    return of.diagnosis().verdicts[0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.25])
def test_a_counter_that_makes_no_sense_is_unread_and_the_reason_is_told(value: float) -> None:
    broken = monitor({"dram_active": value})
    assert {w.dram_active for w in seen(broken)} == {None}
    found = verdict(broken)
    assert found.class_ == "unknown"
    assert any("dram_active" in why and "makes no sense" in why for why in found.unknown_because)


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_activity_that_makes_no_sense_is_not_idle(value: float) -> None:
    found = verdict(monitor({"gr_active": value}))
    assert (found.class_, found.shares["unknown"]) == ("unknown", 1.0)
    coarse = monitor(None, gpu_util_frac=value)
    assert {w.gr_active for w in seen(coarse)} == {None}
    assert verdict(coarse).class_ == "unknown"


def test_power_and_clocks_that_make_no_sense_are_unread() -> None:
    for w in seen(monitor({"dram_active": 0.8}, power_w=math.nan, sm_mhz=-5.0)):
        assert (w.power_w, w.sm_mhz) == (None, None)


@pytest.mark.parametrize("bad", [{"duration_s": math.nan}, {"duration_s": -0.2}, {"t_s": math.nan}])
def test_a_sub_window_of_no_length_or_time_is_left_out(bad: dict[str, float]) -> None:
    made = monitor({"dram_active": 0.8}, seconds=5)
    before = len(seen(made))
    frame = next(frames({"dram_active": 0.8}, 1, start=6))
    assert isinstance(frame, Frame)
    sample = frame.samples[0]
    odd = msgspec.structs.replace(sample.gpm[0], **bad)
    assert isinstance(odd, Gpm)
    sample = msgspec.structs.replace(sample, gpm=(odd, *sample.gpm[1:]))
    made.feed(msgspec.structs.replace(frame, samples=(sample,)))
    assert len(seen(made)) == before + 4
    assert all(w.duration_s > 0.0 and math.isfinite(w.t_s) for w in seen(made))


def test_the_reason_goes_with_what_it_was_said_of() -> None:
    made = monitor({"dram_active": math.nan}, seconds=3)
    track = made.tracks[device().key]
    assert "gpm.dram_active" in track.evidence({}, T0, T0 + 3).missing
    track.forget(T0 + 100.0)
    assert "gpm.dram_active" not in track.evidence({}, T0, T0 + 3).missing

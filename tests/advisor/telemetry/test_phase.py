"""What the sampler says it is doing, and when its silence is to be said."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.telemetry.phase import (
    DRIVER_STUCK_S,
    VARIABLE,
    Activity,
    Phase,
    PhaseReader,
    PhaseWriter,
    WatchedNvml,
    look_again_s,
    silence,
)
from advisor.telemetry.supervisor import late_after_s
from tests.advisor.telemetry.fake_nvml import Clock, FakeNvml

DRIVER = (Phase.DEVICES, Phase.GPM, Phase.GPU_PROCESSES)
DRAWN_WITHIN_S = 1.0


def test_what_is_written_on_one_side_is_read_on_the_other() -> None:
    clock = Clock()
    with closing(PhaseReader()) as reader:
        assert reader.read() == Activity(Phase.STARTING, None)
        writer = PhaseWriter({VARIABLE: str(reader.fd)}, clock)
        for phase in Phase:
            clock.now_s += 1
            writer.set(phase)
            assert reader.read() == Activity(phase, clock.now_s)
        writer.set(Phase.WAITING, 0.25)
        assert reader.read() == Activity(Phase.WAITING, clock.now_s + 0.25)
        reader.close()


def test_every_call_of_the_driver_is_said_before_it_is_made() -> None:
    clock = Clock()
    with closing(PhaseReader()) as reader:
        phase = PhaseWriter({VARIABLE: str(reader.fd)}, clock)
        phase.set(Phase.GPM)
        seen = []

        class Watching(FakeNvml):
            def _nvmlDeviceGetCount(self) -> int:  # noqa: N802
                seen.append(reader.read())
                return 1

        nvml = WatchedNvml(Watching(), phase)
        for _ in range(3):
            clock.now_s += 0.5
            assert nvml.call("nvmlDeviceGetCount") == 1
    assert seen == [Activity(Phase.GPM, 1000.5 + step / 2) for step in range(3)]


@pytest.mark.parametrize("environment", [{}, {VARIABLE: "no number"}, {VARIABLE: "987654"}])
def test_without_the_memory_a_writer_does_nothing(environment: dict[str, str]) -> None:
    writer = PhaseWriter(environment)
    writer.set(Phase.GPM)
    writer.beat()


def test_only_the_driver_is_blamed_for_the_driver() -> None:
    blamed = {phase for phase in Phase if silence(phase) == "driver not answering since"}
    assert blamed == {Phase.STARTING, *DRIVER}


@given(st.sampled_from(DRIVER), st.floats(0.1, 3600.0), st.floats(0.0, 1.0))
def test_a_hang_shows_within_three_seconds_at_any_interval(
    phase: Phase, interval_s: float, part: float
) -> None:
    """The call begins at any time after the last frame, in a GPM sweep too."""
    heard_s = 500.0
    hung_s = heard_s + part * interval_s
    said_s = Activity(phase, hung_s).overdue_at_s(heard_s, late_after_s(interval_s))
    assert said_s - hung_s <= 3.0 - DRAWN_WITHIN_S
    assert Activity(phase, hung_s).stuck_since_s(heard_s, hung_s + 1.99) == hung_s


@given(st.floats(0.1, 60.0), st.floats(0.0, 100.0), st.floats(0.0, 1.0))
def test_the_watching_side_looks_often_enough(sweep_s: float, hung_s: float, first_look_s: float) -> None:
    """Waits for sweeps that end at once, until one hangs: it is said as soon as it is sure."""
    hung_s = sweep_s * round(hung_s / sweep_s)

    def activity(now_s: float) -> Activity:
        if now_s >= hung_s:
            return Activity(Phase.GPM, hung_s or 1e-9)
        return Activity(Phase.WAITING, sweep_s * (now_s // sweep_s + 1))

    now_s = first_look_s
    while now_s < (overdue_s := activity(now_s).overdue_at_s(0.0, 3600.0)):
        now_s += look_again_s(overdue_s, now_s)
    assert hung_s <= now_s <= max(hung_s, first_look_s) + DRIVER_STUCK_S + 1e-6


def test_a_slow_call_is_no_hang() -> None:
    """Sweeps and a frame of calls that take half a second each, for less than the time of a lost frame."""
    heard_s, late_s = 500.0, late_after_s(1.0)
    for call in range(19):
        began_s = heard_s + 0.5 * call
        activity = Activity(Phase.GPM, began_s)
        assert activity.overdue_at_s(heard_s, late_s) > began_s + 0.5
        assert activity.stuck_since_s(heard_s, began_s + 1.5) is None
    assert DRIVER_STUCK_S >= 3 * 0.5


def test_calls_that_return_but_never_make_a_frame_are_late_in_the_end() -> None:
    late_s = late_after_s(1.0)
    activity = Activity(Phase.DEVICES, 500.0 + late_s - 0.5)
    assert activity.overdue_at_s(500.0, late_s) == 500.0 + late_s
    assert activity.stuck_since_s(500.0, 500.0 + late_s) is None


@given(st.floats(0.1, 3600.0))
def test_waiting_for_the_next_tick_is_not_silence(interval_s: float) -> None:
    due_s = 500.0 + interval_s
    overdue_s = Activity(Phase.WAITING, due_s).overdue_at_s(500.0, late_after_s(interval_s))
    assert overdue_s >= due_s + 2.0


def test_a_sampler_that_does_not_say_what_it_does_has_the_time_between_frames() -> None:
    unsaid = Activity(Phase.STARTING, None)
    assert unsaid.overdue_at_s(500.0, 3.0) == 503.0
    assert unsaid.stuck_since_s(500.0, 504.0) == 500.0


def test_both_sides_read_the_same_clock() -> None:
    with closing(PhaseReader()) as reader:
        before_s = time.monotonic()
        PhaseWriter({VARIABLE: str(reader.fd)}).set(Phase.HOST)
        since_s = reader.read().since_s
        assert since_s is not None and before_s <= since_s <= time.monotonic()

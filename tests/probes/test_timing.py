"""Timed windows, on an invented clock and a simulated stream."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import timing
from probes.stats import quantile
from probes.timing import POLICIES, Call, CpuTimer, CudaTimer, Policy, Windows
from tests.probes.fake_cuda import FakeClock, FakeTorch

POLICY = POLICIES["default"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(timing, "_now", clock)
    monkeypatch.setattr(timing, "_pause", clock.sleep)
    return clock


def taking(clock: FakeClock, seconds: float) -> Call:
    return lambda: clock.sleep(seconds)


def changing(clock: FakeClock, seconds: Callable[[float], float]) -> Call:
    """A call that takes seconds(time since the start)."""
    start_s = clock.now_s
    return lambda: clock.sleep(seconds(clock.now_s - start_s))


@pytest.mark.parametrize("call_s", [2e-7, 1e-6, 4e-4, 1e-3, 0.03])
def test_windows_are_long_enough_and_many_enough(clock: FakeClock, call_s: float) -> None:
    windows = timing.timed(CpuTimer(), taking(clock, call_s), POLICY)
    assert quantile(windows.call_s, 0.5) == pytest.approx(call_s, rel=1e-4)
    assert windows.window_s >= 0.6 * POLICY.window_s
    assert len(windows.call_s) >= POLICY.windows
    assert sum(windows.call_s) * windows.calls == pytest.approx(POLICY.total_s, rel=0.05)


def test_a_call_of_a_window_or_more_is_not_batched(clock: FakeClock) -> None:
    for call_s in (1e-3, 0.02, 3.0):
        assert timing.calibrate(CpuTimer(), taking(clock, call_s), POLICY).calls == 1


def test_a_long_call_gets_the_least_number_of_windows(clock: FakeClock) -> None:
    begin = clock.now_s
    windows = timing.timed(CpuTimer(), taking(clock, 0.1), POLICY)
    assert len(windows.call_s) == POLICY.windows
    assert clock.now_s - begin < 3.0


@pytest.mark.parametrize("call_s", [1.0, 5.0])
def test_a_very_long_call_gets_three(clock: FakeClock, call_s: float) -> None:
    begin = clock.now_s
    windows = timing.timed(CpuTimer(), taking(clock, call_s), POLICY)
    assert len(windows.call_s) == 3
    assert clock.now_s - begin == pytest.approx(4 * call_s)


def test_the_warm_up_lasts_as_long_as_the_policy_asks(clock: FakeClock) -> None:
    seen: list[float] = []

    def call() -> None:
        seen.append(clock.now_s)
        clock.sleep(1e-3)

    start_s = clock.now_s
    timing.timed(CpuTimer(), call, Policy(warm_s=0.2, total_s=0.01, windows=3))
    before = [s for s in seen if s - start_s < 0.2]
    assert len(before) >= 199


def test_a_slow_first_call_does_not_pass_for_a_long_one(clock: FakeClock) -> None:
    slow_once = iter([0.4])
    call = changing(clock, lambda _t: next(slow_once, 1e-5))
    assert timing.calibrate(CpuTimer(), call, POLICY).calls == pytest.approx(100, abs=2)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-7, 2.0), st.sampled_from(sorted(POLICIES)))
def test_timing_ends_within_bounds_whatever_the_call_takes(call_s: float, mode: str) -> None:
    clock = FakeClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "_now", clock)
        policy = POLICIES[mode]  # type: ignore[index]
        begin = clock.now_s
        windows = timing.timed(CpuTimer(), taking(clock, call_s), policy)
        spent_s = clock.now_s - begin
    least = max(timing.LONG_FACTOR * policy.total_s, 3 * call_s)
    assert spent_s <= least + policy.warm_s + 0.5 + 13 * min(call_s, 0.01) + 2 * call_s
    assert len(windows.call_s) >= 3


def test_collecting_garbage_is_put_off_and_put_back() -> None:
    during: list[bool] = []
    CpuTimer().windows(lambda: during.append(gc.isenabled()), 2, 2)
    assert during == [False] * 4
    assert gc.isenabled()
    gc.disable()
    try:
        CpuTimer().windows(lambda: None, 1, 1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_collecting_garbage_is_put_back_after_a_failure() -> None:
    def fail() -> None:
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        CpuTimer().windows(fail, 1, 1)
    assert gc.isenabled()


def test_windows_know_their_length() -> None:
    assert Windows(call_s=(1e-3, 2e-3, 3e-3), calls=10).window_s == pytest.approx(0.02)


@pytest.mark.parametrize(("device_s", "host_s"), [(1e-3, 5e-6), (2e-5, 5e-6), (6e-6, 5e-6), (0.05, 1e-3)])
def test_a_busy_device_is_timed_by_its_own_clock(clock: FakeClock, device_s: float, host_s: float) -> None:
    torch = FakeTorch(clock)
    windows = timing.timed(CudaTimer(torch), torch.kernel(device_s, host_s), POLICY)
    assert windows.call_s == pytest.approx([device_s] * len(windows.call_s), rel=1e-6)


@pytest.mark.parametrize(("device_s", "host_s"), [(2e-6, 5e-6), (2e-6, 1e-5), (3e-5, 6e-5)])
def test_a_device_faster_than_the_host_queues_is_not_timed_at_the_hosts_pace(
    clock: FakeClock, device_s: float, host_s: float
) -> None:
    torch = FakeTorch(clock)
    begin = clock.now_s
    windows = timing.timed(CudaTimer(torch), torch.kernel(device_s, host_s), POLICY)
    assert quantile(windows.call_s, 0.5) == pytest.approx(device_s, rel=1e-6)
    assert quantile(windows.call_s, 0.9) == pytest.approx(device_s, rel=1e-6)
    assert clock.now_s - begin < timing.WALL_FACTOR * POLICY.total_s + 0.3


def test_a_call_that_waits_for_the_device_is_timed_as_the_host_sees_it(clock: FakeClock) -> None:
    torch = FakeTorch(clock)

    def waiting() -> None:
        torch.cuda.launch(1e-4, 2e-5)
        torch.cuda.synchronize()

    begin = clock.now_s
    windows = timing.timed(CudaTimer(torch), waiting, POLICY)
    assert quantile(windows.call_s, 0.5) == pytest.approx(1.2e-4, rel=0.05)
    assert clock.now_s - begin < 2 * POLICY.total_s


def test_a_fed_device_is_not_made_to_wait_between_windows(clock: FakeClock) -> None:
    torch = FakeTorch(clock)
    timer, call = CudaTimer(torch), torch.kernel(1e-3)
    timer.windows(call, 1, 3)
    spins = torch.cuda.spins
    assert len(timer.windows(call, 10, 400)) == 400
    assert torch.cuda.spins == spins + 2  # to find the pace, and before all that are timed


@pytest.mark.parametrize(
    ("device_s", "host_s", "kind"), [(1e-3, 5e-6, "fed"), (6e-6, 5e-6, "rounds"), (2e-6, 1e-5, "rounds")]
)
def test_the_pace_tells_who_waits_for_whom(
    clock: FakeClock, device_s: float, host_s: float, kind: str
) -> None:
    torch = FakeTorch(clock)
    assert timing.calibrate(CudaTimer(torch), torch.kernel(device_s, host_s), POLICY).kind == kind


def test_a_call_that_waits_for_the_device_has_a_pace_of_its_own(clock: FakeClock) -> None:
    torch = FakeTorch(clock)

    def waiting() -> None:
        torch.cuda.launch(1e-3, 2e-5)
        torch.cuda.synchronize()

    assert timing.calibrate(CudaTimer(torch), waiting, POLICY).kind == "waits"
    assert timing.timed(CudaTimer(torch), waiting, POLICY).span is None


@pytest.mark.parametrize("device_s", [2e-5, 1e-3, 0.03])
def test_a_fed_device_is_timed_in_one_queue_behind_one_spin(clock: FakeClock, device_s: float) -> None:
    torch = FakeTorch(clock)
    timer, call = CudaTimer(torch), torch.kernel(device_s)
    pace = timing.calibrate(timer, call, POLICY)
    spins, synchronised = torch.cuda.spins, torch.cuda.synchronised
    windows = timing.taken(timer, call, pace, POLICY)
    assert (torch.cuda.spins, torch.cuda.synchronised) == (spins + 1, synchronised + 1)
    assert windows.span is not None
    begin_s, end_s = windows.span
    assert end_s == pytest.approx(clock.now_s)
    assert end_s - begin_s == pytest.approx(sum(windows.call_s) * windows.calls)
    assert end_s - begin_s == pytest.approx(POLICY.total_s, rel=0.05)


def test_rounds_have_no_span(clock: FakeClock) -> None:
    torch = FakeTorch(clock)
    assert timing.timed(CudaTimer(torch), torch.kernel(2e-6), POLICY).span is None


def test_what_one_call_taught_is_not_held_against_the_next(clock: FakeClock) -> None:
    torch = FakeTorch(clock)
    timer = CudaTimer(torch)

    def waiting() -> None:
        torch.cuda.launch(1e-4, 2e-5)
        torch.cuda.synchronize()

    for call, expected in ((waiting, 1.2e-4), (torch.kernel(2e-6), 2e-6), (torch.kernel(1e-3), 1e-3)):
        assert quantile(timing.timed(timer, call, POLICY).call_s, 0.5) == pytest.approx(expected, rel=0.05)


def test_a_timer_keeps_no_call_and_so_no_operands(clock: FakeClock) -> None:
    torch = FakeTorch(clock)
    timer, call = CudaTimer(torch), torch.kernel(1e-3)
    seen = weakref.ref(call)
    timer.windows(call, 1, 3)
    del call
    assert seen() is None


def test_every_window_asked_for_is_given(clock: FakeClock) -> None:
    torch = FakeTorch(clock)
    for device_s, calls, count in ((1e-6, 700, 11), (1e-3, 1, 1), (1e-6, 5000, 2), (1e-4, 100, 30)):
        assert len(CudaTimer(torch).windows(torch.kernel(device_s), calls, count)) == count


def test_a_burst_is_what_a_cool_card_gives(clock: FakeClock) -> None:
    start_s = clock.now_s
    call = changing(clock, lambda t: 1e-3 if t < 0.4 else 2e-3)
    assert timing.burst(CpuTimer(), call, 1) == pytest.approx(1e-3)
    assert clock.now_s - start_s == pytest.approx(0.3 + timing.BURST_S, rel=0.05)


def test_a_burst_of_one_long_call_is_one_window(clock: FakeClock) -> None:
    start_s = clock.now_s
    assert timing.burst(CpuTimer(), taking(clock, 2.0), 1) == pytest.approx(2.0)
    assert clock.now_s - start_s == pytest.approx(2.3)


def test_a_steady_device_has_settled_after_three_seconds(clock: FakeClock) -> None:
    begin = clock.now_s
    call_s, settled = timing.sustained(CpuTimer(), taking(clock, 1e-3), 1, 30.0)
    assert settled
    assert call_s == pytest.approx(1e-3)
    assert clock.now_s - begin == pytest.approx(3.0, rel=0.02)


def test_what_is_sustained_is_what_remains_after_slowing_down(clock: FakeClock) -> None:
    call = changing(clock, lambda t: 1e-3 * (1 + min(t, 4.0) / 10))
    call_s, settled = timing.sustained(CpuTimer(), call, 1, 30.0)
    assert settled
    assert call_s == pytest.approx(1.4e-3, rel=0.01)


def test_a_device_that_keeps_slowing_has_not_settled_and_its_last_half_counts(clock: FakeClock) -> None:
    begin = clock.now_s
    call = changing(clock, lambda t: 1e-3 * (1 + t / 10))
    call_s, settled = timing.sustained(CpuTimer(), call, 1, 8.0)
    assert not settled
    assert 1.4e-3 < call_s < 1.9e-3
    assert clock.now_s - begin == pytest.approx(8.0, abs=1.6)


@pytest.mark.parametrize("seconds", [0.0, 0.2, 1.0])
def test_a_short_loop_still_gives_a_figure_and_ends(clock: FakeClock, seconds: float) -> None:
    begin = clock.now_s
    call_s, settled = timing.sustained(CpuTimer(), taking(clock, 1e-3), 1, seconds)
    assert not settled
    assert call_s == pytest.approx(1e-3)
    assert clock.now_s - begin <= seconds + 0.1


def test_a_sustained_loop_keeps_the_device_at_work(clock: FakeClock) -> None:
    torch = FakeTorch(clock)
    worked: list[float] = []

    def call() -> None:
        worked.append(2e-3)
        torch.cuda.launch(2e-3, 5e-6)

    begin = clock.now_s
    timing.sustained(CudaTimer(torch), call, 1, 10.0)
    assert sum(worked) > 0.97 * (clock.now_s - begin)


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    yield
    assert gc.isenabled()

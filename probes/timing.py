"""Timed windows: warm, calibrate, time batches back to back, and look at nothing but the batches.

A window is a batch of calls long enough to be timed well. On a GPU, batches are queued behind one that
keeps the device busy, with an event between each two, so that neither the host's launches nor its
synchronisation fall into a window. What a call allocates, flushes or casts must happen outside it.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from itertools import pairwise, repeat
from typing import Any, NamedTuple, Protocol

import msgspec

from probes.record import Mode
from probes.stats import quantile

Call = Callable[[], object]

# After this much idle time a card has left its loaded clocks.
IDLE_BEFORE_BURST_S = 0.3
BURST_S = 0.1
# Sustained: three windows of a second that differ by less, or the time is over.
STEADY_FRAC = 0.01
STEADY_WINDOWS = 3
SUSTAINED_BATCH_S = 0.01
# Fewest windows of a call that is very long, and most of one that is not.
FEWEST_WINDOWS, MOST_WINDOWS = 3, 2000
# Multiples of `total_s`: what the least number of windows may take, and what all may on the wall clock, which
# also holds what lies between windows (queueing a call can take longer than running it).
LONG_FACTOR, WALL_FACTOR = 5.0, 3.0
MOST_CALLS = 1_000_000
# How long the device spins while the first batches are queued behind it; at most, where queueing is slow.
BLOCK_S, LONGEST_BLOCK_S = 5e-3, 0.1
# Spinning counts cycles of a clock of at most about 2 GHz; a slower one spins longer.
_CYCLES_S = 2e9
# A stream takes about a thousand launches before the host has to wait.
QUEUE_CALLS = 900

_now = time.perf_counter
_pause = time.sleep


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long to look. windows: how many at least; window_s: how long each at least; total_s: how long all
    of them together, about; warm_s: running before the first window.

    A call so long that `windows` of it take more than five times `total_s` gets fewer, but three.
    """

    windows: int = 20
    window_s: float = 1e-3
    total_s: float = 0.5
    warm_s: float = 0.05


POLICIES: dict[Mode, Policy] = {
    "quick": Policy(total_s=0.25),
    "default": Policy(total_s=0.6),
    "full": Policy(total_s=1.5, warm_s=0.25),
}


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds per call in each window, and how many calls each had."""

    call_s: tuple[float, ...]
    calls: int

    @property
    def window_s(self) -> float:
        """Length of the median window."""
        return quantile(self.call_s, 0.5) * self.calls


class Timer(Protocol):
    """Times batches of calls on one device."""

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        """Seconds that each of `count` batches of `calls` calls took, back to back."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has done all it was asked."""
        ...


class CpuTimer:
    """Batches on the host's clock, without the garbage collector's help."""

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        """Seconds of each batch."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            return [self._batch(call, calls) for _ in range(count)]
        finally:
            if collecting:
                gc.enable()

    def synchronize(self) -> None:
        """A call on the host is over when it returns."""

    @staticmethod
    def _batch(call: Call, calls: int) -> float:
        begin = _now()
        for _ in repeat(None, calls):
            call()
        return _now() - begin


class _Queued(NamedTuple):
    """Batches that were queued at once. host_s: what queueing took. starved: the device had done all but
    the last batch when that was queued, so that windows hold the host's time, not the device's."""

    batch_s: list[float]
    host_s: float
    starved: bool


class CudaTimer:
    """Batches between CUDA events on torch's current stream, which cupy shares while both use the default."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        # The last call found to keep the device fed, and the last that waits for the device itself. Weak: a
        # call holds its operands.
        self._fed: Callable[[], Call | None] = _nobody
        self._waits: Callable[[], Call | None] = _nobody

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        """Seconds of each batch by the device's own clock.

        A call that the device finishes faster than the host queues it is timed in rounds that fit the
        stream's queue, each behind a spin long enough for the host to queue it.
        """
        waits = self._waits() is call
        if waits or self._fed() is call:
            taken = self._queued(call, calls, count, BLOCK_S)
            if taken.starved == waits:
                return taken.batch_s
        return self._in_rounds(call, calls, count)

    def synchronize(self) -> None:
        """Wait for the device."""
        self._torch.cuda.synchronize()

    def _in_rounds(self, call: Call, calls: int, count: int) -> list[float]:
        step = max(1, QUEUE_CALLS // calls)
        taken = self._queued(call, calls, min(step, count), BLOCK_S)
        if taken.starved:
            taken = self._queued(call, calls, min(step, count), _clamped(1.5 * taken.host_s))
        device_s = sum(taken.batch_s)
        fed = taken.host_s < device_s and not taken.starved
        self._fed = _weakly(call) if fed else _nobody
        self._waits = _weakly(call) if taken.starved else _nobody
        block_s = _clamped(BLOCK_S + 1.2 * (taken.host_s - device_s))
        if fed or taken.starved:
            block_s, step = BLOCK_S, count
        batches = list(taken.batch_s)
        while len(batches) < count:
            batches += self._queued(call, calls, min(step, count - len(batches)), block_s).batch_s
        return batches

    def _queued(self, call: Call, calls: int, count: int, block_s: float) -> _Queued:
        cuda = self._torch.cuda
        events = [cuda.Event(enable_timing=True) for _ in range(count + 1)]
        cuda._sleep(round(block_s * _CYCLES_S))
        events[0].record()
        begin = _now()
        for event in events[1:]:
            for _ in repeat(None, calls):
                call()
            event.record()
        host_s = _now() - begin
        starved = bool(events[-2].query())
        cuda.synchronize()
        return _Queued([a.elapsed_time(b) / 1e3 for a, b in pairwise(events)], host_s, starved)


def _nobody() -> None:
    """No call."""


def _weakly(call: Call) -> Callable[[], Call | None]:
    """The call for as long as somebody else keeps it; no call where that cannot be told."""
    try:
        return weakref.ref(call)
    except TypeError:
        return _nobody


def _clamped(block_s: float) -> float:
    return min(LONGEST_BLOCK_S, max(BLOCK_S, block_s))


def timed(timer: Timer, call: Call, policy: Policy) -> Windows:
    """Warm up, find how many calls fill a window, and time windows as the policy asks."""
    calls = calibrate(timer, call, policy)
    begin = _now()
    batches = timer.windows(call, calls, FEWEST_WINDOWS)
    while (count := _more(policy, batches, _now() - begin)) > 0:
        batches += timer.windows(call, calls, count)
    return Windows(call_s=tuple(s / calls for s in batches), calls=calls)


def _more(policy: Policy, batches: list[float], wall_s: float) -> int:
    """How many windows to time next, where `batches` took `wall_s` on the wall clock. At most ten times as
    many as were: what a few cost on the wall clock tells little of many."""
    one_s, done_s, done = max(quantile(batches, 0.5), 1e-9), sum(batches), len(batches)
    least = min(policy.windows - done, (LONG_FACTOR * policy.total_s - done_s) / one_s)
    by_wall = (WALL_FACTOR * policy.total_s - wall_s) / max(wall_s / done, 1e-9)
    full = min((policy.total_s - done_s) / one_s, by_wall, MOST_WINDOWS - done)
    return int(min(max(least, full), 10 * done))


def calibrate(timer: Timer, call: Call, policy: Policy) -> int:
    """Run the call for `warm_s` and give the number of calls that take a window's length."""
    quickest_s = _warm(timer, call, policy.warm_s)
    if quickest_s > 10 * policy.window_s:
        return 1
    once_s = quantile(timer.windows(call, 1, 3), 0.5)
    calls = max(1, min(QUEUE_CALLS, round(policy.window_s / max(once_s, 1e-9))))
    if calls == 1:
        return 1
    batch_s = quantile(timer.windows(call, calls, 3), 0.5)
    return max(1, min(MOST_CALLS, round(calls * max(1.0, policy.window_s / max(batch_s, 1e-9)))))


def _warm(timer: Timer, call: Call, warm_s: float) -> float:
    """Run three calls (fewer, where they take longer than half a second), and on until `warm_s` is over.
    Gives the seconds that the quickest took with its synchronisation."""
    timer.synchronize()
    begin = before = _now()
    quickest_s, done = float("inf"), 0
    while before - begin < (warm_s if done >= 3 else max(warm_s, 0.5)) or not done:
        call()
        timer.synchronize()
        now = _now()
        quickest_s, before, done = min(quickest_s, now - before), now, done + 1
    return quickest_s


def burst(timer: Timer, call: Call, calls: int) -> float:
    """Seconds a call takes in the first 100 ms after a pause, at the clocks a cool card starts with."""
    timer.synchronize()
    _pause(IDLE_BEFORE_BURST_S)
    begin = _now()
    seen = timer.windows(call, calls, 1)
    left_s = BURST_S - (_now() - begin)
    if (count := min(MOST_WINDOWS, int(left_s / max(seen[0], 1e-6)))) > 0:
        seen += timer.windows(call, calls, count)
    return quantile(seen, 0.5) / calls


def sustained(timer: Timer, call: Call, calls: int, seconds: float) -> tuple[float, bool]:
    """Seconds a call takes once the device has settled, and whether it did.

    calls: as `timed` found. It has settled when three windows of a second differ by less than 1 %; at the
    latest after `seconds`, of which the last half then counts.
    """
    begin = _now()
    call_s = quantile(timer.windows(call, calls, 3), 0.5) / calls
    seen: list[float] = []
    while not seen or _now() - begin < seconds - 0.5:
        left_s = max(seconds - (_now() - begin), SUSTAINED_BATCH_S)
        call_s = _stretch(timer, call, calls, call_s, min(1.0, left_s))
        seen.append(call_s)
        last = seen[-STEADY_WINDOWS:]
        if len(last) == STEADY_WINDOWS and max(last) - min(last) < STEADY_FRAC * min(last):
            return quantile(last, 0.5), True
    return quantile(seen[len(seen) // 2 :], 0.5), False


def _stretch(timer: Timer, call: Call, calls: int, call_s: float, seconds: float) -> float:
    """Median seconds a call takes over about `seconds` without a pause, where one takes about `call_s`.

    Batches are long, so that reading their times leaves the device idle for no more than some thousandths.
    """
    fill = round(SUSTAINED_BATCH_S / max(call_s, 1e-9))
    batch = max(calls, min(QUEUE_CALLS, fill))
    count = max(1, min(MOST_WINDOWS, round(seconds / max(batch * call_s, 1e-9))))
    return quantile(timer.windows(call, batch, count), 0.5) / batch

"""Timed windows: warm, calibrate, time batches back to back, and look at nothing but the batches.

A window is a batch of calls long enough to be timed well. On a GPU, batches are queued behind one that
keeps the device busy, with an event between each two, so that neither the host's launches nor its
synchronisation fall into a window. What a call allocates, flushes or casts must happen outside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

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
# Cycles for which the device spins while the first batches are queued behind it (about 5 ms).
_BLOCKER_CYCLES = 10_000_000
# A stream takes about a thousand launches before the host has to wait.
_QUEUE_CALLS = 900


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long to look. windows: how many at least; window_s: how long each at least; total_s: how long all
    of them together at least; warm_s: running before the first window."""

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
    """Batches on the host's clock."""

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        """Seconds of each batch."""
        taken = []
        batch = range(calls)
        for _ in range(count):
            begin = time.perf_counter()
            for _ in batch:
                call()
            taken.append(time.perf_counter() - begin)
        return taken

    def synchronize(self) -> None:
        """A call on the host is over when it returns."""


class CudaTimer:
    """Batches between CUDA events on torch's current stream, which cupy shares while both use the default."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        """Seconds of each batch by the device's own clock."""
        cuda = self._torch.cuda
        events = [cuda.Event(enable_timing=True) for _ in range(count + 1)]
        cuda._sleep(_BLOCKER_CYCLES)
        events[0].record()
        batch = range(calls)
        for event in events[1:]:
            for _ in batch:
                call()
            event.record()
        cuda.synchronize()
        return [begin.elapsed_time(end) / 1e3 for begin, end in pairwise(events)]

    def synchronize(self) -> None:
        """Wait for the device."""
        self._torch.cuda.synchronize()


def timed(timer: Timer, call: Call, policy: Policy) -> Windows:
    """Warm up, find how many calls fill a window, and time windows as the policy asks."""
    calls = calibrate(timer, call, policy)
    one_s = quantile(timer.windows(call, calls, 3), 0.5)
    count = max(policy.windows, min(2000, round(policy.total_s / one_s)))
    if (count + 1) * calls > _QUEUE_CALLS and count > policy.windows:
        count = max(policy.windows, _QUEUE_CALLS // calls)
    return Windows(call_s=tuple(s / calls for s in timer.windows(call, calls, count)), calls=calls)


def calibrate(timer: Timer, call: Call, policy: Policy) -> int:
    """Run the call for `warm_s` and give the number of calls that take a window's length."""
    timer.synchronize()
    begin = time.perf_counter()
    done = 0
    while done < 3 or time.perf_counter() - begin < policy.warm_s:
        call()
        timer.synchronize()
        done += 1
    once_s = quantile(timer.windows(call, 1, 3), 0.5)
    calls = max(1, min(_QUEUE_CALLS, round(policy.window_s / max(once_s, 1e-9))))
    batch_s = quantile(timer.windows(call, calls, 3), 0.5)
    return max(1, min(1_000_000, round(calls * max(1.0, policy.window_s / max(batch_s, 1e-9)))))


def burst(timer: Timer, call: Call, calls: int) -> float:
    """Seconds a call takes in the first 100 ms after a pause, at the clocks a cool card starts with."""
    timer.synchronize()
    time.sleep(IDLE_BEFORE_BURST_S)
    seen: list[float] = []
    begin = time.perf_counter()
    while not seen or time.perf_counter() - begin < BURST_S:
        seen += timer.windows(call, calls, 5)
    return quantile(seen, 0.5) / calls


def sustained(timer: Timer, call: Call, calls: int, seconds: float) -> tuple[float, bool]:
    """Seconds a call takes once the device has settled, and whether it did.

    It has settled when three windows of a second differ by less than 1 %; at the latest after `seconds`,
    of which the last half then counts.
    """
    timer.synchronize()
    seen: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        seen.append(_a_second(timer, call, calls))
        last = seen[-STEADY_WINDOWS:]
        if len(last) == STEADY_WINDOWS and max(last) - min(last) < STEADY_FRAC * min(last):
            return quantile(last, 0.5), True
    half = seen[len(seen) // 2 :]
    return quantile(half, 0.5), False


def _a_second(timer: Timer, call: Call, calls: int) -> float:
    """Median seconds a call takes over about a second of batches."""
    seen: list[float] = []
    begin = time.perf_counter()
    while not seen or time.perf_counter() - begin < 1.0:
        seen += timer.windows(call, calls, 5)
    return quantile(seen, 0.5) / calls

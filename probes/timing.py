"""Timed windows: warm, calibrate, time batches back to back, and look at nothing but the batches.

A window is a batch of calls long enough to be timed well. On a GPU, batches are queued behind one that
keeps the device busy, with an event between each two, so that neither the host's launches nor its
synchronisation fall into a window. What a call allocates, flushes or casts must happen outside it.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from itertools import pairwise, repeat
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from probes.record import Mode
from probes.spin import QUEUE_LAUNCHES, Spin
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
# A device that is busy for longer than the host takes to queue its work, by this margin, never waits for it.
FED_FRAC = 0.8
# A run that came within this share of what was asked for is not prolonged behind a gap.
NEARLY = 0.25

# On Linux the clock of time.perf_counter, and the one by which the meter dates what it sees.
_now = time.monotonic
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
    """Seconds per call in each window, and how many calls each had. span: see `Run`, of the longest run."""

    call_s: tuple[float, ...]
    calls: int
    span: tuple[float, float] | None = None

    @property
    def window_s(self) -> float:
        """Length of the median window."""
        return quantile(self.call_s, 0.5) * self.calls


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How to queue windows of one call. calls: in a window, which takes about window_s.

    kind: `fed`, the device takes longer than the host, and never waits for it; `rounds`, it does not;
    `waits`, the call itself waits for the device. at_once: windows of a round; block_s: how long to hold the
    device while a round is queued.
    """

    calls: int
    window_s: float
    kind: Literal["fed", "rounds", "waits"] = "waits"
    at_once: int = MOST_WINDOWS
    block_s: float = BLOCK_S


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


class Run(NamedTuple):
    """Seconds of each batch. span: from when to when on the host's clock the device did nothing else and
    never waited, where that is so."""

    batch_s: list[float]
    span: tuple[float, float] | None = None


@runtime_checkable
class Queueing(Protocol):
    """A timer of a device that works through a queue."""

    def pace(self, call: Call, calls: int) -> Pace:
        """How to queue batches of this call."""
        ...

    def run(self, call: Call, pace: Pace, count: int) -> Run:
        """Time `count` batches at that pace."""
        ...


class _Queued(NamedTuple):
    """Batches that were queued at once. host_s: what queueing took. starved: the device had done all but
    the last batch when that was queued, so that windows hold the host's time, not the device's. end_s: when
    the host saw the end."""

    batch_s: list[float]
    host_s: float
    starved: bool
    end_s: float


class CudaTimer:
    """Batches between CUDA events on torch's current stream, which cupy shares while both use the default."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._spin = Spin(torch.cuda)

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        """Seconds of each batch by the device's own clock, for a call of which nothing is known yet."""
        pace, first = self._looked(call, calls, count)
        return first if len(first) == count else [*first, *self.run(call, pace, count - len(first)).batch_s]

    def pace(self, call: Call, calls: int) -> Pace:
        """How to queue batches of this call, from a look at three of them."""
        return self._looked(call, calls, FEWEST_WINDOWS)[0]

    def run(self, call: Call, pace: Pace, count: int) -> Run:
        """Time batches at that pace.

        A call that keeps the device busy is queued without a gap, behind a spin (the host may be slow to
        begin) and a batch that is not looked at. One that the device finishes faster than the host queues it
        is timed in rounds that fit the stream's queue, each behind a spin long enough to queue it.
        """
        if pace.kind == "fed":
            self._spin.hold(BLOCK_S)
            for _ in repeat(None, pace.calls):
                call()
            taken = self._queued(call, pace.calls, count)
            whole = None if taken.starved and count > 1 else (taken.end_s - sum(taken.batch_s), taken.end_s)
            return Run(batch_s=taken.batch_s, span=whole)
        batches: list[float] = []
        while len(batches) < count:
            self._spin.hold(pace.block_s)
            batches += self._queued(call, pace.calls, min(pace.at_once, count - len(batches))).batch_s
        return Run(batch_s=batches)

    def synchronize(self) -> None:
        """Wait for the device."""
        self._torch.cuda.synchronize()

    def _looked(self, call: Call, calls: int, count: int) -> tuple[Pace, list[float]]:
        """The pace, and the batches from which it was told: as many as may be queued at once."""
        step = min(_at_once(calls), count)
        self._spin.hold(BLOCK_S)
        taken = self._queued(call, calls, step)
        if taken.starved:
            self._spin.hold(_clamped(1.5 * taken.host_s))
            taken = self._queued(call, calls, step)
        return _pace_of(taken, calls), taken.batch_s

    def _queued(self, call: Call, calls: int, count: int) -> _Queued:
        cuda = self._torch.cuda
        events = [cuda.Event(enable_timing=True)]
        events[0].record()
        begin = _now()
        for _ in range(count):
            for _ in repeat(None, calls):
                call()
            events.append(cuda.Event(enable_timing=True))
            events[-1].record()
        host_s = _now() - begin
        starved = bool(events[-2].query())
        cuda.synchronize()
        end_s = _now()
        return _Queued([a.elapsed_time(b) / 1e3 for a, b in pairwise(events)], host_s, starved, end_s)


def _at_once(calls: int) -> int:
    """Batches that fit into a stream's queue."""
    return max(1, QUEUE_LAUNCHES // (calls + 1))


def _pace_of(seen: _Queued, calls: int) -> Pace:
    """How to queue further batches, by what some that were queued at once took."""
    window_s = quantile(seen.batch_s, 0.5)
    if seen.starved:
        return Pace(calls=calls, window_s=window_s, kind="waits")
    device_s, count = sum(seen.batch_s), len(seen.batch_s)
    if seen.host_s < FED_FRAC * device_s:
        return Pace(calls=calls, window_s=window_s, kind="fed", block_s=0.0)
    behind_s = 1.2 * max(1e-9, (seen.host_s - device_s) / count)
    at_once = max(1, min(_at_once(calls), int((LONGEST_BLOCK_S - BLOCK_S) / behind_s)))
    block_s = _clamped(BLOCK_S + at_once * behind_s)
    return Pace(calls=calls, window_s=window_s, kind="rounds", at_once=at_once, block_s=block_s)


def _clamped(block_s: float) -> float:
    return min(LONGEST_BLOCK_S, max(BLOCK_S, block_s))


def paced(timer: Timer, call: Call, calls: int) -> Pace:
    """How the timer would queue batches of this call; a host's clock knows one way only."""
    if isinstance(timer, Queueing):
        return timer.pace(call, calls)
    return Pace(calls=calls, window_s=quantile(timer.windows(call, calls, FEWEST_WINDOWS), 0.5))


def _ran(timer: Timer, call: Call, pace: Pace, count: int) -> Run:
    if isinstance(timer, Queueing):
        return timer.run(call, pace, count)
    return Run(batch_s=timer.windows(call, pace.calls, count))


def timed(timer: Timer, call: Call, policy: Policy) -> Windows:
    """Warm up, find how many calls fill a window, and time windows as the policy asks."""
    return taken(timer, call, calibrate(timer, call, policy), policy)


def taken(timer: Timer, call: Call, pace: Pace, policy: Policy) -> Windows:
    """Time windows as the policy asks, of a call that is warm and calibrated.

    Where the device never waits for the host, all windows are one queue, so that its counters see no gap.
    """
    begin = _now()
    batches, span = _ran(timer, call, pace, _planned(policy, pace) if pace.kind == "fed" else FEWEST_WINDOWS)
    while (count := _more(policy, batches, _now() - begin)) > 0:
        if span is not None and count < NEARLY * len(batches):
            break
        more = _ran(timer, call, pace, count)
        batches, span = batches + more.batch_s, _longer(span, more.span)
    return Windows(call_s=tuple(s / pace.calls for s in batches), calls=pace.calls, span=span)


def _planned(policy: Policy, pace: Pace) -> int:
    """Windows that fill the policy's time at this pace."""
    one_s = max(pace.window_s, 1e-9)
    least = min(policy.windows, LONG_FACTOR * policy.total_s / one_s)
    return max(FEWEST_WINDOWS, math.ceil(max(least, min(policy.total_s / one_s, MOST_WINDOWS))))


def _longer(one: tuple[float, float] | None, other: tuple[float, float] | None) -> tuple[float, float] | None:
    return max((s for s in (one, other) if s is not None), key=lambda s: s[1] - s[0], default=None)


def _more(policy: Policy, batches: list[float], wall_s: float) -> int:
    """How many windows to time next, where `batches` took `wall_s` on the wall clock. At most ten times as
    many as were: what a few cost on the wall clock tells little of many."""
    one_s, done_s, done = max(quantile(batches, 0.5), 1e-9), sum(batches), len(batches)
    least = min(policy.windows - done, (LONG_FACTOR * policy.total_s - done_s) / one_s)
    by_wall = (WALL_FACTOR * policy.total_s - wall_s) / max(wall_s / done, 1e-9)
    full = min((policy.total_s - done_s) / one_s, by_wall, MOST_WINDOWS - done)
    return int(min(max(least, full), 10 * done))


def calibrate(timer: Timer, call: Call, policy: Policy) -> Pace:
    """Run the call for `warm_s`, find the number of calls that take a window's length, and how to queue
    them."""
    quickest_s = _warm(timer, call, policy.warm_s)
    if quickest_s > (0.5 if isinstance(timer, Queueing) else 10 * policy.window_s):
        return Pace(calls=1, window_s=quickest_s)
    pace = paced(timer, call, 1)
    for most in (QUEUE_LAUNCHES, MOST_CALLS):
        calls = _filling(pace, policy.window_s, most)
        if calls == pace.calls:
            break
        pace = paced(timer, call, calls)
    return pace


def _filling(pace: Pace, window_s: float, most: int) -> int:
    """Calls that fill a window; of those that fill one already, as many as before."""
    calls = round(pace.calls * max(1.0, window_s / max(pace.window_s, 1e-9)))
    return max(pace.calls, min(most, calls)) if calls > 1.02 * pace.calls else pace.calls


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
    pace = paced(timer, call, calls)
    call_s = pace.window_s / calls
    fill = round(SUSTAINED_BATCH_S / max(call_s, 1e-9))
    pace = msgspec.structs.replace(pace, calls=max(calls, min(QUEUE_LAUNCHES, fill)))
    seen: list[float] = []
    while not seen or _now() - begin < seconds - 0.5:
        left_s = max(seconds - (_now() - begin), SUSTAINED_BATCH_S)
        call_s = _stretch(timer, call, pace, call_s, min(1.0, left_s))
        seen.append(call_s)
        last = seen[-STEADY_WINDOWS:]
        if len(last) == STEADY_WINDOWS and max(last) - min(last) < STEADY_FRAC * min(last):
            return quantile(last, 0.5), True
    return quantile(seen[len(seen) // 2 :], 0.5), False


def _stretch(timer: Timer, call: Call, pace: Pace, call_s: float, seconds: float) -> float:
    """Median seconds a call takes over about `seconds` without a pause, where one takes about `call_s`.

    Batches are long, so that reading their times leaves the device idle for no more than some thousandths.
    """
    count = max(1, min(MOST_WINDOWS, round(seconds / max(pace.calls * call_s, 1e-9))))
    return quantile(_ran(timer, call, pace, count).batch_s, 0.5) / pace.calls

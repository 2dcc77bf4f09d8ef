"""Calls queued while the device spins: what each costs the host, and what the device takes for it.

A spinning kernel holds the stream until the whole batch is queued, so the host never waits for the device
and the device never waits for the host. That the spin did outlast the queueing is checked, not hoped for:
the event behind it must still be open when the last call returns. A full queue would block the host until
the spin is over, and is found by the same check.
"""

from __future__ import annotations

import gc
import time
from itertools import repeat
from typing import Any

import msgspec

from probes.lab import Lab
from probes.record import Mode
from probes.spin import QUEUE_LAUNCHES, Spin
from probes.timing import Call

BATCH_CALLS = 200
LEAST_BATCHES: dict[Mode, int] = {"quick": 8, "default": 20, "full": 20}
_FIRST_SPIN_S = 2e-3
# Longer kernels may be ended by the watchdog of a card that also drives a display.
_LONGEST_SPIN_S = 0.25
_SPIN_MARGIN = 3.0
_TRIES = 8


class NotHeldError(RuntimeError):
    """The device went through the queue while it was being filled."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch: seconds per call on the host's clock and on the device's, and how many calls."""

    host_s: float
    device_s: float
    calls: int


class Queue:
    """Queues batches behind a spin on torch's current stream. Raises whatever CUDA raises."""

    def __init__(self, torch: Any) -> None:
        self._cuda = torch.cuda
        self._spin = Spin(torch.cuda)
        self._spin_s = _FIRST_SPIN_S

    def batch(self, call: Call, calls: int = BATCH_CALLS, *, launches: int = 1) -> Batch:
        """Queue `calls` calls (fewer where the queue would fill up) and time them.

        launches: kernels or copies a call queues. Raises NotHeldError when no spin lasts long enough.
        """
        calls = max(1, min(calls, QUEUE_LAUNCHES // launches))
        for _ in range(_TRIES):
            done, taken_s = self._try(call, calls)
            if done is not None:
                self._spin_s = self._longer(taken_s)
                return done
            if self._spin_s >= _LONGEST_SPIN_S:
                calls = max(1, calls // 2)
            self._spin_s = self._longer(max(2 * self._spin_s, taken_s))
        raise NotHeldError(
            "the device caught up with the host while the queue was filled (is CUDA_LAUNCH_BLOCKING set?)"
        )

    def _longer(self, taken_s: float) -> float:
        return min(_LONGEST_SPIN_S, max(_FIRST_SPIN_S, _SPIN_MARGIN * taken_s))

    def _try(self, call: Call, calls: int) -> tuple[Batch | None, float]:
        """The batch, or None where it was not held; and the seconds that queueing took."""
        begin, end = (self._cuda.Event(enable_timing=True) for _ in range(2))
        self._cuda.synchronize()
        self._spin.hold(self._spin_s)
        begin.record()
        taken_s = host_seconds(call, calls)
        end.record()
        held = not begin.query()
        self._cuda.synchronize()
        device_s = begin.elapsed_time(end) / 1e3
        batch = Batch(host_s=taken_s / calls, device_s=device_s / calls, calls=calls)
        return (batch if held else None), taken_s


def host_seconds(call: Call, calls: int) -> float:
    """Seconds of so many calls on the host's clock, without the garbage collector's help."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start_ns = time.perf_counter_ns()
        for _ in repeat(None, calls):
            call()
        return (time.perf_counter_ns() - start_ns) / 1e9
    finally:
        if collecting:
            gc.enable()


def batches(
    lab: Lab, queue: Queue, call: Call, calls: int = BATCH_CALLS, *, launches: int = 1
) -> list[Batch]:
    """At least 20 batches (8 in quick mode) after one to warm up; as many as the mode's time gives."""
    queue.batch(call, calls, launches=launches)
    end_s = time.monotonic() + min(lab.policy.total_s / 4, lab.time_left_s())
    found: list[Batch] = []
    while len(found) < LEAST_BATCHES[lab.plan.mode] or time.monotonic() < end_s:
        found.append(queue.batch(call, calls, launches=launches))
    return found

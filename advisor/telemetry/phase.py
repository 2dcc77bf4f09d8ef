"""A few bytes of memory shared with the sampler process that say what it is doing and since when.

A call that does not return is seen here within two seconds, whatever the time between frames; and it tells a
hung driver from a hung /proc and from a process that is stopped.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from advisor.telemetry.nvml_api import Nvml

VARIABLE = "ADVISOR_PHASE_FD"
_SIZE = mmap.PAGESIZE
_SINCE, _PHASE = 0, 1

# One NVML call takes micro- to milliseconds, a slow one half a second.
DRIVER_STUCK_S = 1.75
# Reading /proc is many calls, and a process that wants to run may have to wait for a core.
OTHER_STUCK_S = 2.5


class Phase(IntEnum):
    """What the sampler process is at."""

    STARTING = 0
    DEVICES = 1
    GPM = 2
    GPU_PROCESSES = 3
    PROCESSES = 4
    HOST = 5
    SENDING = 6
    WAITING = 7


_SILENT = {
    Phase.PROCESSES: "reading /proc has not returned since",
    Phase.HOST: "reading the host's counters has not returned since",
    Phase.SENDING: "sampler not running since",
    Phase.WAITING: "sampler not running since",
}
SLOW = "driver answers too slowly for a sample since"


def silence(phase: Phase) -> str:
    """What a silent sampler's phase means, to be followed by the time."""
    return _SILENT.get(phase, "driver not answering since")


class Activity(NamedTuple):
    """What the sampler does, and since when (monotonic clock, which all processes share).

    since_s: when its latest call began; while it waits, when it will stop waiting. None: it has not said.
    """

    phase: Phase
    since_s: float | None

    def overdue_at_s(self, heard_s: float, late_s: float) -> float:
        """When silence is to be said, if nothing is reported before.

        heard_s: when the last message came. late_s: how long without one is too long though calls return.
        """
        return (
            heard_s + late_s if self.since_s is None else min(self._limit_s(self.since_s), heard_s + late_s)
        )

    def stuck_since_s(self, heard_s: float, now_s: float) -> float | None:
        """Since when it has been at one call; None while calls return. Where it does not say: heard_s."""
        if self.since_s is None:
            return heard_s
        return self.since_s if now_s >= self._limit_s(self.since_s) else None

    def _limit_s(self, since_s: float) -> float:
        return since_s + (OTHER_STUCK_S if self.phase in _SILENT else DRIVER_STUCK_S)


def look_again_s(overdue_at_s: float, now_s: float) -> float:
    """How long to sleep before the next look: a call that begins meanwhile is not stuck before then."""
    return min(max(0.0, overdue_at_s - now_s), DRIVER_STUCK_S)


class PhaseReader:
    """The watching side. `fd` is to be inherited by the sampler process."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("advisor-phase")
        os.ftruncate(self.fd, _SIZE)
        self._memory = mmap.mmap(self.fd, _SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        self._view = memoryview(self._memory).cast("d")

    def read(self) -> Activity:
        """What it does now."""
        phase, since_s = self._view[_PHASE], self._view[_SINCE]
        known = Phase(int(phase)) if phase in Phase._value2member_map_ else Phase.STARTING
        return Activity(known, since_s or None)

    def close(self) -> None:
        """Give the memory back. Safe to call twice."""
        if not self._memory.closed:
            self._view.release()
            self._memory.close()
            os.close(self.fd)


class PhaseWriter:
    """The sampler's side: writes into the memory inherited, or nowhere when there is none.

    Each number is one store of eight bytes, so the other side never sees half of it.
    """

    def __init__(self, environment: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._view = memoryview(bytearray(16)).cast("d")
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._view = memoryview(mmap.mmap(int(environment[VARIABLE]), _SIZE)).cast("d")

    def set(self, phase: Phase, wait_s: float = 0.0) -> None:
        """Say what comes next. wait_s: how long that will take in any case."""
        self._view[_SINCE] = self._clock() + max(0.0, wait_s)
        self._view[_PHASE] = phase

    def beat(self) -> None:
        """Say that the next call of the same phase begins."""
        self._view[_SINCE] = self._clock()


class WatchedNvml:
    """An NVML each call of which is reported, so that many slow calls are not taken for one that hangs."""

    def __init__(self, nvml: Nvml, phase: PhaseWriter) -> None:
        self._call = nvml.call
        self._beat = phase.beat

    def call(self, function: str, *args: Any) -> Any:
        """As the NVML behind it."""
        self._beat()
        return self._call(function, *args)

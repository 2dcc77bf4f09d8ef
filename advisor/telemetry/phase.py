"""A byte of memory shared with the sampler process that says what it is doing.

When the sampler falls silent, this tells a hung driver from a hung /proc and from a process that is stopped.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Mapping
from enum import IntEnum

VARIABLE = "ADVISOR_PHASE_FD"
_SIZE = mmap.PAGESIZE


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


def silence(phase: Phase) -> str:
    """What a silent sampler's phase means, to be followed by the time."""
    return _SILENT.get(phase, "driver not answering since")


class PhaseReader:
    """The watching side. `fd` is to be inherited by the sampler process."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("advisor-phase")
        os.ftruncate(self.fd, _SIZE)
        self._memory = mmap.mmap(self.fd, _SIZE, mmap.MAP_SHARED, mmap.PROT_READ)

    def read(self) -> Phase:
        """The phase now."""
        value = self._memory[0]
        return Phase(value) if value in Phase._value2member_map_ else Phase.STARTING

    def close(self) -> None:
        """Give the memory back. Safe to call twice."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.fd)


class PhaseWriter:
    """The sampler's side: writes into the memory inherited, or nowhere when there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._memory: mmap.mmap | bytearray = bytearray(1)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._memory = mmap.mmap(int(environment[VARIABLE]), _SIZE)

    def set(self, phase: Phase) -> None:
        """Say what comes next."""
        self._memory[0] = phase

"""Who else used this process's cores: what the kernel counted on them, less what the process itself took.

/proc/stat counts ticks of 10 ms per core (proc(5)); `iowait` is idle time, `steal` is what a hypervisor took.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from probes.hostfiles import ROOT, allowed_cores, read_text

# Beside a tenth of its cores in use by others, what all cores do together is no longer the host's ceiling.
CONTENDED_FRAC = 0.10
# Ticks of 10 ms make a shorter look too coarse; it goes on into the next.
LEAST_S = 0.3
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal


class _Mark(NamedTuple):
    """Seconds on the wall clock, of all work on our cores, and of our own."""

    wall_s: float
    busy_s: float
    own_s: float


class HostLoad:
    """Looks at intervals. `missing` says why nothing can be known, else None."""

    def __init__(
        self,
        cores: Iterable[int] | None = None,
        root: Path = ROOT,
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], float] | None = None,
    ) -> None:
        self._cores = frozenset(allowed_cores() if cores is None else cores)
        self._root = root
        self._clock = clock
        self._own = own or _own_s
        self._last = self._mark()
        self.missing = None if self._last else "/proc/stat does not list the cores"

    def lap(self) -> float | None:
        """Share of our cores that others used since the last look, 0 to 1; None where it is not known or
        too soon to say."""
        now = self._mark()
        if now is None or self._last is None or now.wall_s - self._last.wall_s < LEAST_S:
            return None
        wall_s = now.wall_s - self._last.wall_s
        others_s = (now.busy_s - self._last.busy_s) - (now.own_s - self._last.own_s)
        self._last = now
        return min(1.0, max(0.0, others_s / (wall_s * len(self._cores))))

    def contended(self) -> str | None:
        """What others took since the last look, where it is too much for a figure of all cores."""
        frac = self.lap()
        if frac is None or frac < CONTENDED_FRAC:
            return None
        cores = len(self._cores)
        return f"others kept {frac * cores:.1f} of {cores} cores busy meanwhile"

    def _mark(self) -> _Mark | None:
        ticks = _busy_ticks(read_text(self._root / "proc/stat") or "", self._cores)
        return None if ticks is None else _Mark(self._clock(), ticks / os.sysconf("SC_CLK_TCK"), self._own())


def _busy_ticks(text: str, cores: frozenset[int]) -> int | None:
    """Ticks in which these cores worked; None unless every one of them is listed."""
    found: dict[int, int] = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            found[int(name[3:])] = sum(int(fields[i]) for i in _BUSY if i < len(fields))
    return sum(found.values()) if cores and found.keys() == cores else None


def _own_s() -> float:
    """CPU time of this process and of those of its children that have ended."""
    return sum(os.times()[:4])

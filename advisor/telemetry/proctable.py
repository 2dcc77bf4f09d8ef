"""The process table at one instant, and what changed between two of them.

psutil is not used for the tree: its children() scans all of /proc once for every process asked about and
process_iter() reads several files a process, while one pass here gives parent, state and CPU time of all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

import msgspec

from advisor.telemetry import procfs
from advisor.telemetry.cgroups import CpuLimits
from advisor.telemetry.procfs import Stat

Identity = tuple[int, int]

THREADS_READ = 512
BUSY_CORES = 0.9

# Which pids are kernel threads is learnt again after this many scans, since pids are used again.
_RELEARN_SCANS = 20


class Table:
    """Every process but kernel threads, by pid, with their children."""

    def __init__(self, stats: dict[int, Stat]) -> None:
        self.stats = stats
        self._children: dict[int, list[int]] = defaultdict(list)
        for stat in stats.values():
            self._children[stat.parent].append(stat.pid)

    def descendants(self, pid: int, without: Set[int] = frozenset()) -> list[Stat]:
        """Children, their children, and so on, except the pids in `without` and all below these."""
        found: list[Stat] = []
        seen, waiting = {pid}, [pid]
        while waiting:
            for child in self._children.get(waiting.pop(), ()):
                if child not in seen and child not in without:
                    seen.add(child)
                    waiting.append(child)
                    found.append(self.stats[child])
        return found


class Scanner:
    """Reads the table in one pass. Kernel threads, most of a big node's processes, are read now and then."""

    def __init__(self, proc: Path) -> None:
        self._proc = str(proc)
        self._kernel: set[int] = set()
        self._scans = 0

    def scan(self) -> Table:
        if self._scans % _RELEARN_SCANS == 0:
            self._kernel.clear()
        self._scans += 1
        stats = {}
        for pid in self._pids():
            stat = procfs.read_stat(f"{self._proc}/{pid}/stat")
            if stat is None:
                continue
            if stat.kernel_thread:
                self._kernel.add(pid)
            else:
                stats[pid] = stat
        return Table(stats)

    def _pids(self) -> list[int]:
        return [pid for pid in _numbers(self._proc) if pid not in self._kernel]


def _numbers(folder: str) -> list[int]:
    """The entries of a folder that are numbers; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [int(entry.name) for entry in entries if entry.name.isdecimal()]
    except OSError:
        return []


def read_threads(process: Path) -> list[Stat]:
    """The threads of a process, the oldest THREADS_READ of them."""
    tids = sorted(_numbers(f"{process}/task"))
    stats = (procfs.read_stat(f"{process}/task/{tid}/stat") for tid in tids[:THREADS_READ])
    return [stat for stat in stats if stat is not None]


class Bytes(NamedTuple):
    """Bytes a process has read from and written to storage."""

    read: int
    written: int


def read_io(process: Path) -> Bytes | None:
    """/proc/<pid>/io; None when it may not be read. Raises nothing."""
    fields = procfs.parse_fields(procfs.read_or_none(process / "io") or "")
    try:
        return Bytes(int(fields["read_bytes"]), int(fields["write_bytes"]))
    except (KeyError, ValueError):
        return None


class Look(msgspec.Struct):
    """Counters at one instant, by what cannot be mistaken for something else: a pid with its start time."""

    t_s: float
    cpu_s: dict[Identity, float] = msgspec.field(default_factory=dict)
    threads: dict[Identity, Stat] = msgspec.field(default_factory=dict)
    waits: dict[Identity, float] = msgspec.field(default_factory=dict)
    switches: dict[Identity, int] = msgspec.field(default_factory=dict)
    io: dict[Identity, Bytes] = msgspec.field(default_factory=dict)
    limits: dict[Identity, CpuLimits] = msgspec.field(default_factory=dict)


class Busiest(NamedTuple):
    """The thread that asked for most CPU: the share of a core it got, the part of that spent in the kernel,
    and the share of time it waited for a free CPU."""

    frac: float | None = None
    system_frac: float | None = None
    wait_frac: float | None = None


class Rates:
    """Differences between two looks, per second. Everything is None without a previous look."""

    def __init__(self, before: Look | None, now: Look) -> None:
        self._before = before
        self._now = now
        self.elapsed_s = now.t_s - before.t_s if before is not None else 0.0

    def cpu(self, stat: Stat) -> float | None:
        """Cores used by a process."""
        if self._before is None or (old := self._before.cpu_s.get(stat.identity)) is None:
            return None
        return max(0.0, stat.cpu_s - old) / self.elapsed_s

    def busiest(self, threads: list[Stat]) -> Busiest:
        if self._before is None:
            return Busiest()
        pairs = [(self._before.threads.get(thread.identity), thread) for thread in threads]
        used = [(old, new) for old, new in pairs if old is not None]
        if not used:
            return Busiest()
        old, new = max(used, key=lambda both: both[1].cpu_s - both[0].cpu_s + self._waited_s(both[1]))
        cpu_s, system_s = new.cpu_s - old.cpu_s, new.system_s - old.system_s
        return Busiest(
            cpu_s / self.elapsed_s,
            min(1.0, system_s / cpu_s) if cpu_s > 0 else None,
            self.waited(new),
        )

    def ran(self, thread: Stat) -> bool:
        """False when a thread is known to have used no CPU since the look before."""
        old = self._before.threads.get(thread.identity) if self._before is not None else None
        return old is None or thread.cpu_s > old.cpu_s

    def waited(self, stat: Stat) -> float | None:
        """Share of time a thread waited for a free CPU; None when either look did not count it."""
        if self._before is None:
            return None
        old, new = self._before.waits.get(stat.identity), self._now.waits.get(stat.identity)
        return None if old is None or new is None else min(1.0, max(0.0, new - old) / self.elapsed_s)

    def _waited_s(self, stat: Stat) -> float:
        return (self.waited(stat) or 0.0) * self.elapsed_s

    def switches(self, identity: Identity) -> float | None:
        """Voluntary context switches a second."""
        new = self._now.switches.get(identity)
        if self._before is None or new is None or (old := self._before.switches.get(identity)) is None:
            return None
        return max(0, new - old) / self.elapsed_s

    def io(self, identities: list[Identity]) -> tuple[float, float] | None:
        """Bytes read and written a second, summed over processes that both looks could read."""
        if self._before is None:
            return None
        old, new = self._before.io, self._now.io
        both = [(old[one], new[one]) for one in identities if one in old and one in new]
        if not both:
            return None
        read = sum(max(0, after.read - before.read) for before, after in both)
        written = sum(max(0, after.written - before.written) for before, after in both)
        return read / self.elapsed_s, written / self.elapsed_s

    def limits_before(self, identity: Identity) -> CpuLimits | None:
        return self._before.limits.get(identity) if self._before is not None else None

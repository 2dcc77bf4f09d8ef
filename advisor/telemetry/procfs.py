"""Small readers of /proc: one open, one read, one split, since they run every few seconds on busy nodes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple, TypeVar

_Value = TypeVar("_Value")

TICKS_S = 1.0 / os.sysconf("SC_CLK_TCK")

_KERNEL_THREAD = 0x00200000

_CPUS = re.compile(r"(?:^|,)\s*(\d{1,5})(?:-(\d{1,5}))?\s*(?=,|$)", re.ASCII)

# The names psutil gives the states of proc(5).
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk-sleep",
    "T": "stopped",
    "t": "tracing-stop",
    "Z": "zombie",
    "X": "dead",
    "x": "dead",
    "I": "idle",
    "P": "parked",
    "W": "waking",
    "K": "wake-kill",
}


class Stat(NamedTuple):
    """What one line of /proc/<pid>/stat or /proc/<pid>/task/<tid>/stat says. Times in seconds of CPU."""

    pid: int
    comm: str
    state: str
    parent: int
    kernel_thread: bool
    user_s: float
    system_s: float
    threads: int
    start_ticks: int

    @property
    def identity(self) -> tuple[int, int]:
        """A pid is used again, a pid and its start time are not."""
        return self.pid, self.start_ticks

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def read_text(path: Path | str, limit_bytes: int = 1 << 20) -> str:
    """A file of /proc or /sys as text. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks, size = [], 0
        while size < limit_bytes and (chunk := os.read(descriptor, min(65536, limit_bytes - size))):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def read_or_none(path: Path | str) -> str | None:
    """As read_text; None where it cannot be read."""
    try:
        return read_text(path)
    except OSError:
        return None


def parse_stat(line: str) -> Stat:
    """Parse a stat line. The name stands in parentheses and may hold any character, parentheses too.

    Raises ValueError when the line is not one.
    """
    head, _, tail = line.rpartition(")")
    pid, _, comm = head.partition(" (")
    fields = tail.split()
    if len(fields) < 20:
        raise ValueError("not a stat line")
    return Stat(
        pid=int(pid),
        comm=comm,
        state=_STATES.get(fields[0], fields[0]),
        parent=int(fields[1]),
        kernel_thread=bool(int(fields[6]) & _KERNEL_THREAD),
        user_s=int(fields[11]) * TICKS_S,
        system_s=int(fields[12]) * TICKS_S,
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
    )


def read_stat(path: Path | str) -> Stat | None:
    """The stat line at `path`; None when the process or thread is gone."""
    try:
        return parse_stat(read_text(path, 4096))
    except (OSError, ValueError):
        return None


def read_wait_s(path: Path | str) -> float | None:
    """Seconds a thread could have run but had no CPU (schedstat, second field); None when not counted."""
    try:
        return int(read_text(path, 256).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def parse_cpu_list(text: str | None) -> frozenset[int]:
    """The CPUs of a list such as "0-3,8,10-11"; what is no number or range in it is passed over."""
    cpus: set[int] = set()
    for first, last in _CPUS.findall(text or ""):
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def parse_fields(text: str) -> dict[str, str]:
    """`name: value` lines, as in /proc/<pid>/status and /proc/meminfo, as a dictionary."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def noted(missing: dict[str, str], name: str, value: _Value | None, reason: str) -> _Value | None:
    """The value; where it is None, `missing[name]` gets the reason."""
    if value is None:
        missing[name] = reason
    return value

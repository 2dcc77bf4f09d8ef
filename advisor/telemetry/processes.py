"""Processes on the GPUs: who they are, what job they belong to, and what their threads and children do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from advisor.telemetry.records import ProcessSample


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver says of one process on one device. key: the device's UUID."""

    key: str
    pid: int
    mem_used_bytes: int | None = None
    sm_frac: float | None = None
    driver_name: str | None = None


class ProcessReader:
    """Looks at GPU processes through /proc below `root`. One reader per stream: rates need its memory."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock

    def look(
        self, entries: Iterable[GpuProcess], numa_cpus: Mapping[str, frozenset[int]] | None = None
    ) -> tuple[ProcessSample, ...]:
        """One sample per entry, in order. numa_cpus: device key -> the CPUs near that device."""
        raise NotImplementedError

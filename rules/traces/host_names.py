"""What a host interval does, told by its name: a launch, a wait, a copy, an allocation, data loading, ..."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache


class HostRole(IntEnum):
    """What a host interval is about, in the order in which it explains idle time (smaller wins)."""

    OVERHEAD = 0  # the profiler's own work
    DATA = 1  # a DataLoader waiting for or making a batch
    IO = 2  # checkpoints, files
    COMM = 3  # a wait for other ranks on the host
    ALLOC = 4  # cudaMalloc, cudaFree, pinned allocations
    COPY = 5  # memory copies issued by the host
    SYNC = 6  # waits for the device
    LAUNCH = 7  # kernel and graph launches
    OTHER = 8


_API = r"^(?:cuda|hip|cu)"
_ALLOC = r"(?:Malloc|Free|HostAlloc|HostRegister|MemCreate|MemMap|MemUnmap|MemRelease|MemAlloc|MemFree)"
_PATTERNS: tuple[tuple[HostRole, re.Pattern[str]], ...] = (
    (HostRole.DATA, re.compile(r"DataLoader|_next_data|dataloader\.py|data_fetch|fetch\.py", re.IGNORECASE)),
    (HostRole.IO, re.compile(r"torch[./]serialization|save_checkpoint|load_checkpoint", re.IGNORECASE)),
    (HostRole.COMM, re.compile(r"gloo:|c10d::.*(?:wait|barrier)|ncclCommInit", re.IGNORECASE)),
    (HostRole.ALLOC, re.compile(_API + _ALLOC)),
    (HostRole.COPY, re.compile(_API + r"Memcpy")),
    (HostRole.SYNC, re.compile(_API + r"(?:Device|Stream|Event|Ctx)Synchronize")),
    (HostRole.LAUNCH, re.compile(_API + r"\w*Launch|" + _API + r"Memset")),
)


@lru_cache(maxsize=65536)
def host_role(name: str) -> HostRole:
    """The role that a name tells; OTHER where it tells none."""
    return next((role for role, pattern in _PATTERNS if pattern.search(name)), HostRole.OTHER)

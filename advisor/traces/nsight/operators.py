"""Which operator launched a device row: the innermost one around its launch, on the launching thread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.nesting import innermost
from advisor.traces.timeline import UNKNOWN, GpuTable, HostKind, HostTable


def operators_of(gpu: GpuTable, host: HostTable) -> NDArray[np.int32]:
    """For each device row the index of its operator in Timeline.ops; UNKNOWN where no range is around it."""
    found = np.full(len(gpu), UNKNOWN, np.int32)
    ranges = np.flatnonzero((host.kind == HostKind.OP) & (host.op != UNKNOWN))
    launched = np.flatnonzero(gpu.launch != UNKNOWN)
    if not len(ranges) or not len(launched):
        return found
    calls = gpu.launch[launched]
    for thread in np.unique(host.thread[ranges]):
        rows = ranges[host.thread[ranges] == thread]
        mine = host.thread[calls] == thread
        inner = innermost(host.start_ns[rows], host.end_ns[rows], host.start_ns[calls[mine]])
        found[launched[mine]] = np.where(inner == UNKNOWN, UNKNOWN, host.op[rows[np.maximum(inner, 0)]])
    return found

"""What host rows are about where idle time is concerned, and which threads drive a device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import Ints
from advisor.traces.lanes import Mask
from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind, HostKind, Timeline
from rules.traces.host_names import HostRole, overhead_of_profiler, returns_at_once, waits_for_event

CALLS = (HostKind.RUNTIME, HostKind.DRIVER)

_HOST_COPIES = [k for k in CopyKind if k.name.startswith(("H2D", "D2H"))]
_PAGEABLE = [CopyKind.H2D_PAGEABLE, CopyKind.D2H_PAGEABLE]


def roles_of(timeline: Timeline) -> NDArray[np.uint8]:
    """Each host row's role as it explains idle time: copies that do not wait are issuing, not waiting;
    records of overhead are the profiler's where their name does not say otherwise."""
    host = timeline.host
    roles = host.role.copy()
    recorded = host.kind == HostKind.OVERHEAD
    profilers = named(timeline, recorded, overhead_of_profiler)
    roles[recorded] = np.where(profilers[recorded], HostRole.OVERHEAD, HostRole.OTHER)
    copies = roles == HostRole.COPY
    roles[copies & ~_waiting(timeline, copies)] = HostRole.LAUNCH
    return roles


def named(timeline: Timeline, rows: Mask, test: Callable[[str], bool]) -> Mask:
    """Rows, of those given, whose name passes a test; each name is tested once."""
    host = timeline.host
    rows = rows & (host.name >= 0)
    present = np.zeros(len(timeline.names), np.bool_)
    present[host.name[rows]] = True
    passing = np.zeros(len(timeline.names), np.bool_)
    numbers = np.flatnonzero(present)
    passing[numbers] = [test(timeline.names[number]) for number in numbers]
    result = np.zeros(len(host), np.bool_)
    result[rows] = passing[host.name[rows]]
    return result


def event_waits(timeline: Timeline) -> Mask:
    """Calls that made a stream wait for an event."""
    return named(timeline, np.isin(timeline.host.kind, [*CALLS, HostKind.SYNC]), waits_for_event)


def drivers(timeline: Timeline, device: int) -> Ints:
    """Threads that launched what ran on the device, the busiest first. Where no launch is linked and there
    is but one device: those with launch calls at all."""
    gpu, host = timeline.gpu, timeline.host
    low, high = (int(np.searchsorted(gpu.device, device, side=side)) for side in ("left", "right"))
    launches = gpu.launch[low:high][gpu.launch[low:high] != UNKNOWN]
    if launches.shape[0] == 0 and 0 < high - low == len(gpu):
        launches = np.flatnonzero(host.role == HostRole.LAUNCH)
    threads, counts = np.unique(host.thread[launches].astype(np.int64), return_counts=True)
    return threads[np.argsort(-counts, kind="stable")]


def _waiting(timeline: Timeline, copies: Mask) -> Mask:
    """Copy calls that wait: by their name, by pageable memory, or seen to return after the copy's end."""
    waiting = copies & ~named(timeline, copies, returns_at_once)
    gpu, host = timeline.gpu, timeline.host
    linked = (gpu.kind == GpuKind.MEMCPY) & (gpu.launch != UNKNOWN) & np.isin(gpu.copy, _HOST_COPIES)
    rows = np.flatnonzero(linked)
    calls = gpu.launch[rows]
    held = np.isin(gpu.copy[rows], _PAGEABLE) | (host.end_ns[calls] >= gpu.end_ns[rows])
    waiting[calls[held]] = True
    return waiting

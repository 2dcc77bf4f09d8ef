"""Chains of short kernels, launched one by one, that a CUDA graph would launch at once.

A chain is a run of kernels on one stream, each short, whose launches follow each other with nothing between
that a graph cannot hold: a synchronisation, a value read back to the host, a size that depends on data, a
batch, a step's end. What a graph would save of the device's idle time within chains is a range: at least
what goes beyond the time from kernel to kernel inside a graph, at most all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kernel_study import Study
from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind, Ints, Timeline
from rules import thresholds as th
from rules.traces.host_names import HostRole
from rules.traces.records import ChainFigures

_BREAKING_ROLES = (HostRole.DATA, HostRole.IO, HostRole.COMM, HostRole.SYNC)
# Operators whose result or its size the host must know before it goes on.
_BREAKING = re.compile(
    r"^(?:aten::(?:item|_local_scalar_dense|is_nonzero|nonzero|nonzero_numpy|masked_select|_unique2?|unique_dim"
    r"|unique_consecutive|equal|allclose|bincount|repeat_interleave)"
    r"|(?:cuda|hip|cu)(?:Device|Stream|Event|Ctx)Synchronize\w*"
    r"|(?:cuda|hip)Memcpy(?:DtoH)?|cuMemcpyDtoH(?:_v2)?)$"
)
_GRAPH = re.compile(r"GraphLaunch")
_LISTED = 12
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows of one device in the order of their streams. joined: goes on the chain of the row before it."""

    rows: Ints
    joined: Flags
    member: Flags


def chains(found: Study) -> ChainFigures | None:
    """Chains of one device; None where nothing ran or the trace does not tell what launched its kernels."""
    launch = found.timeline.gpu.launch[found.rows]
    if not len(found.rows) or not (launch != UNKNOWN).any():
        return None
    run = _run(found)
    first, last, kernels = _long_enough(found, run)
    idle = _idle(found, run, first, last)
    turnaround = th.TRACE_GRAPH_KERNEL_US.value * 1e3
    longest = int(np.argmax(kernels)) if len(kernels) else None
    return ChainFigures(
        chains=len(first),
        kernels=int(kernels.sum()),
        of=len(found.rows),
        median_length=int(np.median(kernels)) if len(kernels) else 0,
        kernel_us=_length(found, run, first, last) / 1e3,
        gap_us=int(idle.sum()) / 1e3,
        saved_low_us=float(np.maximum(idle - turnaround, 0.0).sum()) / 1e3,
        saved_high_us=int(idle.sum()) / 1e3,
        graphed=int(_graphed(found.timeline, found.rows).sum()),
        longest=() if longest is None else _names(found, run.rows[first[longest] : last[longest] + 1]),
        basis=_basis(),
    )


def _basis() -> str:
    return (
        f"idle device time between kernels of up to {th.TRACE_CHAIN_KERNEL_US.value:g} µs, launched one by "
        f"one in runs of {th.TRACE_CHAIN_LEAST.value:g} or more without a synchronisation; low: beyond "
        f"{th.TRACE_GRAPH_KERNEL_US.value:g} µs each, which kernels of a graph take too"
    )


def _run(found: Study) -> _Run:
    gpu = found.timeline.gpu
    inside = np.arange(found.low, found.high)
    rows = inside[np.argsort(gpu.stream[inside], kind="stable")]
    member = _members(found.timeline, rows)
    joined = np.zeros(len(rows), np.bool_)
    before, after = rows[:-1], rows[1:]
    joined[1:] = (
        member[1:]
        & member[:-1]
        & (gpu.stream[before] == gpu.stream[after])
        & (gpu.start_ns[after] - gpu.end_ns[before] < th.TRACE_CHAIN_GAP_US.value * 1e3)
        & ~_broken(found.timeline, before, after)
    )
    return _Run(rows, joined, member)


def _members(timeline: Timeline, rows: Ints) -> Flags:
    """Short kernels, and sets and copies within the device, each launched by a call of its own."""
    gpu = timeline.gpu
    short = gpu.end_ns[rows] - gpu.start_ns[rows] <= th.TRACE_CHAIN_KERNEL_US.value * 1e3
    kind = gpu.kind[rows]
    within = (kind == GpuKind.KERNEL) | (kind == GpuKind.MEMSET) | (gpu.copy[rows] == CopyKind.D2D)
    return np.asarray(short & within & (gpu.launch[rows] != UNKNOWN) & ~_graphed(timeline, rows))


def _graphed(timeline: Timeline, rows: Ints) -> Flags:
    """Whether a graph launched them, by the graph's number or the name of the call."""
    gpu, host = timeline.gpu, timeline.host
    launch = gpu.launch[rows]
    if not len(host):
        return np.asarray(gpu.graph[rows] > 0)
    named = _named(timeline, np.unique(host.name[launch[launch != UNKNOWN]]), _GRAPH)
    return np.asarray((gpu.graph[rows] > 0) | ((launch != UNKNOWN) & named[host.name[launch]]))


def _broken(timeline: Timeline, before: Ints, after: Ints) -> Flags:
    """Whether something that a graph cannot hold began between the two launches, on any thread."""
    host, launch = timeline.host, timeline.gpu.launch
    a, b = host.start_ns[launch[before]], host.start_ns[launch[after]]
    breaks = _breaks(timeline)
    between = np.searchsorted(breaks, np.maximum(a, b)) > np.searchsorted(breaks, np.minimum(a, b))
    return np.asarray(between)


def _breaks(timeline: Timeline) -> Ints:
    host = timeline.host
    roles = np.isin(host.role, np.array(_BREAKING_ROLES, np.uint8))
    named = _named(timeline, np.unique(host.name), _BREAKING)[host.name]
    return np.sort(np.concatenate([host.start_ns[roles | named], timeline.steps.start_ns]))


def _named(timeline: Timeline, numbers: NDArray[np.int32], pattern: re.Pattern[str]) -> Flags:
    """Per number of a name whether the pattern is in it; looked at only for these numbers."""
    found = np.zeros(len(timeline.names) + 1, np.bool_)
    for number in numbers.tolist():
        found[number] = number >= 0 and pattern.search(timeline.names[number][:256]) is not None
    return found


def _long_enough(found: Study, run: _Run) -> tuple[Ints, Ints, Ints]:
    """First and last position of each chain, and how many kernels it has."""
    starts = np.flatnonzero(run.member & ~run.joined)
    goes_on = np.append(run.joined[1:], False) if len(run.joined) else run.joined
    ends = np.flatnonzero(run.member & ~goes_on)
    kernels = _between(found.timeline.gpu.kind[run.rows] == GpuKind.KERNEL, starts, ends)
    kept = kernels >= th.TRACE_CHAIN_LEAST.value
    return starts[kept], ends[kept], kernels[kept]


def _between(values: NDArray[np.bool_] | Ints, first: Ints, last: Ints) -> Ints:
    """Sums of values from each first to its last position."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.asarray(total[last + 1] - total[first])


def _idle(found: Study, run: _Run, first: Ints, last: Ints) -> Ints:
    """Idle time of the device before each row that goes on a chain, ns."""
    gpu = found.timeline.gpu
    inner = np.zeros(len(run.rows) + 1, np.int64)
    np.add.at(inner, first + 1, 1)
    np.add.at(inner, last + 1, -1)
    at = np.flatnonzero(np.cumsum(inner)[:-1] > 0)
    opened, closed = gpu.end_ns[run.rows[at - 1]], gpu.start_ns[run.rows[at]]
    length = np.maximum(closed - opened, 0)
    busy = _busy_until(found, np.maximum(closed, opened)) - _busy_until(found, opened)
    return np.asarray(length - busy)


def _busy_until(found: Study, at_ns: Ints) -> Ints:
    """Busy time of the device before each moment."""
    busy = found.busy
    total = np.concatenate([[0], np.cumsum(busy.end_ns - busy.start_ns)])
    index = np.searchsorted(busy.start_ns, at_ns, side="right")
    inside = np.maximum(index - 1, 0)
    over = np.where(index > 0, np.maximum(busy.end_ns[inside] - at_ns, 0), 0)
    return np.asarray(total[index] - over)


def _length(found: Study, run: _Run, first: Ints, last: Ints) -> int:
    """Time of the kernels in chains, ns."""
    gpu = found.timeline.gpu
    lengths = gpu.end_ns[run.rows] - gpu.start_ns[run.rows]
    return int(_between(np.where(gpu.kind[run.rows] == GpuKind.KERNEL, lengths, 0), first, last).sum())


def _names(found: Study, rows: Ints) -> tuple[str, ...]:
    """The first kernels of a chain."""
    gpu = found.timeline.gpu
    kernels = rows[gpu.kind[rows] == GpuKind.KERNEL][:_LISTED]
    return tuple(found.timeline.names[name] for name in gpu.name[kernels])

"""Chains of short kernels, launched one by one, that a CUDA graph would launch at once.

A chain is a run of kernels on one stream, each short, whose launches follow each other with nothing between
that a graph cannot hold: a synchronisation, a value read back to the host, a size that depends on data, a
batch, a step's end. Of the device's idle time within chains a graph saves what is due to launches or to the
turnaround from one queued kernel to the next. That is a range:

- at most all of it;
- at least what gaps that a launch explains have beyond the time from kernel to kernel inside a graph. A
  launch explains gaps of up to twice the usual time from one launch to the next in these chains, within
  bounds; in longer ones the host ran code of its own, which runs between two graphs just as well.

Where chains of several streams rest together their idle time counts once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution, Idle
from advisor.traces.grouping import Doubles, groups
from advisor.traces.intervals import Spans, pairs
from advisor.traces.kernel_study import Study
from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind, Ints, Timeline
from rules import thresholds as th
from rules.traces.host_names import HostRole
from rules.traces.kernel_records import ChainFigures
from rules.traces.records import CAUSES

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
# Causes of idle time that launching kernels as a graph takes away.
_SAVED = tuple(CAUSES.index(cause) for cause in ("host_launch", "kernel_gap"))
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows of one device in the order of their streams. joined: goes on the chain of the row before it."""

    rows: Ints
    joined: Flags
    member: Flags


@dataclass(frozen=True, slots=True)
class _Saved:
    """Idle time within chains, ns: all of it, and by index into _SAVED what a graph saves of it."""

    idle_ns: int
    low_ns: Doubles
    high_ns: Ints


def chains(found: Study, attribution: Attribution) -> ChainFigures | None:
    """Chains of one device; None where nothing ran or the trace does not tell what launched its kernels.

    attribution: of the same device.
    """
    launch = found.timeline.gpu.launch[found.rows]
    if not len(found.rows) or not (launch != UNKNOWN).any():
        return None
    run = _run(found)
    first, last, kernels = _long_enough(found, run)
    inside = _inside(first, last, len(run.rows))
    launch_ns = _launch_ns(found, run, inside)
    saved = _saved(attribution.idle, _rests(found, run, inside), launch_ns)
    longest = int(np.argmax(kernels)) if len(kernels) else None
    return ChainFigures(
        chains=len(first),
        kernels=int(kernels.sum()),
        of=len(found.rows),
        median_length=int(np.median(kernels)) if len(kernels) else 0,
        kernel_us=_length(found, run, first, last) / 1e3,
        gap_us=saved.idle_ns / 1e3,
        saved_low_us=float(saved.low_ns.sum()) / 1e3,
        saved_high_us=float(saved.high_ns.sum()) / 1e3,
        saved_low_by=_by_cause(saved.low_ns),
        saved_high_by=_by_cause(saved.high_ns),
        graphed=int(_graphed(found.timeline, found.rows).sum()),
        longest=() if longest is None else _names(found, run.rows[first[longest] : last[longest] + 1]),
        basis=_basis(launch_ns),
    )


def _by_cause(saved_ns: Doubles | Ints) -> dict[str, float]:
    return {CAUSES[cause]: float(ns) / 1e3 for cause, ns in zip(_SAVED, saved_ns, strict=True) if ns > 0.0}


def _basis(launch_ns: int) -> str:
    return (
        f"idle device time between kernels of up to {th.TRACE_CHAIN_KERNEL_US.value:g} µs each, launched one "
        f"by one in runs of {th.TRACE_CHAIN_LEAST.value:g} or more without a synchronisation; low: only gaps "
        f"of up to {launch_ns / 1e3:.3g} µs, which launches explain, beyond the "
        f"{th.TRACE_GRAPH_KERNEL_US.value:g} µs that kernels of a graph take too"
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


def _inside(first: Ints, last: Ints, count: int) -> Ints:
    """Positions of the rows that go on a chain."""
    edges = np.zeros(count + 1, np.int64)
    np.add.at(edges, first + 1, 1)
    np.add.at(edges, last + 1, -1)
    return np.flatnonzero(np.cumsum(edges)[:-1] > 0)


def _launch_ns(found: Study, run: _Run, inside: Ints) -> int:
    """Length up to which a launch explains a gap: twice the median time from one launch to the next in
    chains, within bounds."""
    low, high = (round(value.value * 1e3) for value in (th.TRACE_LAUNCH_US, th.TRACE_AWAY_US))
    if not len(inside):
        return low
    launch, start = found.timeline.gpu.launch[run.rows], found.timeline.host.start_ns
    apart = np.abs(start[launch[inside]] - start[launch[inside - 1]])
    return int(np.clip(2 * int(np.median(apart)), low, high))


def _rests(found: Study, run: _Run, inside: Ints) -> Spans:
    """When streams rest within chains, disjoint, cut where any row of a chain begins or ends: where clocks
    tick in µs, rows that take no time stand in the midst of idle time. The device may work meanwhile."""
    gpu = found.timeline.gpu
    opened, closed = gpu.end_ns[run.rows[inside - 1]], gpu.start_ns[run.rows[inside]]
    some = closed > opened
    at = np.concatenate([opened[some], closed[some]])
    points, where = np.unique(at, return_inverse=True)
    steps = np.zeros(len(points), np.int64)
    np.add.at(steps, where, np.repeat([1, -1], len(at) // 2))
    resting = np.flatnonzero(np.cumsum(steps) > 0)
    return Spans(points[resting], points[resting + 1])


def _saved(idle: Idle, rests: Spans, launch_ns: int) -> _Saved:
    """Idle time within these rests, and what a graph saves of it, gap by gap."""
    after = np.searchsorted(rests.start_ns, idle.end_ns, side="left")
    at, of = pairs(np.searchsorted(rests.end_ns, idle.start_ns, side="right"), after)
    if not len(at):
        return _Saved(0, np.zeros(len(_SAVED)), np.zeros(len(_SAVED), np.int64))
    length = np.minimum(idle.end_ns[at], rests.end_ns[of]) - np.maximum(idle.start_ns[at], rests.start_ns[of])
    gap = groups(of, idle.gap[at])
    parts = np.array([gap.total(np.where(idle.cause[at] == cause, length, 0)) for cause in _SAVED])
    ours = parts.sum(axis=0)
    beyond = np.maximum(ours - th.TRACE_GRAPH_KERNEL_US.value * 1e3, 0.0)
    left = np.where(gap.total(length) <= launch_ns, beyond, 0.0)
    kept = np.divide(left, ours, out=np.zeros(len(ours)), where=ours > 0)
    return _Saved(int(length.sum()), (parts * kept).sum(axis=1), parts.sum(axis=1))


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

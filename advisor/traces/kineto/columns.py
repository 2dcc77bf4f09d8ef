"""Events of one stretch of a file as columns, with names, threads and shapes numbered as they are met."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kineto.copies import copy_kind
from advisor.traces.kineto.numbers import (
    NO_TIME,
    exact_nanoseconds,
    fractions_of,
    nanoseconds,
    whole,
)
from advisor.traces.kineto.records import GPU_CATEGORIES, HOST_CATEGORIES, PASSED, Args, Event
from advisor.traces.limits import Limits
from advisor.traces.timeline import UNKNOWN, GpuKind, HostKind, Ints
from rules.traces.host_names import HostRole, host_role

Columns = dict[str, NDArray[Any]]
_EMPTY = Args()
_TAKES_SHAPE = frozenset({HostKind.OP})


class Numbering(dict[Any, int]):
    """Numbers things in the order met; from `most` on everything new is `rest`."""

    def __init__(self, most: int, rest: Any) -> None:
        super().__init__({rest: 0})
        self._most = most

    def __missing__(self, key: Any) -> int:
        if len(self) >= self._most:
            return 0
        self[key] = number = len(self)
        return number


@dataclass(slots=True)
class Tables:
    """What columns refer to by number. names: str; threads: (pid, tid) as written; shapes: (name number,
    dims, types, concrete) as JSON text."""

    names: Numbering
    threads: Numbering
    shapes: Numbering

    @classmethod
    def within(cls, limits: Limits) -> Tables:
        """Empty tables that grow to the limits."""
        return cls(
            Numbering(limits.names, ""),
            Numbering(limits.names, (UNKNOWN, UNKNOWN)),
            Numbering(limits.shapes, (0, b"", b"", b"")),
        )


@dataclass(slots=True)
class Block:
    """Rows of one stretch of a file.

    counters: (name, device, ns, value). bad: events with no usable time. lost: stretches that were no event
    any more, lost_at: the byte at which the first of them is.
    mended: events whose text was broken. tail: what stands behind the last event.
    cut_at: where it is half an event.
    """

    gpu: Columns = field(default_factory=dict)
    host: Columns = field(default_factory=dict)
    counters: list[tuple[str, int, int, float]] = field(default_factory=list)
    labels: dict[tuple[Any, Any], str] = field(default_factory=dict)
    processes: dict[Any, str] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    lost: int = 0
    mended: int = 0
    lost_at: int | None = None
    tail: bytes | None = None
    cut_at: int | None = None

    def rows(self) -> int:
        """Intervals kept."""
        return sum(len(part["start_ns"]) for part in (self.gpu, self.host) if part)


def block_of(events: Sequence[Event], tables: Tables, limits: Limits, *, exact: bool) -> Block:
    """Columns of these events. exact: their times are Decimal."""
    block = Block()
    times = exact_nanoseconds if exact else nanoseconds
    by: dict[str | None, list[Event]] = {}
    for event in events:
        if event.ph == "X":
            by.setdefault(event.cat, []).append(event)
        else:
            _point(event, block)
    for cat, found in by.items():
        block.events[(cat or "")[:64]] += len(found)
    gpu = [
        _gpu_columns(by[cat], kind, tables, limits, times)
        for cat, kind in GPU_CATEGORIES.items()
        if cat in by
    ]
    host = [
        _host_columns(by[cat], kind, tables, limits, times)
        for cat, kind in HOST_CATEGORIES.items()
        if cat in by
    ]
    block.gpu, bad_gpu = _kept(gpu)
    block.host, bad_host = _kept(host)
    block.bad = bad_gpu + bad_host
    return block


def _point(event: Event, block: Block) -> None:
    if event.ph == "M" and event.args is not None and event.args.name is not None:
        label = str(event.args.name)[:256]
        if event.name == "thread_name":
            block.labels[event.pid, event.tid] = label
        elif event.name == "process_name":
            block.processes[event.pid] = label
    else:
        block.events[PASSED.get(event.ph) or (event.cat or event.ph)[:64]] += 1


def _named(events: Sequence[Event], tables: Tables, limits: Limits) -> Columns:
    names, most = tables.names, limits.name_chars
    return {"name": np.array([names[(e.name or "")[:most]] for e in events], dtype=np.int32)}


def _timed(events: Sequence[Event], times: Callable[[Sequence[Any]], Ints]) -> Columns:
    start = times([event.ts for event in events])
    length = times([event.dur for event in events])
    good = (start != NO_TIME) & (length != NO_TIME) & (length >= 0)
    return {"start_ns": np.where(good, start, NO_TIME), "end_ns": start + np.where(good, length, 0)}


def _external(args: Sequence[Args]) -> Ints:
    column = whole([a.external for a in args])
    if (column == UNKNOWN).any():
        older = whole([a.external_old for a in args])
        column = np.where(column == UNKNOWN, older, column)
    return column


def _gpu_columns(
    events: Sequence[Event], kind: int, tables: Tables, limits: Limits, times: Callable[[Sequence[Any]], Ints]
) -> Columns:
    args = [event.args or _EMPTY for event in events]
    device = whole([a.device for a in args], np.int32)
    if (device == UNKNOWN).any():
        device = np.where(device == UNKNOWN, whole([e.pid for e in events], np.int32), device)
    return {
        **_named(events, tables, limits),
        **_timed(events, times),
        "device": device,
        "stream": _streams(events, args),
        "kind": np.full(len(events), kind, np.uint8),
        "copy": _copies(events, args) if kind == GpuKind.MEMCPY else np.zeros(len(events), np.uint8),
        "external": _external(args),
        "correlation": whole([a.correlation for a in args]),
        "bytes": whole([a.bytes for a in args]),
        "blocks": whole([_product(a.grid) for a in args]),
        "threads": whole([_product(a.block) for a in args], np.int32),
        "registers": whole([a.registers for a in args], np.int32),
        "shared_bytes": whole([a.shared for a in args], np.int32),
        "occupancy": fractions_of([a.occupancy for a in args]),
        "graph": whole([a.graph for a in args]),
    }  # fmt: skip


def _copies(events: Sequence[Event], args: Sequence[Args]) -> NDArray[np.uint8]:
    kinds = [copy_kind(e.name or "", str(a.kind or "")) for e, a in zip(events, args, strict=True)]
    return np.array(kinds, dtype=np.uint8)


def _streams(events: Sequence[Event], args: Sequence[Args]) -> Ints:
    column = whole([a.stream for a in args])
    if not (column == UNKNOWN).any():
        return column
    said = [
        event.tid.removeprefix("stream ") if isinstance(event.tid, str) else event.tid for event in events
    ]
    return np.where(column == UNKNOWN, whole(said), column)


def _host_columns(
    events: Sequence[Event], kind: int, tables: Tables, limits: Limits, times: Callable[[Sequence[Any]], Ints]
) -> Columns:
    if kind == HostKind.PYTHON:
        events = [event for event in events if host_role(event.name or "") != HostRole.OTHER]
    args = [event.args or _EMPTY for event in events]
    threads = tables.threads
    columns = {
        **_named(events, tables, limits),
        **_timed(events, times),
        "thread": np.array([threads[e.pid, e.tid] for e in events], dtype=np.int32),
        "kind": np.full(len(events), kind, np.uint8),
        "external": _external(args),
        "correlation": whole([a.correlation for a in args]),
    }
    columns["shape"] = (
        _shapes(args, columns["name"], tables) if kind in _TAKES_SHAPE else np.zeros(len(events), np.int32)
    )
    return columns


def _shapes(args: Sequence[Args], names: NDArray[Any], tables: Tables) -> NDArray[np.int32]:
    shapes = tables.shapes
    made = [
        shapes[name, bytes(a.dims), bytes(a.types), bytes(a.concrete)]
        for name, a in zip(names.tolist(), args, strict=True)
    ]
    return np.array(made, dtype=np.int32)


def _product(sizes: Sequence[int]) -> int:
    return math.prod(sizes) if sizes else UNKNOWN


def _kept(parts: Sequence[Columns]) -> tuple[Columns, int]:
    """Parts one below the other, without rows that have no time, and how many those are."""
    if not parts:
        return {}, 0
    whole_part = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    good = whole_part["start_ns"] != NO_TIME
    bad = int(len(good) - good.sum())
    return ({key: column[good] for key, column in whole_part.items()} if bad else whole_part), bad

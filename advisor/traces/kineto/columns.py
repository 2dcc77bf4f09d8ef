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
    plausible,
    whole,
)
from advisor.traces.kineto.records import GPU_CATEGORIES, HOST_CATEGORIES, NOTHING, PASSED, Args, Event
from advisor.traces.limits import Limits
from advisor.traces.timeline import UNKNOWN, GpuKind, HostKind, Ints
from rules.traces.host_names import HostRole, host_role

Columns = dict[str, NDArray[Any]]
_EMPTY = Args()
_TAKES_SHAPE = frozenset({HostKind.OP})
# Beyond what any device does at once; what a file says beyond is a broken figure, and sums would overflow.
_MOST_BYTES, _MOST_BLOCKS, _MOST_THREADS = 1 << 44, 1 << 44, 1 << 20
_MOST_REGISTERS, _MOST_SHARED = 1 << 16, 1 << 30


class Numbering(dict[Any, int]):
    """Numbers things in the order met; beyond `most` of them, or `room` bytes of text, all new is `beyond`.

    missed: how often that was given. Number 0 is `rest`.
    """

    def __init__(self, most: int, room: int, rest: Any, beyond: int = 0) -> None:
        super().__init__({rest: 0})
        self._most = most
        self._room = room
        self._beyond = beyond
        self.missed = 0

    def __missing__(self, key: Any) -> int:
        self._room -= len(key) if isinstance(key, str) else _text_in(key)
        if len(self) >= self._most or self._room < 0:
            self.missed += 1
            return self._beyond
        self[key] = number = len(self)
        return number


def _text_in(key: tuple[Any, ...]) -> int:
    return sum(len(part) for part in key if isinstance(part, str | bytes))


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
        room = limits.interned_bytes
        return cls(
            Numbering(limits.names, room, ""),
            Numbering(limits.threads, room, (UNKNOWN, UNKNOWN), UNKNOWN),
            Numbering(limits.shapes, room, (0, b"", b"", b"")),
        )

    def beyond(self) -> Counter[str]:
        """How many rows had to go without, by what."""
        return Counter(names=self.names.missed, threads=self.threads.missed, shapes=self.shapes.missed)


@dataclass(slots=True)
class Block:
    """Rows of one stretch of a file.

    counters: (name, device, ns, value). bad: events with no usable time. beyond: rows that met a limit, by
    what there was too much of. lost: stretches that were no event
    any more, lost_at: the byte at which the first of them is.
    mended: events whose text was broken. tail: what stands behind the last event.
    cut_at: where it is half an event.
    """

    gpu: Columns = field(default_factory=dict)
    host: Columns = field(default_factory=dict)
    counters: list[tuple[str, int, int, float]] = field(default_factory=list)
    labels: dict[tuple[Any, Any], str] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    beyond: Counter[str] = field(default_factory=Counter)
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
    block, before = Block(), tables.beyond()
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
    block.beyond = tables.beyond() - before
    return block


def _point(event: Event, block: Block) -> None:
    if event.ph == "M" and event.args is not None and event.args.name is not None:
        if event.name == "thread_name":
            block.labels[event.pid, event.tid] = str(event.args.name)[:256]
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
    return _linked(column)


def _linked(column: Ints) -> Ints:
    """Ids, of which 0 is none."""
    column[column == 0] = UNKNOWN
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
        "correlation": _linked(whole([a.correlation for a in args])),
        "bytes": plausible(whole([a.bytes for a in args]), _MOST_BYTES),
        "blocks": plausible(whole([_product(a.grid) for a in args]), _MOST_BLOCKS),
        "threads": plausible(whole([_product(a.block) for a in args], np.int32), _MOST_THREADS),
        "registers": plausible(whole([a.registers for a in args], np.int32), _MOST_REGISTERS),
        "shared_bytes": plausible(whole([a.shared for a in args], np.int32), _MOST_SHARED),
        "occupancy": fractions_of([a.occupancy for a in args]),
        "graph": whole([a.graph for a in args]),
        "group": _groups(args, tables, limits),
    }  # fmt: skip


def _groups(args: Sequence[Args], tables: Tables, limits: Limits) -> NDArray[np.int32]:
    """Numbers, among the names, of what is told of a collective's process group; 0 where nothing is."""
    names, most = tables.names, limits.name_chars
    made = [
        names[_group_told(a)[:most]] if a.ranks is not NOTHING or a.group is not NOTHING else 0 for a in args
    ]
    return np.array(made, dtype=np.int32)


def _group_told(args: Args) -> str:
    """Its name, its ranks and the collective, as written, with tabs between them."""
    parts = (
        bytes(part).decode("utf-8", "replace").strip('"')
        for part in (args.group, args.ranks, args.collective)
    )
    told = "\t".join(part.replace("\t", " ") for part in parts)
    return told if told[:2] != "\t\t" else ""


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
        "correlation": _linked(whole([a.correlation for a in args])),
    }
    columns["shape"] = (
        _shapes(args, columns["name"], tables) if kind in _TAKES_SHAPE else np.zeros(len(events), np.int32)
    )
    if not threads.missed:
        return columns
    known = columns["thread"] != UNKNOWN
    return {key: column[known] for key, column in columns.items()}


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

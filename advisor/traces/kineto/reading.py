"""A Kineto file as a Timeline: divided, decoded, merged."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from advisor.traces.kineto import losses, meta
from advisor.traces.kineto.counters import Counters
from advisor.traces.kineto.merge import Merger, thread_key
from advisor.traces.kineto.messages import Reply
from advisor.traces.kineto.numbering import Numberings
from advisor.traces.kineto.pieces import Head, head, pieces
from advisor.traces.kineto.records import KNOWN_KINDS
from advisor.traces.kineto.source import GzipSource, PlainSource, Source
from advisor.traces.kineto.workers import decode_apart, decode_here
from advisor.traces.limits import Limits
from advisor.traces.timeline import Loss, Timeline, TraceMeta

Progress = Callable[[int, int | None], None]
PIECE_BYTES = 2 << 20
# Starting processes costs a quarter of a second; below this one process is done before.
_APART_FROM_BYTES = {True: 64 << 20, False: 5 << 20}
_MOST_PROCESSES = 4
# Unix time in ns from here on (1973): smaller times are of a clock of the machine's own.
_UNIX_FROM_NS = 10**17
_OTHERS = "other categories"


def read_kineto(
    path: Path,
    *,
    progress: Progress | None,
    limits: Limits,
    processes: int | None = None,
    piece_bytes: int = PIECE_BYTES,
) -> Timeline:
    """The timeline of a Kineto file. processes: that decode (0: this one alone), None to decide by size."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        packed = os.pread(fd, 2, 0) == b"\x1f\x8b"
        source: Source = GzipSource(fd, limits) if packed else PlainSource(fd, limits)
        found = head(source, limits)
        if found is None:
            raise losses.no_events(path, source)
        if processes is None:
            processes = _processes(size, source.plain)
        reading = _Reading(source, limits, size, progress)
        stretches = pieces(source, found.events, limits, piece_bytes)
        if processes:
            decode_apart(source, fd, stretches, limits, reading.take, processes)
        else:
            decode_here(source, stretches, limits, reading.take)
        changed = os.fstat(fd).st_size != size
        return reading.timeline(path, found, changed)
    finally:
        os.close(fd)


def _processes(size: int, plain: bool) -> int:
    if size < _APART_FROM_BYTES[plain]:
        return 0
    return max(2, min(_MOST_PROCESSES, len(os.sched_getaffinity(0))))


class _Reading:
    """What was decoded so far."""

    def __init__(self, source: Source, limits: Limits, size: int, progress: Progress | None) -> None:
        self._source = source
        self._limits = limits
        self._size = size
        self._progress = progress
        self._merger = Merger()
        self._numbers = Numberings(self._merger)
        self._events: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()
        self._labels: dict[tuple[int, int], str] = {}
        self._counters = Counters(limits.counters)
        self._rows = self._bad = self._lost = self._mended = 0
        self._lost_at: int | None = None
        self._tail: bytes | None = None
        self._cut_at: int | None = None
        self._stopped: Loss | None = None
        self._met: int | None = None

    def take(self, maker: int, reply: Reply) -> bool:
        """One stretch; False where a limit is reached."""
        block = reply.block
        self._numbers.add(maker, reply)
        self._beyond.update(block.beyond)
        self._count(block.events)
        if len(self._labels) < self._limits.threads:
            self._labels.update({thread_key(*key)[:2]: label for key, label in block.labels.items()})
        self._beyond["counters"] += self._counters.add(block.counters)
        self._bad += block.bad
        self._lost += block.lost
        self._mended += block.mended
        self._lost_at = block.lost_at if self._lost_at is None else self._lost_at
        self._cut_at = block.cut_at
        self._tail = block.tail if block.tail is not None else self._tail
        self._rows += block.rows() + len(block.counters)
        if self._progress is not None:
            self._progress(min(self._source.done(reply.end), self._size), self._size)
        if self._rows > self._limits.rows:
            self._stopped = losses.too_many(self._rows, reply.end)
        elif self._lost > self._limits.damages or self._eventless(reply) > self._limits.eventless_bytes:
            self._stopped = losses.too_damaged(reply.end)
        return self._stopped is None

    def _eventless(self, reply: Reply) -> int:
        """Bytes since the stretch of the last event."""
        if self._met is None or reply.block.events:
            self._met = reply.end
        return reply.end - self._met

    def _count(self, events: Counter[str]) -> None:
        known, most = self._events, self._limits.categories
        for kind, count in events.items():
            named = kind in known or kind in KNOWN_KINDS or len(known) < most
            known[kind if named else _OTHERS] += count

    def timeline(self, path: Path, found: Head, changed: bool) -> Timeline:
        """Everything as a Timeline."""
        about, cut = losses.around(found, self._tail, self._cut_at)
        merged = self._merger.merged(self._labels)
        base = meta.base_ns(about)
        if not len(merged.gpu) and not len(merged.host):
            raise losses.nothing(path, self._events, self._lost or self._cut_at, self._bad + merged.far)
        told = [
            *self._source.losses, *([self._stopped] if self._stopped else [] if self._source.losses else cut),
            *losses.damage(self._lost, self._lost_at, self._bad, self._mended),
            *losses.beyond(self._beyond, self._limits), *losses.links(merged), *losses.sides(merged),
            *([losses.CHANGED] if changed else []),
        ]  # fmt: skip
        rank, world = meta.ranks(about)
        zero = merged.zero + (base or 0)
        pid = next((t.pid for t in merged.threads if t.pid > 0), None)
        return Timeline(
            meta=TraceMeta(
                path=str(path), format="kineto", size_bytes=self._size,
                zero_ns=zero if base is not None or zero > _UNIX_FROM_NS else None,
                events=dict(sorted(self._events.items())), rank=rank, world_size=world, pid=pid,
                host=meta.host(about), facts=meta.facts(about), file_zero_ns=merged.zero,
            ),
            gpu=merged.gpu, host=merged.host, steps=merged.steps, names=merged.names, ops=merged.ops,
            threads=merged.threads, devices=meta.devices(about), losses=tuple(told),
            counters=self._counters.columns(merged.zero),
        )  # fmt: skip

"""A Kineto file as a Timeline."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from advisor.traces.kineto import meta
from advisor.traces.kineto.columns import Tables, block_of
from advisor.traces.kineto.merge import Merger, Texts
from advisor.traces.kineto.records import Event
from advisor.traces.limits import Limits
from advisor.traces.timeline import Loss, Timeline, TraceMeta

Progress = Callable[[int, int | None], None]


class _Document(msgspec.Struct):
    traceEvents: list[Event] = []  # noqa: N815


def read_kineto(path: Path, *, progress: Progress | None, limits: Limits) -> Timeline:
    """The timeline of a Kineto file."""
    text = path.read_bytes()
    text = gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text
    about: dict[str, Any] = msgspec.json.decode(text)
    about.pop("traceEvents", None)
    events = msgspec.json.decode(text, type=_Document).traceEvents
    tables = Tables.within(limits)
    block = block_of(events, tables, limits, exact=False)
    merger = Merger()
    merger.add(block, Texts(list(tables.names), list(tables.threads), list(tables.shapes)))
    merged = merger.merged({})
    base = meta.base_ns(about)
    rank, size = meta.ranks(about)
    zero = merged.zero + (base or 0)
    return Timeline(
        meta=TraceMeta(
            path=str(path), format="kineto", size_bytes=path.stat().st_size,
            zero_ns=zero if base is not None or zero > 10**17 else None,
            events=dict(block.events), rank=rank, world_size=size, host=meta.host(about), facts=meta.facts(about),
            file_zero_ns=merged.zero,
        ),
        gpu=merged.gpu, host=merged.host, steps=merged.steps, names=merged.names, ops=merged.ops,
        threads=merged.threads, devices=meta.devices(about),
        losses=() if len(merged.gpu) else (Loss("no-gpu-events", "nothing ran on a GPU in this trace"),),
    )  # fmt: skip

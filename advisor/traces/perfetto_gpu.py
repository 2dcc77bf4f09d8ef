"""What ran on a device, as tracks: one thread a stream, and further ones where rows of a stream overlap."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import rows_of
from advisor.traces.perfetto_events import Ids, process_events, shortened, slice_event, thread_events
from advisor.traces.perfetto_tracks import Shown, Track
from advisor.traces.timeline import UNKNOWN

_CHUNK = 50_000
_STREAM_MASK = 0xFFFFFFFF


def gpu_tracks(track: Track, ids: Ids) -> Iterator[bytes]:
    """All rows of the device, with what is known of each."""
    pid = ids.take()
    name = track.timeline.facts_of(track.attribution.device).name
    label = f"{track.label}: {name}" if name else track.label
    yield from process_events(pid, shortened(label, track.clean), track.position)
    lanes = _Lanes(pid, ids)
    names = Shown(track)
    low, high = rows_of(track.timeline, track.attribution.device)
    for first in range(low, high, _CHUNK):
        yield from _rows(track, lanes, names, slice(first, min(high, first + _CHUNK)))


def _rows(track: Track, lanes: _Lanes, names: Shown, part: slice) -> Iterator[bytes]:
    gpu = track.timeline.gpu
    facts: dict[str, NDArray[Any]] = {
        "bytes": gpu.bytes,
        "blocks": gpu.blocks,
        "threads a block": gpu.threads,
        "graph": gpu.graph,
    }
    columns = {key: column[part].tolist() for key, column in facts.items() if np.any(column[part] != UNKNOWN)}
    starts, ends = gpu.start_ns[part].tolist(), gpu.end_ns[part].tolist()
    streams, shown = gpu.stream[part].tolist(), gpu.name[part].tolist()
    for row, start in enumerate(starts):
        tid, made = lanes.place(streams[row], start, ends[row])
        yield from made
        args: dict[str, object] = {
            key: values[row] for key, values in columns.items() if values[row] != UNKNOWN
        }
        length = ends[row] - start
        yield slice_event(names.of(shown[row]), lanes.pid, tid, start + track.shift_ns, length, args)


@dataclass(slots=True)
class _Stream:
    """Lanes of a stream. busy: a heap of (end of its last row, lane); free: a heap of lanes."""

    tids: list[int] = field(default_factory=list)
    busy: list[tuple[int, int]] = field(default_factory=list)
    free: list[int] = field(default_factory=list)


class _Lanes:
    """Threads for streams. Rows that overlap (Perfetto drops what does not nest) go to a further thread."""

    def __init__(self, pid: int, ids: Ids) -> None:
        self.pid = pid
        self._ids = ids
        self._of: dict[int, _Stream] = {}

    def place(self, stream: int, start: int, end: int) -> tuple[int, list[bytes]]:
        """The thread of a row, and the events that name it where it is new. Rows come in order of start."""
        lanes = self._of.setdefault(stream, _Stream())
        while lanes.busy and lanes.busy[0][0] <= start:
            heapq.heappush(lanes.free, heapq.heappop(lanes.busy)[1])
        if lanes.free:
            lane, named = heapq.heappop(lanes.free), list[bytes]()
        else:
            lane = len(lanes.tids)
            lanes.tids.append(self._ids.take())
            label = _stream_label(stream, lane + 1)
            named = list(thread_events(self.pid, lanes.tids[lane], label, len(self._of)))
        heapq.heappush(lanes.busy, (end, lane))
        return lanes.tids[lane], named


def _stream_label(stream: int, lane: int) -> str:
    context = stream >> 32 if stream >= 0 else 0
    label = f"stream {stream & _STREAM_MASK if stream >= 0 else '?'}"
    label += f", context {context + 1}" if context else ""
    return label + (f" (overlap {lane})" if lane > 1 else "")

"""Events of Chrome's JSON trace format, as ui.perfetto.dev reads them.

What it honours (google/perfetto, importers/json): ph X, C and M; ts and dur in µs, read digit by digit to the
nanosecond; process_name, thread_name and, since October 2025, process_sort_index and thread_sort_index.
cname is ignored: a slice's colour follows from its name, so names are those of causes. pid and tid are
unsigned 32-bit numbers, and a tid is looked up without its pid: it has to be unique in the file. Slices of
one thread must nest, others are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Clean = Callable[[str], str]
_FIRST_ID = 2_000_000_000  # beyond any process id (Linux: 4,194,304) and any device number
_LONGEST = 400


@dataclass(slots=True)
class Ids:
    """Numbers for processes and threads that no original event has."""

    _next: int = field(default=_FIRST_ID)

    def take(self) -> int:
        self._next += 1
        return self._next


def micros(time_ns: int) -> str:
    """Nanoseconds as µs, exactly: three decimals, none where they are 0."""
    whole, rest = divmod(abs(time_ns), 1000)
    sign = "-" if time_ns < 0 else ""
    return f"{sign}{whole}.{rest:03d}" if rest else f"{sign}{whole}"


def slice_event(
    name: str, pid: int, tid: int, start_ns: int, length_ns: int, args: dict[str, object] | None = None
) -> bytes:
    """A stretch of time on a thread's track."""
    tail = f',"args":{_json(args)}' if args else ""
    return (
        f'{{"ph":"X","cat":"advisor","name":{_json(name)},"pid":{pid},"tid":{tid},'
        f'"ts":{micros(start_ns)},"dur":{micros(length_ns)}{tail}}}'
    ).encode()


def counter_event(name: str, pid: int, at_ns: int, values: dict[str, float]) -> bytes:
    """Values of counter tracks of a process, one track a key, from a moment on."""
    return (
        f'{{"ph":"C","cat":"advisor","name":{_json(name)},"pid":{pid},"ts":{micros(at_ns)},'
        f'"args":{_json(values)}}}'
    ).encode()


def process_events(pid: int, name: str, sort_index: int) -> Iterator[bytes]:
    """Names a process and says where it stands."""
    yield _meta("process_name", pid, pid, {"name": name})
    yield _meta("process_sort_index", pid, pid, {"sort_index": sort_index})


def thread_events(pid: int, tid: int, name: str, sort_index: int) -> Iterator[bytes]:
    """Names a thread and says where it stands in its process."""
    yield _meta("thread_name", pid, tid, {"name": name})
    yield _meta("thread_sort_index", pid, tid, {"sort_index": sort_index})


def shortened(text: str, clean: Clean) -> str:
    """Hostile text made safe to show, and of bearable length; never empty, which Perfetto stumbles over."""
    safe = clean(text[: 4 * _LONGEST]).strip()
    return (safe if len(safe) <= _LONGEST else safe[: _LONGEST - 1] + "…") or "?"


def _meta(kind: str, pid: int, tid: int, args: dict[str, object]) -> bytes:
    return f'{{"ph":"M","name":"{kind}","pid":{pid},"tid":{tid},"ts":0,"args":{_json(args)}}}'.encode()


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

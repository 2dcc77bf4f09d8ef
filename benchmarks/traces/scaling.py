"""A trace scaled up: the same events over and over, later each time and with ids of their own.

Busy and idle time of a scaled trace follow from those of the original exactly, which makes it an oracle: N
copies, each a span and a pause apart, are busy N times as long.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, cast

import msgspec

PAUSE_US = 100
_IDS = (
    "correlation", "External id", "Ev Idx", "Python id", "Python parent id", "Sequence number",
    "wait_on_cuda_event_record_corr_id",
)  # fmt: skip
_STEP = "ProfilerStep#"


class Scale(msgspec.Struct, frozen=True):
    """How far one copy lies from the next: in µs, in ids, in steps."""

    span_us: float
    ids: int
    steps: int


def load(path: Path) -> dict[str, Any]:
    """A trace as plain objects."""
    raw = path.read_bytes()
    text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    return cast("dict[str, Any]", msgspec.json.decode(text))


def scale_of(events: list[dict[str, Any]]) -> Scale:
    """The distances between copies of these events."""
    timed = [e for e in events if e.get("ph") == "X" and e.get("cat") != "Trace"]
    first = min(e["ts"] for e in timed)
    last = max(e["ts"] + e["dur"] for e in timed)
    ids = max((_largest(e) for e in events), default=0)
    steps = sum(
        1 for e in events if str(e.get("name", "")).startswith(_STEP) and e.get("cat") == "user_annotation"
    )
    return Scale(last - first + PAUSE_US, ids + 1, max(1, steps))


def _largest(event: dict[str, Any]) -> int:
    args = event.get("args") or {}
    found: list[int] = [args[key] for key in _IDS if isinstance(args.get(key), int)]
    flow = event.get("id")
    return max([*found, flow if isinstance(flow, int) else 0])


def write_scaled(source: Path, out: Path, times: int) -> int:
    """Write `times` copies of `source` to `out`; the number of events written."""
    trace = load(source)
    events = cast("list[dict[str, Any]]", trace.pop("traceEvents"))
    once = [e for e in events if e.get("ph") == "M"]
    again = [e for e in events if e.get("ph") != "M" and e.get("cat") != "Trace"]
    by = scale_of(again)
    encode = msgspec.json.encode
    with out.open("wb") as file:
        file.write(encode(trace)[:-1] + (b"," if trace else b"") + b'"traceEvents":[')
        file.write(b",\n".join(encode(e) for e in once))
        for k in range(times):
            file.write(b",\n" if once or k else b"")
            file.write(b",\n".join(encode(_moved(e, k, by)) for e in again))
        file.write(b"]}\n")
    return len(once) + times * len(again)


def _moved(event: dict[str, Any], k: int, by: Scale) -> dict[str, Any]:
    moved = {**event, "ts": event["ts"] + k * by.span_us}
    args = event.get("args")
    if args:
        moved["args"] = {
            key: value + k * by.ids if key in _IDS and isinstance(value, int) and value >= 0 else value
            for key, value in args.items()
        }
    if isinstance(event.get("id"), int):
        moved["id"] = event["id"] + k * by.ids
    if str(event.get("name", "")).startswith(_STEP):
        number = int(event["name"].removeprefix(_STEP))
        moved["name"] = f"{_STEP}{number + k * by.steps}"
    return moved

"""What a Kineto file did not give, in words; and what is said of a file that gives nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.traces.errors import TraceError
from advisor.traces.kineto import meta
from advisor.traces.kineto.merge import Merged
from advisor.traces.kineto.pieces import Head
from advisor.traces.kineto.scan import WHITESPACE
from advisor.traces.kineto.source import Source
from advisor.traces.limits import Limits
from advisor.traces.timeline import Loss

PROFILE = "Record one with torch.profiler: activities CPU and CUDA, then export_chrome_trace(...)."
CHANGED = Loss("changed", "the file changed while it was read: read it again when the profiler is done")
_BASE = re.compile(rb'"baseTimeNanoseconds"\s*:\s*"?(\d{1,19})')


def around(found: Head, tail: bytes | None, cut_at: int | None) -> tuple[dict[str, Any], list[Loss]]:
    """What stands before and after the events, and whether the file ends where it should."""
    before, _ = _document(found.text + b"]}") if not found.bare else ({}, True)
    if tail is None:
        return before, [Loss("truncated", "the text ends before the events do")]
    behind = tail.lstrip(WHITESPACE + b",")
    if not behind.startswith(b"]"):
        whole = found.bare and not behind
        message = "the file ends in the middle of an event" if behind else "the file ends between two events"
        return before, [] if whole else [Loss("truncated", message, 1 if behind else None, cut_at)]
    if found.bare:
        return before, []
    after, good = _document(b'{"traceEvents":[' + behind)
    base = _BASE.search(behind)
    if not good and base:
        after["baseTimeNanoseconds"] = int(base[1])
    cut = (
        []
        if good
        else [Loss("truncated", "what stands behind the events is cut or damaged; all events are there")]
    )
    return before | after, cut


def damage(lost: int, at: int | None, bad: int, mended: int) -> list[Loss]:
    """Stretches and events that could not be used."""
    found = []
    if lost:
        found.append(Loss("damaged", "stretches of the text are no events and were skipped", lost, at))
    if mended:
        found.append(
            Loss("mended", "events of which the text is no JSON (a bare quote, say) were mended", mended)
        )
    if bad:
        found.append(Loss("bad-times", "events without a usable time or duration were left out", bad))
    return found


_BEYOND = {
    "names": "intervals are without a name: the file has more distinct names than are kept",
    "threads": "host intervals were left out: the file has more threads than are read",
    "shapes": "operators are without shapes: the file has more distinct ones than are kept",
    "counters": "samples of hardware counters were left out: the file has more counters than are read",
    "samples": "samples of hardware counters in damaged text were left out",
}


def beyond(counts: Mapping[str, int], limits: Limits) -> list[Loss]:
    """What met a limit on distinct things."""
    most = {"names": limits.names, "threads": limits.threads, "shapes": limits.shapes,
            "counters": limits.counters}  # fmt: skip
    return [
        Loss(
            "limit" if what in most else "damaged",
            said + (f" ({most[what]:,}, {limits.interned_bytes >> 20} MiB)" if what in most else ""),
            counts[what],
        )
        for what, said in _BEYOND.items()
        if counts.get(what)
    ]


def links(merged: Merged) -> list[Loss]:
    """Times and links that are not what a file should have."""
    found = []
    if merged.far:
        found.append(Loss("bad-times", "events with times far off all others were left out", merged.far))
    if merged.homeless:
        found.append(
            Loss("no-device", "what ran on a GPU that the file does not name was left out", merged.homeless)
        )
    if merged.repeated:
        message = (
            "correlation ids occur twice (several sessions or processes in one file): what ran was linked to "
            "the nearest call before it"
        )
        found.append(Loss("repeated-ids", message, merged.repeated))
    return found


def sides(merged: Merged) -> list[Loss]:
    """Whether a side of the trace is missing: what ran on devices, or what launched it."""
    if not len(merged.gpu):
        return [Loss("no-gpu-events", "nothing ran on a GPU in this trace: only the CPU was recorded")]
    if not (merged.gpu.launch >= 0).any():
        return [Loss("no-cpu-side", "the trace holds no call that launched what ran on the GPU")]
    return []


def too_many(rows: int, offset: int) -> Loss:
    """The limit of rows was met."""
    return Loss("limit", f"reading stopped after {rows} intervals; what follows was not read", offset=offset)


def too_damaged(offset: int) -> Loss:
    """The limit of damages was met."""
    return Loss(
        "limit", "most of the text is no events: reading stopped; what follows was not read", offset=offset
    )


def nothing(path: Path, events: Mapping[str, int], lost: int | None, untimed: int) -> TraceError:
    """A file with an array of events of which none is of a profiler, or none has a usable time."""
    if untimed:
        return TraceError(f"{path}: {untimed} events, none with a usable time", f"Record it again. {PROFILE}")
    if lost and not events:
        return TraceError(f"{path}: damaged; no event in it can be read", f"Copy it again. {PROFILE}")
    if not events:
        return TraceError(f"{path}: a trace without events", f"The profiler recorded nothing. {PROFILE}")
    kinds = ", ".join(sorted(events)[:5])
    return TraceError(
        f"{path}: a trace, but nothing in it is the PyTorch profiler's ({kinds})",
        f"Other tools write this format too. {PROFILE}",
    )


def no_events(path: Path, source: Source) -> TraceError:
    """A file of text without an array of events."""
    why = f" ({source.losses[0].message})" if source.losses else ""
    return TraceError(f"{path}: JSON without traceEvents, so no trace{why}", PROFILE)


def _document(text: bytes) -> tuple[dict[str, Any], bool]:
    try:
        found = meta.loads(text.lstrip(b"\xef\xbb\xbf" + WHITESPACE).rstrip(WHITESPACE))
    except ValueError:
        return {}, False
    if isinstance(found, dict):
        found.pop("traceEvents", None)
    return (found, True) if isinstance(found, dict) else ({}, False)

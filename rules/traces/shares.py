"""Shares of a traced device's time: every µs of its span in one share of the ladder, none twice.

What idle and busy time counts as:

- idle for the host (launches, synchronisation, data loading, copies, checkpoints, allocation): `host`;
- waits for other ranks, and collectives with no other kernel beside them: `communication`;
- gaps between queued kernels, waits for another stream, kernels too small for the device: `device`;
- kernels by their nature: `compute` or `memory`;
- copies and sets with no kernel beside them: between host and device `host`, since the device waits for a
  transfer; within the device `memory`; between devices `communication`;
- kernels of no known nature, idle time without a cause, and the profiler's own work: `unknown`. The profiler
  is no part of the workload, and what would have happened in its place nobody knows.
"""

from __future__ import annotations

import math

from rules.traces.records import DeviceTrace
from rules.verdict import SHARES

# Cause of idle time, and class of busy time -> share. "copy" is divided by the direction of the copies.
IDLE_SHARE: dict[str, str] = {
    "host_launch": "host",
    "synchronisation": "host",
    "data_loading": "host",
    "copy_wait": "host",
    "checkpoint_io": "host",
    "allocator": "host",
    "communication_wait": "communication",
    "stream_dependency": "device",
    "kernel_gap": "device",
    "profiler_overhead": "unknown",
    "unknown": "unknown",
}
BUSY_SHARE: dict[str, str] = {
    "compute": "compute",
    "memory": "memory",
    "latency": "device",
    "communication": "communication",
    "other": "unknown",
}
_COPY_SHARE = {"h2d": "host", "d2h": "host", "d2d": "memory", "p2p": "communication", "set": "memory"}
# What the idle causes of the host share are called as causes of a verdict.
HOST_CAUSES = tuple(cause for cause, share in IDLE_SHARE.items() if share == "host")


def trace_shares(trace: DeviceTrace) -> dict[str, float]:
    """SHARES key -> part of the span; they sum to 1. All is unknown where the span is empty."""
    times = share_us(trace)
    whole = math.fsum(times.values())
    if whole <= 0.0:
        return {**dict.fromkeys(SHARES, 0.0), "unknown": 1.0}
    shares = {name: times[name] / whole for name in SHARES}
    largest = max(shares, key=lambda name: shares[name])
    shares[largest] += 1.0 - math.fsum(shares.values())
    return shares


def share_us(trace: DeviceTrace) -> dict[str, float]:
    """SHARES key -> µs of the device's span."""
    found = dict.fromkeys(SHARES, 0.0)
    for cause, us in trace.causes.items():
        found[IDLE_SHARE.get(cause, "unknown")] += us
    for nature, us in trace.busy.items():
        if nature != "copy":
            found[BUSY_SHARE.get(nature, "unknown")] += us
    for share, us in copy_us(trace).items():
        found[share] += us
    return found


def copy_us(trace: DeviceTrace) -> dict[str, float]:
    """Share -> µs of copies and sets alone, divided as the exposed time of each direction is.

    Copies that overlap each other count in each direction's exposed time, so that this is a proportion.
    """
    alone = trace.busy.get("copy", 0.0)
    exposed = {row.kind: 0.0 for row in trace.copies}
    for row in trace.copies:
        exposed[row.kind] += max(0.0, row.exposed_us)
    whole = math.fsum(exposed.values())
    if alone <= 0.0:
        return {}
    if whole <= 0.0:
        return {"host": alone} if not trace.copies else {_share_of(trace.copies[0].kind): alone}
    found: dict[str, float] = {}
    for kind, us in exposed.items():
        share = _share_of(kind)
        found[share] = found.get(share, 0.0) + alone * us / whole
    return found


def _share_of(kind: str) -> str:
    return _COPY_SHARE.get(kind, "memory")


def frac(trace: DeviceTrace, us: float) -> float:
    """µs as a part of the device's span, 0 to 1; 0 where the span is empty."""
    return min(1.0, max(0.0, us / trace.span_us)) if trace.span_us > 0.0 else 0.0


def cause_frac(trace: DeviceTrace, cause: str) -> float:
    """Idle time of one cause as a part of the span."""
    return frac(trace, trace.causes.get(cause, 0.0))


def transfer_us(trace: DeviceTrace) -> float:
    """µs in which the device waits for transfers from or to the host, the transfers themselves included."""
    return trace.causes.get("copy_wait", 0.0) + copy_us(trace).get("host", 0.0)

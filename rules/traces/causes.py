"""Causes: which slug names a class of a traced device's time, and how sure that is given the class."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rules import thresholds as th
from rules.evidence import Evidence
from rules.traces.kernel_records import KernelRow
from rules.traces.records import DeviceTrace, RankRow
from rules.traces.shares import transfer_us
from rules.verdict import Class

LONG_GAP_US = th.TRACE_LONG_GAP_US.value

_SLUGS: dict[str, str] = {
    "synchronisation": "sync",
    "data_loading": "input-pipeline",
    "checkpoint_io": "checkpoint",
    "allocator": "allocator",
}


def cause_of(class_: Class, evidence: Evidence) -> tuple[str, float | None]:
    """The slug of a class, and how sure it is where it was inferred; `unattributed` without a trace."""
    trace = evidence.trace
    if trace is None:
        return "no-data", None
    if class_ == "host":
        return _host(trace)
    if class_ == "communication":
        return _communication(evidence, trace), None
    if class_ == "device":
        return _device(trace), None
    if class_ == "memory":
        return "dram-bandwidth", None
    return ("compute-throughput" if (pipe := pipe_of(trace)) is None else _PIPE_CAUSES[pipe]), None


_PIPE_CAUSES = {"tensor_active": "tensor-cores", "fp32": "fp32-pipe", "fp64": "fp64-pipe"}


def host_times(trace: DeviceTrace) -> dict[str, float]:
    """Slug -> µs that the device lost to it: idle time, and transfers that it waited for."""
    found = {slug: trace.causes.get(cause, 0.0) for cause, slug in _SLUGS.items()}
    found["transfer"] = transfer_us(trace)
    drained = 0.0 if trace.host is None else trace.host.after_sync_us
    found["sync"] += drained
    launches = max(0.0, trace.causes.get("host_launch", 0.0) - drained)
    long = min(launches, long_gap_us(trace, "host_launch"))
    found["main-thread"] = long
    found["launch-rate"] = launches - long
    return found


def long_gap_us(trace: DeviceTrace, cause: str) -> float:
    """Idle time of a cause in gaps of 1 ms or more: no chain of launches, but something that takes long."""
    return 0.0 if trace.host is None else trace.host.long_gap_us.get(cause, 0.0)


def _host(trace: DeviceTrace) -> tuple[str, float | None]:
    times = host_times(trace)
    first, second = sorted(times, key=lambda slug: -times[slug])[:2]
    if times[first] <= 0.0:
        return "unattributed", None
    sure = 1.0 - th.TRACE_CAUSE_DOUBT.value * times[second] / times[first]
    return first, round(sure, 3)


def _communication(evidence: Evidence, trace: DeviceTrace) -> str:
    """A wait for other ranks, where ranks were compared or the host was seen to wait; else the transfer."""
    waits = trace.causes.get("communication_wait", 0.0)
    row = rank_row(evidence)
    waits += (row.wait_exposed_us or 0.0) if row is not None else 0.0
    alone = trace.busy.get("communication", 0.0) + trace.causes.get("communication_wait", 0.0)
    return "collective-wait" if waits > alone / 2.0 else "exposed-communication"


def rank_row(evidence: Evidence) -> RankRow | None:
    """What the comparison of ranks says of this device; None without one."""
    trace, ranks = evidence.trace, evidence.ranks
    if trace is None or ranks is None:
        return None
    return next((r for r in ranks.rows if (r.file, r.device) == (trace.file, trace.device)), None)


def device_times(trace: DeviceTrace) -> dict[str, float]:
    """Slug -> µs of the device share."""
    found = {
        "stream-dependency": trace.causes.get("stream_dependency", 0.0),
        "kernel-gap": trace.causes.get("kernel_gap", 0.0),
    }
    found[_small(trace)] = trace.busy.get("latency", 0.0)
    return found


def _device(trace: DeviceTrace) -> str:
    times = device_times(trace)
    return max(times, key=lambda slug: times[slug])


def _small(trace: DeviceTrace) -> str:
    """Why kernels of the latency kind are slow, where one reason has half of their time: too few blocks, too
    few warps, or far below their roofs for none of these; else "latency"."""
    times = dict.fromkeys(("small-grid", "low-occupancy", "below-roofs", "latency"), 0.0)
    for row in trace.kernels:
        few = too_small_us(row)
        rest = latency_us(row) - few
        times["small-grid"] += few
        times[_slow(row)] += rest
    first = max(times, key=lambda slug: times[slug])
    return first if times[first] >= math.fsum(times.values()) / 2.0 > 0.0 else "latency"


def _slow(row: KernelRow) -> str:
    if is_empty(row):
        return "low-occupancy"
    return "below-roofs" if roof_of(row) is not None and not too_short_us(row) else "latency"


def latency_us(row: KernelRow) -> float:
    """µs of a kernel's launches that neither arithmetic nor memory limits."""
    return row.nature_us.get("latency", 0.0) if row.nature_us else row.total_us * (row.nature == "latency")


def too_small_us(row: KernelRow) -> float:
    """Of them, launches whose grid is known to leave SMs without work."""
    if row.small_us is not None or row.nature_us:
        return row.small_us or 0.0
    return latency_us(row) if is_small(row) else 0.0


def too_short_us(row: KernelRow) -> float:
    """Of them, launches too short to do more than start and drain, whatever their grid."""
    if row.nature_us:
        return row.short_us
    return latency_us(row) if row.nature_basis == "size" and not is_small(row) else 0.0


def is_small(row: KernelRow) -> bool:
    """Whether a kernel has fewer blocks than the device holds at once."""
    return row.waves is not None and row.waves < th.TRACE_WAVES.value


def is_empty(row: KernelRow) -> bool:
    """Whether few warps are resident while it runs, though its blocks fill the device."""
    return row.occupancy is not None and row.occupancy < th.TRACE_OCCUPANCY.value and not is_small(row)


def pipe_of(trace: DeviceTrace) -> str | None:
    """The pipe on which most of the compute-bound kernel time runs; None where names do not tell."""
    times: dict[str, float] = {}
    for row in trace.families:
        if row.nature == "compute":
            pipe = "tensor_active" if row.tensor == "used" else row.precision or ""
            times[pipe] = times.get(pipe, 0.0) + row.total_us
    return _most(times)


def _most(times: Mapping[str, float]) -> str | None:
    whole = math.fsum(times.values())
    first = max(times, key=lambda pipe: times[pipe], default="")
    return first if first in _PIPE_CAUSES and times[first] >= whole / 2.0 else None


def roof_of(row: KernelRow) -> float | None:
    """The larger of a kernel's roof fractions; None where neither is known."""
    known = [f for f in (row.compute_frac, row.memory_frac) if f is not None]
    return min(1.0, max(known)) if known else None

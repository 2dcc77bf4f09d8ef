"""What the host did while a device was traced: calls, its DataLoader, and what stood behind idle time."""

from __future__ import annotations

import numpy as np

from advisor.traces.attribution import Attribution
from advisor.traces.host_behind import behind
from advisor.traces.host_roles import roles_of
from advisor.traces.idle_causes import Idle
from advisor.traces.intervals import Ints, intersect, subtract, union
from advisor.traces.step_windows import Marks, marks
from advisor.traces.timeline import GpuKind, HostKind, Timeline
from rules.thresholds_trace import TRACE_SHORT_KERNEL_US
from rules.traces.causes import LONG_GAP_US
from rules.traces.host_names import HostRole
from rules.traces.records import CAUSES, HostFigures

_CAUSE = {name: index for index, name in enumerate(CAUSES)}


def host_figures(timeline: Timeline, attribution: Attribution) -> HostFigures:
    """The host beside one device. Durations are µs."""
    steps = marks(timeline, attribution.device)
    lengths, causes = _gaps(attribution.idle)
    kernels, short = _kernels(timeline, attribution.device)
    rows, named_ns = behind(timeline, attribution.idle)
    idle_ns = int(attribution.causes_ns().sum())
    return HostFigures(
        calls=_calls(timeline, attribution),
        steps=0 if steps is None else len(steps),
        loader_frac=None if steps is None else _loader_frac(timeline, attribution, steps),
        gaps=int(lengths.shape[0]),
        median_gap_us=float(np.median(lengths)) / 1000.0 if lengths.shape[0] else None,
        long_gap_us={name: ns / 1000.0 for name, ns in causes.items() if ns},
        after_sync_us=attribution.after_sync_ns() / 1000.0,
        kernels=kernels,
        short_kernels=short,
        rows=rows,
        named_frac=named_ns / idle_ns if idle_ns else 0.0,
    )


def _calls(timeline: Timeline, attribution: Attribution) -> dict[str, int]:
    """Calls by role within the device's span, of API calls; by range where a role is one of ranges."""
    host = timeline.host
    if not len(host):
        return {}
    inside = (host.start_ns < attribution.end_ns) & (host.end_ns > attribution.start_ns)
    api = (host.kind == HostKind.RUNTIME) | (host.kind == HostKind.DRIVER)
    counts = np.bincount(roles_of(timeline)[inside & api], minlength=len(HostRole))
    return {role.name.lower(): int(counts[role]) for role in HostRole if counts[role]}


def _loader_frac(timeline: Timeline, attribution: Attribution, steps: Marks) -> float | None:
    """Part of the steps in which the thread that marks them is in a DataLoader and the device runs nothing.

    As the profiler's TensorBoard plug-in counts it: what kernels hide is no part of it.
    """
    host = timeline.host
    rows = (host.thread == steps.thread) & (host.role == HostRole.DATA)
    within = union(steps.start_ns, steps.end_ns)
    if within.total_ns <= 0:
        return None
    loading = intersect(union(host.start_ns[rows], host.end_ns[rows]), within)
    busy = union(attribution.busy.start_ns, attribution.busy.end_ns)
    return subtract(loading, busy).total_ns / within.total_ns


def _gaps(idle: Idle) -> tuple[Ints, dict[str, int]]:
    """ns of gaps in which a launch was late; cause -> idle ns in long gaps, but for what follows a sync."""
    if not len(idle):
        return np.zeros(0, np.int64), {}
    took = idle.end_ns - idle.start_ns
    number, index = np.unique(idle.gap, return_inverse=True)
    lengths = np.bincount(index, weights=took, minlength=number.shape[0]).astype(np.int64)
    late = np.bincount(index[idle.cause == _CAUSE["host_launch"]], minlength=number.shape[0]) > 0
    long = (lengths[index] >= round(LONG_GAP_US * 1000)) & ~idle.after_sync
    totals = np.bincount(idle.cause[long], weights=took[long], minlength=len(CAUSES))
    return lengths[late], {name: int(totals[at]) for name, at in _CAUSE.items()}


def _kernels(timeline: Timeline, device: int) -> tuple[int, int]:
    """Kernels of a device, and those shorter than a launch takes."""
    gpu = timeline.gpu
    took = (gpu.end_ns - gpu.start_ns)[(gpu.device == device) & (gpu.kind == GpuKind.KERNEL)]
    return int(took.shape[0]), int((took < TRACE_SHORT_KERNEL_US.value * 1000).sum())

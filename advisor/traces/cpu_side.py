"""What the CPU's side of a trace holds, for files in which nothing ran on a device."""

from __future__ import annotations

import numpy as np

from advisor.traces.intervals import Ints
from advisor.traces.nesting import flat, outermost
from advisor.traces.timeline import HostKind, HostTable, StepTable, Timeline
from rules.traces.host_names import HostRole
from rules.traces.records import CpuFigures, CpuRow

TOP = 10
_US = 1000.0


def cpu_figures(timeline: Timeline, file: int, top: int = TOP) -> CpuFigures | None:
    """Operators by their own time, and time in a DataLoader; None without any host interval.

    An operator's own time is that in which no other operator ran within it, added up over threads.
    """
    host = timeline.host
    if not len(host):
        return None
    own = _own_ns(host)
    thread = _thread(timeline, own)
    return CpuFigures(
        file=file,
        span_us=(int(host.end_ns.max()) - int(host.start_ns.min())) / _US,
        ops_us=int(own.sum()) / _US,
        threads=len(np.unique(host.thread)),
        loader_us=_covered(host, (host.thread == thread) & (host.role == HostRole.DATA)) / _US,
        steps=len(timeline.steps),
        median_step_us=_median_us(timeline.steps),
        rows=_rows(timeline, own, top),
    )


def _own_ns(host: HostTable) -> Ints:
    """Of each row, the time in which it was its thread's innermost operator."""
    own = np.zeros(len(host), np.int64)
    of_ops = np.flatnonzero(host.kind == HostKind.OP)  # by thread already, as the table is
    for rows in np.split(of_ops, np.flatnonzero(np.diff(host.thread[of_ops])) + 1):
        painted = flat(host.start_ns[rows], host.end_ns[rows])
        np.add.at(own, rows[painted.label], painted.end_ns - painted.start_ns)
    return own


def _thread(timeline: Timeline, own: Ints) -> int:
    """The thread that marks the steps, else the one whose operators took longest."""
    if len(timeline.steps):
        return int(timeline.steps.thread[0])
    threads, place = np.unique(timeline.host.thread, return_inverse=True)
    return int(threads[np.bincount(place, weights=own).argmax()])


def _covered(host: HostTable, chosen: np.typing.NDArray[np.bool_]) -> int:
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return 0
    painted = outermost(host.start_ns[rows], host.end_ns[rows])
    return int((painted.end_ns - painted.start_ns).sum())


def _median_us(steps: StepTable) -> float | None:
    return float(np.median(steps.end_ns - steps.start_ns)) / _US if len(steps) else None


def _rows(timeline: Timeline, own: Ints, top: int) -> tuple[CpuRow, ...]:
    host = timeline.host
    is_op = (host.kind == HostKind.OP) & (host.name >= 0)
    size = len(timeline.names)
    own_ns = np.zeros(size, np.int64)
    np.add.at(own_ns, host.name[is_op], own[is_op])
    counts = np.bincount(host.name[is_op], minlength=size)
    first = np.argsort(-own_ns, kind="stable")[:top].tolist()
    return tuple(
        CpuRow(name=timeline.names[name], own_us=int(own_ns[name]) / _US, count=int(counts[name]))
        for name in first
        if counts[name] and own_ns[name]
    )

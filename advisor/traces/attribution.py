"""Every nanosecond of a device: busy with what, idle because of what. Sums are exact.

Busy is the union of all intervals on the device: kernels, copies and sets, whether or not their launch is in
the trace. Where several run at once the time counts once, for the first class of BUSY that ran. Idle is every
gap in between; advisor.traces.idle_causes tells how its causes are found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from advisor.traces.idle_causes import Idle as Idle
from advisor.traces.idle_causes import Mask as Mask
from advisor.traces.idle_causes import idle_causes
from advisor.traces.intervals import Ints, complement, paint, totals, union, within
from advisor.traces.timeline import Timeline
from rules.traces.records import BUSY, CAUSES

# Loss of a file of which kernels ran that are not in it: what looks idle may be busy.
KERNELS_MISSING = "kernels-missing"


@dataclass(frozen=True, slots=True)
class Busy:
    """Busy segments, sorted, disjoint. nature: index into BUSY."""

    start_ns: Ints
    end_ns: Ints
    nature: Ints

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


@dataclass(frozen=True, slots=True)
class Attribution:
    """One device of one file. Idle and busy segments together cover [start_ns, end_ns) exactly."""

    device: int
    start_ns: int
    end_ns: int
    idle: Idle
    busy: Busy

    @property
    def span_ns(self) -> int:
        """From the first start to the last end, in ns."""
        return self.end_ns - self.start_ns

    def causes_ns(self) -> Ints:
        """Idle ns by CAUSES."""
        return totals(self.idle.end_ns - self.idle.start_ns, self.idle.cause, len(CAUSES))

    def busy_ns(self) -> Ints:
        """Busy ns by BUSY."""
        return totals(self.busy.end_ns - self.busy.start_ns, self.busy.nature, len(BUSY))

    def after_sync_ns(self) -> int:
        """host_launch that follows a synchronisation, in ns: part of causes_ns()[host_launch]."""
        lengths = self.idle.end_ns - self.idle.start_ns
        return int(lengths[self.idle.after_sync].sum())

    def between(self, low_ns: int, high_ns: int) -> tuple[Ints, Ints]:
        """Idle ns by CAUSES and busy ns by BUSY inside the window [low, high)."""
        idle, busy = self.idle, self.busy
        some = _overlapping(idle.start_ns, idle.end_ns, low_ns, high_ns)
        more = _overlapping(busy.start_ns, busy.end_ns, low_ns, high_ns)
        return (
            totals(
                within(idle.start_ns[some], idle.end_ns[some], low_ns, high_ns), idle.cause[some], len(CAUSES)
            ),
            totals(
                within(busy.start_ns[more], busy.end_ns[more], low_ns, high_ns), busy.nature[more], len(BUSY)
            ),
        )


def attribute(timeline: Timeline, device: int, natures: NDArray[np.uint8]) -> Attribution:
    """Divides a device's time. natures: index into BUSY for every row of the GPU table.

    Raises ValueError where nothing ran on the device or natures do not fit the table."""
    low, high = rows_of(timeline, device)
    if natures.shape[0] != len(timeline.gpu) or low == high:
        raise ValueError(f"device {device}: {high - low} rows, {natures.shape[0]} natures")
    start, end = timeline.gpu.start_ns[low:high], timeline.gpu.end_ns[low:high]
    first, last = int(start.min()), max(int(end.max()), int(start.max()))
    busy = _busy(start, end, natures[low:high])
    covered = union(busy.start_ns, busy.end_ns)
    idle = idle_causes(timeline, device, (low, high), complement(covered, first, last), (first, last))
    if any(loss.code == KERNELS_MISSING for loss in timeline.losses):
        idle = _unknown(idle)
    return Attribution(device, first, last, idle, busy)


def _unknown(idle: Idle) -> Idle:
    """Gaps of which nobody can say what they are, since kernels that ran are not in the trace."""
    cause = np.full_like(idle.cause, CAUSES.index("unknown"))
    return replace(idle, cause=cause, after_sync=np.zeros_like(idle.after_sync))


def rows_of(timeline: Timeline, device: int) -> tuple[int, int]:
    """The rows [low, high) of the GPU table that ran on a device."""
    column = timeline.gpu.device
    return int(np.searchsorted(column, device, "left")), int(np.searchsorted(column, device, "right"))


def _busy(start: Ints, end: Ints, natures: NDArray[np.uint8]) -> Busy:
    layers = [union(start[natures == kind], end[natures == kind]) for kind in range(len(BUSY))]
    painted = paint(layers)
    return Busy(painted.start_ns, painted.end_ns, painted.label)


def _overlapping(start: Ints, end: Ints, low: int, high: int) -> slice:
    return slice(int(np.searchsorted(end, low, "right")), int(np.searchsorted(start, high, "left")))

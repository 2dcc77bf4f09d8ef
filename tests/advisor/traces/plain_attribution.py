"""Idle causes once more, moment by moment and without columns: slow, plain, and written from the rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.traces.host_roles import roles_of
from advisor.traces.timeline import HostKind, Timeline
from rules.thresholds_trace import TRACE_AWAY_US, TRACE_QUEUED_US, TRACE_SAME_END_US
from rules.traces.host_names import HostRole, waits_for_event

AWAY, QUEUED, SAME_END = (
    round(threshold.value * 1000) for threshold in (TRACE_AWAY_US, TRACE_QUEUED_US, TRACE_SAME_END_US)
)
CALLS = (HostKind.RUNTIME, HostKind.DRIVER)
MARKS = (HostKind.ANNOTATION, HostKind.PYTHON, HostKind.OS)
CAUSE = {
    HostRole.OVERHEAD: "profiler_overhead",
    HostRole.DATA: "data_loading",
    HostRole.IO: "checkpoint_io",
    HostRole.COMM: "communication_wait",
    HostRole.ALLOC: "allocator",
    HostRole.COPY: "copy_wait",
    HostRole.SYNC: "synchronisation",
}


@dataclass(frozen=True)
class Row:
    """One host interval."""

    start: int
    end: int
    thread: int
    pid: int
    kind: int
    role: int
    name: str

    def over(self, at: float) -> bool:
        """Whether it covers a moment."""
        return self.start <= at < self.end


class Plain:
    """One device of a timeline, asked moment by moment."""

    def __init__(self, timeline: Timeline, device: int) -> None:
        self.timeline, self.device = timeline, device
        host, roles = timeline.host, roles_of(timeline)
        self.host = [
            Row(int(host.start_ns[n]), int(host.end_ns[n]), int(host.thread[n]),
                timeline.threads[host.thread[n]].pid, int(host.kind[n]), int(roles[n]),
                timeline.names[host.name[n]])
            for n in range(len(host))
        ]  # fmt: skip
        self.rows = np.flatnonzero(timeline.gpu.device == device).tolist()
        self.drivers = self._drivers()
        self.working = {
            r.thread for r in self.host if r.role != HostRole.OVERHEAD and r.kind != HostKind.SYNC
        }
        self.alive = {timeline.threads[thread].pid for thread in self.working}
        gpu = timeline.gpu
        self.low = min(int(gpu.start_ns[n]) for n in self.rows)
        self.high = max(max(int(gpu.start_ns[n]), int(gpu.end_ns[n])) for n in self.rows)
        self.host = [r for r in self.host if r.start < self.high and r.end > self.low]

    def _drivers(self) -> list[int]:
        """Threads that launched on the device, the busiest first."""
        launches = [int(self.timeline.gpu.launch[n]) for n in self.rows if self.timeline.gpu.launch[n] >= 0]
        if not launches and len(self.timeline.device_numbers()) == 1:
            launches = np.flatnonzero(self.timeline.host.role == HostRole.LAUNCH).tolist()
        threads = [int(self.timeline.host.thread[n]) for n in launches]
        return sorted(set(threads), key=lambda thread: (-threads.count(thread), thread))

    def cause(self, gap: tuple[int, int], at: float) -> str:
        """The cause at a moment of a gap."""
        row, launch = self._ending(gap)
        if launch < 0:
            role = self._explained(self.drivers[0] if self.drivers else -1, at)
            return CAUSE[HostRole(role)] if role is not None and role < HostRole.LAUNCH else "unknown"
        host = self.timeline.host
        thread, ended = int(host.thread[launch]), max(int(host.end_ns[launch]), int(host.start_ns[launch]))
        if at < ended:
            role = self._explained(thread, at)
            return "host_launch" if role is None or role == HostRole.LAUNCH else CAUSE[HostRole(role)]
        return self._queued(gap, row, thread, ended, at)

    def _ending(self, gap: tuple[int, int]) -> tuple[int, int]:
        gpu, host = self.timeline.gpu, self.timeline.host
        starting = [n for n in self.rows if gpu.start_ns[n] == gap[1]]
        linked = [n for n in starting if gpu.launch[n] >= 0]
        if linked:
            return linked[0], int(gpu.launch[linked[0]])
        row = starting[0]
        later = [n for n in self.rows if n > row and gpu.stream[n] == gpu.stream[row] and gpu.launch[n] >= 0]
        implied = int(gpu.launch[later[0]]) if later else -1
        return row, implied if implied >= 0 and host.end_ns[implied] <= gap[0] else -1

    def _everywhere(self, at: float) -> bool:
        return any(
            r.role == HostRole.OVERHEAD and r.thread not in self.working and r.pid not in self.alive
            for r in self.host
            if r.over(at)
        )

    def _explained(self, thread: int, at: float) -> int | None:
        """The role that explains a moment on a thread; LAUNCH where it was at work."""
        if self._everywhere(at):
            return int(HostRole.OVERHEAD)
        if thread < 0:
            return None
        pid, now = self.timeline.threads[thread].pid, [r for r in self.host if r.over(at)]
        own = [r for r in now if r.thread == thread]
        telling = [r.role for r in own if r.role < HostRole.LAUNCH]
        flushing = any(r.role == 0 and r.pid == pid and r.thread not in self.working for r in now)
        if flushing and any(r.kind in CALLS for r in own):
            return int(HostRole.OVERHEAD)
        if telling:
            return min(telling)
        if self._at_work(thread, at):
            return int(HostRole.LAUNCH)
        others = [
            r.role
            for r in now
            if r.pid == pid
            and r.role < HostRole.LAUNCH
            and (r.thread in self.drivers or r.role == HostRole.COMM)
        ]
        return min(others, default=None)

    def _at_work(self, thread: int, at: float) -> bool:
        rows = [
            r
            for r in self.host
            if r.thread == thread
            and min(r.end, self.high) > max(r.start, self.low)
            and (r.role < HostRole.LAUNCH or not (r.kind in MARKS or self._is_step(r)))
        ]
        if any(r.over(at) for r in rows):
            return True
        ended = max((r.end for r in rows if r.end <= at), default=None)
        begins = min((r.start for r in rows if r.start > at), default=None)
        return ended is not None and begins is not None and begins - ended <= AWAY

    @staticmethod
    def _is_step(row: Row) -> bool:
        return row.kind == HostKind.OP and row.name.startswith("ProfilerStep")

    def _queued(self, gap: tuple[int, int], row: int, thread: int, ended: int, at: float) -> str:
        gpu = self.timeline.gpu
        before = [n for n in self.rows if n < row and gpu.stream[n] == gpu.stream[row]]
        if gap[1] - max(gap[0], ended) <= QUEUED:
            if ended > gap[0]:
                return "host_launch"
            same = bool(before) and int(gpu.end_ns[before[-1]]) >= gap[0] - SAME_END
            return "kernel_gap" if same else "stream_dependency"
        pid = self.timeline.threads[thread].pid
        held = [
            r.role
            for r in self.host
            if r.over(at) and r.pid == pid and r.role in (HostRole.OVERHEAD, HostRole.ALLOC)
        ]
        if self._everywhere(at):
            return "profiler_overhead"
        if held:
            return CAUSE[HostRole(min(held))]
        return "stream_dependency" if before and self._waited(before[-1], row) else "unknown"

    def _waited(self, before: int, row: int) -> bool:
        host, gpu, names = self.timeline.host, self.timeline.gpu, self.timeline.names
        first, last = int(gpu.launch[before]), int(gpu.launch[row])
        if first < 0 or last < 0 or host.thread[first] != host.thread[last]:
            return False
        kinds = (*CALLS, HostKind.SYNC)
        return any(host.kind[n] in kinds and waits_for_event(names[host.name[n]]) for n in range(first, last))

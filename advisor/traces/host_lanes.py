"""The host beside one device: what the threads that drive it were doing, nanosecond by nanosecond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.host_roles import CALLS, drivers, named, roles_of
from advisor.traces.intervals import NONE, Ints, Painted, Spans, clip, empty, intersect, join, paint, union
from advisor.traces.lanes import NOWHERE, Lanes, Mask, Stretches, cut_all, lanes, shifts
from advisor.traces.timeline import HostKind, HostTable, Timeline
from rules.thresholds_trace import TRACE_AWAY_US
from rules.traces.host_names import HostRole

# Label of time in which a thread did something that has no cause of its own: it was issuing work.
HERE = int(HostRole.LAUNCH)
TELLING = tuple(role for role in HostRole if role < HostRole.LAUNCH)

_AWAY_NS = round(TRACE_AWAY_US.value * 1000)


@dataclass(frozen=True, slots=True)
class HostView:
    """What threads did while a device stood idle; layers are painted once.

    everywhere: overhead of processes that do nothing else, in plain time: profilers record theirs under such.
    by_thread: roles of each driving thread, and HERE where it was at work. by_process: roles of all driving
    threads of a process together. queued: what keeps queued work waiting (overhead, allocations), by process.
    blocked: synchronisations and waiting copies of each driving thread.
    """

    threads: Lanes
    processes: Lanes
    everywhere: Painted
    by_thread: Painted
    by_process: Painted
    queued: Painted
    blocked: Spans

    def explain(self, open_: Stretches, thread: Ints) -> Stretches:
        """Stretches cut by what the thread of each gap did; what is left NONE has no explanation."""
        cuts = cut_all(open_, self.everywhere, None)
        cuts = cut_all(cuts, self.by_thread, shifts(self.threads, thread))
        return cut_all(cuts, self.by_process, shifts(self.processes, thread))

    def explain_queued(self, open_: Stretches, thread: Ints) -> Stretches:
        """The same for work that had been issued: only what holds up the whole process counts."""
        cuts = cut_all(open_, self.everywhere, None)
        return cut_all(cuts, self.queued, shifts(self.processes, thread))

    def blocked_at(self, at_ns: Ints, thread: Ints) -> Mask:
        """Whether the thread stood in a synchronisation or a waiting copy at that time."""
        shift = shifts(self.threads, thread)
        result: Mask = shift != NOWHERE
        moved = at_ns[result] + shift[result]
        starts = np.append(self.blocked.start_ns, np.iinfo(np.int64).max)
        result[result] = starts[np.searchsorted(self.blocked.end_ns, moved, side="right")] < moved
        return result


def view(timeline: Timeline, device: int, low_ns: int, high_ns: int) -> HostView:
    """The host beside a device between two times."""
    host, driving = timeline.host, drivers(timeline, device)
    pids = np.array([thread.pid for thread in timeline.threads], np.int64)
    threads = lanes(np.arange(pids.shape[0]), driving, low_ns, high_ns)
    processes = lanes(pids, _unique(pids[driving]), low_ns, high_ns)
    roles = roles_of(timeline)
    inside = (host.start_ns < high_ns) & (host.end_ns > low_ns)
    layers = [threads.place(host, inside & (roles == role)) for role in TELLING]
    elsewhere, nowhere = _overhead_of_others(timeline, inside & (roles == HostRole.OVERHEAD), roles, pids)
    layers[0] = join(layers[0], _hindered(host, inside, processes.place(host, elsewhere), threads, processes))
    here = threads.place(host, inside & _at_work(timeline, roles))
    return HostView(
        threads,
        processes,
        paint([union(host.start_ns[nowhere], host.end_ns[nowhere])]),
        paint([*layers, _without_short_absences(here)]),
        paint([processes.place(host, inside & _shared(roles, role, threads, host)) for role in TELLING]),
        _queued_layers(host, inside, roles, processes),
        join(layers[HostRole.SYNC], layers[HostRole.COPY]),
    )


def _at_work(timeline: Timeline, roles: NDArray[np.uint8]) -> Mask:
    """Rows that show a thread at work. Ranges that a program marks show nothing, nor do system calls: it may
    wait inside."""
    host = timeline.host
    marks = np.isin(host.kind, [HostKind.ANNOTATION, HostKind.PYTHON, HostKind.OS])
    steps = named(timeline, host.kind == HostKind.OP, lambda name: name.startswith("ProfilerStep"))
    result: Mask = (~marks & ~steps) | (roles < HostRole.LAUNCH)
    return result


def _shared(roles: NDArray[np.uint8], role: HostRole, threads: Lanes, host: HostTable) -> Mask:
    """Rows of a role that explain why another thread of the process rested: those of driving threads, and
    waits for other ranks wherever a backend's own thread recorded them."""
    result: Mask = roles == role
    if role is not HostRole.COMM:
        result &= threads.of[host.thread] != NONE
    return result


def _without_short_absences(here: Spans) -> Spans:
    longer = union(here.start_ns, here.end_ns + _AWAY_NS)
    return Spans(longer.start_ns, longer.end_ns - _AWAY_NS)


def _overhead_of_others(
    timeline: Timeline, rows: Mask, roles: NDArray[np.uint8], pids: Ints
) -> tuple[Mask, Mask]:
    """Overhead on threads that do nothing else: within processes that do, and in none that does."""
    host = timeline.host
    working = np.zeros(pids.shape[0], np.bool_)
    working[host.thread[(roles != HostRole.OVERHEAD) & (host.kind != HostKind.SYNC)]] = True
    alive = np.isin(pids, pids[working])
    others = rows & ~working[host.thread]
    return others & alive[host.thread], others & ~alive[host.thread]


def _hindered(host: HostTable, inside: Mask, overhead: Spans, threads: Lanes, processes: Lanes) -> Spans:
    """Calls that a thread stood in while a thread of the profiler worked in its process: they contend for
    the same locks. A thread that is in no call is not held up by it."""
    if len(overhead) == 0:
        return overhead
    calls = threads.place(host, inside & np.isin(host.kind, CALLS))
    found = [empty()]
    for thread in np.flatnonzero(threads.of != NONE):
        own = threads.of[thread] * threads.stride_ns
        theirs = processes.of[thread] * processes.stride_ns
        other = clip(overhead, theirs, theirs + processes.stride_ns)
        moved = Spans(other.start_ns - theirs + own, other.end_ns - theirs + own)
        found.append(intersect(clip(calls, own, own + threads.stride_ns), moved))
    return join(*found)


def _queued_layers(host: HostTable, inside: Mask, roles: NDArray[np.uint8], processes: Lanes) -> Painted:
    held = (HostRole.OVERHEAD, HostRole.ALLOC)
    painted = paint([processes.place(host, inside & (roles == role)) for role in held])
    return Painted(painted.start_ns, painted.end_ns, np.array(held, np.int64)[painted.label])


def _unique(values: Ints) -> Ints:
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]

"""The host beside one device: what the threads that drive it were doing, nanosecond by nanosecond.

Threads are laid one behind the other on one axis ("lanes"), so that all of them are painted and cut in one
pass over columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import (
    NONE,
    Ints,
    Painted,
    Spans,
    clip,
    cut,
    empty,
    intersect,
    join,
    paint,
    union,
)
from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind, HostKind, HostTable, Timeline
from rules.thresholds_trace import TRACE_AWAY_US
from rules.traces.host_names import HostRole, overhead_of_profiler, returns_at_once, waits_for_event

Mask = NDArray[np.bool_]
# Label of time in which a thread did something that has no cause of its own: it was issuing work.
HERE = int(HostRole.LAUNCH)
TELLING = tuple(role for role in HostRole if role < HostRole.LAUNCH)

_AWAY_NS = round(TRACE_AWAY_US.value * 1000)
_HOST_COPIES = [k for k in CopyKind if k.name.startswith(("H2D", "D2H"))]
_PAGEABLE = [CopyKind.H2D_PAGEABLE, CopyKind.D2H_PAGEABLE]
_CALLS = [HostKind.RUNTIME, HostKind.DRIVER]


@dataclass(frozen=True, slots=True)
class Stretches:
    """Sorted or unsorted disjoint stretches of time, each with the gap it is in and a label (NONE: open)."""

    start_ns: Ints
    end_ns: Ints
    gap: Ints
    label: Ints

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])

    def where(self, mask: Mask) -> Stretches:
        """Those that the mask holds."""
        return Stretches(self.start_ns[mask], self.end_ns[mask], self.gap[mask], self.label[mask])


@dataclass(frozen=True, slots=True)
class Lanes:
    """One lane for each of some threads or processes, `stride_ns` apart. of: thread -> lane, NONE where it
    has none. low_ns, high_ns: the window; what lies outside it is cut off."""

    of: Ints
    count: int
    low_ns: int
    high_ns: int

    @property
    def stride_ns(self) -> int:
        """From one lane's zero to the next, wide enough that lanes never touch."""
        return self.high_ns - self.low_ns + 2 * _AWAY_NS

    def place(self, host: HostTable, rows: Mask) -> Spans:
        """The union of host rows, clipped to the window, on their lanes."""
        lane = np.where(rows, self.of[host.thread], NONE)
        kept = np.flatnonzero((lane != NONE) & (host.start_ns < self.high_ns) & (host.end_ns > self.low_ns))
        shift = lane[kept] * self.stride_ns - self.low_ns
        return union(
            np.maximum(host.start_ns[kept], self.low_ns) + shift,
            np.minimum(host.end_ns[kept], self.high_ns) + shift,
        )


def lanes(keys: Ints, wanted: Ints, low_ns: int, high_ns: int) -> Lanes:
    """Lanes by key of a thread (itself, or its process): keys[thread] is found in `wanted`, most important
    first. Where times are so far apart that lanes would not fit into 64 bits, the last ones get none."""
    stride = high_ns - low_ns + 2 * _AWAY_NS
    fitting = wanted[: max(1, (1 << 62) // max(stride, 1))]
    order = np.argsort(fitting, kind="stable")
    of = np.full(keys.shape[0], NONE, np.int64)
    if fitting.shape[0]:
        at = np.minimum(np.searchsorted(fitting[order], keys), fitting.shape[0] - 1)
        found: Mask = fitting[order][at] == keys
        of[found] = order[at[found]]
    return Lanes(of, int(fitting.shape[0]), low_ns, high_ns)


def roles_of(timeline: Timeline) -> NDArray[np.uint8]:
    """Each host row's role as it explains idle time: copies that do not wait are issuing, not waiting;
    records of overhead are the profiler's where their name does not say otherwise."""
    host = timeline.host
    roles = host.role.copy()
    recorded = host.kind == HostKind.OVERHEAD
    profilers = named(timeline, recorded, overhead_of_profiler)
    roles[recorded] = np.where(profilers[recorded], HostRole.OVERHEAD, HostRole.OTHER)
    copies = roles == HostRole.COPY
    roles[copies & ~_waiting(timeline, copies)] = HostRole.LAUNCH
    return roles


def named(timeline: Timeline, rows: Mask, test: Callable[[str], bool]) -> Mask:
    """Rows, of those given, whose name passes a test; each name is tested once."""
    host = timeline.host
    rows = rows & (host.name >= 0)
    present = np.zeros(len(timeline.names), np.bool_)
    present[host.name[rows]] = True
    passing = np.zeros(len(timeline.names), np.bool_)
    numbers = np.flatnonzero(present)
    passing[numbers] = [test(timeline.names[number]) for number in numbers]
    result = np.zeros(len(host), np.bool_)
    result[rows] = passing[host.name[rows]]
    return result


def event_waits(timeline: Timeline) -> Mask:
    """Calls that made a stream wait for an event."""
    return named(timeline, np.isin(timeline.host.kind, _CALLS), waits_for_event)


def drivers(timeline: Timeline, device: int) -> Ints:
    """Threads that launched what ran on the device, the busiest first. Where no launch is linked and there
    is but one device: those with launch calls at all."""
    gpu, host = timeline.gpu, timeline.host
    launches = gpu.launch[(gpu.device == device) & (gpu.launch != UNKNOWN)]
    if launches.shape[0] == 0 and len(timeline.device_numbers()) == 1:
        launches = np.flatnonzero(host.role == HostRole.LAUNCH)
    threads, counts = np.unique(host.thread[launches].astype(np.int64), return_counts=True)
    return threads[np.argsort(-counts, kind="stable")]


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
        cuts = cut_all(cuts, self.by_thread, _shifts(self.threads, thread))
        return cut_all(cuts, self.by_process, _shifts(self.processes, thread))

    def explain_queued(self, open_: Stretches, thread: Ints) -> Stretches:
        """The same for work that had been issued: only what holds up the whole process counts."""
        cuts = cut_all(open_, self.everywhere, None)
        return cut_all(cuts, self.queued, _shifts(self.processes, thread))

    def blocked_at(self, at_ns: Ints, thread: Ints) -> Mask:
        """Whether the thread stood in a synchronisation or a waiting copy at that time."""
        shift = _shifts(self.threads, thread)
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


NOWHERE = np.iinfo(np.int64).min


def cut_all(given: Stretches, painted: Painted, shifts: Ints | None) -> Stretches:
    """Open stretches cut along what was painted, moved by their gap's shift (None: not at all)."""
    is_open = given.label == NONE
    if shifts is not None:
        is_open &= shifts[given.gap] != NOWHERE
    if len(painted) == 0 or not is_open.any():
        return given
    todo, done = given.where(is_open), given.where(~is_open)
    shift = np.zeros(len(todo), np.int64) if shifts is None else shifts[todo.gap]
    start, end = todo.start_ns + shift, todo.end_ns + shift
    order = np.argsort(start, kind="stable")
    starts, ends, owner, label = cut(start[order], end[order], painted)
    source = order[owner]
    made = Stretches(starts - shift[source], ends - shift[source], todo.gap[source], label)
    return concat(made, done)


def concat(*parts: Stretches) -> Stretches:
    """All stretches, one part after the other."""
    return Stretches(
        np.concatenate([part.start_ns for part in parts]),
        np.concatenate([part.end_ns for part in parts]),
        np.concatenate([part.gap for part in parts]),
        np.concatenate([part.label for part in parts]),
    )


def _shifts(placed: Lanes, thread: Ints) -> Ints:
    known = thread != UNKNOWN
    lane = np.full(thread.shape[0], NONE, np.int64)
    lane[known] = placed.of[thread[known]]
    return np.where(lane == NONE, NOWHERE, lane * placed.stride_ns - placed.low_ns)


def _waiting(timeline: Timeline, copies: Mask) -> Mask:
    """Copy calls that wait: by their name, by pageable memory, or seen to return after the copy's end."""
    waiting = copies & ~named(timeline, copies, returns_at_once)
    gpu, host = timeline.gpu, timeline.host
    linked = (gpu.kind == GpuKind.MEMCPY) & (gpu.launch != UNKNOWN) & np.isin(gpu.copy, _HOST_COPIES)
    rows = np.flatnonzero(linked)
    calls = gpu.launch[rows]
    held = np.isin(gpu.copy[rows], _PAGEABLE) | (host.end_ns[calls] >= gpu.end_ns[rows])
    waiting[calls[held]] = True
    return waiting


def _at_work(timeline: Timeline, roles: NDArray[np.uint8]) -> Mask:
    """Rows that show a thread at work. Ranges that a program marks show nothing: it may wait inside."""
    host = timeline.host
    marks = np.isin(host.kind, [HostKind.ANNOTATION, HostKind.PYTHON])
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
    calls = threads.place(host, inside & np.isin(host.kind, _CALLS))
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

"""What the host was in while a device stood idle, by name: each name is charged with the time it really took.

Idle time that has its cause from a range (a DataLoader's, say) is that range's, whatever is nested in it;
other idle time is that of the innermost operator or range of the thread that was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from advisor.traces.idle_causes import Idle
from advisor.traces.intervals import NONE, Ints, Painted
from advisor.traces.lanes import Mask, Stretches, concat, cut_all
from advisor.traces.nesting import flat, outermost
from advisor.traces.timeline import UNKNOWN, HostKind, Timeline
from rules.traces.host_names import HostRole
from rules.traces.records import CAUSES, HostRow

# Idle stretches whose surroundings are looked up, longest first; and names that are kept.
_LOOKED_UP = 1024
_ROWS = 24
_CAUSE = {name: index for index, name in enumerate(CAUSES)}
# Causes that a range of its own gives.
_RANGES = {
    _CAUSE["data_loading"]: HostRole.DATA,
    _CAUSE["checkpoint_io"]: HostRole.IO,
    _CAUSE["communication_wait"]: HostRole.COMM,
}
# A step's own mark says nothing of what the host does in it.
_MARK, _OUTSIDE = "ProfilerStep#", "code outside of any operator"
# By HostKind: whether its rows have a name that says what the program was at.
_NAMED = np.zeros(256, np.bool_)
_NAMED[[HostKind.OP, HostKind.ANNOTATION, HostKind.PYTHON]] = True


def behind(timeline: Timeline, idle: Idle) -> tuple[tuple[HostRow, ...], int]:
    """What the host was in during the longest idle stretches, by cause; and the ns that were looked up."""
    asked = _asked(idle)
    named = _NamedRows(timeline)
    parts = [
        _labelled(named, Stretches(idle.start_ns[rows], idle.end_ns[rows], rows, _open(rows)), idle, thread)
        for thread, rows in _by_thread(idle.thread, asked)
    ]
    found = concat(*parts) if parts else Stretches(asked, asked, asked, asked)
    told = found.where(found.label != NONE)
    rows = _rows(timeline, idle, told)
    return rows, int((idle.end_ns[asked] - idle.start_ns[asked]).sum())


def _asked(idle: Idle) -> Ints:
    """The longest stretches of a known cause and thread, in order of time."""
    took = idle.end_ns - idle.start_ns
    told = np.flatnonzero((idle.thread != UNKNOWN) & (idle.cause != _CAUSE["unknown"]) & (took > 0))
    if told.shape[0] > _LOOKED_UP:
        told = np.sort(told[np.argpartition(-took[told], _LOOKED_UP)[:_LOOKED_UP]])
    return told


def _by_thread(thread: Ints, rows: Ints) -> Iterator[tuple[int, Ints]]:
    for one in np.unique(thread[rows]).tolist():
        yield one, rows[thread[rows] == one]


def _open(rows: Ints) -> Ints:
    return np.full(rows.shape[0], NONE, np.int64)


class _NamedRows:
    """Host rows whose names tell something, in the table's order."""

    def __init__(self, timeline: Timeline) -> None:
        host = timeline.host
        self._host = host
        self._told = np.flatnonzero(_NAMED[host.kind])
        edges = np.arange(len(timeline.threads) + 1)
        self._first = np.searchsorted(host.thread[self._told], edges, side="left")
        self._with_role = {role: self._told[host.role[self._told] == role] for role in _RANGES.values()}

    def of_thread(self, thread: int) -> Ints:
        """The rows of one thread."""
        return self._told[self._first[thread] : self._first[thread + 1]]

    def ranges(self, role: HostRole, thread: int | None) -> Ints:
        """The rows of one role: of a thread, or (by start) of all."""
        rows = self._with_role[role]
        if thread is None:
            order = np.argsort(self._host.start_ns[rows], kind="stable")
        else:
            order = np.flatnonzero(self._host.thread[rows] == thread)
        found: Ints = rows[order]
        return found

    def within(self, rows: Ints, stretches: Stretches) -> Ints:
        """Of rows, those that overlap one of the stretches, which are sorted and disjoint."""
        start, end = self._host.start_ns[rows], self._host.end_ns[rows]
        following = np.searchsorted(stretches.end_ns, start, side="right")
        begins = np.append(stretches.start_ns, np.iinfo(np.int64).max)[following]
        return rows[begins < end]

    def outer(self, rows: Ints) -> Painted:
        """Their time, labelled with the outermost one's row."""
        made = outermost(self._host.start_ns[rows], self._host.end_ns[rows])
        return Painted(made.start_ns, made.end_ns, rows[made.label])

    def inner(self, rows: Ints) -> Painted:
        """Their time, labelled with the innermost one's row."""
        made = flat(self._host.start_ns[rows], self._host.end_ns[rows])
        return Painted(made.start_ns, made.end_ns, rows[made.label])


def _labelled(named: _NamedRows, given: Stretches, idle: Idle, thread: int) -> Stretches:
    """Stretches of one thread cut by host rows, with the row of each as its label, where there is one."""
    parts = []
    cause = idle.cause[given.gap]
    for index, role in _RANGES.items():
        own = given.where(cause == index)
        for rows in (named.ranges(role, thread), named.ranges(role, None)) if len(own) else ():
            own = cut_all(own, named.outer(named.within(rows, own)), None)
        parts.append(own)
    parts.append(given.where(~_one_of(cause, _RANGES)))
    ranged = _sorted(concat(*parts))
    return cut_all(ranged, named.inner(named.within(named.of_thread(thread), ranged)), None)


def _one_of(causes: Ints, wanted: Iterable[int]) -> Mask:
    return np.isin(causes, list(wanted))


def _sorted(given: Stretches) -> Stretches:
    order = np.argsort(given.start_ns, kind="stable")
    return Stretches(given.start_ns[order], given.end_ns[order], given.gap[order], given.label[order])


def _rows(timeline: Timeline, idle: Idle, told: Stretches) -> tuple[HostRow, ...]:
    """By cause and name, those with the most time first."""
    names = timeline.names
    outside = len(names)
    number = timeline.host.name[told.label].astype(np.int64)
    marks = [each for each in np.unique(number).tolist() if names[each].startswith(_MARK)]
    number[np.isin(number, marks)] = outside
    keys, which = np.unique(idle.cause[told.gap] * (outside + 1) + number, return_inverse=True)
    sums, counts = np.zeros(keys.shape[0], np.int64), np.zeros(keys.shape[0], np.int64)
    np.add.at(sums, which, told.end_ns - told.start_ns)
    pairs = np.unique(np.stack((which, told.gap)), axis=1)
    np.add.at(counts, pairs[0], 1)
    largest = np.argsort(-sums, kind="stable")[:_ROWS]
    return tuple(
        HostRow(
            cause=CAUSES[int(keys[at]) // (outside + 1)],
            name=(*names, _OUTSIDE)[int(keys[at]) % (outside + 1)],
            idle_us=int(sums[at]) / 1000.0,
            count=int(counts[at]),
        )
        for at in largest
    )

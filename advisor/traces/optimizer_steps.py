"""Steps where the program marks none: PyTorch itself records an optimizer's ("Optimizer.step#...").

Such a range ends a training step, so that a step runs from the end of one to the end of the next, on the
thread that calls it. What comes before the first is a step of which the beginning may be missing; what comes
after the last is part of none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from advisor.traces.step_phases import PHASES, phase
from advisor.traces.timeline import HostKind, HostTable, Ints, StepTable, step_table

_NAME = re.compile(r"Optimizer\.step#")
_BACKWARD = PHASES.index("backward")
# Optimizers of one class in turn are told by how much they do: at most so many, each seen twice at least.
_IN_TURN_MOST = 4


def optimizer_steps(host: HostTable, names: Sequence[str]) -> StepTable:
    """The steps of every thread that calls an optimizer; empty where none does.

    Several optimizers in one step (adversarial training, parameters split among them) make one step: it ends
    with the first one's. They are told apart by their class, by a backward pass that is missing between them,
    and by how many operators each runs, in turn. Two of one class that do exactly as much count each.
    """
    told = np.array([_NAME.match(name) is not None for name in names] or [False])[host.name]
    rows = np.flatnonzero(told & np.isin(host.kind, (HostKind.ANNOTATION, HostKind.OP)))
    if not len(rows):
        return step_table()
    backward = _backward_starts(host, names)
    parts = [
        _of_thread(host, rows[host.thread[rows] == one], backward) for one in np.unique(host.thread[rows])
    ]
    starts, ends, threads = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    numbers = np.concatenate([np.arange(len(part[0])) for part in parts])
    return step_table(source="optimizer", start_ns=starts, end_ns=ends, number=numbers, thread=threads)


def _of_thread(host: HostTable, rows: Ints, backward: Ints) -> tuple[Ints, Ints, Ints]:
    """Starts, ends and thread of one thread's steps."""
    calls = _outermost(host, rows)
    calls = calls[host.name[calls] == host.name[calls[0]]]
    calls = _after_backward(host, calls, backward)
    ends = host.end_ns[_first_in_turn(host, calls)]
    thread = int(host.thread[rows[0]])
    begun = int(host.start_ns[host.thread == thread].min())
    return np.append(begun, ends[:-1]), ends, np.full(len(ends), thread, np.int64)


def _outermost(host: HostTable, rows: Ints) -> Ints:
    """Those that lie in no other: an optimizer may call one that it wraps. rows: of one thread, in order."""
    reached = np.maximum.accumulate(host.end_ns[rows])
    return np.asarray(rows[np.append(True, host.start_ns[rows[1:]] >= reached[:-1])], np.int64)


def _backward_starts(host: HostTable, names: Sequence[str]) -> Ints:
    of_pass = np.array([phase(name) == _BACKWARD for name in names], np.bool_)[host.name]
    return np.sort(host.start_ns[of_pass])


def _after_backward(host: HostTable, calls: Ints, backward: Ints) -> Ints:
    """Of calls with no backward pass between them the first; all where no such pass was recorded."""
    if not len(backward):
        return calls
    before = np.searchsorted(backward, host.start_ns[calls])
    return np.asarray(calls[np.append(True, np.diff(before) > 0)], np.int64)


def _first_in_turn(host: HostTable, calls: Ints) -> Ints:
    """Every second, third or fourth call where how much they do comes round like that."""
    does = _rows_within(host, calls)
    for turn in range(2, min(_IN_TURN_MOST, len(calls) // 2) + 1):
        if len(set(does[:turn].tolist())) > 1 and (does[turn:] == does[:-turn]).all():
            return calls[::turn]
    return calls


def _rows_within(host: HostTable, calls: Ints) -> Ints:
    """How many intervals each call holds on its thread; rows of a thread are in order of start."""
    first, last = np.searchsorted(host.thread, (host.thread[calls[0]], host.thread[calls[0]] + 1))
    until = np.searchsorted(host.start_ns[first:last], host.end_ns[calls]) + first
    return np.asarray(until - calls, np.int64)

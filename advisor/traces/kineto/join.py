"""What links rows of a trace: which call launched a GPU interval, and which operator made that call.

Correlation and External id are different things: the first joins an API call and what it put on the device,
the second names the operator around both. Old files write the correlation where there was no operator.
An id of 0 is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.reaching import last_reaching
from advisor.traces.timeline import UNKNOWN, HostKind, HostTable, Ints, Small
from rules.traces.host_names import HostRole

_CALLS = (HostKind.RUNTIME, HostKind.DRIVER)
_WORK = (HostRole.LAUNCH, HostRole.COPY)
# A device is one process's where that one launched at least this part of what ran on it.
_MOSTLY = 0.8
Mask = NDArray[np.bool_]


def find(keys: Ints, starts: Ints, wanted: Ints, at: Ints) -> tuple[Ints, Mask]:
    """Per wanted id the position of the equal key, UNKNOWN where there is none; and where several are equal.

    Of several it is the last that starts at or before the time `at`, else the first one after it. Ids repeat
    where a file holds several sessions of a profiler, or several processes. 0 and -1 never match.
    """
    if not len(keys):
        return np.full(len(wanted), UNKNOWN, np.int64), np.zeros(len(wanted), np.bool_)
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    place = np.minimum(np.searchsorted(ranked, wanted), len(keys) - 1)
    good = (ranked[place] == wanted) & (wanted != UNKNOWN) & (wanted != 0)
    found = np.where(good, order[place], UNKNOWN)
    same = np.append(ranked[1:] == ranked[:-1], False)
    several = good & same[place]
    if several.any():
        some = np.sort(order[same | np.append(False, same[:-1])])
        found[several] = some[_nearest(keys[some], starts[some], wanted[several], at[several])]
    return found, several


def _nearest(keys: Ints, starts: Ints, wanted: Ints, at: Ints) -> Ints:
    """Per wanted id, which is among the keys, the position of the nearest before a time, or of the first."""
    order = np.lexsort((starts, keys))
    before = _last_before(keys[order], starts[order], wanted, at)
    first = np.searchsorted(keys[order], wanted)
    return np.asarray(order[np.maximum(before, first)], np.int64)


def launches(host: HostTable, pids: Ints, device: Ints, start: Ints, correlation: Ints) -> tuple[Ints, int]:
    """Per GPU row the HostTable row of the API call with its correlation: a launch or copy before others.

    pids: of threads. Also: for how many rows several calls have that correlation.
    """
    calls = np.flatnonzero(np.isin(host.kind, _CALLS) & (host.correlation != UNKNOWN))
    work = np.isin(host.role[calls], _WORK)
    launch, several = _launched(host, calls[work], pids, device, start, correlation)
    left = np.flatnonzero(launch == UNKNOWN)
    launch[left], more = _launched(host, calls[~work], pids, device[left], start[left], correlation[left])
    return launch, int(several.sum() + more.sum())


def _launched(
    host: HostTable, calls: Ints, pids: Ints, device: Ints, start: Ints, correlation: Ints
) -> tuple[Ints, Mask]:
    keys, starts, pid = host.correlation[calls], host.start_ns[calls], pids[host.thread[calls]]
    found, several = find(keys, starts, correlation, start)
    if several.any() and (pid != pid[0]).any():
        rows = np.flatnonzero(several)
        owner = _owners(pid, device, found, several)[rows]
        both = np.unique(np.concatenate([keys, correlation[rows]]), return_inverse=True)[1]
        every = np.unique(np.concatenate([pid, owner]), return_inverse=True)[1]
        pair = both * (int(every.max()) + 1) + every + 1
        own, _ = find(pair[: len(keys)], starts, pair[len(keys) :], start[rows])
        found[rows] = np.where((own == UNKNOWN) | (owner == UNKNOWN), found[rows], own)
    return np.where(found == UNKNOWN, UNKNOWN, calls[found] if len(calls) else UNKNOWN), several


def _owners(pid: Ints, device: Ints, found: Ints, several: Mask) -> Ints:
    """Per GPU row the process that launches on its device, by rows without doubt or else by all."""
    every, number = np.unique(device, return_inverse=True)
    pids, which = np.unique(pid, return_inverse=True)
    owner = np.full(len(every), UNKNOWN, np.int64)
    for rows in (found != UNKNOWN, (found != UNKNOWN) & ~several):
        pairs, counts = np.unique(number[rows] * len(pids) + which[found[rows]], return_counts=True)
        on = pairs // len(pids)
        all_on = np.bincount(number[rows], minlength=len(every))
        mostly = counts >= _MOSTLY * all_on[on]
        owner[all_on > 0] = UNKNOWN
        owner[on[mostly]] = pids[pairs[mostly] % len(pids)]
    return np.asarray(owner[number], np.int64)


def operators(
    host: HostTable, external: Ints, launch: Ints, gpu_external: Ints, correlation: Ints, start: Ints
) -> Ints:
    """Per GPU row the HostTable row of the operator that caused it.

    By External id, where an operator has it and holds the launch; else the innermost operator around the
    launch on its thread.
    """
    ops = np.flatnonzero(host.kind == HostKind.OP)
    linked = np.where(gpu_external != UNKNOWN, gpu_external, _taken(external, launch))
    begun = np.where(launch == UNKNOWN, start, _taken(host.start_ns, launch))
    wanted = np.where(linked == correlation, UNKNOWN, linked)
    found, _ = find(external[ops], host.start_ns[ops], wanted, begun)
    by_id = np.where(found == UNKNOWN, UNKNOWN, ops[found] if len(ops) else UNKNOWN)
    by_id = np.where(_outside(host, by_id, launch), UNKNOWN, by_id)
    missing = np.flatnonzero((by_id == UNKNOWN) & (launch != UNKNOWN))
    by_id[missing] = innermost(host, ops, launch[missing])
    return by_id


def innermost(host: HostTable, ops: Ints, calls: Ints) -> Ints:
    """Per call the innermost of these operators that holds its start, on its thread."""
    if not len(ops) or not len(calls):
        return np.full(len(calls), UNKNOWN, np.int64)
    owner, starts = host.thread[ops], host.start_ns[ops]
    at = _last_before(owner, starts, host.thread[calls], host.start_ns[calls])
    low = np.searchsorted(owner, host.thread[calls])
    found = last_reaching(host.end_ns[ops], low, at, host.start_ns[calls])
    return np.where(found == UNKNOWN, UNKNOWN, ops[found])


def _last_before(keys: Ints | Small, starts: Ints, wanted: Ints | Small, at: Ints) -> Ints:
    """Position of the last row (sorted by key and start) that has the key, or a lower one, and starts at or
    before the time."""
    every, starting = np.concatenate([keys, wanted]), np.concatenate([starts, at])
    later = np.concatenate([np.zeros(len(keys), np.int8), np.ones(len(wanted), np.int8)])
    order = np.lexsort((later, starting, every))
    seen = np.cumsum(order < len(keys)) - 1
    place = np.empty(len(order), np.int64)
    place[order] = seen
    return place[len(keys) :]


def _taken(column: NDArray[np.int64], at: Ints) -> Ints:
    return np.where(at == UNKNOWN, UNKNOWN, column[at] if len(column) else UNKNOWN)


def _outside(host: HostTable, row: Ints, launch: Ints) -> Mask:
    """Whether an operator does not hold the launch, although both are known."""
    if not len(host):
        return np.zeros(len(row), np.bool_)
    begun = host.start_ns[launch]
    apart = (
        (host.start_ns[row] > begun) | (host.end_ns[row] < begun) | (host.thread[row] != host.thread[launch])
    )
    return np.asarray((row != UNKNOWN) & (launch != UNKNOWN) & apart, np.bool_)

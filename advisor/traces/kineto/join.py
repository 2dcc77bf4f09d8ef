"""What links rows of a trace: which call launched a GPU interval, and which operator made that call.

Correlation and External id are different things: the first joins an API call and what it put on the device,
the second names the operator around both. Old files write the correlation where there was no operator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN, HostKind, HostTable, Ints
from rules.traces.host_names import HostRole

_CALLS = (HostKind.RUNTIME, HostKind.DRIVER)
_WORK = (HostRole.LAUNCH, HostRole.COPY)


def find(keys: Ints, wanted: Ints) -> Ints:
    """Per wanted value the position of the first equal key, UNKNOWN where there is none. -1 never matches."""
    if not len(keys):
        return np.full(len(wanted), UNKNOWN, np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    found = order[at]
    return np.where((keys[found] == wanted) & (wanted != UNKNOWN), found, UNKNOWN)


def launches(host: HostTable, correlation: Ints) -> Ints:
    """Per GPU row the HostTable row of the API call with its correlation: a launch or copy before others."""
    calls = np.flatnonzero(np.isin(host.kind, _CALLS) & (host.correlation != UNKNOWN))
    first = np.isin(host.role[calls], _WORK)
    calls = np.concatenate([calls[first], calls[~first]])
    found = find(host.correlation[calls], correlation)
    return np.where(found == UNKNOWN, UNKNOWN, calls[found] if len(calls) else UNKNOWN)


def operators(host: HostTable, external: Ints, launch: Ints, gpu_external: Ints, correlation: Ints) -> Ints:
    """Per GPU row the HostTable row of the operator that caused it.

    By External id, where an operator has it and holds the launch; else the innermost operator around the
    launch on its thread.
    """
    ops = np.flatnonzero(host.kind == HostKind.OP)
    linked = np.where(gpu_external != UNKNOWN, gpu_external, _taken(external, launch))
    found = find(external[ops], np.where(linked == correlation, UNKNOWN, linked))
    by_id = np.where(found == UNKNOWN, UNKNOWN, ops[found] if len(ops) else UNKNOWN)
    by_id = np.where(_outside(host, by_id, launch), UNKNOWN, by_id)
    missing = np.flatnonzero((by_id == UNKNOWN) & (launch != UNKNOWN))
    by_id[missing] = innermost(host, ops, launch[missing])
    return by_id


def innermost(host: HostTable, ops: Ints, calls: Ints) -> Ints:
    """Per call the innermost of these operators that holds its start, on its thread."""
    if not len(ops) or not len(calls):
        return np.full(len(calls), UNKNOWN, np.int64)
    at = _last_before(host, ops, calls)
    start, thread = host.start_ns[calls], host.thread[calls]
    end, owner, wider = host.end_ns[ops], host.thread[ops], _wider(host, ops)
    for _ in range(len(ops).bit_length() * 4 + 64):
        out = (at != UNKNOWN) & (owner[at] == thread) & (end[at] < start)
        if not out.any():
            break
        at = np.where(out, wider[at], at)
    good = (at != UNKNOWN) & (owner[at] == thread) & (end[at] >= start)
    return np.where(good, ops[at], UNKNOWN)


def _last_before(host: HostTable, ops: Ints, calls: Ints) -> Ints:
    """Position in ops of the last one that starts at or before each call, on its thread or an earlier one."""
    threads = np.concatenate([host.thread[ops], host.thread[calls]])
    starts = np.concatenate([host.start_ns[ops], host.start_ns[calls]])
    later = np.concatenate([np.zeros(len(ops), np.int8), np.ones(len(calls), np.int8)])
    order = np.lexsort((later, starts, threads))
    seen = np.cumsum(order < len(ops)) - 1
    at = np.empty(len(order), np.int64)
    at[order] = seen
    return at[len(ops) :]


def _wider(host: HostTable, ops: Ints) -> Ints:
    """Per operator the nearest earlier one on its thread that ends later: its parent; UNKNOWN without."""
    end, owner = host.end_ns[ops], host.thread[ops]
    parent = np.arange(len(ops), dtype=np.int64) - 1
    while True:
        short = (parent != UNKNOWN) & (end[parent] < end) & (owner[parent] == owner)
        if not short.any():
            return np.where(owner[parent] == owner, parent, UNKNOWN)
        parent = np.where(short, parent[parent], parent)


def _taken(column: NDArray[np.int64], at: Ints) -> Ints:
    return np.where(at == UNKNOWN, UNKNOWN, column[at] if len(column) else UNKNOWN)


def _outside(host: HostTable, row: Ints, launch: Ints) -> NDArray[np.bool_]:
    """Whether an operator does not hold the launch, although both are known."""
    if not len(host):
        return np.zeros(len(row), np.bool_)
    begun = host.start_ns[launch]
    apart = (
        (host.start_ns[row] > begun) | (host.end_ns[row] < begun) | (host.thread[row] != host.thread[launch])
    )
    return np.asarray((row != UNKNOWN) & (launch != UNKNOWN) & apart, np.bool_)

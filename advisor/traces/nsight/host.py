"""What the host did: API calls, synchronisations, operating system calls, the profiler's own overhead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kineto.join import find
from advisor.traces.nsight.database import Columns, Database
from advisor.traces.nsight.ids import Processes, Threads, pid_of
from advisor.traces.nsight.intervals import in_order
from advisor.traces.nsight.naming import Names
from advisor.traces.nsight.oscalls import MIN_OTHER_NS, os_role
from advisor.traces.timeline import UNKNOWN, HostKind
from rules.traces.host_names import HostRole, host_role

RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
DRIVER = "CUPTI_ACTIVITY_KIND_DRIVER"
SYNC = "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION"
OVERHEADS = {"PROFILER_OVERHEAD": "overhead", "CUPTI_ACTIVITY_KIND_OVERHEAD": "cuda_overhead"}
OSRT = "OSRT_API"
HOST_TABLES = (RUNTIME, DRIVER, SYNC, *OVERHEADS, OSRT)

_STREAM_WAIT = 2  # ENUM_CUPTI_SYNC_TYPE: a stream waits for an event; the host does not
_SYNC_NAMES = {1: "Event sync", 2: "Stream wait event", 3: "Stream sync", 4: "Context sync"}
# ENUM_CUPTI_OVERHEAD_TYPE: compiling, loading modules and functions, a full command buffer. CUDA does these
# without a profiler too.
_OWN_WORK = {
    2: "CUDA: just-in-time compilation",
    6: "CUDA: module loading",
    7: "CUDA: lazy function loading",
    8: "CUDA: command buffer full",
}

Part = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the readers of host tables share."""

    database: Database
    names: Names
    threads: Threads
    processes: Processes
    base_ns: int

    def rows(self, table: str, extra: Sequence[str], where: str = "") -> Columns | None:
        """Intervals of a host table, with `extra` columns where it has them."""
        read = self.database.numbers(table, ("start", "end"), extra, where)
        return None if read is None else in_order(self.database, table, read, self.base_ns)


def read_host(reading: Reading) -> dict[str, Part]:
    """All host rows but annotations, by the category under which they are counted."""
    parts = {"cuda_runtime": _calls(reading, RUNTIME), "cuda_driver": _calls(reading, DRIVER)}
    parts["cuda_sync"] = _syncs(reading, [part for part in parts.values() if part is not None])
    for table, category in OVERHEADS.items():
        parts[category] = _overheads(reading, table)
    parts["osrt"] = _os_calls(reading)
    return {key: part for key, part in parts.items() if part is not None and len(part["start_ns"])}


def part_of(
    reading: Reading, columns: Columns, kind: NDArray[Any], role: NDArray[Any], name: NDArray[Any]
) -> Part:
    """Columns of a HostTable."""
    length = len(columns["start"])
    return {
        "start_ns": columns["start"],
        "end_ns": columns["end"],
        "thread": reading.threads.column(columns["globalTid"]),
        "kind": np.broadcast_to(np.asarray(kind, np.uint8), (length,)),
        "role": np.broadcast_to(np.asarray(role, np.uint8), (length,)),
        "name": name,
        "op": np.full(length, UNKNOWN, np.int32),
        "correlation": np.full(length, UNKNOWN, np.int64),
    }


def _calls(reading: Reading, table: str) -> Part | None:
    columns = reading.rows(table, ("globalTid", "correlationId", "nameId"))
    if columns is None:
        return None
    reading.names.read(reading.database, columns["nameId"])
    unique, inverse = np.unique(columns["nameId"], return_inverse=True)
    shown = reading.names.column(unique, "CUDA API call", api=True)
    told = [reading.names.api(int(i)) for i in unique]
    roles = np.asarray([host_role(name) for name in told], np.uint8)[inverse.reshape(-1)]
    driver = np.asarray([_is_driver(name, table) for name in told], bool)[inverse.reshape(-1)]
    kinds = np.where(driver, HostKind.DRIVER, HostKind.RUNTIME)
    part = part_of(reading, columns, kinds, roles, shown[inverse.reshape(-1)])
    part["correlation"] = reading.processes.apart(columns["correlationId"], pid_of(columns["globalTid"]))
    return part


def _is_driver(name: str, table: str) -> bool:
    return table == DRIVER or (name.startswith("cu") and not name.startswith("cuda"))


def _syncs(reading: Reading, calls: Sequence[Part]) -> Part | None:
    """Synchronisation records, on the thread of the call that each belongs to; the others are left out."""
    columns = reading.rows(SYNC, ("globalPid", "correlationId", "syncType"))
    if columns is None:
        return None
    correlation = reading.processes.apart(columns["correlationId"], pid_of(columns["globalPid"]))
    thread = _thread_of(correlation, columns["start"], calls)
    found = thread != UNKNOWN
    kinds = columns["syncType"][found]
    shown = {
        int(k): reading.names.intern(_SYNC_NAMES.get(int(k), "Synchronisation")) for k in np.unique(kinds)
    }
    names = np.asarray([shown[int(k)] for k in kinds], np.int32)
    return {
        "start_ns": columns["start"][found],
        "end_ns": columns["end"][found],
        "thread": thread[found].astype(np.int32),
        "kind": np.full(len(kinds), HostKind.SYNC, np.uint8),
        "role": np.where(kinds == _STREAM_WAIT, HostRole.OTHER, HostRole.SYNC).astype(np.uint8),
        "name": names,
        "op": np.full(len(kinds), UNKNOWN, np.int32),
        "correlation": correlation[found],
    }


def _thread_of(
    correlation: NDArray[np.int64], start: NDArray[np.int64], calls: Sequence[Part]
) -> NDArray[np.int64]:
    if not calls:
        return np.full(len(correlation), UNKNOWN, np.int64)
    keys, begun, threads = (
        np.concatenate([part[name] for part in calls]) for name in ("correlation", "start_ns", "thread")
    )
    row, _ = find(keys, begun, correlation, start)
    return np.where(row == UNKNOWN, UNKNOWN, threads[np.maximum(row, 0)] if len(threads) else UNKNOWN)


def _overheads(reading: Reading, table: str) -> Part | None:
    columns = reading.rows(table, ("globalTid", "nameId", "overheadType"))
    if columns is None:
        return None
    reading.names.read(reading.database, columns["nameId"])
    own = np.isin(columns["overheadType"], list(_OWN_WORK))
    kinds = np.where(own, HostKind.DRIVER, HostKind.OVERHEAD)
    roles = np.where(own, HostRole.OTHER, HostRole.OVERHEAD)
    names = reading.names.column(columns["nameId"], "Profiler overhead")
    for number, label in _OWN_WORK.items():
        names[columns["overheadType"] == number] = reading.names.intern(label)
    return part_of(reading, columns, kinds, roles, names)


def _os_calls(reading: Reading) -> Part | None:
    if not reading.database.has(OSRT, "start", "end"):
        return None
    columns = reading.rows(OSRT, ("globalTid", "nameId"))
    if columns is None:
        return None
    reading.names.read(reading.database, columns["nameId"])
    unique, inverse = np.unique(columns["nameId"], return_inverse=True)
    told = np.asarray([os_role(reading.names.text(int(i)) or "") for i in unique], np.uint8)
    roles = told[inverse.reshape(-1)]
    kept = (roles != HostRole.OTHER) | (columns["end"] - columns["start"] >= MIN_OTHER_NS)
    columns = {name: column[kept] for name, column in columns.items()}
    names = reading.names.column(columns["nameId"], "operating system call")
    return part_of(reading, columns, np.asarray(HostKind.OS), roles[kept], names)

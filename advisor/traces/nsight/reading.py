"""An Nsight Systems SQLite export to a Timeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.errors import TraceError
from advisor.traces.kineto.join import find
from advisor.traces.limits import Limits
from advisor.traces.nsight.about import About, read_about
from advisor.traces.nsight.annotations import NVTX, Operators, annotation_part, read_ranges
from advisor.traces.nsight.counters import METRICS, read_counters
from advisor.traces.nsight.database import Database, opened
from advisor.traces.nsight.devices import Pairs, device_facts, place, rank_label
from advisor.traces.nsight.gpu import GPU_TABLES, GpuRows, read_gpu
from advisor.traces.nsight.host import HOST_TABLES, Part, Reading, read_host
from advisor.traces.nsight.ids import Processes, Threads, own_id
from advisor.traces.nsight.missing import RECORD, note_missing
from advisor.traces.nsight.naming import Names
from advisor.traces.nsight.operators import operators_of
from advisor.traces.nsight.salvage import ERRORS
from advisor.traces.nsight.steps import read_steps
from advisor.traces.timeline import (
    UNKNOWN,
    GpuTable,
    HostKind,
    HostTable,
    Timeline,
    TraceMeta,
    gpu_table,
    host_table,
)

Progress = Callable[[int, int | None], None]
_KNOWN_TABLES = frozenset({*GPU_TABLES, *HOST_TABLES, NVTX, METRICS, "StringIds", "META_DATA_EXPORT"})


def read_nsight(path: Path, *, progress: Progress | None = None, limits: Limits = Limits()) -> Timeline:  # noqa: B008
    """The Timeline of an SQLite export of Nsight Systems (`nsys export --type sqlite`).

    Tables and columns that the file lacks are left out; what that costs is in `losses`. progress is told of
    bytes done and in all, estimated from rows. Raises TraceError where nothing can be read.
    """
    meter = _Meter(path, progress)
    with opened(path, meter.advance, limits) as database:
        try:
            _check_tables(database)
            meter.expect(sum(database.row_estimate(t) for t in (*GPU_TABLES, *HOST_TABLES, NVTX, METRICS)))
            timeline = _read(path, database)
        except ERRORS as error:
            raise TraceError(
                f"this SQLite file cannot be read: {error}", "export the report again"
            ) from error
    meter.done()
    return timeline


class _Meter:
    """Turns rows read into bytes done, for a bar that needs a whole."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._size = path.stat().st_size if path.exists() else 0
        self._progress = progress
        self._rows = 0
        self._expected = 0

    def expect(self, rows: int) -> None:
        self._expected = rows

    def advance(self, rows: int) -> None:
        self._rows += rows
        if self._progress is not None and self._expected:
            part = min(1.0, self._rows / self._expected)
            self._progress(int(self._size * part), self._size)

    def done(self) -> None:
        if self._progress is not None:
            self._progress(self._size, self._size)


def _check_tables(database: Database) -> None:
    if not database.tables:
        raise TraceError("the file is an SQLite database without tables", "export the report again")
    if any(name.startswith("CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL") for name in database.tables):
        raise TraceError("this is an export of nvprof, which is not read", f"record with: {RECORD}")
    if not (database.tables & _KNOWN_TABLES):
        raise TraceError(
            "this SQLite file is no export of Nsight Systems: none of its tables is there",
            "make one with: nsys export --type sqlite REPORT.nsys-rep",
        )


def _read(path: Path, database: Database) -> Timeline:
    about, limits = read_about(database), database.limits
    names, processes = Names(limits), Processes()
    threads = Threads(_thread_labels(database, names))
    reading = Reading(database, names, threads, processes, about.base_ns)
    device_rows = read_gpu(database, names, processes, about.base_ns)
    used = place(database, device_rows.columns, device_rows.pid)
    parts = read_host(reading)
    operators = Operators(limits)
    ranges = read_ranges(reading, operators)
    if ranges is not None and len(ranges.name):
        parts["nvtx"] = annotation_part(reading, ranges)
    if operators.missed:
        message = f"more than {limits.shapes:,} operators with shapes: the others have none"
        database.lose("limit", message, operators.missed)
    steps, _ = read_steps(reading, ranges)
    host = host_table(**_joined(list(parts.values())))
    gpu = _linked(database, device_rows, host)
    counters, unsure = read_counters(database, about.base_ns)
    note_missing(database, gpu, host, names.all())
    names.note_missed(database)
    return Timeline(
        meta=_meta(path, about, device_rows, parts, used, unsure),
        gpu=gpu,
        host=host,
        steps=steps,
        names=names.all(),
        ops=operators.all(),
        threads=threads.all(),
        devices=device_facts(database, {gpu_number for _, gpu_number in used}),
        losses=tuple(database.losses),
        counters=counters,
    )


def _joined(parts: Sequence[Part]) -> dict[str, NDArray[Any]]:
    if not parts:
        return {"start_ns": np.empty(0, np.int64), "role": np.empty(0, np.uint8)}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _linked(database: Database, rows: GpuRows, host: HostTable) -> GpuTable:
    """The device table with the launch, and through it the operator, of each row."""
    calls = np.flatnonzero((host.kind == HostKind.RUNTIME) | (host.kind == HostKind.DRIVER))
    at, repeated = _calls_of(rows, host.correlation[calls], host.start_ns[calls])
    if repeated:
        message = "correlation ids occur twice: what ran was linked to the nearest call before it"
        database.lose("repeated-ids", message, repeated)
    launch = np.where(at == UNKNOWN, UNKNOWN, calls[np.maximum(at, 0)] if len(calls) else UNKNOWN)
    gpu = gpu_table(**rows.columns, launch=launch)
    return dataclasses.replace(gpu, op=operators_of(gpu, host))


def _calls_of(
    rows: GpuRows, keys: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """For each device row the call that caused it: of several with its id (how often?) the last before it.

    Ids are of a process. Where the file does not tell a row's, calls of all processes are asked.
    """
    wanted, begun = rows.columns["correlation"], rows.columns["start_ns"]
    found, several = find(keys, starts, wanted, begun)
    loose = (rows.pid == UNKNOWN) & (wanted != UNKNOWN)
    found[loose], several[loose] = find(own_id(keys), starts, own_id(wanted[loose]), begun[loose])
    return found, int(several.sum())


def _thread_labels(database: Database, names: Names) -> dict[int, str]:
    columns = database.numbers("ThreadNames", ("nameId", "globalTid"))
    if columns is None:
        return {}
    names.read(database, columns["nameId"])
    pairs = zip(columns["globalTid"].tolist(), columns["nameId"].tolist(), strict=True)
    return {thread: text for thread, name in pairs if (text := names.text(name)) is not None}


def _meta(
    path: Path, about: About, rows: GpuRows, parts: dict[str, Part], used: Pairs, unsure: dict[str, str]
) -> TraceMeta:
    pids = sorted({pid for pid, _ in used if pid != UNKNOWN})
    single = len(pids) == 1
    facts = dict(about.facts)
    if len(pids) > 1:
        facts["processes"] = rank_label(used)
    facts |= {f"counter {name}": label for name, label in unsure.items()}
    return TraceMeta(
        path=str(path),
        format="nsight",
        size_bytes=path.stat().st_size,
        zero_ns=about.zero_ns,
        events=rows.counts | {name: len(part["start_ns"]) for name, part in parts.items()},
        rank=about.rank if single else None,
        world_size=about.world_size if single else None,
        host=about.host,
        pid=pids[0] if single else None,
        facts=facts,
        file_zero_ns=about.base_ns,
    )

"""Blocks of columns of one file, read by one process or several, as one Timeline.

The result does not depend on how the file was divided: rows are put in an order of their own, and names,
threads and operators are numbered by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kineto import join
from advisor.traces.kineto.columns import Block, Columns
from advisor.traces.kineto.shapes import Shape, op_of
from advisor.traces.kineto.spans import shifted
from advisor.traces.optimizer_steps import optimizer_steps
from advisor.traces.timeline import (
    UNKNOWN,
    GpuTable,
    HostKind,
    HostTable,
    Ints,
    Op,
    StepTable,
    Thread,
    gpu_table,
    host_table,
    step_table,
)
from rules.traces.host_names import HostRole, host_role

_STEP = re.compile(r"ProfilerStep\s*#\s*(\d{1,15})")
_MARKS = (HostKind.ANNOTATION, HostKind.OP)
ThreadKey = tuple[int, int, str]


@dataclass(slots=True)
class Merged:
    """The tables of a file. zero: what was taken from all times, ns on the file's clock.

    far: rows left out, whose times are far off all others. repeated: GPU rows whose correlation several calls
    have. homeless: GPU rows left out, of which the device is not known.
    """

    gpu: GpuTable
    host: HostTable
    steps: StepTable
    names: tuple[str, ...]
    ops: tuple[Op, ...]
    threads: tuple[Thread, ...]
    zero: int
    far: int = 0
    repeated: int = 0
    homeless: int = 0


class Merger:
    """Takes blocks in the order of the file."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {"": 0}
        self._threads: dict[ThreadKey, int] = {}
        self._shapes: dict[Shape, int] = {(0, b"", b"", b""): 0}
        self._gpu: list[Columns] = []
        self._host: list[Columns] = []

    def name_numbers(self, names: Sequence[str]) -> list[int]:
        """Numbers of names, new ones given to new names."""
        return [_number(self._names, name) for name in names]

    def thread_numbers(self, threads: Sequence[tuple[Any, Any]]) -> list[int]:
        """The same of threads, by (pid, tid) as written."""
        return [_number(self._threads, thread_key(*key)) for key in threads]

    def shape_numbers(self, shapes: Sequence[Shape], names: NDArray[np.int32]) -> list[int]:
        """The same of shapes, whose names are translated by `names`."""
        return [_number(self._shapes, (int(names[shape[0]]), *shape[1:])) for shape in shapes]

    def add(
        self, block: Block, names: NDArray[np.int32], threads: NDArray[np.int32], shapes: NDArray[np.int32]
    ) -> None:
        """One block, whose numbers are translated by these arrays."""
        if block.gpu:
            gpu = block.gpu
            self._gpu.append({**gpu, "name": names[gpu["name"]], "group": names[gpu["group"]]})
        if block.host:
            host = block.host
            self._host.append(
                {
                    **host,
                    "name": names[host["name"]],
                    "thread": threads[host["thread"]],
                    "shape": shapes[host["shape"]],
                }
            )

    def merged(self, labels: dict[tuple[int, int], str]) -> Merged:
        """Everything as tables; the merger is empty afterwards."""
        (gpu, host), zero, far = shifted(_stacked(self._gpu), _stacked(self._host))
        gpu, homeless = _on_devices(gpu)
        threads = self._in_order(host)
        names = self._renamed(gpu, host)
        host_rows, external, shape = _host_rows(host, names)
        pids = np.array([pid for pid, _, _ in threads], np.int64)
        gpu_rows, used, repeated = _gpu_rows(gpu, host_rows, pids, external, shape)
        shapes = list(self._shapes)
        every = list(self._names)
        ops = tuple(op_of(every[shapes[number][0]], shapes[number]) for number in used.tolist())
        _number_ops(host_rows, shape, used)
        made = tuple(Thread(pid, tid, labels.get((pid, tid), "") or label) for pid, tid, label in threads)
        steps = _steps(host_rows, names)
        return Merged(gpu_rows, host_rows, steps, names, ops, made, zero, far, repeated, homeless)

    def _in_order(self, host: Columns) -> list[ThreadKey]:
        """Threads that are met, by pid and tid; the column is renumbered to that."""
        every = list(self._threads)
        met = np.unique(host["thread"]).tolist() if host else []
        ordered = sorted(met, key=lambda number: every[number])
        numbers = np.zeros(len(every) + 1, np.int32)
        numbers[ordered] = np.arange(len(ordered), dtype=np.int32)
        if host:
            host["thread"] = numbers[host["thread"]]
        return [every[number] for number in ordered]

    def _renamed(self, gpu: Columns, host: Columns) -> tuple[str, ...]:
        """Names that are met, in alphabetical order; the columns are renumbered to that."""
        every = list(self._names)
        columns = [part["name"] for part in (gpu, host) if part]
        told = gpu["group"] != 0 if gpu else np.zeros(0, np.bool_)
        columns += [gpu["group"][told]] if told.any() else []
        met = np.unique(np.concatenate([np.unique(c) for c in columns])).tolist() if columns else []
        ordered = sorted(met, key=lambda number: every[number])
        numbers = np.zeros(len(every) + 1, np.int32)
        numbers[ordered] = np.arange(len(ordered), dtype=np.int32)
        for part in (gpu, host):
            if part:
                part["name"] = numbers[part["name"]]
        if gpu:
            gpu["group"] = np.where(told, numbers[gpu["group"]], UNKNOWN)
        return tuple(every[number] for number in ordered)


def thread_key(pid: Any, tid: Any) -> ThreadKey:
    """A thread as written ("25738", "stream 7", "Spans") as numbers, and a label for what is none."""
    numbers = [_numeric(part) for part in (pid, tid)]
    label = " ".join(
        str(part) for part, n in zip((pid, tid), numbers, strict=True) if n is None and part is not None
    )
    return (
        UNKNOWN if numbers[0] is None else numbers[0],
        UNKNOWN if numbers[1] is None else numbers[1],
        label[:256],
    )


def _numeric(value: Any) -> int | None:
    try:
        number = int(value)
    except (ValueError, TypeError):
        return None
    return number if abs(number) < 1 << 62 else None


def _number(table: dict[Any, int], key: Any) -> int:
    return table.setdefault(key, len(table))


def _stacked(parts: list[Columns]) -> Columns:
    """Parts one below the other, column by column so that little is there twice; `parts` is emptied."""
    if not parts:
        return {}
    made = {key: np.concatenate([part.pop(key) for part in parts]) for key in list(parts[0])}
    parts.clear()
    return made


def _host_rows(columns: Columns, names: Sequence[str]) -> tuple[HostTable, Ints, NDArray[np.int32]]:
    """The host's table, and per row its External id and shape."""
    if not columns:
        return host_table(start_ns=[], end_ns=[]), np.empty(0, np.int64), np.empty(0, np.int32)
    columns = _with_callers(columns)
    order = np.lexsort(
        (
            -columns["kind"].astype(np.int8),
            -columns["end_ns"],
            columns["start_ns"],
            columns["thread"],
        )
    )
    columns = {key: columns.pop(key)[order] for key in list(columns)}
    external, shape = columns.pop("external"), columns.pop("shape")
    roles = np.array([int(host_role(name)) for name in names] or [0], np.uint8)[columns["name"]]
    roles[columns["kind"] == HostKind.OVERHEAD] = HostRole.OVERHEAD
    roles[columns["kind"] == HostKind.SYNC] = HostRole.SYNC
    op = np.full(len(order), UNKNOWN, np.int32)
    return HostTable(role=roles, op=op, **columns), external, shape


def _on_devices(gpu: Columns) -> tuple[Columns, int]:
    """Rows without a device go to the only one that others name, or to 0; with several they are left out."""
    nowhere = gpu["device"] < 0 if gpu else np.zeros(0, np.bool_)
    if not nowhere.any():
        return gpu, 0
    named = np.unique(gpu["device"][~nowhere])
    if len(named) > 1:
        return {key: column[~nowhere] for key, column in gpu.items()}, int(nowhere.sum())
    gpu["device"] = np.where(nowhere, named[0] if len(named) else 0, gpu["device"])
    return gpu, 0


def _with_callers(columns: Columns) -> Columns:
    """Synchronisation records stand under the device; each goes to the thread of its call, or is left out."""
    sync = columns["kind"] == HostKind.SYNC
    if not sync.any():
        return columns
    calls = np.flatnonzero(np.isin(columns["kind"], (HostKind.RUNTIME, HostKind.DRIVER)))
    rows, starts = np.flatnonzero(sync), columns["start_ns"]
    found, _ = join.find(
        columns["correlation"][calls], starts[calls], columns["correlation"][rows], starts[rows]
    )
    good = found != UNKNOWN
    columns["thread"][rows[good]] = columns["thread"][calls[found[good]]]
    keep = ~sync
    keep[rows[good]] = True
    return {key: column[keep] for key, column in columns.items()}


def _gpu_rows(
    columns: Columns, host: HostTable, pids: Ints, external: Ints, shape: NDArray[np.int32]
) -> tuple[GpuTable, NDArray[np.int32], int]:
    """The device's table, the shapes that its column `op` counts, and how many links were one of several."""
    if not columns:
        return gpu_table(start_ns=[], end_ns=[]), np.empty(0, np.int32), 0
    order = np.lexsort(
        (columns["correlation"], columns["stream"], columns["end_ns"], columns["start_ns"], columns["device"])
    )
    columns = {key: columns.pop(key)[order] for key in list(columns)}
    linked = columns.pop("external")
    start, correlation = columns["start_ns"], columns["correlation"]
    launch, repeated = join.launches(host, pids, columns["device"], start, correlation)
    rows = join.operators(host, external, launch, linked, correlation, start)
    shapes = np.where(rows == UNKNOWN, 0, shape[rows] if len(shape) else 0).astype(np.int32)
    used, first, inverse = np.unique(shapes, return_index=True, return_inverse=True)
    met = np.argsort(first, kind="stable")
    met = met[used[met] != 0]
    numbers = np.full(len(used), UNKNOWN, np.int32)
    numbers[met] = np.arange(len(met), dtype=np.int32)
    return gpu_table(launch=launch, op=numbers[inverse], **columns), used[met], repeated


def _number_ops(host: HostTable, shape: NDArray[np.int32], used: NDArray[np.int32]) -> None:
    """Fills the host's column `op` for operators that put work on a device."""
    if len(used) and len(shape):
        numbers = np.full(int(max(shape.max(), used.max())) + 1, UNKNOWN, np.int32)
        numbers[used] = np.arange(len(used), dtype=np.int32)
        host.op[:] = np.where(shape == 0, UNKNOWN, numbers[shape])


def _steps(host: HostTable, names: Sequence[str]) -> StepTable:
    """Steps: the host's ranges called ProfilerStep#n; without any, as optimizers end them.

    Some versions of the profiler write each as an annotation and as an operator: it counts once.
    """
    numbers = np.array([_step_number(name) for name in names] or [UNKNOWN], np.int64)[host.name]
    marks = [np.flatnonzero((numbers != UNKNOWN) & (host.kind == kind)) for kind in _MARKS]
    marked = np.unique(host.thread[marks[0]])
    rows = np.concatenate([marks[0], marks[1][~np.isin(host.thread[marks[1]], marked)]])
    if not len(rows):
        return optimizer_steps(host, names)
    keys = np.stack([host.thread[rows].astype(np.int64), numbers[rows], host.start_ns[rows]])
    rows = rows[np.unique(keys, axis=1, return_index=True)[1]]
    return step_table(
        start_ns=host.start_ns[rows], end_ns=host.end_ns[rows], number=numbers[rows], thread=host.thread[rows]
    )


def _step_number(name: str) -> int:
    match = _STEP.match(name)
    return int(match[1]) if match else UNKNOWN

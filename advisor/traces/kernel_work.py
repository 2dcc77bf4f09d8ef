"""Work of each kernel: that of the operator that launched it, divided among the kernels of that one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN, HostKind, Ints, Op, Timeline
from rules.traces.kernel_names import KernelClass
from rules.traces.work import Work, operator_work

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowWork:
    """Per row; NaN where unknown. Over the rows of one call both sum to the operator's own."""

    flops: Doubles
    bytes: Doubles


def work_of(op: Op) -> Work:
    """Work of one call of an operator."""
    return operator_work(op.name, op.dims, op.types, op.concrete)


def row_work(timeline: Timeline, rows: Ints, names: Ints, classes: Sequence[KernelClass]) -> RowWork:
    """Work of these kernels.

    rows: of the GPU table, kernels of one device; names: index into classes for each. A call's work goes to
    the kernels whose family does it, by their time, and none of it to those that stand beside them. Rows
    whose call is not in the trace have none.
    """
    flops, moved = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    op = timeline.gpu.op[rows]
    used = np.unique(op[op != UNKNOWN])
    works = {int(number): work_of(timeline.ops[number]) for number in used}
    known = [n for n, work in works.items() if work.flops is not None or work.bytes is not None]
    if not known:
        return RowWork(flops, moved)
    at = np.flatnonzero(np.isin(op, known))
    call = _calls(timeline, rows[at], op[at])
    at, call = at[call != UNKNOWN], call[call != UNKNOWN]
    share = _shares(timeline, rows[at], call, _main(op[at], names[at], works, classes))
    for column, field in ((flops, "flops"), (moved, "bytes")):
        per_op = np.full(len(timeline.ops), np.nan)
        per_op[list(works)] = [_number(getattr(work, field)) for work in works.values()]
        column[at] = np.where(share > 0.0, share * per_op[op[at]], np.nan)
    return RowWork(flops, moved)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _calls(timeline: Timeline, rows: Ints, op: NDArray[np.int32]) -> Ints:
    """Host row of the very call of its operator that holds each row's launch."""
    host, launch = timeline.host, timeline.gpu.launch[rows]
    wanted = np.zeros(len(timeline.ops), np.bool_)
    wanted[op] = True
    ops = np.flatnonzero((host.kind == HostKind.OP) & (host.op != UNKNOWN))
    ops = ops[wanted[host.op[ops]]]
    if not len(ops) or not len(host):
        return np.full(len(rows), UNKNOWN, np.int64)
    begun, thread = host.start_ns[launch], host.thread[launch]
    starts = np.concatenate([host.start_ns[ops], begun])
    kinds = np.concatenate([host.op[ops], op])
    threads = np.concatenate([host.thread[ops], thread])
    later = np.arange(len(starts)) >= len(ops)
    order = np.lexsort((later, starts, kinds, threads))
    last = np.empty(len(starts), np.int64)
    last[order] = np.maximum.accumulate(np.where(later[order], -1, np.arange(len(starts))))
    at = last[len(ops) :]
    found = order[at]
    fits = (at >= 0) & (launch != UNKNOWN) & (kinds[found] == op) & (threads[found] == thread)
    row = ops[np.where(fits, found, 0)]
    return np.where(fits & (host.end_ns[row] >= begun), row, UNKNOWN)


def _main(
    op: NDArray[np.int32], names: Ints, works: dict[int, Work], classes: Sequence[KernelClass]
) -> NDArray[np.bool_]:
    """Whether a row's kernel is of a family that does its operator's work."""
    pairs, inverse = np.unique(op.astype(np.int64) * len(classes) + names, return_inverse=True)
    main = [_does(works[int(pair) // len(classes)], classes[int(pair) % len(classes)]) for pair in pairs]
    return np.array(main, np.bool_)[inverse]


def _does(work: Work, kernel: KernelClass) -> bool:
    return not kernel.helper and (not work.families or kernel.family in work.families)


def _shares(timeline: Timeline, rows: Ints, call: Ints, main: NDArray[np.bool_]) -> Doubles:
    """Each row's part of its call's work: by time, among the main kernels or, without any, among all."""
    if not len(rows):
        return np.zeros(0)
    gpu = timeline.gpu
    calls, inverse = np.unique(call, return_inverse=True)
    time = np.maximum(gpu.end_ns[rows] - gpu.start_ns[rows], 1).astype(np.float64)
    has_main = np.bincount(inverse, weights=main, minlength=len(calls)) > 0
    weight = np.where(main | ~has_main[inverse], time, 0.0)
    return weight / np.bincount(inverse, weights=weight, minlength=len(calls))[inverse]

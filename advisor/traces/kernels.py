"""Kernels of a device, name by name: how long, how near the card's ceilings, how well they fill it.

`study` makes what all of these read, once per device; `natures` is the column that the attribution takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from advisor.traces.grouping import Groups, groups, median, quantile
from advisor.traces.intervals import totals, union
from advisor.traces.kernel_study import (
    BASES,
    Study,
    fill_natures,
    nature_column,
    natures,
    no_natures,
    study,
)
from advisor.traces.kernel_work import work_of
from advisor.traces.timeline import UNKNOWN, Ints
from rules.traces.kernel_records import FamilyRow, KernelRow, Nature
from rules.traces.records import BUSY
from rules.traces.tail import SmLimits, resident_blocks, sm_limits, tail_frac, theoretical_occupancy, waves

__all__ = [
    "TOP",
    "Listed",
    "Study",
    "family_rows",
    "fill_natures",
    "kernel_rows",
    "nature_column",
    "natures",
    "no_natures",
    "study",
    "tensor_ns",
]

TOP = 25
_BY_DESIGN = "a collective leaves most SMs to others, by design"
_NO_GRID = "the trace holds no grid"
_NO_OPERATOR = "no operator with shapes launched it"
_CACHED = "above 1: more than DRAM can carry, so caches served a part, or the ceiling is too low"


@dataclass(frozen=True, slots=True)
class Listed:
    """The top kernels by time. left, left_us: names that are not listed, and their time."""

    rows: tuple[KernelRow, ...]
    left: int
    left_us: float


def kernel_rows(found: Study, top: int = TOP) -> Listed:
    """The `top` names by time. With what is left they sum to all kernels' durations, exactly."""
    if not len(found.rows):
        return Listed((), 0, 0.0)
    totals = found.by_name.total(found.lengths)
    order = np.argsort(-totals, kind="stable")
    table = _Table(found)
    left = int(totals[order[top:]].sum())
    return Listed(tuple(table.row(int(i)) for i in order[:top]), max(0, len(order) - top), left / 1e3)


def family_rows(found: Study) -> tuple[FamilyRow, ...]:
    """Kernel time by family, precision and use of tensor cores, longest first. They sum to all durations."""
    if not len(found.rows):
        return ()
    kinds = sorted({(k.family, k.precision or "", k.tensor) for k in found.classes})
    numbers = {kind: number for number, kind in enumerate(kinds)}
    of_class = np.array([numbers[k.family, k.precision or "", k.tensor] for k in found.classes])
    column = of_class[found.of]
    by_kind, busy = groups(column), max(found.busy.total_ns, 1)
    rows = []
    for group, total in enumerate(by_kind.total(found.lengths).tolist()):
        members = by_kind.rows(group)
        family, precision, tensor = kinds[int(column[members[0]])]
        nature = BUSY[_mostly(found.judged[0][members], found.lengths[members])]
        row = FamilyRow(
            family=family, precision=precision or None, tensor=tensor, nature=cast(Nature, nature),
            count=len(members), total_us=total / 1e3, busy_frac=total / busy,
            nature_us=_natures_us(found, members),
        )  # fmt: skip
        rows.append((total, row))
    return tuple(row for _, row in sorted(rows, key=lambda pair: -pair[0]))


def tensor_ns(found: Study) -> int:
    """When any kernel that uses tensor cores ran, ns."""
    rows, gpu = found.rows[found.tensor], found.timeline.gpu
    return union(gpu.start_ns[rows], gpu.end_ns[rows]).total_ns


class _Table:
    """Rows of names, with what all of them need worked out once."""

    def __init__(self, found: Study) -> None:
        self._study = found
        self._names: Groups = found.by_name
        self._gpu = found.timeline.gpu
        self._busy = max(found.busy.total_ns, 1)
        self._compute, self._memory = found.fractions(self._names)

    @cached_property
    def _limits(self) -> SmLimits | None:
        facts = self._study.facts
        return sm_limits(
            self._study.sm_count, facts.compute_capability, facts.max_threads_per_sm, facts.registers_per_sm,
            facts.shared_bytes_per_sm, facts.warp_size,
        )  # fmt: skip

    @cached_property
    def _gaps(self) -> Ints:
        return _gaps(self._study)

    def row(self, group: int) -> KernelRow:
        """One name."""
        found, at = self._study, self._names.rows(group)
        kernel, lengths = found.classes[group], np.sort(found.lengths[at])
        total = int(lengths.sum())
        unknown: dict[str, str] = {}
        nature, basis = self._nature(at)
        return KernelRow(
            name=found.timeline.names[found.names[group]], family=kernel.family, precision=kernel.precision,
            tensor=kernel.tensor, nature=nature, nature_basis=basis, count=len(at), total_us=total / 1e3,
            nature_us=_natures_us(found, at), **self._small(at),
            busy_frac=total / self._busy, mean_us=total / len(at) / 1e3, median_us=median(lengths) / 1e3,
            p90_us=quantile(lengths, 0.9) / 1e3, max_us=int(lengths[-1]) / 1e3,
            gap_before_us=self._gap(at), misaligned=kernel.misaligned,
            **self._grid(at, unknown), **self._occupancy(at, total),
            **self._work(at, group, total, unknown), unknown=unknown,
        )  # fmt: skip

    def _nature(self, at: Ints) -> tuple[Nature, Literal["measured", "shape", "size", "family"]]:
        natures_, bases = self._study.judged
        lengths = self._study.lengths[at]
        nature = _mostly(natures_[at], lengths)
        same = natures_[at] == nature
        basis = _mostly(bases[at][same], lengths[same])
        return cast(Nature, BUSY[nature]), cast(Any, BASES[basis])

    def _small(self, at: Ints) -> dict[str, Any]:
        """Latency time of launches with too few blocks, and of those that are too short."""
        found, lengths = self._study, self._study.lengths[at]
        natures_, bases = (column[at] for column in found.judged)
        sized = (natures_ == BUSY.index("latency")) & (bases == BASES.index("size"))
        small = np.zeros(len(at), np.bool_) if found.small is None else found.small[at]
        known = found.small is not None and (found.timeline.gpu.blocks[found.rows[at]] != UNKNOWN).any()
        return {
            "small_us": int(lengths[sized & small].sum()) / 1e3 if known else None,
            "short_us": int(lengths[sized & ~small].sum()) / 1e3,
        }

    def _gap(self, at: Ints) -> float | None:
        known = np.sort(self._gaps[at][self._gaps[at] != UNKNOWN])
        return median(known) / 1e3 if len(known) else None

    def _grid(self, at: Ints, unknown: dict[str, str]) -> dict[str, Any]:
        rows = self._study.rows[at]
        blocks, threads = self._gpu.blocks[rows], self._gpu.threads[rows]
        given = (blocks > 0) & (threads > 0)
        if not given.any():
            unknown["waves"] = unknown["tail_frac"] = unknown["theoretical_occupancy"] = _NO_GRID
            return {}
        found: dict[str, Any] = {
            "blocks": quantile(np.sort(blocks[given]), 0.5),
            "threads": quantile(np.sort(threads[given].astype(np.int64)), 0.5),
        }
        if self._study.classes[int(self._study.of[at[0]])].collective:
            unknown["waves"] = unknown["tail_frac"] = _BY_DESIGN
            return found
        per_sm, lengths = self._resident(rows[given]), self._study.lengths[at][given]
        if self._limits is None or not (per_sm > 0).any():
            why = (
                "limits of its SMs are not known" if self._limits is None else "the trace holds no registers"
            )
            unknown["waves"] = unknown["tail_frac"] = unknown["theoretical_occupancy"] = why
            return found
        fits = per_sm > 0
        return (
            found
            | _tails(self._limits, blocks[given][fits], per_sm[fits], lengths[fits])
            | _theoretical(self._limits, threads[given][fits], per_sm[fits], lengths[fits])
        )

    def _resident(self, rows: Ints) -> Ints:
        """Blocks an SM holds of each; 0 where unknown."""
        if self._limits is None:
            return np.zeros(len(rows), np.int64)
        threads, registers, shared = (
            column[rows] for column in (self._gpu.threads, self._gpu.registers, self._gpu.shared_bytes)
        )
        alike = groups(threads, registers, shared)
        each = [
            resident_blocks(self._limits, int(threads[i]), int(registers[i]), int(shared[i])) or 0
            for i in alike.order[alike.first]
        ]
        return np.array(each, np.int64)[alike.of]

    def _occupancy(self, at: Ints, total: int) -> dict[str, Any]:
        lengths = self._study.lengths[at]
        said = self._gpu.occupancy[self._study.rows[at]].astype(np.float64)
        known = np.isfinite(said) & (said > 0.0)
        time = int(lengths[known].sum())
        if not time:
            return {"occupancy": None, "occupancy_unknown_frac": 1.0}
        mean = float((said[known] * lengths[known]).sum() / time)
        return {"occupancy": mean, "occupancy_unknown_frac": 1.0 - time / total}

    def _work(self, at: Ints, group: int, total: int, unknown: dict[str, str]) -> dict[str, Any]:
        works = self._study.works
        flops, moved = works.flops[at], works.bytes[at]
        known = np.isfinite(flops) | np.isfinite(moved)
        op = self._operator(at)
        known_op = self._study.timeline.ops[op] if op != UNKNOWN else None
        found: dict[str, Any] = {"op": known_op.name, "op_dims": known_op.dims} if known_op else {}
        self._reasons(op, flops, moved, unknown)
        if not known.any():
            return found
        time = int(self._study.lengths[at][known].sum())
        both = np.isfinite(flops) & np.isfinite(moved)
        carried = float(moved[both].sum())
        roofs = {"compute_frac": self._compute[group], "memory_frac": self._memory[group]}
        self._roof_reasons(at, roofs, unknown)
        return found | {
            "flops": _sum(flops), "bytes": _sum(moved), "work_basis": self._basis(op),
            "known_frac": time / total if total else 0.0,
            "intensity": float(flops[both].sum()) / carried if carried > 0.0 else None,
            **{name: float(value) if np.isfinite(value) else None for name, value in roofs.items()},
        }  # fmt: skip

    def _operator(self, at: Ints) -> int:
        """Number of the operator that launched most of its time; UNKNOWN without any."""
        op = self._gpu.op[self._study.rows[at]]
        lengths = self._study.lengths[at]
        return _mostly(op[op != UNKNOWN], lengths[op != UNKNOWN]) if (op != UNKNOWN).any() else UNKNOWN

    def _reasons(self, op: int, flops: NDArray[Any], moved: NDArray[Any], unknown: dict[str, str]) -> None:
        work = work_of(self._study.timeline.ops[op]) if op != UNKNOWN else None
        why = _NO_OPERATOR if work is None else work.unknown or "does none of its operator's work"
        for name, column in (("flops", flops), ("bytes", moved)):
            if not np.isfinite(column).any():
                unknown[name] = why

    def _roof_reasons(self, at: Ints, roofs: dict[str, Any], unknown: dict[str, str]) -> None:
        precision = self._study.precision(int(at[0]))
        if self._study.ceilings is None:
            compute = memory = "this card's ceilings are not known"
        else:
            compute = f"no ceiling of {precision} is known" if precision else "its precision is not known"
            memory = "no ceiling of DRAM is known"
        for name, source, why in (("compute_frac", "flops", compute), ("memory_frac", "bytes", memory)):
            if not np.isfinite(roofs[name]):
                unknown[name] = unknown.get(source, why)
            elif roofs[name] > 1.0:
                unknown[name] = _CACHED if name == "memory_frac" else "above 1: the ceiling is too low"

    def _basis(self, op: int) -> str:
        if op == UNKNOWN:
            return ""
        work = work_of(self._study.timeline.ops[op])
        return f"shapes of its operators{'; ' if work.note else ''}{work.note}"


def _natures_us(found: Study, at: Ints) -> dict[str, float]:
    """Nature -> µs of these rows."""
    sums = totals(found.lengths[at], found.judged[0][at], len(BUSY))
    return {nature: int(ns) / 1e3 for nature, ns in zip(BUSY, sums, strict=True) if ns}


def _tails(limits: SmLimits, blocks: Ints, per_sm: Ints, lengths: Ints) -> dict[str, Any]:
    """Median of the waves, and the part of the kernels' time that their last waves leave empty."""
    alike = groups(blocks, per_sm)
    first = alike.order[alike.first]
    each = np.array([waves(limits, int(blocks[i]), int(per_sm[i])) for i in first])
    lost = np.array([tail_frac(value) for value in each])[alike.of]
    time = int(lengths.sum())
    middle = float(np.sort(each[alike.of])[(len(blocks) - 1) // 2])
    return {"waves": middle, "tail_frac": float((lost * lengths).sum() / time) if time else None}


def _theoretical(limits: SmLimits, threads: NDArray[np.int32], per_sm: Ints, lengths: Ints) -> dict[str, Any]:
    """Occupancy that registers, shared memory and threads allow, over the kernels' time."""
    alike, time = groups(threads, per_sm), int(lengths.sum())
    first = alike.order[alike.first]
    each = np.array([theoretical_occupancy(limits, int(threads[i]), int(per_sm[i])) for i in first])
    mean = float((each[alike.of] * lengths).sum() / time) if time else None
    return {"theoretical_occupancy": mean}


def _gaps(found: Study) -> Ints:
    """Idle time of each kernel's stream before it, ns; UNKNOWN for a stream's first."""
    gpu, low, high = found.timeline.gpu, found.low, found.high
    stream, start, end = gpu.stream[low:high], gpu.start_ns[low:high], gpu.end_ns[low:high]
    order = np.argsort(stream, kind="stable")  # starts are sorted already
    stream, start, end = stream[order], start[order], end[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = stream[1:] != stream[:-1]
    gap = np.full(len(order), UNKNOWN, np.int64)
    gap[1:] = np.where(new[1:], UNKNOWN, np.maximum(start[1:] - _reached(end, new)[:-1], 0))
    column = np.empty(len(order), np.int64)
    column[order] = gap
    return column[found.rows - low]


def _reached(end: Ints, new: NDArray[np.bool_]) -> Ints:
    """The latest end so far in each stretch that begins where `new` says."""
    low, number = int(end.min()), np.cumsum(new) - 1
    width = int(end.max()) - low + 1
    if width * (int(number[-1]) + 1) < 1 << 62:
        return np.asarray(np.maximum.accumulate(end - low + number * width) - number * width + low)
    bounds = np.append(np.flatnonzero(new), len(end)).tolist()
    return np.concatenate([np.maximum.accumulate(end[first:last]) for first, last in pairwise(bounds)])


def _mostly(values: NDArray[Any], lengths: Ints) -> int:
    """The value with most of the time."""
    kinds, inverse = np.unique(values, return_inverse=True)
    return int(kinds[np.argmax(np.bincount(inverse, weights=lengths, minlength=len(kinds)))])


def _sum(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.sum()) if len(known) else None

"""What each kernel of a device is bound by: compute, memory, its own smallness, or the other ranks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.traces.grouping import Doubles, Groups, groups
from advisor.traces.intervals import Spans, union
from advisor.traces.kernel_work import RowWork, row_work, work_of
from advisor.traces.timeline import UNKNOWN, GpuKind, Ints, Timeline, TraceDevice
from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.traces.kernel_names import MATRIX, KernelClass, kernel_class
from rules.traces.records import BUSY

BASES = ("measured", "shape", "size", "family")
PRECISIONS = ("fp64", "fp64_tensor", "fp32", "tf32", "fp16", "bf16", "fp8", "int8")
_COMPUTE, _MEMORY, _LATENCY, _OTHER, _COMMUNICATION, _COPY = (
    BUSY.index(name) for name in ("compute", "memory", "latency", "other", "communication", "copy")
)
_MEASURED, _SHAPE, _SIZE, _FAMILY = range(4)
# First compute capability with tensor cores.
_TENSOR_CORES = 7


@dataclass(frozen=True)
class Study:
    """Kernels of one device. Columns have an entry for each of `rows`, which are rows of the GPU table.

    names: distinct names, as numbers of Timeline.names; of: index into names and classes. works: flops and
    bytes. low, high: the device's rows in the GPU table, copies and sets among them.
    """

    timeline: Timeline
    facts: TraceDevice
    ceilings: Ceilings | None
    low: int
    high: int
    rows: Ints
    names: Ints
    of: Ints
    classes: tuple[KernelClass, ...]
    works: RowWork

    @cached_property
    def lengths(self) -> Ints:
        """Duration of each, ns."""
        gpu = self.timeline.gpu
        return gpu.end_ns[self.rows] - gpu.start_ns[self.rows]

    @cached_property
    def busy(self) -> Spans:
        """When anything ran on the device."""
        gpu = self.timeline.gpu
        return union(gpu.start_ns[self.low : self.high], gpu.end_ns[self.low : self.high])

    @cached_property
    def by_name(self) -> Groups:
        """Rows by name; group i is names[i]."""
        return groups(self.of)

    @cached_property
    def compute_s(self) -> Doubles:
        """Seconds that each one's operations take at the ceiling of its precision; NaN where unknown."""
        return np.asarray(self.works.flops / self._rates)

    @cached_property
    def memory_s(self) -> Doubles:
        """Seconds that each one's bytes take at the ceiling of DRAM; NaN where unknown."""
        return np.asarray(self.works.bytes / _value(self.ceilings, "dram"))

    @cached_property
    def sm_count(self) -> int | None:
        """SMs of the device, as the trace says, else as its ceilings do."""
        return self.facts.sm_count or (self.ceilings.sm_count if self.ceilings is not None else None)

    @cached_property
    def small(self) -> NDArray[np.bool_] | None:
        """Whose grid is too small for the device; None where no grid or not the number of SMs is known."""
        blocks = self.timeline.gpu.blocks[self.rows]
        if not self.sm_count or not (blocks != UNKNOWN).any():
            return None
        least = th.TRACE_SMALL_GRID.value * self.sm_count
        return np.asarray((blocks != UNKNOWN) & (blocks < least))

    @cached_property
    def judged(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Nature (index into BUSY) and its basis (index into BASES) of each."""
        same = groups(self.of, self.timeline.gpu.blocks[self.rows])
        name = self.of[same.order[same.first]]
        nature = np.array([_by_family(kernel) for kernel in self.classes], np.uint8)[name]
        basis = np.full(len(nature), _FAMILY, np.uint8)
        self._by_size(same, nature, basis)
        self._by_shape(same, name, nature, basis)
        self._by_measure(same, nature, basis)
        collective = np.array([kernel.collective for kernel in self.classes], np.bool_)[name]
        nature[collective], basis[collective] = _COMMUNICATION, _FAMILY
        return nature[same.of], basis[same.of]

    @cached_property
    def tensor(self) -> NDArray[np.bool_]:
        """Which run on tensor cores."""
        return np.array([kernel.tensor == "used" for kernel in self.classes], np.bool_)[self.of]

    def precision(self, row: int) -> str | None:
        """Ceiling of one's operations: by its name, else by its operator's operands; None where unknown."""
        number = int(self._precisions[row])
        return None if number == UNKNOWN else PRECISIONS[number]

    @cached_property
    def _precisions(self) -> NDArray[np.int8]:
        told = np.array([_ceiling_of(kernel) for kernel in self.classes], np.int8)[self.of]
        op = self.timeline.gpu.op[self.rows]
        missing = np.flatnonzero((told == UNKNOWN) & (op != UNKNOWN))
        used, which = np.unique(op[missing], return_inverse=True)
        dtypes = [work_of(self.timeline.ops[number]).dtype for number in used]
        numbers = [PRECISIONS.index(t) if t in PRECISIONS else UNKNOWN for t in dtypes]
        told[missing] = np.array(numbers, np.int8)[which] if len(used) else UNKNOWN
        return told

    @cached_property
    def _rates(self) -> Doubles:
        rates = np.array([_value(self.ceilings, name) for name in PRECISIONS] + [np.nan])
        return np.asarray(rates[self._precisions])

    def _by_size(self, same: Groups, nature: NDArray[np.uint8], basis: NDArray[np.uint8]) -> None:
        """Too few blocks for the device, or so short that starting and draining take a good part of it."""
        small = same.total(self.lengths) / same.sizes < th.TRACE_RAMP_US.value * 1e3
        if self.small is not None:
            small |= self.small[same.order[same.first]]
        nature[small], basis[small] = _LATENCY, _SIZE

    def _by_shape(
        self, same: Groups, name: Ints, nature: NDArray[np.uint8], basis: NDArray[np.uint8]
    ) -> None:
        """By flop per byte, where only the family has told so far: the roof that lies lower is the one."""
        matrix = np.array([kernel.family in MATRIX for kernel in self.classes], np.bool_)[name]
        both = ~np.isnan(self.works.flops) & ~np.isnan(self.works.bytes)
        left = matrix & (basis == _FAMILY) & (same.total(both.astype(np.int64)) > 0)
        compute, memory = self.compute_s, self.memory_s
        roofs = np.isfinite(compute) & np.isfinite(memory)
        if not roofs.any():
            compute, memory = self.works.flops / th.TRACE_FEW_FLOPS.value, self.works.bytes
            streams = same.known(np.where(both, memory, 0.0)) >= same.known(np.where(both, compute, 0.0))
            nature[left & streams], basis[left & streams] = _MEMORY, _SHAPE
            return
        left &= same.total(roofs.astype(np.int64)) > 0
        streams = same.known(np.where(roofs, memory, 0.0)) > same.known(np.where(roofs, compute, 0.0))
        nature[left] = np.where(streams[left], _MEMORY, _COMPUTE)
        basis[left] = _SHAPE

    def _by_measure(self, same: Groups, nature: NDArray[np.uint8], basis: NDArray[np.uint8]) -> None:
        """Near a roof, that roof limits; far below every roof that could, neither does."""
        compute, memory = (np.nan_to_num(part) for part in self.fractions(same))
        high = np.fmax(compute, memory) >= th.ROOF_HIGH.value
        nature[high] = np.where(compute[high] >= memory[high], _COMPUTE, _MEMORY)
        basis[high] = _MEASURED
        low = ~high & self._all_roofs_known(same) & ((basis == _FAMILY) | (basis == _SHAPE))
        low &= (nature == _COMPUTE) | (nature == _MEMORY)
        nature[low], basis[low] = _LATENCY, _MEASURED

    def _all_roofs_known(self, same: Groups) -> NDArray[np.bool_]:
        """Groups of which, for half of the time or more, every roof is known that may limit them: both for
        families that multiply matrices; DRAM's for the others, which do next to no arithmetic."""
        matrix = np.array([_by_family(kernel) == _COMPUTE for kernel in self.classes], np.bool_)
        moved, done = np.isfinite(self.memory_s), np.isfinite(self.compute_s)
        known = np.where(moved & (done | ~matrix[self.of]), self.lengths, 0)
        return np.asarray(2 * same.total(known) >= np.maximum(same.total(self.lengths), 1))

    def fractions(self, same: Groups) -> tuple[Doubles, Doubles]:
        """Per group the parts of the compute and the DRAM ceiling, over the time where they are known."""
        return _fraction(same, self.compute_s, self.lengths), _fraction(same, self.memory_s, self.lengths)


def study(timeline: Timeline, facts: TraceDevice, ceilings: Ceilings | None) -> Study:
    """Kernels of the device that `facts` tells of, held against its ceilings, where those are known."""
    gpu = timeline.gpu
    low, high = (int(np.searchsorted(gpu.device, facts.device, side=side)) for side in ("left", "right"))
    rows = np.flatnonzero(gpu.kind[low:high] == GpuKind.KERNEL) + low
    names, of = np.unique(gpu.name[rows], return_inverse=True)
    classes = tuple(_fitted(kernel_class(timeline.names[name]), facts) for name in names)
    of = of.astype(np.int64)
    works = row_work(timeline, rows, of, classes)
    return Study(timeline, facts, ceilings, low, high, rows, names.astype(np.int64), of, classes, works)


def natures(timeline: Timeline, facts: TraceDevice, ceilings: Ceilings | None) -> NDArray[np.uint8]:
    """Per row of the GPU table the index into BUSY, for rows of the device that `facts` tells of.

    Rows of other devices are "other": they are judged with their own facts.
    """
    return nature_column(study(timeline, facts, ceilings))


def nature_column(found: Study) -> NDArray[np.uint8]:
    """The same of a study that was made already."""
    column = no_natures(found.timeline)
    fill_natures(found, column)
    return column


def no_natures(timeline: Timeline) -> NDArray[np.uint8]:
    """A column for the whole GPU table in which nothing is judged yet."""
    return np.full(len(timeline.gpu), _OTHER, np.uint8)


def fill_natures(found: Study, column: NDArray[np.uint8]) -> None:
    """Writes the natures of the study's device into a file's column, and touches no other device's rows."""
    column[found.low : found.high] = _COPY
    column[found.rows] = found.judged[0]


def _by_family(kernel: KernelClass) -> int:
    if kernel.collective:
        return _COMMUNICATION
    if kernel.family == "other":
        return _OTHER
    multiplies = kernel.family in MATRIX and not kernel.vector and not kernel.helper
    return _COMPUTE if multiplies else _MEMORY


def _ceiling_of(kernel: KernelClass) -> int:
    """Index into PRECISIONS of the ceiling that bounds its operations."""
    name = kernel.precision
    if name is None:
        return UNKNOWN
    plain = kernel.tensor in ("eligible", "not-eligible")
    if name in ("fp16", "bf16", "tf32", "fp8") and plain:
        name = "fp32"
    elif name == "fp64" and kernel.tensor == "used":
        name = "fp64_tensor"
    return PRECISIONS.index(name) if name in PRECISIONS else UNKNOWN


def _fitted(kernel: KernelClass, facts: TraceDevice) -> KernelClass:
    """Without tensor cores nothing is eligible for them."""
    major = (facts.compute_capability or "").split(".", 1)[0]
    none = major.isdigit() and int(major[:4]) < _TENSOR_CORES
    return msgspec.structs.replace(kernel, tensor="not-eligible") if none else kernel


def _value(ceilings: Ceilings | None, metric: str) -> float:
    found = ceilings.ceiling(metric) if ceilings is not None else None
    return found.value if found is not None and found.value > 0.0 else np.nan


def _fraction(same: Groups, at_ceiling_s: Doubles, lengths: Ints) -> Doubles:
    known = np.isfinite(at_ceiling_s)
    time_s = same.total(np.where(known, lengths, 0)) / 1e9
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(time_s > 0.0, same.known(np.where(known, at_ceiling_s, 0.0)) / time_s, np.nan)

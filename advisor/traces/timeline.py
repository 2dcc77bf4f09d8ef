"""The timeline of one trace file, column by column: what every reader makes and every analysis reads.

Times are whole nanoseconds since the trace's own zero (`TraceMeta.zero_ns`), so that sums are exact. A column
that a file does not fill holds UNKNOWN (-1) in integers and NaN in floats; 0 is a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.traces.host_names import HostRole

Ints = NDArray[np.int64]
Small = NDArray[np.int32]
Bytes8 = NDArray[np.uint8]
Floats = NDArray[np.float32]

UNKNOWN = -1


class GpuKind(IntEnum):
    """What ran on the device."""

    KERNEL = 0
    MEMCPY = 1
    MEMSET = 2


class CopyKind(IntEnum):
    """Direction and host memory of a copy; OTHER for what is no copy."""

    OTHER = 0
    H2D_PINNED = 1
    H2D_PAGEABLE = 2
    H2D = 3  # from the host, of memory unknown
    D2H_PINNED = 4
    D2H_PAGEABLE = 5
    D2H = 6
    D2D = 7
    P2P = 8


class HostKind(IntEnum):
    """Where a host interval was recorded."""

    RUNTIME = 0  # CUDA or HIP runtime API
    DRIVER = 1  # CUDA driver API
    OP = 2  # framework operator (cpu_op)
    ANNOTATION = 3  # record_function, NVTX range
    PYTHON = 4  # python_function: only those with a role are kept
    OVERHEAD = 5  # the profiler's own
    SYNC = 6  # cuda_sync, CUPTI synchronisation records
    OS = 7  # operating system calls (Nsight)


@dataclass(frozen=True, slots=True)
class GpuTable:
    """Every interval on any device, sorted by (device, start, end). All columns have one length, n.

    device: the device's number in the trace. name, op: index into Timeline.names and Timeline.ops.
    correlation: of the API call that caused it (many kernels share one in a CUDA graph). launch: row of
    HostTable that caused it, UNKNOWN where the trace holds none. bytes: of copies and sets. blocks,
    threads: of the grid, per block. registers: per thread; shared_bytes: per block. occupancy: achieved
    occupancy as the profiler estimated it, 0 to 1; NaN where unknown, and a profiler's 0 is unknown. graph:
    CUDA graph id. group: of a collective's kernel, index into Timeline.names of its process group's name,
    that one's ranks and the collective's own name, with tabs between them; UNKNOWN where it is not told.
    """

    start_ns: Ints
    end_ns: Ints
    device: Small
    stream: Ints
    kind: Bytes8
    copy: Bytes8
    name: Small
    op: Small
    correlation: Ints
    launch: Ints
    bytes: Ints
    blocks: Ints
    threads: Small
    registers: Small
    shared_bytes: Small
    occupancy: Floats
    graph: Ints
    group: Small

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


@dataclass(frozen=True, slots=True)
class HostTable:
    """Host intervals that analyses need, sorted by (thread, start, -end). Nested intervals are all there.

    thread: index into Timeline.threads. kind: HostKind. role: HostRole. name: index into Timeline.names. op:
    index into Timeline.ops, for operators with shapes. correlation: of API calls.
    """

    start_ns: Ints
    end_ns: Ints
    thread: Small
    kind: Bytes8
    role: Bytes8
    name: Small
    op: Small
    correlation: Ints

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


@dataclass(frozen=True, slots=True)
class StepTable:
    """Steps as the program marked them, in order of start.

    source: "ProfilerStep" (ProfilerStep#n), "nvtx" (an NVTX range), "optimizer" (from the end of an
    optimizer's step to that of the next); "" where the format alone tells.
    """

    start_ns: Ints
    end_ns: Ints
    number: Ints
    thread: Small
    source: str = ""

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])


@dataclass(frozen=True, slots=True)
class Thread:
    """One host thread. label: as the trace names it; hostile text."""

    pid: int
    tid: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator with its shapes, interned. dims, types: per input, as in "Input Dims" and "Input type".

    concrete: scalar inputs as text, where the trace has them.
    """

    name: str
    dims: tuple[tuple[int, ...], ...] = ()
    types: tuple[str, ...] = ()
    concrete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceDevice:
    """What the trace says of one device. Missing facts are None; name is hostile text."""

    device: int
    name: str | None = None
    sm_count: int | None = None
    memory_bytes: int | None = None
    compute_capability: str | None = None
    max_threads_per_sm: int | None = None
    warp_size: int | None = None
    registers_per_sm: int | None = None
    shared_bytes_per_sm: int | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """What a file did not give. code: "truncated", "damaged", "limit", "unknown-events", "no-cpu-side", ...

    count: events, or None where it cannot be counted. offset: byte at which it was met, of the uncompressed
    text.
    """

    code: str
    message: str
    count: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class TraceMeta:
    """What a file says of itself. Text in it is hostile.

    format: "kineto" or "nsight". zero_ns: the trace's zero as Unix time in ns, None where the file has only a
    clock of its own. events: records met, by category. base: whether timestamps were relative to a base.
    rank, world_size: of distributed training. facts: versions and the like, as shown to people. file_zero_ns:
    the zero in the file's own times (ns; of its base, where it has one), None where unknown.
    """

    path: str
    format: str
    size_bytes: int
    zero_ns: int | None = None
    events: dict[str, int] = field(default_factory=dict)
    rank: int | None = None
    world_size: int | None = None
    host: str | None = None
    pid: int | None = None
    facts: dict[str, str] = field(default_factory=dict)
    file_zero_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One trace file.

    names: interned names, hostile text. counters: name -> (device, t_ns, value) columns, where a trace holds
    hardware counters. losses: all that is missing, in the order met.
    """

    meta: TraceMeta
    gpu: GpuTable
    host: HostTable
    steps: StepTable
    names: tuple[str, ...]
    ops: tuple[Op, ...]
    threads: tuple[Thread, ...]
    devices: tuple[TraceDevice, ...]
    losses: tuple[Loss, ...] = ()
    counters: dict[str, tuple[Small, Ints, NDArray[np.float64]]] = field(default_factory=dict)

    def device_numbers(self) -> tuple[int, ...]:
        """Devices on which anything ran, in order."""
        return tuple(int(n) for n in np.unique(self.gpu.device))

    def facts_of(self, device: int) -> TraceDevice:
        """What the trace says of a device; nothing but its number where it says nothing."""
        return next((d for d in self.devices if d.device == device), TraceDevice(device))


_GPU_TYPES: dict[str, Any] = {
    "start_ns": np.int64, "end_ns": np.int64, "device": np.int32, "stream": np.int64, "kind": np.uint8,
    "copy": np.uint8, "name": np.int32, "op": np.int32, "correlation": np.int64, "launch": np.int64,
    "bytes": np.int64, "blocks": np.int64, "threads": np.int32, "registers": np.int32,
    "shared_bytes": np.int32, "occupancy": np.float32, "graph": np.int64,
    "group": np.int32,
}  # fmt: skip
_HOST_TYPES: dict[str, Any] = {
    "start_ns": np.int64, "end_ns": np.int64, "thread": np.int32, "kind": np.uint8, "role": np.uint8,
    "name": np.int32, "op": np.int32, "correlation": np.int64,
}  # fmt: skip
_GPU_ZERO = frozenset({"kind", "copy"})
_HOST_ZERO = frozenset({"kind", "role"})


def gpu_table(**columns: Any) -> GpuTable:
    """A sorted table from columns of any sequence type; those left out are unknown."""
    length = len(columns["start_ns"])
    made = {
        name: _column(columns.get(name), length, kind, name in _GPU_ZERO) for name, kind in _GPU_TYPES.items()
    }
    order = np.lexsort((made["end_ns"], made["start_ns"], made["device"]))
    return GpuTable(**{name: column[order] for name, column in made.items()})


def host_table(**columns: Any) -> HostTable:
    """A sorted table from columns of any sequence type; those left out are unknown (role: OTHER)."""
    length = len(columns["start_ns"])
    made = {
        name: _column(columns.get(name), length, kind, name in _HOST_ZERO)
        for name, kind in _HOST_TYPES.items()
    }
    if columns.get("role") is None:
        made["role"] = np.full(length, HostRole.OTHER, np.uint8)
    order = np.lexsort((-made["end_ns"], made["start_ns"], made["thread"]))
    return HostTable(**{name: column[order] for name, column in made.items()})


def step_table(*, source: str = "", **columns: Any) -> StepTable:
    """A sorted table of steps; empty without columns."""
    length = len(columns.get("start_ns", ()))
    types = {"start_ns": np.int64, "end_ns": np.int64, "number": np.int64, "thread": np.int32}
    made = {name: _column(columns.get(name), length, kind, False) for name, kind in types.items()}
    order = np.argsort(made["start_ns"], kind="stable")
    return StepTable(**{name: column[order] for name, column in made.items()}, source=source)


def _column(given: Any, length: int, kind: Any, zero: bool) -> Any:
    if given is None:
        missing = np.nan if np.issubdtype(kind, np.floating) else (0 if zero else UNKNOWN)
        return np.full(length, missing, kind)
    return np.asarray(given, kind)

"""One event of a Kineto file as it is decoded: only what analyses use; the rest is skipped unread."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from advisor.traces.timeline import UNKNOWN, GpuKind, HostKind

Number = int | str | float | None
NOTHING = msgspec.Raw(b"")


class Args(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "external": "External id",
        "external_old": "external id",
        "registers": "registers per thread",
        "shared": "shared memory",
        "occupancy": "est. achieved occupancy %",
        "graph": "graph id",
        "dims": "Input Dims",
        "types": "Input type",
        "concrete": "Concrete Inputs",
        "group": "Process Group Name",
        "ranks": "Process Group Ranks",
        "collective": "Collective name",
    },
):
    """The arguments of an event that are read. Numbers may be text ("0x0"), so that both are taken."""

    external: Number = UNKNOWN
    correlation: Number = UNKNOWN
    device: Number = UNKNOWN
    stream: Number = UNKNOWN
    bytes: Number = UNKNOWN
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    registers: Number = UNKNOWN
    shared: Number = UNKNOWN
    occupancy: Number = 0
    graph: Number = UNKNOWN
    external_old: Number = UNKNOWN
    kind: str | int | None = None
    name: str | int | None = None
    dims: msgspec.Raw = NOTHING
    types: msgspec.Raw = NOTHING
    concrete: msgspec.Raw = NOTHING
    group: msgspec.Raw = NOTHING
    ranks: msgspec.Raw = NOTHING
    collective: msgspec.Raw = NOTHING


class Event(msgspec.Struct, gc=False):
    """One event. ts and dur: µs, whatever the file's displayTimeUnit says; None where absent."""

    ph: str = ""
    cat: str | None = None
    name: str | None = ""
    pid: int | str | None = None
    tid: int | str | None = None
    ts: float | str | None = None
    dur: float | str | None = None
    args: Args | None = None


class ExactEvent(Event, gc=False):
    """An event of a clock whose nanoseconds no double holds (epoch times in µs with a fraction)."""

    ts: Decimal | None = None  # type: ignore[assignment]


class Sample(msgspec.Struct, gc=False):
    """A counter's event, with its values unread."""

    ph: str = ""
    cat: str | None = None
    name: str | None = ""
    pid: int | str | None = None
    ts: float | str | None = None
    args: msgspec.Raw = NOTHING


# Phases of which events are counted and not read.
PASSED: dict[str, str] = {
    "s": "flow", "t": "flow", "f": "flow", "i": "instant", "I": "instant", "n": "instant", "b": "instant",
    "e": "instant",
}  # fmt: skip
GPU_CATEGORIES: dict[str, GpuKind] = {
    "kernel": GpuKind.KERNEL,
    "Kernel": GpuKind.KERNEL,
    "concurrent_kernel": GpuKind.KERNEL,
    "gpu_memcpy": GpuKind.MEMCPY,
    "Memcpy": GpuKind.MEMCPY,
    "gpu_memset": GpuKind.MEMSET,
    "Memset": GpuKind.MEMSET,
}
HOST_CATEGORIES: dict[str, HostKind] = {
    "cuda_runtime": HostKind.RUNTIME,
    "Runtime": HostKind.RUNTIME,
    "hip_runtime": HostKind.RUNTIME,
    "xpu_runtime": HostKind.RUNTIME,
    "mtia_runtime": HostKind.RUNTIME,
    "privateuse1_runtime": HostKind.RUNTIME,
    "cuda_driver": HostKind.DRIVER,
    "xpu_driver": HostKind.DRIVER,
    "privateuse1_driver": HostKind.DRIVER,
    "cpu_op": HostKind.OP,
    "Operator": HostKind.OP,
    "user_annotation": HostKind.ANNOTATION,
    "python_function": HostKind.PYTHON,
    "overhead": HostKind.OVERHEAD,
    "cuda_sync": HostKind.SYNC,
}
# Categories that are counted by name however many others a file has.
KNOWN_KINDS = frozenset({*PASSED.values(), *GPU_CATEGORIES, *HOST_CATEGORIES, "hardware_counters"})

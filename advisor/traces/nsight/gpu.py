"""What ran on the devices: kernels, copies, sets, and CUDA graphs that were traced as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.nsight.database import Columns, Database
from advisor.traces.nsight.ids import Processes, pid_of
from advisor.traces.nsight.intervals import in_order
from advisor.traces.nsight.naming import Names
from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind

KERNEL = "CUPTI_ACTIVITY_KIND_KERNEL"
MEMCPY = "CUPTI_ACTIVITY_KIND_MEMCPY"
MEMSET = "CUPTI_ACTIVITY_KIND_MEMSET"
GRAPH = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
GPU_TABLES = (KERNEL, MEMCPY, MEMSET, GRAPH)

_NEEDED = ("start", "end")
_PLACE = ("deviceId", "streamId", "contextId", "correlationId", "globalPid")
_GRAPH = ("graphNodeId", "graphId")
_SHAPE = (
    "gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ", "registersPerThread", "staticSharedMemory",
    "dynamicSharedMemory",
)  # fmt: skip
_INT32 = (1 << 31) - 1

# copyKind of ENUM_CUDA_MEMCPY_OPER: as a profiler's name says it, and which side is the host's.
_COPIES: dict[int, tuple[str, str, str]] = {
    1: ("HtoD", "h2d", "srcKind"),
    2: ("DtoH", "d2h", "dstKind"),
    3: ("HtoA", "h2d", "srcKind"),
    4: ("AtoH", "d2h", "dstKind"),
    5: ("AtoA", "d2d", ""),
    6: ("AtoD", "d2d", ""),
    7: ("DtoA", "d2d", ""),
    8: ("DtoD", "d2d", ""),
    9: ("HtoH", "", ""),
    10: ("PtoP", "p2p", ""),
    11: ("HtoD, unified memory", "h2d", ""),
    12: ("DtoH, unified memory", "d2h", ""),
    13: ("DtoD, unified memory", "d2d", ""),
}
_MEMORY = {
    0: "Pageable", 1: "Pinned", 2: "Device", 3: "Array", 4: "Managed", 5: "Device Static",
    6: "Managed Static",
}  # fmt: skip
_KINDS: dict[tuple[str, int], CopyKind] = {
    ("h2d", 0): CopyKind.H2D_PAGEABLE,
    ("h2d", 1): CopyKind.H2D_PINNED,
    ("d2h", 0): CopyKind.D2H_PAGEABLE,
    ("d2h", 1): CopyKind.D2H_PINNED,
}
_PLAIN = {"h2d": CopyKind.H2D, "d2h": CopyKind.D2H, "d2d": CopyKind.D2D, "p2p": CopyKind.P2P}


@dataclass(frozen=True, slots=True)
class GpuRows:
    """Columns for gpu_table(), and beside them the process of each row."""

    columns: dict[str, NDArray[Any]]
    pid: NDArray[np.int64]
    counts: dict[str, int]


def read_gpu(database: Database, names: Names, processes: Processes, base_ns: int) -> GpuRows:
    """All device rows of an export. Their device is the number that the process used (its CUDA ordinal)."""
    parts = {
        "kernel": _kernels(database, names, base_ns),
        "gpu_memcpy": _copies(database, names, base_ns),
        "gpu_memset": _sets(database, names, base_ns),
        "cuda_graph": _graphs(database, names, base_ns),
    }
    found = {key: part for key, part in parts.items() if part is not None and len(part["start_ns"])}
    joined = _join(list(found.values()))
    pid = joined.pop("pid", np.empty(0, np.int64))
    joined["correlation"] = processes.apart(joined["correlation"], pid)
    return GpuRows(joined, pid, {key: len(part["start_ns"]) for key, part in found.items()})


def _join(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    if not parts:
        return {"start_ns": np.empty(0, np.int64), "correlation": np.empty(0, np.int64)}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows(database: Database, table: str, extra: Sequence[str], base_ns: int) -> Columns | None:
    read = database.numbers(table, _NEEDED, (*_PLACE, *extra))
    return None if read is None else in_order(database, table, read, base_ns)


def _common(columns: Columns, kind: GpuKind) -> dict[str, NDArray[Any]]:
    length = len(columns["start"])
    unknown = np.full(length, UNKNOWN, np.int64)
    return {
        "start_ns": columns["start"],
        "end_ns": columns["end"],
        "device": np.clip(columns["deviceId"], 0, _INT32).astype(np.int32),
        "stream": columns["streamId"],
        "context": columns["contextId"],
        "correlation": columns["correlationId"],
        "pid": pid_of(columns["globalPid"]),
        "kind": np.full(length, kind, np.uint8),
        "copy": np.full(length, CopyKind.OTHER, np.uint8),
        "bytes": unknown,
        "blocks": unknown,
        "threads": unknown.astype(np.int32),
        "registers": unknown.astype(np.int32),
        "shared_bytes": unknown.astype(np.int32),
        "graph": _graph_ids(columns),
    }


def _graph_ids(columns: Columns) -> NDArray[np.int64]:
    """The graph of each row; a node of a graph whose id is not told has the upper half of the node's id."""
    graph = columns.get("graphId", np.full(len(columns["start"]), UNKNOWN, np.int64))
    node = columns.get("graphNodeId", np.full(len(columns["start"]), UNKNOWN, np.int64))
    return np.where(graph > 0, graph, np.where(node > 0, node >> 32, UNKNOWN))


def _kernels(database: Database, names: Names, base_ns: int) -> dict[str, NDArray[Any]] | None:
    columns = _rows(database, KERNEL, (*_GRAPH, *_SHAPE, "demangledName", "shortName", "name"), base_ns)
    if columns is None:
        return None
    made = _common(columns, GpuKind.KERNEL)
    made["name"] = names.kernels(database, columns, "kernel without a name")
    made["blocks"] = _product(columns, ("gridX", "gridY", "gridZ"))
    made["threads"] = _small(_product(columns, ("blockX", "blockY", "blockZ")))
    made["registers"] = _small(columns["registersPerThread"])
    static, dynamic = columns["staticSharedMemory"], columns["dynamicSharedMemory"]
    known = (static >= 0) & (dynamic >= 0)
    made["shared_bytes"] = _small(np.where(known, static + np.where(known, dynamic, 0), UNKNOWN))
    return made


def _product(columns: Columns, names: Sequence[str]) -> NDArray[np.int64]:
    factors = np.stack([columns[name] for name in names])
    known = (factors > 0).all(axis=0) & (factors.astype(np.float64).prod(axis=0) < 1 << 62)
    return np.where(known, np.where(known, factors, 1).prod(axis=0), UNKNOWN)


def _small(column: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.where((column < 0) | (column > _INT32), UNKNOWN, column).astype(np.int32)


def _copies(database: Database, names: Names, base_ns: int) -> dict[str, NDArray[Any]] | None:
    extra = ("bytes", "copyKind", "srcKind", "dstKind", *_GRAPH)
    columns = _rows(database, MEMCPY, extra, base_ns)
    if columns is None:
        return None
    made = _common(columns, GpuKind.MEMCPY)
    made["bytes"] = np.maximum(columns["bytes"], UNKNOWN)
    keys = np.stack([columns["copyKind"], columns["srcKind"], columns["dstKind"]], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    told = [_copy(names, *(int(value) for value in key)) for key in unique]
    table = np.asarray(told, np.int64).reshape(-1, 2)[inverse.reshape(-1)]
    made["name"], made["copy"] = table[:, 0].astype(np.int32), table[:, 1].astype(np.uint8)
    return made


def _copy(names: Names, kind: int, source: int, target: int) -> tuple[int, int]:
    label, way, host = _COPIES.get(kind, ("", "", ""))
    memory = {"srcKind": source, "dstKind": target}.get(host, UNKNOWN)
    sides = f" ({_MEMORY.get(source, 'Unknown')} -> {_MEMORY.get(target, 'Unknown')})"
    told = sides if source in _MEMORY or target in _MEMORY else ""
    name = names.intern(f"Memcpy {label}{told}".rstrip())
    return name, int(_KINDS.get((way, memory), _PLAIN.get(way, CopyKind.OTHER)))


def _sets(database: Database, names: Names, base_ns: int) -> dict[str, NDArray[Any]] | None:
    columns = _rows(database, MEMSET, ("bytes", *_GRAPH), base_ns)
    if columns is None:
        return None
    made = _common(columns, GpuKind.MEMSET)
    made["bytes"] = np.maximum(columns["bytes"], UNKNOWN)
    made["name"] = np.full(len(columns["start"]), names.intern("Memset (Device)"), np.int32)
    return made


def _graphs(database: Database, names: Names, base_ns: int) -> dict[str, NDArray[Any]] | None:
    columns = database.numbers(GRAPH, _NEEDED, (*_PLACE, "graphId"))
    if columns is None:
        return None
    timed = (columns["start"] != 0) | (columns["end"] != 0)  # CUPTI: both 0 where no time could be taken
    if not timed.all():
        database.lose("damaged", f"{GRAPH}: graph launches without a time", int((~timed).sum()))
    columns = {name: column[timed] for name, column in columns.items()}
    columns = in_order(database, GRAPH, columns, base_ns)
    made = _common(columns, GpuKind.KERNEL)
    made["graph"] = np.maximum(columns["graphId"], 0)
    made["name"] = np.full(len(columns["start"]), names.intern("CUDA graph"), np.int32)
    if len(columns["start"]):
        database.lose(
            "graph-level",
            "CUDA graphs were recorded as a whole: their kernels are not in the file; to see them, record "
            "with `nsys profile --cuda-graph-trace=node` (which slows launches down)",
            len(columns["start"]),
        )
    return made

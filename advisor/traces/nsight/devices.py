"""Which GPU a row ran on, and what the export says of it.

Processes number the devices they see from 0, so two ranks under CUDA_VISIBLE_DEVICES both say "device 0".
TARGET_INFO_CUDA_DEVICE maps (process, its number) to the GPU; its numbers are used wherever it is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.nsight.database import Database, text_of, whole_of
from advisor.traces.timeline import UNKNOWN, TraceDevice

Pairs = dict[tuple[int, int], int]
_MAP = "TARGET_INFO_CUDA_DEVICE"
_GPU = "TARGET_INFO_GPU"
_FACTS = (
    "id", "name", "smCount", "totalMemory", "computeMajor", "computeMinor", "maxWarpsPerSm", "threadsPerWarp",
    "maxRegistersPerSm", "maxShmemPerSm",
)  # fmt: skip


def place(database: Database, columns: dict[str, NDArray[Any]], pid: NDArray[np.int64]) -> Pairs:
    """Puts GPU numbers into `columns["device"]` and tells streams of several contexts apart.

    Returns (process, GPU) -> rows of it.
    """
    if not len(pid):
        return {}
    mapped = _mapping(database)
    pairs = np.stack([pid, columns["device"].astype(np.int64)], axis=1)
    unique, inverse, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    gpus = [mapped.get((int(p), int(d)), int(d)) for p, d in unique]
    _note_merged(database, unique, mapped)
    columns["device"] = np.asarray(gpus, np.int32)[inverse.reshape(-1)]
    columns["stream"] = _streams(columns, pid)
    used: Pairs = {}
    for (process, _), gpu, count in zip(unique, gpus, counts, strict=True):
        used[(int(process), gpu)] = used.get((int(process), gpu), 0) + int(count)
    return used


def _mapping(database: Database) -> Pairs:
    rows = database.records(_MAP, ("gpuId", "cudaId", "pid"))
    found = [(row["pid"], row["cudaId"], row["gpuId"]) for row in rows]
    return {
        (pid, cuda): gpu
        for pid, cuda, gpu in found
        if isinstance(pid, int) and isinstance(cuda, int) and isinstance(gpu, int) and 0 <= gpu < 1 << 20
    }


def _note_merged(database: Database, pairs: NDArray[np.int64], mapped: Pairs) -> None:
    """Several processes with the same number, and no table that tells whether it is one GPU."""
    loose = [(int(pid), int(device)) for pid, device in pairs if (int(pid), int(device)) not in mapped]
    for device in sorted({device for _, device in loose}):
        pids = sorted({pid for pid, number in loose if number == device})
        if len(pids) > 1:
            database.lose(
                "devices-merged",
                f"{len(pids)} processes ({', '.join(map(str, pids[:8]))}) each used their device {device}, "
                "and the file does not tell whether that is one GPU: they are counted as one. If each had a "
                "GPU of its own (CUDA_VISIBLE_DEVICES), export with a newer nsys, or record a file a process",
            )


def _streams(columns: dict[str, NDArray[Any]], pid: NDArray[np.int64]) -> NDArray[np.int64]:
    """Stream numbers that are unique per GPU: those of a second process or context are shifted."""
    keys = np.stack([columns["device"].astype(np.int64), pid, columns.pop("context")], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    first = np.searchsorted(unique[:, 0], unique[:, 0], side="left")
    shift = np.arange(len(unique)) - first
    known = (columns["stream"] >= 0) & (columns["stream"] < 1 << 32)
    return np.where(known, columns["stream"] + (shift[inverse.reshape(-1)] << 32), columns["stream"])


def device_facts(database: Database, used: Iterable[int]) -> tuple[TraceDevice, ...]:
    """What the export says of the GPUs that ran anything."""
    rows = {row["id"]: row for row in database.records(_GPU, _FACTS)}
    counted = {
        row["gpuId"]: whole_of(row, "numMultiprocessors")
        for row in database.records(_MAP, ("gpuId", "numMultiprocessors"))
    }
    return tuple(_device(n, rows.get(n, {}), counted.get(n)) for n in sorted(set(used)))


def _device(number: int, row: dict[str, object], counted: int | None) -> TraceDevice:
    warp, warps = whole_of(row, "threadsPerWarp"), whole_of(row, "maxWarpsPerSm")
    major, minor = whole_of(row, "computeMajor"), row.get("computeMinor")
    return TraceDevice(
        device=number,
        name=text_of(row, "name"),
        sm_count=whole_of(row, "smCount") or counted,
        memory_bytes=whole_of(row, "totalMemory"),
        compute_capability=f"{major}.{minor}" if major and isinstance(minor, int) else None,
        max_threads_per_sm=warp * warps if warp and warps else None,
        warp_size=warp,
        registers_per_sm=whole_of(row, "maxRegistersPerSm"),
        shared_bytes_per_sm=whole_of(row, "maxShmemPerSm"),
    )


def rank_label(used: Pairs) -> str:
    """Which process drove which GPU, as shown to people."""
    named = sorted((pid, gpu) for pid, gpu in used if pid != UNKNOWN)
    return "; ".join(f"pid {pid}: GPU {gpu}" for pid, gpu in named[:64])

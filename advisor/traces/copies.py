"""Copies and sets of a device: how long, how fast, and while nothing computed."""

from __future__ import annotations

import numpy as np

from advisor.traces.intervals import Spans, subtract, union
from advisor.traces.kernel_study import Study
from advisor.traces.timeline import CopyKind, GpuKind, Ints
from probes.ceilings import Ceilings
from rules.traces.kernel_records import CopyRow

# Kind of copy -> how it is told, the ceiling that bounds it, and how often it moves each byte there.
_KINDS: dict[CopyKind, tuple[str, str | None, str | None, int]] = {
    CopyKind.H2D_PINNED: ("h2d", "pinned", "pcie", 1),
    CopyKind.H2D_PAGEABLE: ("h2d", "pageable", "pcie", 1),
    CopyKind.H2D: ("h2d", None, "pcie", 1),
    CopyKind.D2H_PINNED: ("d2h", "pinned", "pcie", 1),
    CopyKind.D2H_PAGEABLE: ("d2h", "pageable", "pcie", 1),
    CopyKind.D2H: ("d2h", None, "pcie", 1),
    CopyKind.D2D: ("d2d", None, "dram", 2),
    CopyKind.P2P: ("p2p", None, "nvlink", 1),
    CopyKind.OTHER: ("other", None, None, 1),
}
_SET = ("set", None, "dram", 1)


def copy_rows(found: Study) -> tuple[CopyRow, ...]:
    """By direction and host memory, longest first. They sum to the durations of all copies and sets."""
    gpu = found.timeline.gpu
    inside = np.arange(found.low, found.high)
    computing = union(gpu.start_ns[found.rows], gpu.end_ns[found.rows])
    copies = inside[gpu.kind[inside] == GpuKind.MEMCPY]
    kinds = {kind: copies[gpu.copy[copies] == kind] for kind in _KINDS}
    parts = [(_KINDS[kind], rows) for kind, rows in kinds.items()]
    parts.append((_SET, inside[gpu.kind[inside] == GpuKind.MEMSET]))
    made = [_row(found, told, rows, computing) for told, rows in parts if len(rows)]
    return tuple(sorted(made, key=lambda row: -row.total_us))


def _row(
    found: Study, told: tuple[str, str | None, str | None, int], rows: Ints, computing: Spans
) -> CopyRow:
    gpu, (kind, memory, metric, times) = found.timeline.gpu, told
    lengths, sizes = gpu.end_ns[rows] - gpu.start_ns[rows], gpu.bytes[rows]
    known = sizes >= 0
    total, known_ns = int(lengths.sum()), int(lengths[known].sum())
    moved = int(sizes[known].sum()) if known.any() else None
    rate = moved / (known_ns / 1e9) if moved is not None and known_ns else None
    ceiling = _ceiling(found.ceilings, metric)
    return CopyRow(
        kind=kind,
        memory=memory,
        count=len(rows),
        total_us=total / 1e3,
        exposed_us=subtract(union(gpu.start_ns[rows], gpu.end_ns[rows]), computing).total_ns / 1e3,
        bytes=moved,
        bytes_s=rate,
        ceiling_frac=rate * times / ceiling if rate is not None and ceiling else None,
    )


def _ceiling(ceilings: Ceilings | None, metric: str | None) -> float | None:
    found = ceilings.ceiling(metric) if ceilings is not None and metric is not None else None
    return found.value if found is not None else None

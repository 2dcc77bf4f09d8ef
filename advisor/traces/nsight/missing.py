"""Sides of a report that are missing: what ran on devices, what launched it, or kernels alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from advisor.traces.errors import TraceError
from advisor.traces.nsight.database import Database
from advisor.traces.nsight.gpu import GRAPH, KERNEL
from advisor.traces.timeline import GpuKind, GpuTable, HostKind, HostTable

RECORD = "nsys profile -t cuda,nvtx,osrt -o report COMMAND"


def note_missing(database: Database, gpu: GpuTable, host: HostTable, names: Sequence[str]) -> None:
    """Notes what is missing as losses. Raises TraceError where nothing is there."""
    if not len(gpu) and not len(host):
        raise TraceError(
            "the report holds neither GPU work nor host calls that can be read: CUDA was not traced, or "
            f"nothing ran while it was{_first_loss(database)}",
            f"record with: {RECORD}",
        )
    _note_kernels(database, gpu, host, names)
    if not len(gpu):
        database.lose(
            "no-gpu-events",
            f"the report holds no kernel, copy or set: CUDA was not traced, or none ran. Record "
            f"with: {RECORD}",
        )
    elif not np.any((host.kind == HostKind.RUNTIME) | (host.kind == HostKind.DRIVER)):
        database.lose("no-cpu-side", f"the report holds no CUDA API calls. Record with: {RECORD}")


def _note_kernels(database: Database, gpu: GpuTable, host: HostTable, names: Sequence[str]) -> None:
    """Kernels that did run and are not there: without them busy time is taken for idle time."""
    calls = (host.kind == HostKind.RUNTIME) | (host.kind == HostKind.DRIVER)
    is_launch = np.asarray(["Launch" in name for name in names] or [False], np.bool_)
    launches = int(is_launch[host.name[calls]].sum())
    broken = sorted({KERNEL, GRAPH} & database.unread)
    if broken:
        database.lose(
            "kernels-missing",
            f"{' and '.join(broken)} cannot be read as a whole: kernels are missing, so idle time is unknown",
        )
    elif launches and not (gpu.kind == GpuKind.KERNEL).any():
        database.lose(
            "kernels-missing",
            "the report holds launches and no kernel: what ran is missing, so idle time is unknown. "
            f"Record with: {RECORD}",
            launches,
        )


def _first_loss(database: Database) -> str:
    damage = [loss.message for loss in database.losses if loss.code == "damaged"]
    return f" ({damage[0]})" if damage else ""

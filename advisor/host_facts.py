"""Host facts: looks at a process and samples of the node, reduced to fields of HostEvidence."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from advisor.telemetry.records import HostInfo, HostSample, ProcessSample


def _median(values: Iterable[float | int | None]) -> float | None:
    known = [float(v) for v in values if v is not None]
    return statistics.median(known) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def process_facts(looks: Sequence[ProcessSample]) -> dict[str, Any]:
    """Medians over the looks at one process; of what it writes the mean."""
    states = [p.state for p in looks if p.state is not None]
    stuck = [p.children_dstate / p.children for p in looks if p.children and p.children_dstate is not None]
    cpu = _median(p.cpu_frac for p in looks)
    children = _median(p.children for p in looks)
    child_cpu = _median(p.children_cpu_frac for p in looks)
    together = None if cpu is None else cpu + (child_cpu or 0.0)
    return {
        "process_cpu_cores": together,
        "main_thread_cpu_frac": _median(p.busiest_thread_frac for p in looks),
        "main_thread_wait_frac": _median(p.busiest_thread_wait_frac for p in looks),
        "main_thread_system_frac": _median(p.busiest_thread_system_frac for p in looks),
        "children": _whole(children),
        "children_busy": _whole(_median(p.children_busy for p in looks)),
        "children_cpu_frac": child_cpu,
        "children_dstate_frac": _median(stuck),
        "process_dstate_frac": sum(s == "disk-sleep" for s in states) / len(states) if states else None,
        "voluntary_switches_s": _median(p.voluntary_switches_s for p in looks),
        "io_read_bytes_s": _median(p.io_read_bytes_s for p in looks),
        # Checkpoints are written in bursts that a median would not see.
        "io_write_bytes_s": _mean(p.io_write_bytes_s for p in looks),
        "throttled_frac": _median(p.throttled_frac for p in looks),
        "cpu_quota_cores": _median(p.cpu_quota_cores for p in looks),
        "cpus_allowed": _whole(_median(p.cpus_allowed for p in looks)),
        "remote_numa_frac": _median(p.remote_numa_frac for p in looks),
        "threads": _whole(_median(p.threads for p in looks)),
    }


def node_facts(host: Iterable[HostSample], info: HostInfo) -> dict[str, Any]:
    """Medians over the node's samples in the window: the same for every device of the node."""
    host = tuple(host)
    swap = [h.swap_used_bytes for h in host if h.swap_used_bytes is not None]
    loads = [statistics.fmean(h.cpu_fracs) for h in host if h.cpu_fracs]
    return {
        "psi_cpu_frac": _median(h.psi_cpu_frac for h in host),
        "psi_io_frac": _median(h.psi_io_frac for h in host),
        "psi_memory_frac": _median(h.psi_memory_frac for h in host),
        "node_cpu_frac": _median(loads),
        "node_cores": info.cores,
        "governor": info.governor,
        "mem_used_frac": _median(_memory_frac(h) for h in host),
        "swap_used_bytes": swap[-1] if swap else None,
        "swap_growth_bytes": swap[-1] - swap[0] if len(swap) > 1 else None,
    }


def _memory_frac(host: HostSample) -> float | None:
    used, total = host.mem_used_bytes, host.mem_total_bytes
    return None if used is None or not total else used / total


MPS_SERVER = "nvidia-cuda-mps-server"


def main_process(processes: Sequence[ProcessSample]) -> ProcessSample | None:
    """The process that holds the most of the device's memory; the busiest of those that hold the same.

    The server of MPS is one only where no other process is there.
    """
    return max(without_mps(processes), key=lambda p: (p.mem_used_bytes or 0, p.cpu_frac or 0.0), default=None)


def partition_of(looks: Sequence[Sequence[ProcessSample]]) -> str | None:
    """Slurm's partition of the latest main process that has one: whose job the device is paid for by."""
    for look in reversed(looks):
        main = main_process(look)
        if main is not None and main.partition:
            return main.partition
    return None


def without_mps(processes: Sequence[ProcessSample]) -> Sequence[ProcessSample]:
    """The processes that work on a device; all of them where nothing but the server of MPS is there."""
    return [p for p in processes if not is_mps(p)] or processes


def is_mps(process: ProcessSample) -> bool:
    """Whether a process is the server of MPS, through which others run side by side."""
    return process.name == MPS_SERVER

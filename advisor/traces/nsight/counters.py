"""Sampled hardware counters (nsys --gpu-metrics-devices): GPU_METRICS and the names of its metrics.

Percentages become fractions, clocks hertz. The GPU is the lowest byte of typeId (Nsight Systems export
documentation, GPU metrics).
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from advisor.traces.nsight.database import Database, text_of
from advisor.traces.timeline import Ints, Small

Counters = dict[str, tuple[Small, Ints, NDArray[np.float64]]]
METRICS = "GPU_METRICS"
_NAMES = "TARGET_INFO_GPU_METRICS"
# The metric's name without its unit -> ours, as the live telemetry calls the same quantity.
_KNOWN = {
    "gr active": "gr_active",
    "sms active": "sm_active",
    "sm active": "sm_active",
    "sm issue": "sm_issue",
    "tensor active": "tensor_active",
    "dram active": "dram_active",
    "dram read bandwidth": "dram_read",
    "dram write bandwidth": "dram_write",
    "dram bandwidth": "dram_active",
    "compute warps in flight": "warps_in_flight",
    "pcie rx throughput": "pcie_rx",
    "pcie tx throughput": "pcie_tx",
    "pcie read bandwidth": "pcie_rx",
    "pcie write bandwidth": "pcie_tx",
    "gpc clock frequency": "gpc_clock_hz",
    "sys clock frequency": "sys_clock_hz",
}
_UNIT = re.compile(r"\s*\[([^\]]*)\]\s*$")
_SLUG = re.compile(r"[^a-z0-9]+")
_HERTZ_FROM = 1e5  # below it a clock is in MHz, above it in Hz: exports of both kinds are met


def read_counters(database: Database, base_ns: int) -> tuple[Counters, dict[str, str]]:
    """Counters by our name, and for those whose name is not known what the file calls them."""
    if not database.has(METRICS, "timestamp", "typeId", "metricId", "value"):
        return {}, {}
    names = _metric_names(database)
    columns = database.numbers(METRICS, ("timestamp", "typeId", "metricId", "value"), thousandths=("value",))
    if columns is None or not len(columns["value"]):
        return {}, {}
    kept = columns["timestamp"] >= base_ns
    columns = {name: column[kept] for name, column in columns.items()}
    found: Counters = {}
    unsure: dict[str, str] = {}
    for (type_id, metric), label in sorted(names.items()):
        rows = (columns["metricId"] == metric) & (columns["typeId"] == type_id)
        if rows.any():
            _add(
                found,
                unsure,
                label,
                type_id & 0xFF,
                columns["timestamp"][rows] - base_ns,
                columns["value"][rows],
            )
    return {name: _sorted(*found[name]) for name in sorted(found)}, unsure


def _metric_names(database: Database) -> dict[tuple[int, int], str]:
    rows = database.records(_NAMES, ("typeId", "metricId", "metricName"))
    return {
        (row["typeId"], row["metricId"]): name
        for row in rows
        if isinstance(row["typeId"], int) and isinstance(row["metricId"], int)
        for name in [text_of(row, "metricName")]
        if name is not None
    }


def counter_name(label: str) -> tuple[str, str, bool]:
    """Our name of a metric, its unit as the file has it, and whether the name is known."""
    unit = _UNIT.search(label)
    bare = (label[: unit.start()] if unit else label).strip().lower()
    told = unit.group(1) if unit else ""
    slug = _SLUG.sub("_", bare).strip("_")[:60] or "metric"
    if told and "%" not in told and bare in _KNOWN and not _KNOWN[bare].endswith("_hz"):
        return f"{slug}_{_SLUG.sub('_', told.lower()).strip('_')[:20]}", told, False
    return _KNOWN.get(bare, slug), told, bare in _KNOWN


def _add(
    found: Counters,
    unsure: dict[str, str],
    label: str,
    device: int,
    times: NDArray[np.int64],
    values: NDArray[np.int64],
) -> None:
    name, unit, known = counter_name(label)
    if not known:
        unsure[name] = label
    column = (np.full(len(times), device, np.int32), times, _scaled(name, unit, known, values))
    if name in found:
        before = found[name]
        column = (
            np.concatenate([before[0], column[0]]),
            np.concatenate([before[1], column[1]]),
            np.concatenate([before[2], column[2]]),
        )
    found[name] = column


def _scaled(name: str, unit: str, known: bool, values: NDArray[np.int64]) -> NDArray[np.float64]:
    read = values.astype(np.float64) / 1000.0
    if name.endswith("_hz"):
        return np.where(np.abs(read) < _HERTZ_FROM, read * 1e6, read)
    return read / 100.0 if "%" in unit or (known and not unit) else read


def _sorted(
    device: Small, times: Ints, values: NDArray[np.float64]
) -> tuple[Small, Ints, NDArray[np.float64]]:
    order = np.lexsort((times, device))
    return device[order], times[order], values[order]

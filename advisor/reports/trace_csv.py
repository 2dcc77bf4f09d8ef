"""Figures of traces as lines of the table that `advisor.reports.csv` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rules.traces.kernel_records import KernelRow
from rules.traces.records import BUSY, CAUSES, CpuFigures, DeviceTrace, RankFigures, TraceFile, TraceReport

_DEVICE = (
    *("span_us", "busy_us", "idle_us", "idle_frac", "communication_us", "communication_exposed_us"),
    *("communication_overlapped_us", "tensor_us", "uncorrelated_us", "events", "streams"),
)
_KERNEL = (
    *(
        "total_us",
        "busy_frac",
        "count",
        "mean_us",
        "median_us",
        "p90_us",
        "max_us",
        "blocks",
        "threads",
        "waves",
    ),
    *("tail_frac", "occupancy", "flops", "bytes", "known_frac", "compute_frac", "memory_frac", "intensity"),
    "gap_before_us",
)
_COPY = ("count", "total_us", "exposed_us", "bytes", "bytes_s", "ceiling_frac")
_CHAINS = (
    *("chains", "kernels", "of", "median_length", "kernel_us", "gap_us", "saved_low_us", "saved_high_us"),
    "graphed",
)
_STEPS = ("count", "median_us", "p90_us", "max_us", "trend", "trend_noise")
_RANK = ("span_us", "busy_us", "work_us", "exposed_us", "wait_us", "caused_us", "last_frac", "step_us")
_UNITS = ("bytes_s", "bytes", "frac", "us")
_COUNTS = frozenset({"count", "events", "streams", "chains", "kernels", "of", "graphed", "blocks", "threads"})


class Line(NamedTuple):
    """One figure of a trace."""

    kind: str
    name: str
    value: float | int | None
    unit: str
    detail: str
    gpu: int | None = None


def trace_lines(report: TraceReport, numbers: Mapping[str, int]) -> Iterator[Line]:
    """Every figure of every device, kernel, copy, step and rank, as far as it is known.

    numbers: key -> what a device is called by.
    """
    for file in report.files:
        yield from _file(file)
    for device in report.devices:
        place, gpu = _place(report, device), numbers.get(device.key, device.device)
        lines = (*_device(device, place), *(line for row in device.kernels for line in _kernel(row, place)))
        for line in lines:
            yield line._replace(gpu=gpu)
        for line in _of_device(device):
            yield line._replace(gpu=gpu, detail=f"{place}{line.detail}")
    for cpu in report.cpu:
        yield from _cpu(cpu)
    if report.ranks is not None:
        yield from _ranks(report.ranks)


def _cpu(cpu: CpuFigures) -> Iterator[Line]:
    for name in ("span_us", "ops_us", "loader_us", "median_step_us"):
        yield Line("cpu", name, getattr(cpu, name), "us", "")
    for row in cpu.rows:
        yield Line("cpu operator", row.name, row.own_us, "us", f"{row.count} times")


def unit_of(name: str) -> str:
    """The unit that a field's name ends in."""
    if name in _COUNTS:
        return "count"
    return next((unit for unit in _UNITS if name == unit or name.endswith(f"_{unit}")), "")


def _place(report: TraceReport, device: DeviceTrace) -> str:
    """Which file and rank, where there are several."""
    if len(report.files) < 2 or device.file >= len(report.files):
        return ""
    rank = "" if device.rank is None else f"rank {device.rank}, "
    return f"{rank}{report.files[device.file].name}: "


def _file(file: TraceFile) -> Iterator[Line]:
    yield Line("trace file", "size_bytes", file.size_bytes, "bytes", file.name)
    for name, count in file.events.items():
        yield Line("trace file", "events", count, "count", f"{file.name}: {name}")
    for loss in file.losses:
        yield Line("trace file", f"loss: {loss.code}", loss.count, "count", f"{file.name}: {loss.message}")


def _device(device: DeviceTrace, place: str) -> Iterator[Line]:
    for name in _DEVICE:
        value = getattr(device, name)
        yield Line("trace", name, value, unit_of(name), f"{place}{device.name or ''}")
    for kind, order, given in (("idle cause", CAUSES, device.causes), ("busy class", BUSY, device.busy)):
        for name in order:
            yield Line(kind, name, given.get(name, 0.0), "us", place.rstrip(": "))
    for what, why in device.unknown.items():
        yield Line("trace", what, None, "", f"{place}{why}")


def _kernel(row: KernelRow, place: str) -> Iterator[Line]:
    kind = ", ".join(
        part for part in (row.family, row.precision, row.nature, f"tensor cores {row.tensor}") if part
    )
    for name in _KERNEL:
        value = getattr(row, name)
        if value is not None:
            yield Line("kernel", row.name, value, name, f"{place}{kind}")


def _of_device(device: DeviceTrace) -> Iterator[Line]:
    for copy in device.copies:
        memory = f", {copy.memory}" if copy.memory else ""
        for name in _COPY:
            value = getattr(copy, name)
            if value is not None:
                yield Line("copy", f"{copy.kind}{memory}", value, name, "")
    for kind, record, names in (("short kernels", device.chains, _CHAINS), ("steps", device.steps, _STEPS)):
        for name in names:
            value = getattr(record, name, None)
            if value is not None:
                yield Line(kind, name, value, unit_of(name), "")
    for step in device.steps.rows if device.steps is not None else ():
        yield Line("step", str(step.number), step.duration_us, "us", "outlier" if step.outlier else "")
    for row in device.host.rows if device.host is not None else ():
        yield Line("host", row.name, row.idle_us, "us", row.cause)
    for gap in device.gaps:
        causes = ", ".join(name for name, us in gap.causes.items() if us > 0)
        yield Line("gap", f"at {gap.start_us - device.start_us:.3f} us", gap.duration_us, "us", causes)


def _ranks(ranks: RankFigures) -> Iterator[Line]:
    for row in ranks.rows:
        for name in _RANK:
            value = getattr(row, name)
            if value is not None:
                yield Line("rank", f"{row.rank} {name}", value, unit_of(name), "", row.device)
    for name in ("imbalance_frac", "wait_frac", "exposed_frac", "straggler"):
        value = getattr(ranks, name)
        if value is not None:
            yield Line(
                "ranks", name, value, unit_of(name), ranks.straggler_because if name == "straggler" else ""
            )
    for one in ranks.collectives:
        yield Line("collective", one.name, one.total_us, "total_us", f"{one.count} times")
        yield Line("collective", one.name, one.wait_us, "wait_us", f"{one.count} times")

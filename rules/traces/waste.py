"""Waste: of the time in which a device ran kernels, what was useful, what was not, and what nobody can say.

A kernel with a known roof fraction f is useful for f of its time, and the rest is wasted. One that is too
small for the device is wasted in full: its grid or its length says so. Compute and memory time without a
known roof is neither: it is unknown, as in a live look at a card whose ceilings are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from rules.traces.causes import roof_of
from rules.traces.kernel_records import FamilyRow, KernelRow
from rules.traces.records import DeviceTrace

# Natures of busy time that can be held against a roof, and the share that each counts as.
ROOFED_NATURES: dict[str, str] = {"compute": "compute", "memory": "memory", "latency": "device"}


class Use(NamedTuple):
    """µs of a device's busy time by use; without idle time, collectives and kernels of no known nature."""

    useful: float
    wasted: float
    unknown: float


def nature_us(row: KernelRow | FamilyRow, nature: str) -> float:
    """µs of a row's launches that are of one nature; all or none where launches are not told apart."""
    if row.nature_us:
        return row.nature_us.get(nature, 0.0)
    return row.total_us if row.nature == nature else 0.0


def use_of(trace: DeviceTrace) -> Use:
    """The device's busy time by use. Names that are not listed count as those that are not known."""
    useful = wasted = unknown = 0.0
    for nature in ROOFED_NATURES:
        scale, busy = _scale(trace, nature), trace.busy.get(nature, 0.0)
        good = scale * math.fsum(nature_us(row, nature) * _part(row) for row in trace.kernels)
        lost = scale * math.fsum(_lost_us(row, nature) for row in trace.kernels)
        rest = max(0.0, busy - good - lost)
        useful += good
        wasted += lost + (rest if nature == "latency" else 0.0)
        unknown += rest if nature != "latency" else 0.0
    return Use(useful, wasted, unknown)


def wasted_us(trace: DeviceTrace, chosen: Callable[[KernelRow], bool]) -> float:
    """Of the wasted busy time, µs in the kernels chosen."""
    return math.fsum(
        _scale(trace, nature) * _lost_us(row, nature)
        for nature in ROOFED_NATURES
        for row in trace.kernels
        if chosen(row)
    )


def _scale(trace: DeviceTrace, nature: str) -> float:
    """Durations overlap and busy time does not: µs of busy time for each µs of kernels, at most 1."""
    whole = math.fsum(nature_us(row, nature) for row in trace.kernels)
    busy = trace.busy.get(nature, 0.0)
    return min(1.0, busy / whole) if whole > 0.0 else 0.0


def _part(row: KernelRow) -> float:
    """Useful part of a kernel's time, as far as it is known."""
    return row.known_frac * (roof_of(row) or 0.0)


def _lost_us(row: KernelRow, nature: str) -> float:
    us, roof = nature_us(row, nature), roof_of(row)
    if nature == "latency":
        return us * (1.0 - _part(row))
    return 0.0 if roof is None else us * row.known_frac * (1.0 - roof)

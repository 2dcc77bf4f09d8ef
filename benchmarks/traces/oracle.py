"""What a device's figures can never be, whatever the trace holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from rules.traces.records import BUSY, CAUSES, DeviceTrace

# What is never negative, by how its name ends; starts, numbers of steps and trends may be.
LENGTHS = (
    "span_us", "busy_us", "idle_us", "total_us", "duration_us", "mean_us", "median_us", "p90_us", "max_us",
    "left_us", "exposed_us", "overlapped_us", "gap_us", "kernel_us", "low_us", "high_us", "communication_us",
    "tensor_us", "uncorrelated_us", "_frac", "count", "events", "bytes", "flops", "blocks", "threads",
    "waves", *(f".{name}" for name in (*CAUSES, *BUSY)),
)  # fmt: skip


def impossible(device: DeviceTrace) -> Iterator[str]:
    """What in a device's figures cannot be."""
    idle, busy, span = sum(device.causes.values()), sum(device.busy.values()), device.span_us
    slack = 1e-9 * max(1.0, span) * 16
    kernels = sum(row.total_us for row in device.kernels) + device.kernels_left_us
    families = sum(row.total_us for row in device.families)
    for name, a, b in (
        ("idle and busy, and the span", idle + busy, span),
        ("causes, and idle time", idle, device.idle_us),
        ("classes, and busy time", busy, device.busy_us),
        ("kernels listed and left, and families", kernels, families),
        ("communication exposed and overlapped, and all",
         device.communication_exposed_us + device.communication_overlapped_us, device.communication_us),
    ):  # fmt: skip
        if abs(a - b) > max(slack, 1e-9 * abs(a)):
            yield f"{name}: {a} is not {b}"
    parts = [("idle", device.idle_us, span), ("communication", device.communication_us, device.busy_us),
             ("tensor cores", device.tensor_us, device.busy_us)]  # fmt: skip
    parts += [(f"copies {row.kind} exposed", row.exposed_us, row.total_us) for row in device.copies]
    if device.chains is not None:
        chains = device.chains
        parts += [("gaps of chains", chains.gap_us, device.idle_us),
                  ("saved by graphs", chains.saved_high_us, device.idle_us),
                  ("surely saved by graphs", chains.saved_low_us, chains.saved_high_us)]  # fmt: skip
    yield from (f"{name}: {part} of {all_}" for name, part, all_ in parts if part > all_ + slack)
    yield from below_zero(msgspec.to_builtins(device), "device")


def below_zero(value: Any, where: str) -> Iterator[str]:
    """Durations, counts and parts that are negative, or no number."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from below_zero(part, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for part in value:
            yield from below_zero(part, where)
    elif isinstance(value, int | float) and where.endswith(LENGTHS) and not value >= 0:
        yield f"{where} = {value}"

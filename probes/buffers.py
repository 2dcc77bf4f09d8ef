"""Buffers of the memory probes: how large, and what happens when there is no room."""

from __future__ import annotations

from typing import Any

from probes.kernels import GRAIN_BYTES
from probes.lab import Lab, memory_share, spec_value

# A buffer below 5 L2 sizes is partly read from the L2; 10 leave no doubt. All buffers together take at most a
# quarter of what is free (checks 128 MiB more), so that a probe never crowds anything out.
LEAST_BYTES = 512 << 20
L2_MULTIPLE = 10
L2_MULTIPLE_LEAST = 5
FREE_SHARE = 0.25
# Launching and draining a grid take some 3 µs: with a pass this long, less than half a percent of it.
PASS_S = 0.7e-3
# Beyond this torch splits a call into several launches, because byte offsets no longer fit 32 bits.
LAUNCH_BYTES = (2 << 30) - GRAIN_BYTES


class NoRoomError(Exception):
    """There is too little free memory to measure anything."""


def l2_bytes(lab: Lab) -> int | None:
    """Size of the device's L2, from the driver's facts or else from torch; None where neither knows."""
    if lab.facts.l2_bytes or lab.facts.kind != "cuda":
        return lab.facts.l2_bytes
    return getattr(lab.torch.cuda.get_device_properties(0), "L2_cache_size", None)


def clock_bytes_s(lab: Lab, mem_mhz: float | None = None) -> float | None:
    """Two transfers a memory clock over the bus's width, scaled to a MIG slice's memory; None where unknown.

    mem_mhz: the clock seen during a run, else the highest the driver names is taken.
    """
    mhz, bits = mem_mhz or lab.facts.mem_mhz_max, lab.facts.mem_bus_bits
    if not mhz or not bits:
        return None
    share = memory_share(lab.facts, lab.spec) if lab.spec else lab.facts.slice_frac or 1.0
    return mhz * 1e6 * 2 * bits / 8 * share


def whole_grains(size: float) -> int:
    """Rounded down to a multiple of GRAIN_BYTES."""
    return int(size) // GRAIN_BYTES * GRAIN_BYTES


def wanted_bytes(lab: Lab, buffers: int) -> int:
    """Bytes for each of `buffers` buffers: 512 MiB, ten times the L2, or what keeps a pass long enough,
    whichever is most, within a quarter of the free memory. Raises NoRoomError when that is nothing."""
    rate = spec_value(lab, "dram") or clock_bytes_s(lab) or 0.0
    wish = max(LEAST_BYTES, L2_MULTIPLE * (l2_bytes(lab) or 0), min(rate * PASS_S, LAUNCH_BYTES))
    free = lab.free_bytes()
    size = whole_grains(min(wish, free * FREE_SHARE / buffers))
    if size == 0:
        raise NoRoomError(f"only {free >> 20} MiB of device memory are free")
    return size


def allocate(lab: Lab, buffers: int, size: int) -> list[Any]:
    """float32 buffers of `size` bytes, or of half, a quarter, ... where memory runs out all the same.

    Raises NoRoomError when not even one grain each can be had.
    """
    torch = lab.torch
    while size >= GRAIN_BYTES:
        found = _try(lab, buffers, size)
        if found is not None:
            return found
        if lab.facts.kind == "cuda":
            torch.cuda.empty_cache()
        size = whole_grains(size / 2)
    raise NoRoomError("out of device memory at the smallest buffers")


def _try(lab: Lab, buffers: int, size: int) -> list[Any] | None:
    torch = lab.torch
    try:
        return [torch.empty(size // 4, dtype=torch.float32, device=lab.device) for _ in range(buffers)]
    except torch.OutOfMemoryError:
        return None


def too_small(lab: Lab, size: int) -> str | None:
    """Why buffers of `size` bytes do not show DRAM alone, or None."""
    l2 = l2_bytes(lab)
    if l2 is None or size >= L2_MULTIPLE_LEAST * l2:
        return None
    need = f"{L2_MULTIPLE_LEAST} times the L2 ({l2 >> 20} MiB)"
    return f"buffers of {size >> 20} MiB are under {need}: too little free memory"

"""Figures of what ran on a device: kernels by name and by family, copies, chains of short kernels.

Units and words are those of rules.traces.records.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Nature = Literal["compute", "memory", "latency", "other", "communication", "copy"]
# Tensor cores: used; not used although shapes and precision allow it; no such work; not told by the name.
Tensor = Literal["used", "eligible", "not-eligible", "unknown"]


class KernelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All launches of one kernel (by name) on one device.

    family: "gemm", "convolution", "attention", "elementwise", "reduction", "normalisation", "collective", ...
    precision: "fp32", "tf32", "fp16", "bf16", "fp8", "fp64", "int8", None where the name does not tell.
    nature: the busy class its time mostly has, and nature_basis why: "measured" (flops or bytes over
    ceilings: near one of them, or, for "latency", far below both), "shape" (its flop per byte against the
    card's), "size" (too small a grid, or so short that starting and draining count), "family" (what such
    kernels are). nature_us: nature -> µs of its launches, summing to total_us; launches
    of one name may differ. small_us: latency time of launches with too few blocks for the device; None where
    no launch's grid or the device's SMs are known. short_us: that of other launches, which are so short that
    starting and draining count, whatever their grid. What is left of the latency time was measured far
    below the roofs that could limit it. blocks, threads: medians. waves: blocks over what the device holds
    at once; tail_frac: part of its time lost in the last, partly filled wave; both None where unknown.
    occupancy: mean as the profiler estimated it; theoretical_occupancy: what its registers, shared memory and
    threads allow at most, None where unknown.
    occupancy_unknown_frac: part of its time without one (a profiler's 0 is unknown). flops, bytes: of all
    launches with known shapes, by `work_basis`; known_frac: their part of its time. compute_frac,
    memory_frac: flops and bytes per second of that time over the device's ceilings. intensity: flop per
    byte. gap_before_us: median idle time of its stream before it. misaligned: sizes of its operands are no
    multiples of 16 bytes, by its name. op: the operator that launched most of its time, with op_dims, the
    sizes of each of that one's inputs; () where unknown. unknown: figure -> why it is not known.
    """

    name: str
    family: str
    nature: Nature
    nature_basis: Literal["measured", "shape", "size", "family"]
    count: int
    total_us: float
    busy_frac: float
    mean_us: float
    median_us: float
    p90_us: float
    max_us: float
    precision: str | None = None
    tensor: Tensor = "unknown"
    blocks: int | None = None
    threads: int | None = None
    waves: float | None = None
    tail_frac: float | None = None
    occupancy: float | None = None
    theoretical_occupancy: float | None = None
    occupancy_unknown_frac: float = 1.0
    flops: float | None = None
    bytes: float | None = None
    work_basis: str = ""
    known_frac: float = 0.0
    compute_frac: float | None = None
    memory_frac: float | None = None
    intensity: float | None = None
    gap_before_us: float | None = None
    misaligned: bool | None = None
    op: str | None = None
    op_dims: tuple[tuple[int, ...], ...] = ()
    nature_us: dict[str, float] = {}
    small_us: float | None = None
    short_us: float = 0.0
    unknown: dict[str, str] = {}


class FamilyRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kernel time by family, precision and use of tensor cores; sums of durations, which may overlap.

    nature_us: nature -> µs, summing to total_us; nature: the one with most of it.
    """

    family: str
    precision: str | None
    tensor: Tensor
    nature: Nature
    count: int
    total_us: float
    busy_frac: float
    nature_us: dict[str, float] = {}


class CopyRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies of one direction and kind of host memory. exposed_us: while no kernel ran.

    kind: "h2d", "d2h", "d2d", "p2p"; memory: "pinned", "pageable" or None. bytes_s: over the copies' own
    time. ceiling_frac: of the link's ceiling, None where unknown.
    """

    kind: str
    memory: str | None
    count: int
    total_us: float
    exposed_us: float
    bytes: int | None = None
    bytes_s: float | None = None
    ceiling_frac: float | None = None


class ChainFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chains of short kernels on one stream, launched one by one, that a CUDA graph would launch at once.

    kernels: in chains; of: all kernels. graphed: kernels that a graph launched already. gap_us: idle time of
    the device within chains, counted once where chains of several streams rest together, so that it is
    never above the device's idle time. saved_low_us, saved_high_us: of it, what a graph would remove;
    saved_low_by, saved_high_by: the same by cause (key of CAUSES), which is where it comes from: at the low
    end only gaps no longer than a launch takes, at the high end all for want of a launch or between queued
    kernels. basis: how that was reached.
    """

    chains: int
    kernels: int
    of: int
    median_length: int
    kernel_us: float
    gap_us: float
    saved_low_us: float
    saved_high_us: float
    graphed: int = 0
    saved_low_by: dict[str, float] = {}
    saved_high_by: dict[str, float] = {}
    longest: tuple[str, ...] = ()
    basis: str = ""

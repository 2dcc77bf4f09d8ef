"""Rules of traces for kernels that fill the device and stay below its roofs."""

from __future__ import annotations

import math

from rules import thresholds as th
from rules.catalogue.common import place
from rules.catalogue.trace_common import (
    TRACE,
    fused_attention,
    kernel_items,
    lost,
    matters,
    short,
    told,
    traced,
)
from rules.finding import Finding
from rules.registry import Context, finding, rule
from rules.traces.causes import is_empty, roof_of, too_short_us, too_small_us
from rules.traces.items import item
from rules.traces.kernel_records import KernelRow
from rules.traces.shares import frac
from rules.traces.waste import wasted_us
from rules.traces.words import percent
from rules.whatifs import trace_levers as levers


@rule(
    "TRACE013",
    "Low occupancy",
    "low",
    "job",
    "fact",
    term="inefficiency",
    causes=("low-occupancy",),
    tiers=TRACE,
)
def low_occupancy(ctx: Context) -> Finding | None:
    """Few warps are resident in kernels that fill the device and stay below their roofs.

    **What it detects**
    At least 15 % of the device's time in kernels with an estimated occupancy below 0.25, enough blocks, no
    tensor cores in use, and less than 0.6 of any roof that is known.

    **Why it costs**
    Latency is hidden by other warps; where registers or shared memory leave room for few, the SM waits.

    **How to tell it apart**
    Modern tensor-core kernels reach their roof at low occupancy by design, and collectives hold few blocks:
    both are left out. A profiler's occupancy of 0 is unknown, not low.

    **What to do**
    Fewer registers or less shared memory per block, smaller blocks; for own kernels only.

    **Evidence**
    The profiler's estimated occupancy, from the trace.

    **Source**
    - Nsight Compute: occupancy and latency hiding
    """
    trace = traced(ctx)
    rows = () if trace is None else tuple(row for row in trace.kernels if is_empty(row) and _below_roof(row))
    us = math.fsum(row.total_us for row in rows)
    if trace is None or frac(trace, us) < th.SECONDARY.value:
        return None
    return finding(
        ctx,
        low_occupancy,
        claim=f"{place(ctx)} spends {percent(frac(trace, us))} of the traced time in kernels with few warps.",
        share=frac(trace, us),
        evidence=(
            item(trace, f"kernels below an occupancy of {th.TRACE_OCCUPANCY.value:g}", frac(trace, us),
                 threshold=f">= {th.SECONDARY.value:g}"),
            *kernel_items(trace, rows),
        ),
        actions=("`ncu --section Occupancy` names what limits each: registers, shared memory or blocks.",),
        recoverable=0.0,
        confidence=th.TRACE_SURE_OCCUPANCY.value,
    )  # fmt: skip


def _below_roof(row: KernelRow) -> bool:
    roof = roof_of(row)
    able = row.tensor != "used" and row.nature != "communication"
    return able and (roof is None or roof < th.ROOF_HIGH.value)


@rule(
    "TRACE016",
    "Kernels far below their roofs",
    "medium",
    "job",
    "fact",
    term="inefficiency",
    causes=("tensor-cores", "compute-throughput", "fp64-pipe", "below-roofs"),
    tiers=TRACE,
)
def below_roofs(ctx: Context) -> Finding | None:
    """Kernels whose work is known take longer than this card's ceilings allow.

    **What it detects**
    At least 5 % of the device's time is the distance of kernels with known shapes to the nearer roof.

    **Why it costs**
    That time buys no arithmetic and moves no bytes.

    **How to tell it apart**
    Kernels at a roof are limited by it; these are not, and yet fill the device. Flops and bytes come from the
    operators' shapes, so that caches and padding are not seen: a kernel that reads a tensor twice looks
    slower than it is. Kernels too small for the device are TRACE012.

    **What to do**
    Shapes in multiples of 8 (16-bit) or 16 (8-bit), channels-last, contiguous inputs, a tuned library.

    **Evidence**
    Flops and bytes by the operators' shapes over time, against this card's ceilings.

    **Source**
    - Williams, Waterman, Patterson, CACM 2009: the roofline model
    - NVIDIA Deep Learning Performance Guide: matrix dimensions
    """
    trace = traced(ctx)
    rows = () if trace is None else tuple(row for row in trace.kernels if _roofed(row))
    us = 0.0 if trace is None else wasted_us(trace, lambda row: row in rows)
    if trace is None or not matters(trace, us):
        return None
    worst = sorted(rows, key=lambda row: -_short_us(row, 1.0))[:3]
    nearer_us = us * _closed(rows)
    return told(
        ctx,
        below_roofs,
        claim=f"{place(ctx)} loses {percent(frac(trace, us))} of the traced time to kernels below their "
        f"roofs, most in {short(worst[0].name)} (at {roof_of(worst[0]) or 0.0:.2f}).",
        share=frac(trace, us),
        evidence=(
            lost(trace, "distance to the nearer roof, kernels of known shapes", us),
            *(
                item(trace, f"{short(row.name)}, part of its roof", roof_of(row),
                     threshold=f"< {th.ROOF_HIGH.value:g}")
                for row in worst
            ),
        ),
        actions=(
            *fused_attention(trace),
            "Dimensions in multiples of 8 (16-bit types) or 16 (8-bit): pad vocabularies and heads.",
            "Convolutions: `channels_last`; `torch.compile(mode=\"max-autotune\")` tries more kernels.",
        ),
        fix=levers.nearer(trace, nearer_us, us),
        confidence=th.TRACE_SURE_ROOFS.value,
    )  # fmt: skip


def _roofed(row: KernelRow) -> bool:
    """Far below a known roof, for another reason than a grid too small for the device."""
    roof = roof_of(row)
    small = too_small_us(row) + too_short_us(row) >= row.total_us / 2.0
    held = row.nature in ("compute", "memory", "latency") and not small
    return held and roof is not None and roof < th.ROOF_HIGH.value


def _short_us(row: KernelRow, roof: float) -> float:
    """µs that a kernel takes longer than at this part of its roof."""
    return max(0.0, row.total_us * row.known_frac * (1.0 - (roof_of(row) or 0.0) / roof))


def _closed(rows: tuple[KernelRow, ...]) -> float:
    """Part of the distance to their roofs that is gone when kernels reach what counts as being at one."""
    whole = math.fsum(_short_us(row, 1.0) for row in rows)
    return math.fsum(_short_us(row, th.ROOF_HIGH.value) for row in rows) / whole if whole > 0.0 else 0.0

"""The rule of traces for sizes of matrices that tensor cores cannot read well."""

from __future__ import annotations

import math

from rules.catalogue.common import place
from rules.catalogue.trace_common import (
    TRACE,
    kernel_items,
    lost,
    matters,
    short,
    sure_of_natures,
    told,
    traced,
)
from rules.finding import Finding
from rules.registry import Context, rule
from rules.traces.causes import roof_of
from rules.traces.items import item
from rules.traces.kernel_precision import aligned_multiple
from rules.traces.kernel_records import KernelRow
from rules.traces.records import DeviceTrace
from rules.traces.shares import frac
from rules.traces.waste import wasted_us
from rules.traces.words import percent
from rules.verdict import EvidenceItem
from rules.whatifs import trace_levers as levers

# Half of the time is what twice as fast saves.
_HALF = 0.5
_SIZES_MOST = 3
# Part of the time in question from which a kernel's sizes are worth padding.
_WORTH_NAMING = 0.05


@rule(
    "TRACE022",
    "Misaligned matrix shapes",
    "medium",
    "job",
    "fact",
    term="inefficiency",
    tiers=TRACE,
)
def misaligned_shapes(ctx: Context) -> Finding | None:
    """Tensor cores run matrix products whose sizes are no multiples of 16 bytes, by kernels made for that.

    **What it detects**
    At least 5 % of the device's time in kernels that use tensor cores and whose names say that they read
    their operands less than 16 bytes at a time (CUTLASS: `align1`, `align2`, `align4` in 16-bit types).

    **Why it costs**
    A size that is no multiple of 8 (fp16, bf16), 4 (TF32) or 16 (fp8, int8) shifts each row of a matrix off
    its 16-byte boundary. Loads are then split, and newer instructions and asynchronous copies are out of
    reach: on Hopper such products fall back to kernels of earlier generations.

    **How to tell it apart**
    Products without tensor cores are TRACE010. TRACE016 speaks of the distance to the roof, whatever its
    reason; that time is partly the same, so only one of the two leads. Where all sizes are multiples, strides
    or the start of a view are not. Other libraries' names do not tell: such kernels are not counted.

    **What to do**
    Pad the size that the finding names to the next multiple: a vocabulary, a number of classes, heads or
    patches, a sequence. Mask or cut off what was added. Multiples of 128 bytes serve A100 and later best.

    **Evidence**
    Kernel time by name; sizes of the operators' inputs where shapes were recorded; what part of this
    card's roof such a kernel reaches.

    **Source**
    - NVIDIA Deep Learning Performance, Matrix Multiplication Background: since cuBLAS 11.0 tensor cores take
      any size, best multiples of 16 bytes, and of 128 bytes on A100
    - PyTorch float8_experimental, pull request 145: 8193x2501x5008 in bf16 on an H100, no gain from padding
    """
    trace = traced(ctx)
    rows = () if trace is None else levers.misaligned(trace)
    us = math.fsum(row.total_us for row in rows)
    if trace is None or not matters(trace, us):
        return None
    plan = levers.alignment(trace, ctx.verdict.shares)
    return told(
        ctx,
        misaligned_shapes,
        claim=f"{place(ctx)} spends {percent(frac(trace, us))} of the traced time in matrix kernels for "
        f"misaligned operands{_where(rows)}.",
        share=frac(trace, us),
        evidence=(
            lost(trace, "tensor-core kernels for misaligned operands", us),
            *_roof_items(trace, rows),
            *kernel_items(trace, rows),
        ),
        actions=_actions(rows),
        fix=plan,
        most=frac(trace, wasted_us(trace, lambda row: row in rows)),
        confidence=sure_of_natures(trace),
    )


def _roof_items(trace: DeviceTrace, rows: tuple[KernelRow, ...]) -> tuple[EvidenceItem, ...]:
    known = [row for row in rows if roof_of(row) is not None][:1]
    return tuple(item(trace, f"{short(row.name)}, part of its roof", roof_of(row)) for row in known)


def _where(rows: tuple[KernelRow, ...]) -> str:
    """ ": 5185 in aten::bmm is no multiple of 8"; nothing where shapes are not known."""
    for row in sorted(rows, key=lambda row: -row.total_us):
        sizes, multiple = odd_sizes(row), aligned_multiple(row.precision)
        if sizes:
            said = ", ".join(str(size) for size in sizes)
            verb = "is" if len(sizes) == 1 else "are"
            return f": {said} in {short(row.op or 'an operator')} {verb} no multiple of {multiple}"
    return ""


def odd_sizes(row: KernelRow) -> tuple[int, ...]:
    """Sizes of its operator's matrices that are no multiples of 16 bytes; of convolutions, channels."""
    multiple = aligned_multiple(row.precision) or 1
    if row.family == "convolution":
        sizes = [size for dims in row.op_dims[:2] if len(dims) > 2 for size in dims[:2]]
        sizes = sizes[1:]  # not the batch
    else:
        sizes = [size for dims in row.op_dims if len(dims) > 1 for size in dims[-2:]]
    return tuple(dict.fromkeys(size for size in sizes if size > 1 and size % multiple))[:_SIZES_MOST]


def _actions(rows: tuple[KernelRow, ...]) -> tuple[str, ...]:
    least = _WORTH_NAMING * math.fsum(row.total_us for row in rows)
    pads = dict.fromkeys(
        f"Pad {size} to {-(-size // multiple) * multiple}, and mask or cut off what was added."
        for row in rows
        if row.total_us >= least
        for multiple in (aligned_multiple(row.precision) or 1,)
        for size in odd_sizes(row)
    )
    known = tuple(pads)[:_SIZES_MOST]
    general = (
        "Sizes in multiples of 8 (fp16, bf16), 4 (TF32) or 16 (fp8); of 64 in 16-bit types on A100 and later."
    )
    shapes = "" if known else "Record shapes (`record_shapes=True`): they name the size."
    return tuple(action for action in (*known, general, shapes) if action)

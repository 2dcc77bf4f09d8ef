"""Rules of traces for what the device itself does: its kernels, and the order in which they run."""

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
    sure_of_natures,
    told,
    traced,
)
from rules.economics import amdahl, removed
from rules.finding import Effect, Finding
from rules.registry import Context, rule, severity_of
from rules.traces.causes import is_empty, latency_us, roof_of, too_short_us, too_small_us
from rules.traces.items import item
from rules.traces.programs import trains
from rules.traces.records import DeviceTrace
from rules.traces.shares import frac
from rules.traces.waste import nature_us, wasted_us
from rules.traces.words import percent
from rules.whatifs import trace_levers as levers

_TF32 = (
    '`torch.backends.cuda.matmul.fp32_precision = "tf32"` (2.9 on), before that '
    '`torch.set_float32_matmul_precision("high")`; `torch.backends.cudnn.allow_tf32 = True` for convolutions.'
)
# Where rates are not known, and for what waits for memory once products are fast: half is counted on.
_HALF = 1.0 / th.TRACE_FUSED_FASTER.value
_CAST = '`torch.autocast("cuda", dtype=torch.{0})` for training and inference.'


@rule(
    "TRACE010",
    "Tensor cores unused by matrix work",
    "high",
    "job",
    "fact",
    term="inefficiency",
    causes=("fp32-pipe",),
    tiers=TRACE,
)
def tensor_cores(ctx: Context) -> Finding | None:
    """Matrix products and convolutions run on the plain pipes although the tensor cores could do them.

    **What it detects**
    At least 5 % of the device's time in matrix kernels whose names say fp32 without tensor cores, on a card
    whose tensor cores do such work.

    **Why it costs**
    On data-centre cards the tensor cores do matrix products several times as fast as the other pipes. The
    dollars named are of these kernels' time below the roof of their own pipe, which the ladder calls wasted;
    what the fix saves beyond that was useful time, or time of which no roof is known.

    **How to tell it apart**
    Kernel names tell (`sgemm`, `simt`, `fp32`), so that no counter has to be guessed from. Small products
    gain little: they wait for memory or latency.

    **What to do**
    Allow TF32 on Ampere and later; mixed precision (fp16 on Volta and Turing, bf16 later).

    **Evidence**
    Kernel time by family, precision and use of tensor cores, from the trace.

    **Source**
    - PyTorch documentation, CUDA semantics: TF32 is off for matrix products by default
    - NVIDIA DLProf: tensor-core eligible operations that do not use them
    """
    trace = traced(ctx)
    rows = levers.eligible(trace) if trace is not None else ()
    us = math.fsum(row.total_us for row in rows)
    if trace is None or not matters(trace, us):
        return None
    dtype = levers.faster_type(ctx.ceilings)
    plan = levers.tensor_cores(trace, ctx.verdict.shares, ctx.ceilings, dtype) if dtype else None
    families = ", ".join(dict.fromkeys(row.family for row in rows[:3]))
    return told(
        ctx,
        tensor_cores,
        claim=f"{place(ctx)} spends {percent(frac(trace, us))} of the traced time in {families} kernels that "
        "could use its tensor cores and do not.",
        share=frac(trace, us),
        evidence=(
            lost(trace, "matrix kernels without tensor cores, although eligible", us),
            item(trace, "kernels that use tensor cores", frac(trace, trace.tensor_us)),
            *kernel_items(trace, tuple(row for row in trace.kernels if row.tensor == "eligible")),
        ),
        actions=_to_tensor_cores(ctx, dtype),
        fix=plan or (None if dtype else _rates_unknown(frac(trace, us))),
        most=frac(trace, wasted_us(trace, lambda row: row.tensor == "eligible")),
        confidence=sure_of_natures(trace),
        severity=severity_of(_HALF * frac(trace, us), "high"),
    )


def _rates_unknown(part: float) -> Effect:
    """Twice as fast, where nobody knows this card's rates: less than tensor cores give on any card."""
    basis = "this card's rates are not known, so twice as fast at best; low end: no gain where they are small"
    return Effect(low=1.0, high=amdahl(part, 1.0 / _HALF), bound=removed(part, basis).bound, basis=basis)


def _to_tensor_cores(ctx: Context, dtype: str | None) -> tuple[str, ...]:
    """By what the card has: TF32 and bf16 since capability 8, fp16 before; both where nothing is known."""
    old = (ctx.evidence.device.compute_capability or "8").partition(".")[0] in ("7", "6")
    known = ctx.ceilings is not None
    if old or (known and dtype == "fp16"):
        return (_CAST.format("float16") + " Scale the loss in training (`torch.amp.GradScaler`).",)
    cast = _CAST.format("bfloat16")
    return (_TF32, cast) if dtype == "tf32" or not known else (cast,)


@rule(
    "TRACE011",
    "Memory-bound element-wise kernels",
    "medium",
    "job",
    "fact",
    term="inefficiency",
    causes=("dram-bandwidth",),
    tiers=TRACE,
)
def elementwise(ctx: Context) -> Finding | None:
    """Element-wise kernels, reductions and normalisations each move their tensors through DRAM anew.

    **What it detects**
    At least 15 % of the device's time in memory-bound kernels of these families.

    **Why it costs**
    They do next to no arithmetic: their time is bytes over bandwidth, and a chain of n kernels over one
    tensor moves it n times.

    **How to tell it apart**
    Products that wait for DRAM (few rows, decoding) gain nothing from fusion: they are of other families.

    **What to do**
    `torch.compile`, fused optimisers and losses, fused normalisation and attention.

    **Evidence**
    Kernel time by family and nature, from the trace.

    **Source**
    - PyTorch blog, torch.compile: fusion of point-wise kernels is most of its gain
    """
    trace = traced(ctx)
    us = 0.0 if trace is None else levers.fusible_us(trace)
    if trace is None or frac(trace, us) < th.SECONDARY.value:
        return None
    rows = tuple(row for row in trace.kernels if nature_us(row, "memory") and row.family in levers.FUSIBLE)
    return told(
        ctx,
        elementwise,
        claim=f"{place(ctx)} spends {percent(frac(trace, us))} of the traced time in memory-bound "
        "element-wise kernels and reductions.",
        share=frac(trace, us),
        evidence=(
            item(trace, "memory-bound element-wise kernels", frac(trace, us),
                 threshold=f">= {th.SECONDARY.value:g}"),
            *kernel_items(trace, rows),
        ),
        actions=(
            *fused_attention(trace),
            "`torch.compile(model)` fuses chains of them.",
            *(
                ("`torch.optim.AdamW(..., fused=True)`; fused losses and normalisation (Liger, Apex).",)
                if trains(trace)
                else ("Fused normalisation, activations and softmax (`torch.compile`, xFormers, TensorRT).",)
            ),
        ),
        fix=levers.fusion(trace, ctx.verdict.shares),
        most=frac(trace, wasted_us(trace, lambda row: row in rows and row.nature == "memory")),
        confidence=sure_of_natures(trace),
    )  # fmt: skip


@rule(
    "TRACE012",
    "Kernels too small for the device",
    "medium",
    "job",
    "fact",
    term="inefficiency",
    causes=("small-grid", "latency"),
    tiers=TRACE,
)
def small_grids(ctx: Context) -> Finding | None:
    """Kernels with fewer blocks than the device holds at once, or a last wave that leaves most SMs empty.

    **What it detects**
    At least 5 % of the device's time in kernels too short or too small to fill it, or lost in the last,
    partly filled wave of larger ones. What the trace does not tell (grids, limits of an SM) does not count.

    **Why it costs**
    An SM without a block does nothing, and the kernel ends with its slowest block.

    **How to tell it apart**
    TRACE002 is the time between kernels, this the time in them. Low occupancy with enough blocks is TRACE013.

    **What to do**
    Larger batches, batched or grouped products, split-K for narrow ones; several streams side by side.

    **Evidence**
    Grid and block sizes against what the device holds at once, from the trace.

    **Source**
    - CUDA C++ Best Practices Guide: blocks per grid; cuBLAS documentation on wave quantisation
    """
    trace = traced(ctx)
    small_us, short_us, tail_us = (0.0, 0.0, 0.0) if trace is None else _lost_in_size(trace)
    us = small_us + short_us + tail_us
    if trace is None or not matters(trace, us):
        return None
    rows = tuple(row for row in trace.kernels if too_small_us(row) + too_short_us(row) > 0.0)
    return told(
        ctx,
        small_grids,
        claim=f"{place(ctx)} spends {percent(frac(trace, us))} of the traced time "
        f"{_how_small(small_us, short_us, tail_us)}.",
        share=frac(trace, us),
        evidence=(
            lost(trace, "in kernels too small or too short for the device, and in last waves", us),
            *(
                item(trace, metric, frac(trace, part))
                for metric, part in (
                    ("in kernels with fewer blocks than the device needs", small_us),
                    (
                        f"in kernels shorter than {th.TRACE_RAMP_US.value:g} µs, blocks enough or unknown",
                        short_us,
                    ),
                    ("in last waves of larger ones", tail_us),
                )
                if part > 0.0
            ),
            *kernel_items(trace, rows),
        ),
        actions=(
            "Raise the batch, or batch small products (`torch.bmm`, grouped GEMM).",
            "Fuse them with `torch.compile`; run independent ones on several streams.",
        ),
        fix=levers.larger(trace, us),
        most=frac(trace, small_us + short_us),
        confidence=(th.TRACE_SURE_SIZE if short_us < us / 2.0 else th.TRACE_SURE_SHORT).value,
    )


def _how_small(small_us: float, short_us: float, tail_us: float) -> str:
    """In what kernels: said of what was seen, the largest part first."""
    parts = (
        (small_us, "in kernels with too few blocks to fill it"),
        (short_us, f"in kernels shorter than {th.TRACE_RAMP_US.value:g} µs"),
        (tail_us, "in last waves that leave SMs empty"),
    )
    return ", or ".join(words for us, words in sorted(parts, key=lambda part: -part[0]) if us > 0.0)


def _lost_in_size(trace: DeviceTrace) -> tuple[float, float, float]:
    """µs in too small and in too short kernels, as far as nothing else ran then, and in last waves.

    Last waves of kernels of which a roof is known are in their distance to it: there TRACE016 counts them.
    """
    alone = min(1.0, trace.busy.get("latency", 0.0) / max(1e-9, _latency_us(trace)))
    able = [row for row in trace.kernels if not is_empty(row)]
    small, short_ = (alone * math.fsum(map(each, able)) for each in (too_small_us, too_short_us))
    tail = math.fsum(
        max(0.0, row.total_us - latency_us(row)) * (row.tail_frac or 0.0)
        for row in able
        if roof_of(row) is None
    )
    room = trace.busy.get("compute", 0.0) + trace.busy.get("memory", 0.0)
    return small, short_, min(tail, room)


def _latency_us(trace: DeviceTrace) -> float:
    return math.fsum(latency_us(row) for row in trace.kernels)

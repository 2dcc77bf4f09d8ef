"""Rules for time limited by DRAM bandwidth."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import (
    at_least,
    held_against,
    inefficiency,
    item,
    memory_used_frac,
    pct,
    place,
    room_to_grow,
    share,
)
from rules.economics import amdahl
from rules.finding import Effect, Finding
from rules.observed import busy_mean, reading_note
from rules.registry import Context, clamp, finding, rule, severity_of
from rules.servers import is_server, nothing_waits
from rules.trust import label_of, words
from rules.verdict import EvidenceItem
from rules.whatifs.anchors import BATCH_HIGH, CURVE_SOURCE, DOUBLING
from rules.whatifs.levers import effect_of, fewer_bytes

# Kernels that use the tensor cores this many times as much are others than those that wait for DRAM.
_APART = 2.0
_OWN_RANGE = "; fp8 changes compute too and can be slower: its range is that of the what-if `fp8`"


def has_few_rows(ctx: Context) -> bool:
    """Matrix work that touches the tensor cores and leaves them mostly idle: decode, thin GEMMs.

    Kernels that are near both roofs at once, and so take part in the time that arithmetic limits, are not.
    """
    tensor = ctx.verdict.class_mean("memory", "tensor_active")
    if tensor is None or not th.TENSOR_IDLE.value <= tensor < th.DECODE_TENSOR.value:
        return False
    other = ctx.verdict.class_mean("compute", "tensor_active") or 0.0
    return share(ctx, "compute") < th.SECONDARY.value or other >= _APART * tensor


def _items(ctx: Context) -> tuple[EvidenceItem, ...]:
    roof = ctx.verdict.roofs.get("memory")
    tensor = ctx.verdict.class_mean("memory", "tensor_active")
    return (
        item("time limited by DRAM bandwidth", share(ctx, "memory"), threshold=at_least(th.SECONDARY)),
        item(
            "DRAM roof fraction in that time",
            roof,
            threshold=held_against(roof, th.ROOF_HIGH),
            source=words(label_of(ctx.ceilings, "dram_active")),
        ),
        item("tensor cores in that time", tensor, source=reading_note(ctx.evidence, "tensor_active")),
    )


def _items_and(
    ctx: Context, metric: str, value: float, limit: th.Threshold, counter: str
) -> tuple[EvidenceItem, ...]:
    """The lines that all these rules show, and one of a counter that stayed below its limit."""
    note = reading_note(ctx.evidence, counter)
    return (*_items(ctx), item(metric, value, threshold=f"< {limit.value:g}", source=note))


def _recoverable(ctx: Context) -> float:
    """Memory-bound time short of the DRAM roof."""
    short = 1.0 - clamp(ctx.verdict.roofs.get("memory", 0.0))
    return min(share(ctx, "memory") * short, inefficiency(ctx))


@rule("MEM001", "Limited by DRAM bandwidth", "medium", "job", term="inefficiency", causes=("dram-bandwidth",))
def bandwidth(ctx: Context) -> Finding | None:
    """Kernels wait for DRAM; the arithmetic units have room to spare.

    **What it detects**
    At least 15 % of the time ran near the DRAM roof: `dram_active` over its reading at the ceiling is 0.6 or
    more and above every pipe's.

    **Why it costs**
    Near the roof the card does all it can for these kernels: only moving fewer bytes makes them faster. The
    dollars named are the distance to the roof.

    **How to tell it apart**
    SM activity is near 1 here too, because a warp that waits for memory counts as active. MEM002 is matrix
    work with too few rows.

    **What to do**
    Fuse element-wise kernels (`torch.compile`), use bf16 or fp8 instead of fp32, flash attention, fused
    optimisers; raise the batch where weights are read once per step.

    **Evidence**
    dram_active and pipe counters (GPM), each over its reading at this card's ceiling; without GPM, NVML's
    memory-controller time.

    **Source**
    - Nsight Compute Speed of Light: 60 % of a roof is high, 80 % a bottleneck
    - ML.ENERGY, Qwen3-235B on 8 H100s: fp8 against bf16 0.81x at batch 8, 1.08x at batch 128
    - Perlmutter (arXiv 2502.18680): 81 % of jobs are memory-bound
    """
    part = share(ctx, "memory")
    if part < th.SECONDARY.value or has_few_rows(ctx):
        return None
    return finding(
        ctx,
        bandwidth,
        claim=f"{place(ctx)} is limited by DRAM bandwidth {pct(part)} of the time{_at_roof(ctx)}.",
        share=part,
        evidence=_items(ctx),
        actions=(
            "Fuse element-wise kernels: `torch.compile(model)`, fused optimisers, flash attention.",
            "Halve the bytes: bf16 instead of fp32 (`torch.autocast`), fp8 or int8 weights where they serve.",
            *room_to_grow(ctx.evidence),
        ),
        effect=_half_the_bytes(part, _OWN_RANGE),
        recoverable=_recoverable(ctx),
        severity=severity_of(_recoverable(ctx), "medium"),
    )


@rule(
    "MEM002",
    "DRAM is the limit of matrix work",
    "medium",
    "job",
    term="inefficiency",
    causes=("dram-bandwidth",),
)
def few_rows(ctx: Context) -> Finding | None:
    """Tensor cores are in use, and wait for DRAM: a server decodes few rows, or other kernels take the time.

    **What it detects**
    At least 15 % of the time ran near the DRAM roof while the tensor cores were in use for less than 30 % of
    the busy time. In a program that serves requests this is decode at a small batch. In any other it may be
    that, thin matrix products, or a training step whose normalisations, activations and optimiser move more
    bytes than its matrix products; nothing counted tells these apart, and the confidence is 0.5 at most.

    **Why it costs**
    Near the DRAM roof only fewer bytes for the same work help. Reading weights costs the same for one row as
    for dozens, so in decode each request pays for bandwidth that others could share.

    **How to tell it apart**
    Without any tensor activity it is MEM001 (element-wise kernels). A server's own count of running requests
    confirms a small batch; in training a profile shows whether GEMMs or element-wise kernels take the time.

    **What to do**
    Serving: let more requests run at once (`--max-num-seqs`, fewer replicas), quantise weights, use
    speculative decoding. Otherwise: fuse what surrounds the matrix products, channels-last for convolutions,
    a larger batch for thin products.

    **Evidence**
    dram_active and tensor_active (GPM), device memory in use.

    **Source**
    - ML.ENERGY, one H100, Llama-3.1-8B bf16, vLLM: doubling the batch bought 1.83x (8 to 16) to 1.09x (256 to
      512)
    """
    part = share(ctx, "memory")
    if part < th.SECONDARY.value or not has_few_rows(ctx):
        return None
    serves = is_server(ctx.evidence)
    used = memory_used_frac(ctx.evidence)
    looks = (
        "decode at a small batch looks like this."
        if serves
        else "matrix products with few rows, or other kernels between them."
    )
    return finding(
        ctx,
        few_rows,
        claim=f"{place(ctx)} waits for DRAM {pct(part)} of the time{_at_roof(ctx)}, its tensor cores little "
        f"used: {looks}",
        share=part,
        evidence=(*_items(ctx), item("device memory in use, of all", used, source="NVML")),
        actions=_of_a_server(ctx) if serves else (*_TRAINING, *room_to_grow(ctx.evidence)),
        effect=_server_effect(ctx, part) if serves else _half_the_bytes(part),
        recoverable=_recoverable(ctx),
        confidence=1.0 if serves else 0.5,
        severity=severity_of(_recoverable(ctx), "medium"),
    )


_SERVING = (
    "Serve more requests at once: raise `--max-num-seqs`, or merge the traffic of two replicas.",
    "Quantise the weights (fp8, int4): the step reads half the bytes or fewer.",
    "Try speculative decoding while the batch is small.",
)
_TRAINING = (
    "A profile of one step (`torch.profiler`) tells whether matrix products or what is between them wait.",
    "Fuse what is between them: `torch.compile(model)`, fused optimisers and normalisations.",
    "Convolutions: `model.to(memory_format=torch.channels_last)`; thin products: a larger batch.",
)


def _of_a_server(ctx: Context) -> tuple[str, ...]:
    if not nothing_waits(ctx.evidence.serving):
        return _SERVING
    return (*_SERVING[1:], "Merge the traffic of two replicas: no request waits for a larger batch here.")


def _server_effect(ctx: Context, part: float) -> Effect:
    """A larger batch; where the engine says that no request waits, weights of fewer bits alone."""
    if nothing_waits(ctx.evidence.serving):
        return _half_the_bytes(part, "; no request waits, so that a larger batch has nothing to hold")
    return _larger_batch(part)


def _larger_batch(part: float) -> Effect:
    return Effect(
        low=1.0,
        high=amdahl(part, BATCH_HIGH),
        bound=amdahl(part, 2.0),
        basis=f"doubling the batch, on the memory-bound share: {DOUBLING}, {CURVE_SOURCE}; 1.0x where no "
        "request waits",
    )


def _half_the_bytes(part: float, more: str = "") -> Effect:
    """As the what-if `fewer-bytes` says it."""
    levers, how = fewer_bytes(part)
    return effect_of({"memory": part}, levers, how + more)


def _at_roof(ctx: Context) -> str:
    roof = ctx.verdict.roofs.get("memory")
    return "" if roof is None else f", at {roof:.2f} of the card's DRAM roof"


@rule("MEM003", "Too few bytes in flight for DRAM", "medium", "job", term="inefficiency")
def few_bytes_in_flight(ctx: Context) -> Finding | None:
    """DRAM is the limit, below its ceiling, and few warps are there to ask it for more.

    **What it detects**
    At least 15 % of the time ran at 0.6 to 0.8 of the DRAM roof while less than a quarter of the warp slots
    were filled.

    **Why it costs**
    DRAM delivers the bytes that are asked for at the same time, divided by its latency. Too few requests in
    flight leave bandwidth unused although nothing else is the limit.

    **How to tell it apart**
    Above 0.8 of the roof MEM001 stands alone: the bandwidth is used. Strided or scattered accesses keep DRAM
    busy with bytes nobody needs, and then the roof is reached.

    **What to do**
    Wider loads (16 bytes a thread), several independent loads a thread, more warps per SM, asynchronous
    copies.

    **Evidence**
    dram_active and sm_occupancy over gr_active (GPM).

    **Source**
    - Little's law; an H100's DRAM latency of 288 ns at 3.35 TB/s asks for about 1 MB in flight
    - DCGM field guide: higher occupancy helps where DRAM is the limit
    """
    part, roof = share(ctx, "memory"), ctx.verdict.roofs.get("memory")
    occupancy = ctx.verdict.class_mean("memory", "sm_occupancy")
    if part < th.SECONDARY.value or roof is None or occupancy is None:
        return None
    if roof >= th.ROOF_BOUND.value or roof <= 0.0 or occupancy >= th.LOW_OCCUPANCY.value:
        return None
    high = amdahl(part, 1.0 / roof)
    return finding(
        ctx,
        few_bytes_in_flight,
        claim=f"{place(ctx)} reaches {roof:.2f} of its DRAM roof with {pct(occupancy)} of the warp slots "
        "filled: more bytes in flight would use the rest.",
        share=_recoverable(ctx),
        evidence=_items_and(ctx, "occupancy in that time", occupancy, th.LOW_OCCUPANCY, "sm_occupancy"),
        actions=(
            "Own kernels: 16-byte loads (`float4`), four or more independent loads a thread, `cp.async`.",
            "Triton: larger blocks, more `num_stages`; `ncu --section Occupancy` says what limits the warps.",
        ),
        effect=Effect(
            low=1.0, high=high, bound=high, basis="bound: the memory-bound share runs at its DRAM roof"
        ),
        confidence=0.6,
    )


@rule("MEM004", "Element-wise kernels that could be fused", "medium", "job", term="inefficiency")
def elementwise(ctx: Context) -> Finding | None:
    """DRAM is the limit, the tensor cores idle, and what is computed on the bytes is next to nothing.

    **What it detects**
    At least 15 % of the time ran near the DRAM roof while the tensor cores were idle and the fp32 and fp16
    pipes did some arithmetic, at most a fifth of what they can.

    **Why it costs**
    Each element-wise kernel reads and writes its tensors once. A chain of them moves the same bytes again and
    again; fused, they move them once.

    **How to tell it apart**
    Copies, transposes and gathers do no arithmetic and are left out. Reductions and optimiser steps look the
    same: of these a fused form exists as well. The profiler shows `elementwise_kernel` many times over.

    **What to do**
    `torch.compile`, fused optimisers and normalisations, or one own kernel (Triton) for the chain.

    **Evidence**
    dram_active, tensor_active, fp32 and fp16 (GPM).

    **Source**
    - torch.compile, 163 models: 1.41x for training and 2.27x for inference, geometric means of whole programs
    """
    part, arithmetic = share(ctx, "memory"), _plain_arithmetic(ctx)
    tensor = ctx.verdict.class_mean("memory", "tensor_active")
    if part < th.SECONDARY.value or arithmetic is None or tensor is None:
        return None
    if tensor >= th.TENSOR_IDLE.value or not th.SOME_ARITHMETIC.value <= arithmetic < th.PIPE_IN_USE.value:
        return None
    high = amdahl(part, 2.0)
    return finding(
        ctx,
        elementwise,
        claim=f"{place(ctx)} waits for DRAM {pct(part)} of the time in kernels of little arithmetic: a chain "
        "of element-wise kernels looks like this.",
        share=part,
        evidence=_items_and(
            ctx, "fp32 and fp16 pipes while busy, the busier", arithmetic, th.PIPE_IN_USE, "fp32"
        ),
        actions=(
            "`torch.compile(model)`; for optimisers `torch.optim.AdamW(..., fused=True)`.",
            "Fused normalisation and activation: `F.rms_norm`, `F.scaled_dot_product_attention`, or Triton.",
        ),
        effect=Effect(
            low=1.0,
            high=high,
            bound=None,
            basis="two element-wise kernels fused into one move half the bytes (2x on the memory-bound "
            "share); 1.0x where nothing can be fused. torch.compile over 163 models: 1.41x to 2.27x in all",
        ),
        recoverable=min(1.0 - 1.0 / high, inefficiency(ctx)),
        confidence=0.6,
        severity=severity_of(_recoverable(ctx), "medium"),
    )


def _plain_arithmetic(ctx: Context) -> float | None:
    """The busier of the fp32 and fp16 pipes; None unless fp32 was read."""
    fp32, fp16 = busy_mean(ctx.evidence, "fp32"), busy_mean(ctx.evidence, "fp16")
    return None if fp32 is None else max(fp32, fp16 or 0.0)

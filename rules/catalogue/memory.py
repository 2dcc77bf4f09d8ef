"""Rules for time limited by DRAM bandwidth."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import (
    at_least,
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
from rules.trust import label_of, words
from rules.verdict import EvidenceItem

# ML.ENERGY, one H100, Llama-3.1-8B bf16 under vLLM, tokens a second when the batch doubles:
# 1,070 to 1,954 from 8 to 16, and 7,037 to 9,010 from 128 to 256.
_BATCH_LOW, _BATCH_HIGH = 1.28, 1.83
# ML.ENERGY, Qwen3-235B on 8 H100s: fp8 ran at 0.81 of bf16's throughput at batch 8.
FP8_LOW = 0.81


def _few_rows(ctx: Context) -> bool:
    """Matrix work that touches the tensor cores and leaves them mostly idle: decode, thin GEMMs."""
    tensor = busy_mean(ctx.evidence, "tensor_active")
    return tensor is not None and th.TENSOR_IDLE.value <= tensor < th.DECODE_TENSOR.value


def _items(ctx: Context) -> tuple[EvidenceItem, ...]:
    roof = ctx.verdict.roofs.get("memory")
    tensor = busy_mean(ctx.evidence, "tensor_active")
    return (
        item("time limited by DRAM bandwidth", share(ctx, "memory"), threshold=at_least(th.SECONDARY)),
        item(
            "DRAM roof fraction in that time",
            roof,
            threshold=at_least(th.ROOF_HIGH),
            source=words(label_of(ctx.ceilings, "dram_active")),
        ),
        item("tensor cores while busy", tensor, source=reading_note(ctx.evidence, "tensor_active")),
    )


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
    if part < th.SECONDARY.value or _few_rows(ctx):
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
        effect=Effect(
            low=amdahl(part, FP8_LOW),
            high=amdahl(part, 2.0),
            bound=amdahl(part, 2.0),
            basis="half the bytes on the memory-bound share at best (2x there); the low end is fp8 at 0.81x "
            "of bf16, as seen on Qwen3-235B at batch 8 (ML.ENERGY)",
        ),
        recoverable=_recoverable(ctx),
        severity=severity_of(_recoverable(ctx), "medium"),
    )


@rule(
    "MEM002",
    "Matrix work with too few rows (decode)",
    "medium",
    "job",
    term="inefficiency",
    causes=("dram-bandwidth",),
)
def few_rows(ctx: Context) -> Finding | None:
    """Weights are read from DRAM for too few rows: the tensor cores wait for them.

    **What it detects**
    At least 15 % of the time ran near the DRAM roof while the tensor cores were in use for less than 30 % of
    the busy time: LLM decode at a small batch, or thin matrix products.

    **Why it costs**
    Reading the weights costs the same for one row as for dozens, so each request pays for bandwidth that
    others could share.

    **How to tell it apart**
    Without any tensor activity it is MEM001 (element-wise kernels). The server's own count of running
    requests confirms a small batch.

    **What to do**
    Let more requests run at once (`--max-num-seqs`, fewer replicas), quantise weights, use speculative
    decoding.

    **Evidence**
    dram_active and tensor_active (GPM), device memory in use.

    **Source**
    - ML.ENERGY, one H100, Llama-3.1-8B bf16, vLLM: doubling the batch bought 1.83x (8 to 16) to 1.28x (128 to
      256)
    """
    part = share(ctx, "memory")
    if part < th.SECONDARY.value or not _few_rows(ctx):
        return None
    used = memory_used_frac(ctx.evidence)
    return finding(
        ctx,
        few_rows,
        claim=f"{place(ctx)} waits for DRAM {pct(part)} of the time{_at_roof(ctx)}, its tensor cores little "
        "used: matrix work with few rows (decode, small batch) looks like this.",
        share=part,
        evidence=(*_items(ctx), item("device memory in use, of all", used, source="NVML")),
        actions=(
            "Serve more requests at once: raise `--max-num-seqs`, or merge the traffic of two replicas.",
            "Quantise the weights (fp8, int4): the step reads half the bytes or fewer.",
            "Try speculative decoding while the batch is small.",
        ),
        effect=Effect(
            low=amdahl(part, _BATCH_LOW),
            high=amdahl(part, _BATCH_HIGH),
            basis="doubling the batch, on the memory-bound share: 1.28x (128 to 256) to 1.83x (8 to 16) on "
            "an H100 with Llama-3.1-8B (ML.ENERGY); assumes that enough requests are waiting",
        ),
        recoverable=_recoverable(ctx),
        severity=severity_of(_recoverable(ctx), "medium"),
    )


def _at_roof(ctx: Context) -> str:
    roof = ctx.verdict.roofs.get("memory")
    return "" if roof is None else f", at {roof:.2f} of the card's DRAM roof"

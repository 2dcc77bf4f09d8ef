"""Rules for what would make arithmetic faster: precision, tensor cores, shapes."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, inefficiency, item, pct, place, share
from rules.catalogue.compute import (
    idle_tensor_cores,
    lost_to_compute,
    ratio_of,
    sped_up,
    tensor_cores_idle,
    tensor_kind,
    tf32_pays,
)
from rules.economics import amdahl
from rules.finding import Effect, Finding
from rules.observed import busy_mean, reading_note
from rules.registry import Context, finding, rule
from rules.roofs import TENSOR_PIPES
from rules.trust import label_of, words
from rules.whatifs.levers import effect_of, eight_bits


def _limited_by(ctx: Context, pipes: frozenset[str]) -> bool:
    """Whether tensor cores are the limit of a share worth naming, on one of these pipes."""
    return share(ctx, "compute") >= th.SECONDARY.value and ctx.verdict.pipe in pipes


@rule("COMP005", "A lower precision would raise the roof", "medium", "job", term="inefficiency")
def lower_precision(ctx: Context) -> Finding | None:
    """The tensor cores are the limit, and this card does fp8 faster than bf16.

    **What it detects**
    At least 15 % of the time ran near the tensor cores' roof with 16-bit products on them (`hmma` makes up
    half of the tensor activity or more), on a card whose fp8 rate is above its bf16 rate.

    **Why it costs**
    The same layers take less time in fp8, and their weights half the bytes.

    **How to tell it apart**
    Integer and fp64 tensor work (`imma`, `dfma`, `dmma`) is left out. GPM has no counter for fp8: work that
    is in fp8 already may look the same. At small batches the casts and
    scales cost more than they save, and the result is slower.

    **What to do**
    fp8 for the large linear layers, with the accuracy checked on your own evaluation.

    **Evidence**
    tensor_active near its ceiling, hmma (GPM); fp8 and bf16 GEMM rates, measured by `advisor probe` or from
    the data sheet.

    **Source**
    - mamf-finder: an H100 reaches 1403 TFLOP/s in fp8 against 794 in bf16, 1.77x
    - ML.ENERGY, Qwen3-235B on 8 H100s: fp8 ran at 0.81x of bf16 at batch 8, 1.08x at batch 128
    """
    ratio = ratio_of(ctx, "bf16", "fp8")
    if ratio is None or not _limited_by(ctx, TENSOR_PIPES) or tensor_cores_idle(ctx):
        return None
    if tensor_kind(ctx) != "hmma":
        return None
    part = share(ctx, "compute")
    return finding(
        ctx,
        lower_precision,
        claim=f"{place(ctx)} is limited by its tensor cores {pct(part)} of the time; its fp8 GEMMs are "
        f"{ratio[0]:.2f} times as fast as bf16, if that is what runs.",
        share=part,
        evidence=(
            item("time limited by arithmetic", part, threshold=at_least(th.SECONDARY)),
            item("fp8 over bf16, GEMM rates", ratio[0], "", source=words(ratio[1])),
        ),
        actions=(
            "Training: Transformer Engine `fp8_autocast`, or torchao `convert_to_float8_training`.",
            "Serving: `--quantization fp8` (vLLM), or weights that come in fp8.",
        ),
        effect=_in_fp8(ctx, ratio),
        recoverable=sped_up(lost_to_compute(ctx), ratio[0]),
        confidence=0.6,
        severity="low",
    )


def _in_fp8(ctx: Context, ratio: tuple[float, str]) -> Effect:
    """As the what-if `fp8` says it: of compute-bound time, and of time that waits for weights as well."""
    shares = {name: share(ctx, name) for name in ("compute", "memory")}
    made = ctx.evidence.serving
    running = made.running if made is not None and (made.running or 0.0) >= 1.0 else None
    levers, how = eight_bits("fp8", shares["compute"], shares["memory"], ratio, running)
    return effect_of(shares, levers, f"{how}; if it runs bf16 now")


@rule("COMP006", "Tensor cores idle while fp32 works", "medium", "job", term="inefficiency")
def mixed_precision_unused(ctx: Context) -> Finding | None:
    """Below every roof, the fp32 pipe does the work and the tensor cores none of it.

    **What it detects**
    At least 15 % of the time below every roof, in which the fp32 pipe ran at a fifth of its ceiling or more
    and the tensor cores were idle, on a card whose TF32 rate is at least 1.3 times its fp32 rate.

    **Why it costs**
    Matrix work outside the tensor cores takes several times as long, and moves twice the bytes of bf16.

    **How to tell it apart**
    COMP003 is the same with the fp32 pipe at its roof. Models without matrix work (element-wise physics, tree
    models) have nothing to move.

    **What to do**
    Mixed precision, or at least TF32.

    **Evidence**
    fp32 and tensor counters (GPM), each over its reading at the ceiling; TF32 and fp32 rates.

    **Source**
    - PyTorch profiler plug-in: tensor-core time 0 on a card of capability 7.0 or later advises mixed
      precision
    - NVIDIA DLProf: tensor-core eligible operations that do not use them
    """
    part, ratio, used = share(ctx, "device"), tf32_pays(ctx), _fp32_used(ctx)
    if part < th.SECONDARY.value or ratio is None or used is None or not tensor_cores_idle(ctx):
        return None
    if used < th.PIPE_IN_USE.value or share(ctx, "compute") >= th.SECONDARY.value:
        return None
    high = amdahl(part, ratio[0])
    return finding(
        ctx,
        mixed_precision_unused,
        claim=f"{place(ctx)} computes in fp32 at {pct(used)} of that pipe's ceiling while its "
        "tensor cores idle.",
        share=part,
        evidence=(
            item(
                "fp32 pipe of its ceiling, while busy",
                used,
                threshold=at_least(th.PIPE_IN_USE),
                source=f"{reading_note(ctx.evidence, 'fp32')}; {words(label_of(ctx.ceilings, 'fp32'))}",
            ),
            idle_tensor_cores(ctx),
        ),
        actions=(
            '`torch.autocast("cuda", dtype=torch.bfloat16)` for training and inference.',
            '`torch.set_float32_matmul_precision("high")` allows TF32 for fp32 matrix products.',
        ),
        effect=Effect(
            low=1.0,
            high=high,
            bound=high,
            basis=f"TF32 over fp32 GEMMs, {ratio[0]:.1f}x ({ratio[1]} ceilings), on the share below every "
            "roof as far as it is matrix work; 1.0x where none of it is",
        ),
        recoverable=sped_up(min(part, inefficiency(ctx)), ratio[0]),
        confidence=0.5,
    )


def _fp32_used(ctx: Context) -> float | None:
    """The fp32 pipe while busy, over its reading at the ceiling."""
    value = busy_mean(ctx.evidence, "fp32")
    reading = ctx.ceilings.reading("fp32") if ctx.ceilings else None
    return None if value is None or reading is None or reading.frac <= 0 else min(1.0, value / reading.frac)


@rule("COMP007", "GEMMs run below this card's own ceiling", "medium", "job", term="inefficiency")
def below_own_ceiling(ctx: Context) -> Finding | None:
    """The tensor cores are the limit, alone on the card, and reach less than a probe's GEMM did.

    **What it detects**
    At least 15 % of the time limited by the tensor cores at 0.6 to 0.8 of what a probe measured on this very
    card, with no other process on it and no clock held down.

    **Why it costs**
    A probe's GEMM shows what the card can do; these take up to 1.7 times as long for the same operations.

    **How to tell it apart**
    With clocks held down DEV002 or DEV003 speaks, with several processes CAP004. Work that alternates with
    other kernels has a lower average too: the phases of a timeline show that.

    **What to do**
    Sizes that are multiples of 64 (128 bytes), batched instead of many small products, padding of odd
    vocabularies, tuned kernels.

    **Evidence**
    tensor counters (GPM) over their readings at a measured ceiling; processes; clocks-event reasons.

    **Source**
    - NVIDIA Matrix Multiplication Background User's Guide: tile and wave quantisation
    - gpu-fryer and mamf-finder: shape alone moves an H100's bf16 GEMM by tens of percent
    """
    roof, part = ctx.verdict.roofs.get("compute"), share(ctx, "compute")
    if roof is None or not _limited_by(ctx, TENSOR_PIPES) or not _alone_and_free(ctx):
        return None
    if not 0.0 < roof < th.ROOF_BOUND.value or label_of(ctx.ceilings, ctx.verdict.pipe) != "measured":
        return None
    high = amdahl(part, 1.0 / roof)
    return finding(
        ctx,
        below_own_ceiling,
        claim=f"{place(ctx)} reaches {roof:.2f} of what its tensor cores did in a probe, {pct(part)} of "
        "the time.",
        share=min(part * (1.0 - roof), inefficiency(ctx)),
        evidence=(
            item("time limited by arithmetic", part, threshold=at_least(th.SECONDARY)),
            item(
                "tensor roof fraction in that time",
                roof,
                threshold=f"< {th.ROOF_BOUND.value:g}",
                source=words(label_of(ctx.ceilings, ctx.verdict.pipe)),
            ),
        ),
        actions=(
            "Make matrix sizes multiples of 64; pad the vocabulary (50257 to 50304).",
            '`torch.compile(model, mode="max-autotune")` picks tile sizes and split-K by measuring.',
            "Join small products: grouped or batched GEMM, fused QKV projections.",
        ),
        effect=Effect(
            low=1.0, high=high, bound=high, basis="bound: all products run as the probe's GEMM did"
        ),
        confidence=0.7,
    )


def _alone_and_free(ctx: Context) -> bool:
    """One process on the card, as far as is known, and no clock held down."""
    workload = ctx.evidence.workload
    alone = workload is not None and workload.others == 0
    return alone and share(ctx, "throttle") < th.THROTTLE_NOTED.value

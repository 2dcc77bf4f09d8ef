"""Rules for time limited by arithmetic."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, inefficiency, item, pct, place, share
from rules.catalogue.memory import FP8_LOW
from rules.economics import amdahl
from rules.finding import Effect, Finding
from rules.observed import busy_mean, reading_note
from rules.registry import Context, clamp, finding, rule, severity_of
from rules.roofs import PIPES, TENSOR_PIPES
from rules.trust import label_of, rate_label, words
from rules.verdict import EvidenceItem

# A plain pipe -> the rate it gives, and the tensor-core rate that could take its place.
_TENSOR_RATE = {"fp32": ("fp32", "tf32"), "fp64": ("fp64", "fp64_tensor")}


def _items(ctx: Context) -> tuple[EvidenceItem, ...]:
    name = PIPES.get(ctx.verdict.pipe or "", "compute")
    return (
        item("time limited by arithmetic", share(ctx, "compute"), threshold=at_least(th.SECONDARY)),
        item(
            f"{name} roof fraction in that time",
            ctx.verdict.roofs.get("compute"),
            threshold=at_least(th.ROOF_HIGH),
            source=words(label_of(ctx.ceilings, ctx.verdict.pipe)),
        ),
    )


def _recoverable(ctx: Context) -> float:
    """Compute-bound time short of the pipe's roof."""
    short = 1.0 - clamp(ctx.verdict.roofs.get("compute", 0.0))
    return min(share(ctx, "compute") * short, inefficiency(ctx))


def _at_roof(ctx: Context) -> str:
    roof = ctx.verdict.roofs.get("compute")
    return "" if roof is None else f", at {roof:.2f} of their roof"


def _ratio(ctx: Context, slow: str, fast: str) -> tuple[float, str] | None:
    """How many times `fast` outruns `slow` by this card's ceilings, and the label of the weaker one."""
    below = ctx.ceilings.ceiling(slow) if ctx.ceilings else None
    above = ctx.ceilings.ceiling(fast) if ctx.ceilings else None
    if below is None or above is None or below.value <= 0 or above.value <= below.value:
        return None
    return above.value / below.value, rate_label(ctx.ceilings, below, above)


@rule(
    "COMP001",
    "Tensor cores are the limit",
    "medium",
    "job",
    term="inefficiency",
    causes=("tensor-cores", "compute-throughput"),
)
def tensor_cores(ctx: Context) -> Finding | None:
    """The tensor cores are near what they can do on this card.

    **What it detects**
    At least 15 % of the time ran near a tensor pipe's roof (0.6 of its reading at the ceiling or more), above
    the DRAM roof. Without GPM, power near its limit stands in for it.

    **Why it costs**
    Near the roof this is the work paid for; any dollars named are the distance to the roof. What is left to
    gain is fewer or cheaper operations.

    **How to tell it apart**
    COMP002 is arithmetic on pipes other than the tensor cores. GPM has no counter for fp8, so which precision
    keeps the cores busy cannot be read.

    **What to do**
    A lower precision (fp8 from compute capability 8.9 on), less recomputation, sizes that are multiples of
    64, or simply more GPUs.

    **Evidence**
    tensor_active, hmma, imma, dfma, dmma (GPM) over their readings at the ceiling.

    **Source**
    - mamf-finder: an H100 reaches 1403 TFLOP/s in fp8 against 794 in bf16, 1.77x
    - ML.ENERGY, Qwen3-235B on 8 H100s: fp8 ran at 0.81x of bf16 at batch 8
    """
    part = share(ctx, "compute")
    if part < th.SECONDARY.value or (ctx.verdict.pipe or "tensor_active") not in TENSOR_PIPES:
        return None
    return finding(
        ctx,
        tensor_cores,
        claim=f"{place(ctx)} is limited by its tensor cores {pct(part)} of the time{_at_roof(ctx)}."
        if ctx.verdict.pipe
        else f"{place(ctx)} is limited by arithmetic {pct(part)} of the time, as far as its power tells.",
        share=part,
        evidence=_items(ctx),
        actions=(
            "Where accuracy allows, fp8 (Transformer Engine, torchao) on compute capability 8.9 and later.",
            "Keep matrix sizes multiples of 64, and recompute activations only where memory needs it.",
        ),
        effect=_fp8_effect(ctx, part),
        recoverable=_recoverable(ctx),
        severity=severity_of(_recoverable(ctx), "medium"),
    )


def _fp8_effect(ctx: Context, part: float) -> Effect | None:
    ratio = _ratio(ctx, "bf16", "fp8")
    if ratio is None:
        return None
    return Effect(
        low=amdahl(part, FP8_LOW),
        high=amdahl(part, ratio[0]),
        bound=amdahl(part, ratio[0]),
        basis=f"fp8 over bf16 GEMMs, {ratio[0]:.2f}x ({ratio[1]} ceilings), on the compute-bound share, if "
        "it runs bf16 now; the low end is fp8 at 0.81x of bf16, as seen on Qwen3-235B at batch 8 (ML.ENERGY)",
    )


@rule(
    "COMP002",
    "Arithmetic bypasses the tensor cores",
    "high",
    "job",
    term="inefficiency",
    causes=("fp32-pipe", "fp64-pipe", "fp16-pipe", "integer-pipe"),
)
def plain_pipes(ctx: Context) -> Finding | None:
    """The limit is the fp32, fp64, fp16 or integer pipe, while the tensor cores idle.

    **What it detects**
    At least 15 % of the time ran near the roof of a pipe other than the tensor cores, which were idle.

    **Why it costs**
    On data-centre cards the tensor cores do matrix products several times as fast as the other pipes.

    **How to tell it apart**
    Only matrix products and convolutions can move to the tensor cores; a kernel of scalar arithmetic cannot.
    The profiler's kernel names (`sgemm`, `dgemm`) tell.

    **What to do**
    Allow TF32 (`torch.set_float32_matmul_precision("high")`), or mixed precision (`torch.autocast`).

    **Evidence**
    fp32, fp64, fp16, int and tensor counters (GPM).

    **Source**
    - PyTorch profiler plug-in: tensor-core time 0 on a card of capability 7.0 or later advises mixed
      precision
    - NVIDIA DLProf: tensor-core eligible operations that do not use them
    """
    part, pipe = share(ctx, "compute"), ctx.verdict.pipe
    tensor = busy_mean(ctx.evidence, "tensor_active")
    if part < th.SECONDARY.value or pipe is None or pipe in TENSOR_PIPES:
        return None
    if tensor is not None and tensor >= th.TENSOR_IDLE.value:
        return None
    name = PIPES.get(pipe, pipe)
    return finding(
        ctx,
        plain_pipes,
        claim=f"{place(ctx)} is limited by its {name} {pct(part)} of the time while its tensor cores idle.",
        share=part,
        evidence=(
            *_items(ctx),
            item(
                "tensor cores while busy",
                tensor,
                threshold=f"< {th.TENSOR_IDLE.value:g}",
                source=reading_note(ctx.evidence, "tensor_active"),
            ),
        ),
        actions=_move(pipe),
        effect=_tensor_effect(ctx, part, pipe),
        confidence=1.0 if tensor is not None else 0.5,
        recoverable=_recoverable(ctx),
        severity=None if pipe in _TENSOR_RATE else "low",
    )


def _move(pipe: str) -> tuple[str, ...]:
    if pipe == "fp64":
        return (
            "Use cuBLAS and cuSOLVER for matrix work: on A100 and H100 they use the fp64 tensor cores.",
            "Check whether fp32 with iterative refinement is accurate enough.",
        )
    return (
        '`torch.set_float32_matmul_precision("high")` allows TF32 for fp32 matrix products.',
        '`torch.autocast("cuda", dtype=torch.bfloat16)` for training and inference.',
    )


def _tensor_effect(ctx: Context, part: float, pipe: str) -> Effect | None:
    rates = _TENSOR_RATE.get(pipe)
    ratio = _ratio(ctx, *rates) if rates else None
    if rates is None or ratio is None:
        return None
    high = amdahl(part, ratio[0])
    return Effect(
        low=1.0,
        high=high,
        bound=high,
        basis=f"{rates[1]} over {rates[0]} GEMMs, {ratio[0]:.1f}x ({ratio[1]} ceilings), on the "
        "compute-bound share, as far as it is matrix work; 1.0x where none of it is",
    )

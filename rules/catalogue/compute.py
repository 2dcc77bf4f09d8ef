"""Rules for time limited by arithmetic."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, held_against, inefficiency, item, pct, place, share
from rules.economics import amdahl
from rules.finding import Effect, Finding
from rules.observed import busy_mean, reading_note
from rules.registry import Context, Rule, clamp, finding, rule, severity_of
from rules.roofs import PIPES, TENSOR_PIPES
from rules.trust import label_of, rate_label, words
from rules.verdict import EvidenceItem

# A plain pipe -> the rate it gives, and the tensor-core rate that could take its place.
_TENSOR_RATE = {"fp64": ("fp64", "fp64_tensor")}
# What tensor_active is made of, each with a counter of its own.
_KINDS = ("hmma", "imma", "dfma", "dmma")


def _items(ctx: Context) -> tuple[EvidenceItem, ...]:
    name, roof = PIPES.get(ctx.verdict.pipe or "", "compute"), ctx.verdict.roofs.get("compute")
    return (
        item("time limited by arithmetic", share(ctx, "compute"), threshold=at_least(th.SECONDARY)),
        item(
            f"{name} roof fraction in that time",
            roof,
            threshold=held_against(roof, th.ROOF_HIGH),
            source=words(label_of(ctx.ceilings, ctx.verdict.pipe)),
        ),
    )


def lost_to_compute(ctx: Context) -> float:
    """Compute-bound time short of the pipe's roof."""
    short = 1.0 - clamp(ctx.verdict.roofs.get("compute", 0.0))
    return min(share(ctx, "compute") * short, inefficiency(ctx))


def sped_up(lost: float, ratio: float) -> float:
    """What of `lost` time goes where all of it runs `ratio` times as fast.

    A fix that speeds up a whole share takes as much of its useful time, which no bill calls wasted.
    """
    return lost * (1.0 - 1.0 / ratio)


def _at_roof(ctx: Context) -> str:
    roof = ctx.verdict.roofs.get("compute")
    return "" if roof is None else f", at {roof:.2f} of their roof"


def tensor_kind(ctx: Context) -> str | None:
    """The counter of the kind of tensor work that fills `tensor_active`: hmma, imma, dfma or dmma.

    None where none was read, or none makes up half of it: then nothing says which precision runs.
    """
    every = busy_mean(ctx.evidence, "tensor_active")
    seen = {kind: busy_mean(ctx.evidence, kind) or 0.0 for kind in _KINDS}
    busiest = max(_KINDS, key=lambda kind: seen[kind])
    if seen[busiest] > 0.0 and seen[busiest] >= 0.5 * (every or 0.0):
        return busiest
    return ctx.verdict.pipe if ctx.verdict.pipe in _KINDS and not any(seen.values()) else None


def _tensor_words(ctx: Context) -> str:
    return PIPES[tensor_kind(ctx) or "tensor_active"]


def ratio_of(ctx: Context, slow: str, fast: str) -> tuple[float, str] | None:
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
    COMP002, COMP003 and COMP004 are arithmetic on pipes other than the tensor cores. GPM counts half, integer
    and fp64 tensor work apart, and the claim names what most of it is; fp8 has no counter.

    **What to do**
    Less recomputation, a lower precision (COMP005), better shapes (COMP007), or simply more GPUs.

    **Evidence**
    tensor_active, hmma, imma, dfma, dmma (GPM) over their readings at the ceiling.

    **Source**
    - Nsight Compute Speed of Light: 60 % of a roof is high, 80 % a bottleneck
    """
    part = share(ctx, "compute")
    if part < th.SECONDARY.value or (ctx.verdict.pipe or "tensor_active") not in TENSOR_PIPES:
        return None
    return finding(
        ctx,
        tensor_cores,
        claim=f"{place(ctx)} is limited by its {_tensor_words(ctx)} {pct(part)} of the time{_at_roof(ctx)}."
        if ctx.verdict.pipe
        else f"{place(ctx)} is limited by arithmetic {pct(part)} of the time, as far as its power tells.",
        share=part,
        evidence=_items(ctx),
        actions=(
            "Fewer operations: recompute activations only where memory needs it (`checkpoint` less often).",
            "More GPUs, once COMP005 and COMP007 have nothing left to say.",
        ),
        recoverable=lost_to_compute(ctx),
        severity=severity_of(lost_to_compute(ctx), "medium"),
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
    """The limit is a pipe other than the tensor cores, while those idle.

    **What it detects**
    At least 15 % of the time ran near the roof of the fp32, fp64, fp16 or integer pipe; the tensor cores
    were idle.

    **Why it costs**
    On data-centre cards the tensor cores do matrix products several times as fast as the other pipes.

    **How to tell it apart**
    Only matrix products and convolutions can move to the tensor cores; a kernel of scalar arithmetic cannot.
    The profiler's kernel names (`sgemm`, `dgemm`) tell. COMP003: fp32 where TF32 is known to be much faster.
    COMP004: fp64 on a card that has little of it.

    **What to do**
    Mixed precision (`torch.autocast`) for matrix work; for fp64, libraries that use the fp64 tensor cores.

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
    if _tf32_ratio(ctx) is not None or _fp64_ratio(ctx) is not None:
        return None
    name = PIPES.get(pipe, pipe)
    return finding(
        ctx,
        plain_pipes,
        claim=f"{place(ctx)} is limited by its {name} {pct(part)} of the time while its tensor cores idle.",
        share=part,
        evidence=(
            *_items(ctx),
            idle_tensor_cores(ctx),
        ),
        actions=_move(pipe),
        effect=_tensor_effect(ctx, part, pipe),
        confidence=1.0 if tensor is not None else 0.5,
        recoverable=_won_by_tensor_cores(ctx, pipe),
        severity=None if pipe in ("fp32", "fp64") else "low",
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
    ratio = ratio_of(ctx, *rates) if rates else None
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


def _won_by_tensor_cores(ctx: Context, pipe: str) -> float:
    """What of the lost time they would win back, by the ratio of rates where one is known."""
    rates = _TENSOR_RATE.get(pipe)
    ratio = ratio_of(ctx, *rates) if rates else None
    return lost_to_compute(ctx) if ratio is None else sped_up(lost_to_compute(ctx), ratio[0])


def idle_tensor_cores(ctx: Context) -> EvidenceItem:
    """The line that says that the tensor cores had nothing to do."""
    return item(
        "tensor cores while busy",
        busy_mean(ctx.evidence, "tensor_active"),
        threshold=f"< {th.TENSOR_IDLE.value:g}",
        source=reading_note(ctx.evidence, "tensor_active"),
    )


def tensor_cores_idle(ctx: Context) -> bool:
    """Whether the counter was read and says that the tensor cores had nothing to do."""
    tensor = busy_mean(ctx.evidence, "tensor_active")
    return tensor is not None and tensor < th.TENSOR_IDLE.value


def tf32_pays(ctx: Context) -> tuple[float, str] | None:
    """How many times TF32 outruns fp32 on this card, and the label of that; None where it does not pay."""
    ratio = ratio_of(ctx, "fp32", "tf32")
    return ratio if ratio is not None and ratio[0] >= th.TF32_PAYS.value else None


def _bound_by(ctx: Context, pipe: str) -> bool:
    return share(ctx, "compute") >= th.SECONDARY.value and ctx.verdict.pipe == pipe and tensor_cores_idle(ctx)


def _tf32_ratio(ctx: Context) -> tuple[float, str] | None:
    return tf32_pays(ctx) if _bound_by(ctx, "fp32") else None


def _fp64_ratio(ctx: Context) -> tuple[float, str] | None:
    """How many times fp32 outruns fp64 here, where that is by design and the fp64 pipe is the limit."""
    ratio = ratio_of(ctx, "fp64", "fp32") if _bound_by(ctx, "fp64") else None
    return ratio if ratio is not None and ratio[0] * th.FP64_SLOW.value >= 1.0 else None


def _moved(
    ctx: Context,
    found: Rule,
    ratio: tuple[float, str],
    what: str,
    *,
    claim: str,
    limit: str,
    actions: tuple[str, ...],
    confidence: float = 1.0,
) -> Finding:
    """What both rules of a faster rate say: `what` is so many times as fast, on the share bound by a pipe."""
    part = share(ctx, "compute")
    high = amdahl(part, ratio[0])
    return finding(
        ctx,
        found,
        claim=claim,
        share=part,
        evidence=(
            *_items(ctx),
            idle_tensor_cores(ctx),
            item(f"{what}, rates", ratio[0], "", source=words(ratio[1])),
        ),
        actions=actions,
        effect=Effect(
            low=1.0,
            high=high,
            bound=high,
            basis=f"{what}, {ratio[0]:.1f}x ({ratio[1]} ceilings), on the compute-bound share, {limit}",
        ),
        recoverable=sped_up(lost_to_compute(ctx), ratio[0]),
        confidence=confidence,
    )


@rule(
    "COMP003",
    "fp32 pipe is the limit; TF32 may help",
    "medium",
    "job",
    term="inefficiency",
    causes=("fp32-pipe",),
)
def tf32_off(ctx: Context) -> Finding | None:
    """The fp32 pipe is the limit on a card whose tensor cores do matrix work in TF32 several times as fast.

    **What it detects**
    At least 15 % of the time ran near the fp32 pipe's roof while the tensor cores were idle, on a card whose
    TF32 rate is at least 1.3 times its fp32 rate.

    **Why it costs**
    PyTorch computes fp32 matrix products without tensor cores unless TF32 is allowed. The dollars named are
    what goes of the distance to the roof that this work has now; what it saves beyond that was never wasted.

    **How to tell it apart**
    No counter tells matrix work in fp32 from other fp32 arithmetic (particles, stencils, own kernels), which
    gains nothing, so this is said with little confidence. Kernel names with `sgemm` or `simt` in a profile
    are matrix work. Convolutions use TF32 by default, matrix products do not.

    **What to do**
    For matrix work allow TF32: it keeps fp32's range and 10 bits of mantissa. Check the loss once.

    **Evidence**
    fp32 and tensor counters (GPM); the card's fp32 and TF32 rates, measured by `advisor probe` or from its
    data sheet.

    **Source**
    - PyTorch documentation, CUDA semantics: TF32 is off for matrix products by default
    - Measured on one H100: TF32 372 to 402 TFLOP/s, fp32 without it 51.9 TFLOP/s
    """
    ratio = _tf32_ratio(ctx)
    if ratio is None:
        return None
    return _moved(
        ctx,
        tf32_off,
        ratio,
        "TF32 over fp32 GEMMs",
        claim=f"{place(ctx)} is limited by its fp32 pipe {pct(share(ctx, 'compute'))} of the time while its "
        f"tensor cores idle; what of it is matrix work runs {ratio[0]:.1f} times as fast in TF32.",
        limit="as far as it is matrix work; 1.0x where none of it is",
        actions=(
            '`torch.backends.cuda.matmul.fp32_precision = "tf32"` (2.9 on), before that '
            '`torch.set_float32_matmul_precision("high")`.',
            "`env | grep NVIDIA_TF32_OVERRIDE`: 0 switches TF32 off whatever the program says.",
            'Or mixed precision: `torch.autocast("cuda", dtype=torch.bfloat16)`.',
        ),
        confidence=0.5,
    )


@rule(
    "COMP004",
    "fp64 on a card that has little of it",
    "high",
    "job",
    term="inefficiency",
    causes=("fp64-pipe",),
)
def slow_fp64(ctx: Context) -> Finding | None:
    """Double precision is the limit on a card that does it at a small part of its fp32 rate.

    **What it detects**
    At least 15 % of the time ran near the fp64 pipe's roof while the tensor cores were idle, on a card whose
    fp64 rate is at most a tenth of its fp32 rate.

    **Why it costs**
    Cards for graphics and inference do 1/32 to 1/64 of their fp32 rate in fp64; V100, A100 and H100 do half.

    **How to tell it apart**
    COMP002 names the fp64 pipe on cards that are built for it. An fp64 scalar that slipped into an fp32
    program (a Python float in a NumPy or CuPy array) looks the same and is the cheapest to mend.

    **What to do**
    fp32 where accuracy allows, fp32 with iterative refinement, or a card with fast fp64.

    **Evidence**
    fp64 and tensor counters (GPM); the card's fp64 and fp32 rates.

    **Source**
    - Data sheets: fp64 over fp32 is 1/32 on T4 and A10-class cards, 1/64 on Ada, 1/2 on V100, A100 and H100
    """
    ratio = _fp64_ratio(ctx)
    if ratio is None:
        return None
    return _moved(
        ctx,
        slow_fp64,
        ratio,
        "fp32 over fp64",
        claim=f"{place(ctx)} is limited by its fp64 pipe {pct(share(ctx, 'compute'))} of the time; this card "
        f"does fp32 {ratio[0]:.0f} times as fast.",
        limit="if none of it needs fp64; 1.0x if all of it does",
        actions=(
            "Look for unwanted fp64: `x.dtype`, `numpy` defaults, `torch.set_default_dtype(torch.float32)`.",
            "Solvers: fp32 factorisation with iterative refinement (`cusolverDnIRSXgesv`).",
            "Where fp64 is needed, run on V100, A100, H100, H200 or GH200.",
        ),
    )

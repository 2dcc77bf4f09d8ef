"""Rules for kernels that keep the device busy and do not fill it: grids, warps, uneven work, latency."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, inefficiency, item, pct, place, room_to_grow, share
from rules.economics import amdahl
from rules.finding import Effect, Finding
from rules.observed import reading_note
from rules.peers import LIKE_A_WAIT, may_wait
from rules.registry import Context, Rule, clamp, finding, rule
from rules.verdict import EvidenceItem

# A bound stays a number where next to nothing of the device was in use.
_LEAST_EFFICIENCY = 0.01


# Samples of SMs cannot tell a small kernel from one that waits for other GPUs; names of kernels can.
_TELL_A_WAIT = (
    "`nsys profile -t cuda,nvtx COMMAND` on two ranks: long `ncclDevKernel` rows wait for other ranks.",
    "Compare how long each rank computes between collectives: the slowest one keeps the others waiting.",
)


def _active(ctx: Context) -> float | None:
    """Part of the SMs with work in the time below every roof."""
    return ctx.verdict.class_mean("device", "sm_active")


def _occupancy(ctx: Context) -> float | None:
    """Part of the warp slots filled in that time."""
    return ctx.verdict.class_mean("device", "sm_occupancy")


def _waits_for_peers(ctx: Context) -> bool:
    return may_wait(ctx.verdict, ctx.siblings)


def _or_waits(ctx: Context) -> str:
    return ", or wait for the job's other GPUs in a collective" if _waits_for_peers(ctx) else ""


def _sure(ctx: Context) -> float:
    return LIKE_A_WAIT if _waits_for_peers(ctx) else 1.0


def _kind(ctx: Context) -> str | None:
    """What keeps the busy time from every roof: a cause's slug, "uneven", "unseen" without SM counters.

    None where there is too little of such time. The verdict's cause goes first, so that both say the same.
    """
    if share(ctx, "device") < th.SECONDARY.value:
        return None
    active, occupancy = _active(ctx), _occupancy(ctx)
    if active is None:
        return "unseen"
    kind = _named(ctx) or _seen(active, occupancy)
    if kind == "low-occupancy" and occupancy is None:
        return "unseen"
    return "uneven" if kind == "latency" and active < th.SM_UNEVEN.value else kind


def _named(ctx: Context) -> str | None:
    cause = ctx.verdict.cause if ctx.verdict.class_ == "device" else ctx.verdict.secondary_cause
    return cause if cause in ("small-grid", "low-occupancy", "latency") else None


def _seen(active: float, occupancy: float | None) -> str:
    if active < th.LAUNCH_SM_ACTIVE.value:
        return "small-grid"
    if occupancy is not None and occupancy < th.LOW_OCCUPANCY.value:
        return "low-occupancy"
    return "latency"


def _items(ctx: Context, active: str | None = None, occupancy: str | None = None) -> tuple[EvidenceItem, ...]:
    """The lines these rules share; `active` and `occupancy` are the thresholds that they met."""
    return (
        item("busy time below every roof", share(ctx, "device"), threshold=at_least(th.SECONDARY)),
        item(
            "SMs with work in that time",
            _active(ctx),
            threshold=active,
            source=reading_note(ctx.evidence, "sm_active"),
        ),
        item(
            "occupancy in that time",
            _occupancy(ctx),
            threshold=occupancy,
            source=reading_note(ctx.evidence, "sm_occupancy"),
        ),
        item(
            "larger roof fraction in that time",
            ctx.verdict.roofs.get("device"),
            threshold=f"< {th.ROOF_HIGH.value:g}",
        ),
    )


def _below(limit: th.Threshold) -> str:
    return f"< {limit.value:g}"


def _reached(ctx: Context) -> float:
    """What the busy time achieved of what it could: the best roof, or the SMs in use if no roof is known."""
    best = ctx.verdict.roofs.get("device", _active(ctx))
    return max(_LEAST_EFFICIENCY, clamp(1.0 if best is None else best))


def _recoverable(ctx: Context, reached: float) -> float:
    return min(share(ctx, "device") * (1.0 - reached), inefficiency(ctx))


def _effect(part: float, reached: float, what: str) -> Effect:
    high = amdahl(part, 1.0 / reached)
    return Effect(low=1.0, high=high, bound=high, basis=f"bound: {what}; low end not measured")


def _roof_effect(ctx: Context) -> Effect:
    reached = _reached(ctx)
    return _effect(
        share(ctx, "device"), reached, f"the share runs at its roof instead of {reached:.2f} of it"
    )


def _slow(
    ctx: Context,
    found: Rule,
    why: str,
    *,
    evidence: tuple[EvidenceItem, ...],
    actions: tuple[str, ...],
    effect: Effect,
    reached: float,
    confidence: float = 1.0,
) -> Finding:
    """What these rules say: so much of the time below every roof, `reached` of what it could be, and why."""
    part = share(ctx, "device")
    return finding(
        ctx,
        found,
        claim=f"{place(ctx)} is busy {pct(part)} of the time, far from any roof: {why}.",
        share=part,
        evidence=evidence,
        actions=actions,
        effect=effect,
        recoverable=_recoverable(ctx, reached),
        confidence=confidence,
    )


@rule("DEV001", "Busy, but far below every roof", "high", "job", term="inefficiency", causes=("latency",))
def latency(ctx: Context) -> Finding | None:
    """Kernels run, fill the SMs, and yet come near no roof: they wait on latency.

    **What it detects**
    At least 15 % of the time something ran below 0.6 of the DRAM roof and of every pipe's roof, with work on
    the SMs and enough warps; or no counter says how the SMs were used.

    **Why it costs**
    "100 % utilised" only says that a kernel was resident. The card does a fraction of what is paid for.

    **How to tell it apart**
    DEV007: SMs without work. DEV008: too few warps to hide latency. DEV009: SMs that finish early. What is
    left is waiting inside kernels: dependent loads, atomics on few addresses, barriers, divergence. A thread
    at a full core that launches small kernels is HOST002 instead.

    **What to do**
    Find the kernel and its stall reason with Nsight Compute; for atomics, reduce within a block first.

    **Evidence**
    gr_active, sm_active, sm_occupancy and the roofs (GPM).

    **Source**
    - Nsight Compute SOLBottleneck: below 60 % on both roofs is latency or a small grid
    - Nsight Compute CPIStall: a stall reason over 30 % of the cycles per issue
    """
    kind = _kind(ctx)
    if kind not in ("latency", "unseen"):
        return None
    return _slow(
        ctx,
        latency,
        "its kernels wait on latency" if kind == "latency" else _unseen(ctx),
        evidence=_items(ctx),
        actions=(
            *room_to_grow(ctx.evidence),
            "`ncu --section SpeedOfLight --section WarpStateStats -c 20 COMMAND` names the stall reason.",
            "Reduce atomics within a block before they go to memory; load ahead (`cp.async`, unrolling).",
        ),
        effect=_roof_effect(ctx),
        reached=_reached(ctx),
    )


def _unseen(ctx: Context) -> str:
    """What is unknown of the SMs, and why, as far as that was said."""
    missing = ctx.evidence.missing
    known = [missing.get(f"gpm.{name}") for name in ("sm_active", "sm_occupancy")]
    because = next((why for why in (*known, missing.get("gpm")) if why), "the counter was not read")
    return f"how it uses its SMs is unknown, because {because}"


@rule("DEV007", "Kernels use few of the SMs", "high", "job", term="inefficiency", causes=("small-grid",))
def small_grid(ctx: Context) -> Finding | None:
    """A kernel is resident all the time, and most SMs have nothing to do.

    **What it detects**
    At least 15 % of the time below every roof, in which fewer than half of the SMs had work: grids smaller
    than the number of SMs.

    **Why it costs**
    An SM without a block does nothing; the whole card is paid for.

    **How to tell it apart**
    Short kernels with pauses between them look alike: then a thread of the process launches at a full core
    (HOST002). DEV009 is uneven work on more than half of the SMs. A collective (NCCL) that waits for other
    ranks holds few SMs as well: where the job runs on several GPUs and no tensor core works meanwhile, the
    finding says so, is less sure, and advises neither MPS nor a slice.

    **What to do**
    More blocks: a larger batch, split-K or split-KV variants, several streams, or several processes (MPS) on
    one GPU; a MIG slice where the problem is as small as that.

    **Evidence**
    sm_active over gr_active (GPM) in that time, number of SMs; the node's other GPUs and their jobs.

    **Source**
    - Nsight Compute LaunchConfiguration: grid below the number of SMs; speed-up up to (SMs - grid)/SMs of the
      kernel's time
    - DCGM field guide: SM activity below 0.5 is likely ineffective use
    """
    active = _active(ctx)
    if _kind(ctx) != "small-grid" or active is None:
        return None
    saved = f"all SMs work instead of {pct(active)}, (SMs - grid)/SMs of that time saved"
    return _slow(
        ctx,
        small_grid,
        f"its kernels use {pct(active)} of {_sms(ctx)}{_or_waits(ctx)}",
        evidence=_items(ctx, active=_below(th.LAUNCH_SM_ACTIVE)),
        actions=_TELL_A_WAIT if _waits_for_peers(ctx) else _larger_grids(ctx),
        effect=_effect(share(ctx, "device"), max(_LEAST_EFFICIENCY, active), saved),
        reached=clamp(active),
        confidence=_sure(ctx),
    )


def _larger_grids(ctx: Context) -> tuple[str, ...]:
    return (
        *room_to_grow(ctx.evidence),
        "Run several processes on this GPU (CUDA MPS), or give the job a MIG slice.",
        "`ncu --section LaunchStats -c 20 COMMAND` shows grid sizes beside the number of SMs.",
    )


def _sms(ctx: Context) -> str:
    count = ctx.evidence.device.sm_count or (ctx.ceilings.sm_count if ctx.ceilings else None)
    return "the SMs" if count is None else f"its {count} SMs"


@rule(
    "DEV008", "Too few warps to hide latency", "high", "job", term="inefficiency", causes=("low-occupancy",)
)
def low_occupancy(ctx: Context) -> Finding | None:
    """The SMs have work, and too few warps of it to have one ready while the others wait.

    **What it detects**
    At least 15 % of the time below every roof, with work on half of the SMs or more and less than a quarter
    of the warp slots filled.

    **Why it costs**
    A warp waits hundreds of cycles for memory. Without others to run meanwhile, the SM waits too.

    **How to tell it apart**
    DEV007: most SMs have no block at all. Kernels near a roof need no occupancy: large GEMMs run with few
    warps by design, and are not below every roof. Waits in collectives fill few warp slots too: see DEV007.

    **What to do**
    Fewer registers (`__launch_bounds__`, `-maxrregcount`) or less shared memory per block, larger or more
    blocks per SM; in Triton fewer stages or another `num_warps`.

    **Evidence**
    sm_occupancy and sm_active over gr_active (GPM).

    **Source**
    - Nsight Compute AchievedOccupancy and Occupancy: registers, shared memory or block size limit the warps
    - DCGM field guide: occupancy matters where latency is to be hidden
    """
    occupancy = _occupancy(ctx)
    if _kind(ctx) != "low-occupancy" or occupancy is None:
        return None
    return _slow(
        ctx,
        low_occupancy,
        f"only {pct(occupancy)} of the warp slots are filled, {_too_few(ctx)}",
        evidence=_items(ctx, occupancy=_below(th.LOW_OCCUPANCY)),
        actions=_TELL_A_WAIT if _waits_for_peers(ctx) else _more_warps(ctx),
        effect=_roof_effect(ctx),
        reached=_reached(ctx),
        confidence=_sure(ctx),
    )


def _too_few(ctx: Context) -> str:
    said = "too few to hide latency"
    return f"{said}, or it waits for the job's other GPUs in a collective" if _waits_for_peers(ctx) else said


def _more_warps(ctx: Context) -> tuple[str, ...]:
    return (
        "`ncu --section Occupancy -c 20 COMMAND` says if registers, shared memory or blocks limit it.",
        "Own kernels: `__launch_bounds__(threads, blocks)` `-maxrregcount`; Triton: another `num_warps`.",
        *room_to_grow(ctx.evidence),
    )


@rule("DEV009", "SMs run out of work before kernels end", "medium", "job", term="inefficiency")
def uneven(ctx: Context) -> Finding | None:
    """Kernels keep more than half of the SMs at work, and the others wait for the last blocks.

    **What it detects**
    At least 15 % of the time below every roof, in which 50 to 90 % of the SMs had work on average, with
    enough warps on those.

    **Why it costs**
    A kernel ends with its last block. A last wave that fills a few SMs takes as long as a full one.

    **How to tell it apart**
    200 ms hold many kernels, so the average cannot tell a short last wave from blocks of unequal length, nor
    from pauses of microseconds between kernels, nor from waits in collectives (DEV007); the profiler's grid
    sizes and kernel names can. DEV007: less than half.

    **What to do**
    Grids that are a multiple of SMs times blocks per SM, smaller tiles, stream-K or persistent kernels,
    balanced blocks (sort sequences by length, CSR rows by size).

    **Evidence**
    sm_active over gr_active (GPM).

    **Source**
    - Nsight Compute LaunchConfiguration (tail effect: a last wave of 20 % or more) and WorkloadImbalance
    """
    active = _active(ctx)
    if _kind(ctx) != "uneven" or active is None:
        return None
    whole = "every SM works to the end of each kernel"
    return _slow(
        ctx,
        uneven,
        f"on average {pct(1 - active)} of {_sms(ctx)} have no work while kernels run",
        evidence=_items(ctx, active=_below(th.SM_UNEVEN)),
        actions=(
            "`ncu --section LaunchStats --section WorkloadDistribution -c 20 COMMAND` shows waves per SM.",
            "Make the grid a multiple of the SMs, take smaller tiles, or a persistent or stream-K kernel.",
            "Even out the blocks: sort sequences by length, split long rows.",
        ),
        effect=_effect(share(ctx, "device"), max(_LEAST_EFFICIENCY, active), whole),
        reached=clamp(active),
        confidence=0.7,
    )

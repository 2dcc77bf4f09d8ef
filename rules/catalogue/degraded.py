"""Rules for a GPU that falls behind: its own past, or its siblings in the same job."""

from __future__ import annotations

import statistics

from rules import thresholds as th
from rules.catalogue.common import item, place, share
from rules.economics import amdahl
from rules.finding import Effect, Finding, Severity
from rules.registry import Context, finding, rule
from rules.siblings import Sibling, busy_clock, comrades
from rules.verdict import EvidenceItem

# A clock that reads as next to none promises nothing without bound.
_SLOWEST = 0.1
# With two GPUs one is slower, and nothing says which of them is unusual.
_TELLING = 2


def clock_bound(ctx: Context) -> float:
    """Share of time that runs faster with the SM clock: compute, and what held-down clocks cost."""
    return share(ctx, "compute") + share(ctx, "throttle")


def booked_as_throttle(ctx: Context, part: float) -> float:
    """Of a share of time that a higher clock would save, what the ladder counts as lost to held-down clocks.

    Roof fractions are of what the card can do at the clock that it runs. So where nothing is said to hold the
    clock down, that time is useful or inefficient in the ladder, and the fix does more for the same money.
    """
    return min(part, ctx.ladder.shares.get("throttle", 0.0))


def slower_clock_effect(part: float, ratio: float, compared: str) -> Effect:
    """What the full clock would buy, on the time that follows it."""
    high = amdahl(part, 1.0 / max(ratio, _SLOWEST))
    return Effect(
        low=1.0,
        high=high,
        bound=high,
        basis=f"bound: the share that follows the clock runs at {compared}; low end not measured",
    )


@rule("DEV018", "Holds a lower clock than its own probe did", "medium", "fleet", "window")
def below_own_past(ctx: Context) -> Finding | None:
    """The card no longer holds the clock at which it once ran its probe's GEMMs, and no reason is given.

    **What it detects**
    While the GPU works (half of the time or more, for three seconds), its median SM clock is below 0.93 of
    the lowest clock at which the probe's GEMMs were held on this very card, at the same power limit, and no
    other finding about clocks explains it.

    **Why it costs**
    Compute-bound work slows down with the clock, and the loss grows unseen: utilisation stays at 100 %.

    **How to tell it apart**
    A GEMM that fills the tensor cores draws more than almost any program, so a program that holds less has a
    worse card than the probe had. A lowered limit is DEV002, heat DEV003, a pinned clock DEV010. A program
    that draws more than the probe did looks alike: probing again decides.

    **What to do**
    Probe again while nothing else runs; look at temperature, cooling and power supply; compare siblings.

    **Evidence**
    SM clock (NVML), the clock that the probe held (ceilings, measured).

    **Source**
    - FlashInfer PR #2899: the clock that sustained work leaves is the card's real one
    - advisor: runs of a probe agree within 2 %; to be validated on labelled workloads
    """
    held, now = _probed_clock(ctx), busy_clock(ctx.evidence)
    if held is None or now is None or held <= 0.0 or now >= th.OWN_CLOCK.value * held or _explained(ctx):
        return None
    ratio, part = now / held, clock_bound(ctx)
    return finding(
        ctx,
        below_own_past,
        claim=f"{place(ctx)} holds {now:.0f} MHz under load; when probed it held {held:.0f} MHz"
        f" at the same power limit ({ratio:.2f} of it).",
        share=part * (1.0 - ratio),
        evidence=(
            item("SM clock while busy, median", now, "mhz", f"< {th.OWN_CLOCK.value * held:.0f}", "NVML"),
            item("SM clock that the probe's GEMMs held", held, "mhz", source="probe of this card"),
            item("highest temperature", ctx.evidence.temp_c_max, "c", source="NVML"),
        ),
        actions=(
            f"`advisor probe --device {ctx.evidence.gpu}` while nothing runs there: does it still hold it?",
            f"`nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE -i {ctx.evidence.gpu}` under load.",
        ),
        effect=slower_clock_effect(part, ratio, "the clock that the probe held"),
        recoverable=booked_as_throttle(ctx, part * (1.0 - ratio)),
        confidence=0.6,
        severity="low",
    )


def _probed_clock(ctx: Context) -> float | None:
    """The clock that GEMMs were held at on this card under the limit it has now."""
    ceilings, limit = ctx.ceilings, ctx.evidence.device.power_limit_w
    if ceilings is None or ceilings.label != "measured" or ceilings.stale or ctx.evidence.mig:
        return None
    then = ceilings.power_limit_w
    if then is None or limit is None or abs(limit - then) > (1.0 - th.POWER_LIMIT_LOW.value) * then:
        return None
    return ceilings.sm_mhz


def _explained(ctx: Context) -> bool:
    """Whether a setting, heat or the board is said to hold the clock down."""
    reasons = ("app_clocks", "sw_thermal", "hw_thermal", "hw_slowdown", "hw_power_brake")
    held = max(ctx.evidence.throttle_frac.get(name, 0.0) for name in reasons)
    return ctx.evidence.device.sm_mhz_limit is not None or held >= th.THROTTLE_NOTED.value


@rule("DEV019", "Runs slower than its siblings", "high", "fleet", "window")
def behind_siblings(ctx: Context) -> Finding | None:
    """One GPU of a job runs its clocks clearly below the other GPUs of the same model in the same job.

    **What it detects**
    At least two other GPUs of the node, same model, same job, all at work, whose median SM clock is higher:
    this one is below 0.95 of their median.

    **Why it costs**
    In a job that synchronises, every GPU waits for the slowest one.

    **How to tell it apart**
    GPUs of one node differ by a few percent by nature; 5 % and more has a cause: heat (DEV003), a power limit
    (DEV002), a pinned clock (DEV010), a weak card. GPUs with other work are not compared, as their clocks
    differ by what they draw.

    **What to do**
    Compare temperature and power limit with the siblings'; move the job, or exchange two cards, and see
    whether the lag moves with the card or stays with the slot.

    **Evidence**
    SM clock, temperature and power of the node's GPUs (NVML), jobs of their processes.

    **Source**
    - gpu-fryer flags GPUs 10 % below the best of a node; healthy ones spread by about 5 %
    - ByteDance, OSDI'25: 42.5 % of large jobs lose 10 % or more to stragglers
    """
    now, others = busy_clock(ctx.evidence), _comrades(ctx)
    clocks = [other.sm_mhz for other in others if other.sm_mhz]
    if now is None or len(clocks) < _TELLING:
        return None
    theirs = statistics.median(clocks)
    ratio = now / theirs
    if ratio >= th.SIBLING_BEHIND.value:
        return None
    part = clock_bound(ctx)
    return finding(
        ctx,
        behind_siblings,
        claim=f"{place(ctx)} runs its clocks at {ratio:.2f} of its siblings' ({now:.0f} against {theirs:.0f}"
        f" MHz, {len(clocks)} other GPUs {_of_what(ctx)}).",
        share=part * (1.0 - ratio),
        evidence=(
            item(
                "SM clock while busy over siblings'",
                ratio,
                threshold=f"< {th.SIBLING_BEHIND.value:g}",
                source="NVML",
            ),
            *_beside("highest temperature", "c", ctx.evidence.temp_c_max, [o.temp_c for o in others]),
            *_beside(
                "power limit", "w", ctx.evidence.device.power_limit_w, [o.power_limit_w for o in others]
            ),
        ),
        actions=(
            "`nvidia-smi --query-gpu=index,clocks.sm,temperature.gpu,power.draw,clocks_event_reasons.active"
            " --format=csv` under load, side by side.",
            f"`advisor probe` on all GPUs, while they are free, says whether GPU {ctx.evidence.gpu} is weak.",
        ),
        effect=slower_clock_effect(part, ratio, "its siblings' clock"),
        recoverable=booked_as_throttle(ctx, part * (1.0 - ratio)),
        severity=_behind_severity(ratio),
    )


def _of_what(ctx: Context) -> str:
    workload = ctx.evidence.workload
    return "of the same job" if workload is not None and workload.job else "with the same program"


def _comrades(ctx: Context) -> tuple[Sibling, ...]:
    """Other whole GPUs of the model that work on the same job."""
    own = next((s for s in ctx.siblings if s.key == ctx.evidence.key), None)
    if own is None or not _at_work(own):
        return ()
    return tuple(s for s in comrades(ctx.siblings, own.key) if _at_work(s))


def _at_work(one: Sibling) -> bool:
    return (one.busy_frac or 0.0) >= th.SIBLING_BUSY.value


def _behind_severity(ratio: float) -> Severity:
    return "high" if ratio < th.SIBLING_FAR_BEHIND.value else "medium"


def _beside(
    metric: str, unit: str, own: float | None, theirs: list[float | None]
) -> tuple[EvidenceItem, EvidenceItem]:
    known = [value for value in theirs if value is not None]
    median = statistics.median(known) if known else None
    return (item(metric, own, unit, source="NVML"), item(f"siblings' {metric}", median, unit, source="NVML"))

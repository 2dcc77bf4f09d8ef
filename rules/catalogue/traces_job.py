"""Rules of traces for a job's ranks and its steps: communication, stragglers, odd steps."""

from __future__ import annotations

import math

from rules import thresholds as th
from rules.catalogue.common import place
from rules.catalogue.trace_common import TRACE, lost, matters, short, times, told, traced
from rules.finding import Finding
from rules.registry import Context, finding, rule, severity_of
from rules.traces.causes import rank_row
from rules.traces.items import item
from rules.traces.records import CollectiveRow, DeviceTrace, RankFigures, RankRow, StepFigures, StepRow
from rules.traces.shares import IDLE_SHARE, frac, share_us
from rules.traces.words import percent
from rules.verdict import EvidenceItem
from rules.whatifs import trace_levers as levers


@rule(
    "TRACE008",
    "Communication is exposed",
    "high",
    "job",
    "fact",
    term="communication",
    causes=("exposed-communication",),
    tiers=TRACE,
)
def exposed(ctx: Context) -> Finding | None:
    """Collectives run with no other kernel beside them.

    **What it detects**
    At least 5 % of the device's time in collectives alone, or idle while the host waits for other ranks.

    **Why it costs**
    Every GPU of the job stands still for as long as they take.

    **How to tell it apart**
    A collective's kernel runs from when its own rank arrives: part of its time may be a wait for a later one
    (TRACE009), which only the other ranks' traces show. Collectives beside kernels cost little and are not
    counted.

    **What to do**
    Overlap: buckets, prefetch, accumulation of gradients; compress; shard along the fastest links.

    **Evidence**
    Time of collectives alone and beside other kernels, from the trace.

    **Source**
    - PyTorch profiler TensorBoard plug-in: communication above 10 % of a step advises accumulation
    - HTA: overlap of communication and computation
    """
    trace = traced(ctx)
    us = 0.0 if trace is None else share_us(trace)["communication"]
    if trace is None or not matters(trace, us):
        return None
    return told(
        ctx,
        exposed,
        claim=f"{place(ctx)} spends {percent(frac(trace, us))} of the traced time in communication with no "
        "other kernel beside it.",
        share=frac(trace, us),
        evidence=(
            lost(trace, "communication alone", us),
            item(trace, "collectives", frac(trace, trace.communication_us)),
            item(trace, "of them beside other kernels", frac(trace, trace.communication_overlapped_us)),
            *_collectives(ctx.evidence.ranks),
        ),
        actions=(
            "Overlap: DDP `bucket_cap_mb`, FSDP prefetch, `no_sync()` while accumulating gradients.",
            "`NCCL_DEBUG=INFO` and `nvidia-smi topo -m` show whether peers talk over the links they should.",
            *_more_ranks(ctx.evidence.ranks),
        ),
        fix=levers.overlap(trace, ctx.verdict.shares),
    )


def _more_ranks(ranks: RankFigures | None) -> tuple[str, ...]:
    """Advice to give more ranks' traces, where some are missing."""
    given = 0 if ranks is None or ranks.refused else len(ranks.rows)
    whole = None if ranks is None else ranks.world_size
    if given > 1 and not (ranks and ranks.missing):
        return ()
    of = f"the other {whole - given}" if whole and 0 < given < whole else "all"
    said = "more of them tell" if given > 1 else "together they tell"
    return (f"Give the traces of {of} ranks too: {said} a wait for a late rank from a slow link.",)


def _source(ranks: RankFigures) -> str:
    given, whole = len(ranks.rows), ranks.world_size
    return "traces of all ranks" if not ranks.missing or not whole else f"traces of {given} of {whole} ranks"


def _collectives(ranks: RankFigures | None, most: int = 2) -> tuple[EvidenceItem, ...]:
    if ranks is None:
        return ()
    rows: tuple[CollectiveRow, ...] = ranks.collectives
    largest = sorted(rows, key=lambda row: -row.total_us)[:most]
    return tuple(
        EvidenceItem(
            metric=f"{short(row.name)} ({times(row.count)}), part of it spent waiting for later ranks",
            value=min(1.0, row.wait_us / row.total_us) if row.total_us > 0.0 else None,
            source=_source(ranks),
        )
        for row in largest
    )


@rule(
    "TRACE009",
    "Ranks wait for each other",
    "high",
    "job",
    "fact",
    term="communication",
    causes=("collective-wait",),
    tiers=TRACE,
)
def straggler(ctx: Context) -> Finding | None:
    """This rank waits in its collectives for ranks that arrive later, or is the one that others wait for.

    **What it detects**
    At least 3 % of the device's time in collectives beyond what the last rank to arrive needed, with no other
    kernel beside them; and, of the rank that stands out as the last, what it costs the others.

    **Why it costs**
    Each collective ends for all when the slowest rank comes: every other GPU is paid for while it waits.

    **How to tell it apart**
    Clocks of hosts differ, so that starts are not compared: a rank's wait is the duration of its collective
    less that of the rank which came last. A slow link makes all of them long, a late rank all but one.

    **What to do**
    Look at the rank that comes last: its input, its sequence lengths, its clocks; balance the work.

    **Evidence**
    Durations of matching collectives, and work, of all ranks whose traces were given.

    **Source**
    - HTA: straggler detection
    - Llama 3 report: slow ranks found by who comes last
    """
    trace, row, ranks = traced(ctx), rank_row(ctx.evidence), ctx.evidence.ranks
    if trace is None or row is None or ranks is None:
        return None
    us = row.wait_exposed_us or 0.0
    if frac(trace, us) < th.TRACE_STRAGGLER.value:
        return _comes_last(ctx, trace, row, ranks)
    late = "" if ranks.straggler in (None, row.rank) else f", most of all for rank {ranks.straggler}"
    return told(
        ctx,
        straggler,
        claim=f"{place(ctx)} (rank {row.rank}) waits {percent(frac(trace, us))} of the traced time for other "
        f"ranks in its collectives{late}.",
        share=frac(trace, us),
        evidence=(
            item(trace, "waiting for later ranks", frac(trace, us),
                 threshold=f">= {th.TRACE_STRAGGLER.value:g}"),
            item(trace, "imbalance of work over the ranks (1 - mean / most)", ranks.imbalance_frac),
            *_collectives(ranks),
        ),
        actions=(
            *(() if ranks.straggler is None else (ranks.straggler_because + ".",)),
            *_BALANCE,
        ),
        fix=levers.balance(ctx.evidence, ctx.verdict.shares),
    )  # fmt: skip


_BALANCE = (
    "Balance the work of ranks: batches by tokens, pipeline stages by time, experts by load.",
    "Compare the late rank's own causes with another's: input, launches, clocks.",
)


def _comes_last(ctx: Context, trace: DeviceTrace, row: RankRow, ranks: RankFigures) -> Finding | None:
    """Of the rank that others wait for: here is what to mend. Its cost stands under those that wait."""
    us = row.caused_us or 0.0
    if ranks.straggler != row.rank or frac(trace, us) < th.TRACE_STRAGGLER.value:
        return None
    cost = frac(trace, us)
    return told(
        ctx,
        straggler,
        claim=f"{place(ctx)} (rank {row.rank}) keeps each of the other ranks waiting {percent(cost)} of the "
        "traced time.",
        share=0.0,
        evidence=(
            item(trace, "mean wait of another rank for this one", cost,
                 threshold=f">= {th.TRACE_STRAGGLER.value:g}"),
            item(trace, "imbalance of work over the ranks (1 - mean / most)", ranks.imbalance_frac),
        ),
        actions=(ranks.straggler_because + ".", *_BALANCE),
        fix=None,
        severity=severity_of(cost, "high"),
    )  # fmt: skip


@rule("TRACE017", "Steps differ", "medium", "job", "fact", tiers=TRACE)
def odd_steps(ctx: Context) -> Finding | None:
    """Some steps take far longer than the median, or steps become slower over the trace.

    **What it detects**
    Steps beyond the median by more than the usual spread allows; or a step time that changes by 10 % or more
    from the first to the last third, beyond its noise.

    **Why it costs**
    What the device waits in those steps beyond the usual one is lost in them alone: the dollars are of that.
    Longer kernels may be more work (longer sequences, evaluation), and count as none.

    **How to tell it apart**
    The first steps of a trace allocate and compile. Odd steps at regular distances are checkpoints,
    evaluation, logging or garbage collection.

    **What to do**
    Look at what stands beside each odd step; a trend asks for a longer trace.

    **Evidence**
    Step times and what the device did in each step, from the trace.

    **Source**
    - Median absolute deviation as the measure of spread: robust against the outliers that it looks for
    """
    trace = traced(ctx)
    steps = None if trace is None else trace.steps
    if trace is None or steps is None or steps.count < th.TRACE_FEW_STEPS.value:
        return None
    us, trend, lost_us = _beyond_median(steps), _trend(steps), _lost_beyond(steps)
    if not (steps.outliers and matters(trace, us)) and trend is None:
        return None
    return told(
        ctx,
        odd_steps,
        claim=_claim(ctx, steps, trend, frac(trace, us)),
        share=frac(trace, lost_us),
        evidence=(
            item(trace, "time of odd steps beyond the median", frac(trace, us)),
            item(trace, "of it waited, not worked: more than in a usual step", frac(trace, lost_us)),
            item(trace, "median step", steps.median_us, "us"),
            item(trace, "longest step", steps.max_us, "us"),
            *(() if trend is None else (item(trace, "change of step time, first to last third", trend),)),
        ),
        actions=(
            *(f"Step {number}: {why}." for number, why in list(steps.outlier_because.items())[:2]),
            "Skip the first steps of a run (`schedule(wait=..., warmup=...)`): they allocate and compile.",
        ),
        fix=levers.odd_steps(trace, lost_us) if matters(trace, lost_us) else None,
        confidence=th.TRACE_SURE_STEPS.value,
    )


def _lost_beyond(steps: StepFigures) -> float:
    """µs that odd steps waited more than a usual one, each at most what it took beyond the median.

    Longer kernels may be more work, the profiler's own time is nobody's loss, and the first step of a trace
    still warms up.
    """
    usual = sorted(_waited_us(row) for row in steps.rows if not row.outlier and not row.partial)
    first = min((row.number for row in steps.rows), default=None)
    odd = [row for row in steps.rows if row.number in steps.outliers and row.number != first]
    if not usual or steps.median_us is None:
        return 0.0
    least = usual[len(usual) // 2]
    return math.fsum(max(0.0, min(_waited_us(row) - least, row.duration_us - steps.median_us)) for row in odd)


def _waited_us(row: StepRow) -> float:
    """µs of a step in which the device waited, or ran a collective alone."""
    idle = math.fsum(us for cause, us in row.causes.items() if IDLE_SHARE.get(cause) not in (None, "unknown"))
    return idle + row.busy.get("communication", 0.0)


def _beyond_median(steps: StepFigures) -> float:
    odd = [row.duration_us for row in steps.rows if row.number in steps.outliers]
    return sum(max(0.0, us - (steps.median_us or us)) for us in odd)


def _trend(steps: StepFigures) -> float | None:
    """The change of step time where it is worth a finding and stands out of its noise."""
    trend, noise = steps.trend, steps.trend_noise
    if trend is None or noise is None or abs(trend) < max(th.TRACE_STEP_TREND.value, noise):
        return None
    return trend


def _claim(ctx: Context, steps: StepFigures, trend: float | None, part: float) -> str:
    count = len(steps.outliers)
    if count:
        said = f"{count} of {steps.count} steps take {percent(part)} of the traced time beyond the median"
        return f"On {place(ctx)} {said}."
    way = "slower" if (trend or 0.0) > 0.0 else "faster"
    return f"On {place(ctx)} steps become {percent(abs(trend or 0.0))} {way} over the trace."


@rule("TRACE021", "Ranks without a trace", "info", "job", "fact", tiers=TRACE)
def missing_ranks(ctx: Context) -> Finding | None:
    """The job has more ranks than traces were given.

    **What it detects**
    A world size in the trace, and fewer ranks among the files.

    **Why it costs**
    Nothing; but waits in collectives cannot be told from slow links, and the slowest rank may be missing.

    **How to tell it apart**
    A single rank's trace is enough for all that its own device does.

    **What to do**
    Give all ranks' files at once, or two or three of them at least.

    **Evidence**
    `distributedInfo` of the files.

    **Source**
    - Kineto: `distributedInfo.rank`, `world_size`
    """
    trace, ranks = traced(ctx), ctx.evidence.ranks
    if trace is None or ranks is None or not ranks.missing or ranks.rows[0].file != trace.file:
        return None
    us = share_us(trace)["communication"]
    return finding(
        ctx,
        missing_ranks,
        claim=f"{ranks.missing} of {ranks.world_size} ranks have no trace among these files.",
        share=0.0,
        evidence=(item(trace, "communication alone", frac(trace, us)),),
        actions=("`advisor trace RANK0 RANK1 ...` compares ranks and tells who waits for whom.",),
        recoverable=0.0,
        severity="info",
    )

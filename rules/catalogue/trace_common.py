"""What the rules of traces have in common: when they speak, and their lines of evidence."""

from __future__ import annotations

import math

from rules import thresholds as th
from rules.catalogue.common import place
from rules.confidence import UNCALIBRATED
from rules.evidence import Tier
from rules.finding import Effect, Finding, Severity
from rules.ladder import wasted
from rules.registry import Context, Rule, clamp, finding
from rules.traces.causes import host_times
from rules.traces.items import item
from rules.traces.kernel_records import KernelRow
from rules.traces.natures import CAP_FAMILY, CAP_MEASURED, by_family, perturbed
from rules.traces.programs import plain_attention
from rules.traces.records import DeviceTrace, HostRow
from rules.traces.shares import frac
from rules.traces.words import percent
from rules.verdict import EvidenceItem
from rules.whatifs.trace_levers import Plan

TRACE: tuple[Tier, ...] = ("trace",)
# Names in claims and actions are cut to this; whole ones stand in the tables.
_NAME_LENGTH = 48


def traced(ctx: Context) -> DeviceTrace | None:
    """The trace that the rule reads."""
    return ctx.evidence.trace


def matters(trace: DeviceTrace, us: float) -> bool:
    """Whether so much of the device's time is worth a finding."""
    return us > 0.0 and us >= th.TRACE_SHARE.value * trace.span_us


def host_loss(ctx: Context, slug: str) -> tuple[DeviceTrace, float] | None:
    """The trace and the µs that the device lost to one host cause, where that is worth a finding."""
    trace = ctx.evidence.trace
    us = 0.0 if trace is None else host_times(trace)[slug]
    return (trace, us) if trace is not None and matters(trace, us) else None


def told(
    ctx: Context,
    found: Rule,
    *,
    claim: str,
    share: float,
    fix: Plan | Effect | None,
    most: float | None = None,
    evidence: tuple[EvidenceItem, ...] = (),
    actions: tuple[str, ...] = (),
    confidence: float | None = None,
    severity: Severity | None = None,
) -> Finding:
    """A finding of lost time: where no fix has a known effect nothing counts as recoverable, and never more
    than the ladder's term has.

    most: part of the time that the fix could win back, by default the share. confidence: by default that of
    idle time.
    """
    effect = fix.effect(ctx.verdict.shares) if isinstance(fix, Plan) else fix
    return finding(
        ctx,
        found,
        claim=claim,
        share=share,
        evidence=evidence,
        actions=actions,
        effect=effect,
        recoverable=0.0 if effect is None else min(share if most is None else most, _at_stake(ctx, found)),
        confidence=_sure(ctx) if confidence is None else confidence,
        severity=severity,
    )


def _at_stake(ctx: Context, found: Rule) -> float:
    """What the ladder has of the rule's term; all that is wasted, where it has none."""
    return clamp(wasted(ctx.ladder.shares) if found.term is None else ctx.ladder.shares.get(found.term, 0.0))


def _sure(ctx: Context) -> float:
    return 1.0 if ctx.evidence.trace is None else sure_of_idle(ctx.evidence.trace)


def sure_of_idle(trace: DeviceTrace) -> float:
    """How sure a finding is that rests on idle time: measured, but for what the profiler's options added."""
    return CAP_MEASURED - perturbed(trace)


def sure_of_natures(trace: DeviceTrace) -> float:
    """How sure a finding is that rests on what limits kernels: less where they go by their families."""
    part = by_family(trace)
    return part * CAP_FAMILY + (1.0 - part) * UNCALIBRATED


def waits(ctx: Context, trace: DeviceTrace, us: float, why: str) -> str:
    """The claim's sentence: how much of the traced time the device waits, and for what."""
    return f"{place(ctx)} waits {percent(frac(trace, us))} of the traced time {why}."


def lost(trace: DeviceTrace, metric: str, us: float) -> EvidenceItem:
    """The line that the finding rests on: its part of the traced time, beside the threshold."""
    return item(trace, metric, frac(trace, us), threshold=f">= {th.TRACE_SHARE.value:g}")


def calls(trace: DeviceTrace, role: str) -> int | None:
    """Host calls of one role while the device was traced; None where the host was not looked at."""
    return None if trace.host is None else trace.host.calls.get(role, 0)


def behind(trace: DeviceTrace, cause: str, most: int = 3) -> tuple[HostRow, ...]:
    """What the host was in behind idle time of one cause, largest first."""
    rows = () if trace.host is None else trace.host.rows
    return tuple([row for row in rows if row.cause == cause][:most])


def names_behind(trace: DeviceTrace, cause: str) -> tuple[EvidenceItem, ...]:
    """Lines that name what the host was in; the names are hostile text."""
    return tuple(
        item(trace, f"of it in {short(row.name)} ({times(row.count)})", frac(trace, row.idle_us))
        for row in behind(trace, cause)
    )


def said_behind(trace: DeviceTrace, cause: str, us: float) -> str:
    """ ", most of it in aten::item" where one name must have half of the `us` lost, else "".

    Names are known of all idle time of a cause, of which `us` may be a part: what of the name's time can be
    outside of that part is taken to be.
    """
    rows = behind(trace, cause, 1)
    outside = max(0.0, trace.causes.get(cause, 0.0) - us)
    most = rows and rows[0].idle_us - outside >= th.TRACE_MOST.value * us > 0.0
    return f", most of it in {short(rows[0].name)}" if most else ""


def short(name: str) -> str:
    """A name as claims and lines show it: cut, never whole."""
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def times(count: int) -> str:
    """ "once", "3 times"."""
    return "once" if count == 1 else f"{count} times"


def kernel_items(trace: DeviceTrace, rows: tuple[KernelRow, ...], most: int = 3) -> tuple[EvidenceItem, ...]:
    """Lines that name the kernels which take most of the time in question."""
    return tuple(
        item(trace, f"{short(row.name)} ({times(row.count)})", frac(trace, row.total_us))
        for row in sorted(rows, key=lambda row: -row.total_us)[:most]
    )


def per_step(trace: DeviceTrace, count: int) -> str:
    """ "128, 32 a step", or the count alone where no steps are marked."""
    steps = 0 if trace.host is None else trace.host.steps
    return f"{count}, {count / steps:.0f} a step" if steps > 1 and count >= steps else f"{count}"


def fused_attention(trace: DeviceTrace) -> tuple[str, ...]:
    """Attention in one kernel, where softmax stands beside batched products."""
    us = math.fsum(row.total_us for row in plain_attention(trace))
    if not matters(trace, us):
        return ()
    return (
        f"Softmax and batched products take {percent(frac(trace, us))}: attention written out. "
        '`torch.nn.functional.scaled_dot_product_attention` (FlashAttention; `attn_implementation="sdpa"` '
        "in Transformers) never writes the scores.",
    )

"""What the rules of a host gap share: whether there is one, why, and how to look further."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pct, pid, place, share
from rules.evidence import HostEvidence
from rules.headline import SURE_CAUSE
from rules.host_cause import HostCause, leading, told_beside
from rules.host_stacks import usable
from rules.observed import mean, reading_note, visible
from rules.registry import Context, verdict_confidence
from rules.verdict import EvidenceItem


def gap_caused_by(ctx: Context, slug: str) -> HostCause | None:
    """The host gap's cause when there is a gap worth a finding and `slug` explains it best.

    Beside a shortage (cores, quota, storage) so does what a look inside showed the thread doing.
    """
    if share(ctx, "host") < th.HOST_GAP.value:
        return None
    cause = leading(ctx.evidence, ctx.host_causes)
    if cause.slug == slug:
        return cause
    beside = told_beside(ctx.evidence, ctx.host_causes)
    return beside if beside is not None and beside.slug == slug else None


def gap_items(ctx: Context) -> tuple[EvidenceItem, ...]:
    """The gap itself: its share, and what the engine's counter showed."""
    busy = mean(ctx.evidence, "gr_active")
    return (
        item("share of time lost to the host", share(ctx, "host"), threshold=at_least(th.HOST_GAP)),
        item("time with anything running", busy, source=reading_note(ctx.evidence, "gr_active")),
    )


def waits(ctx: Context, because: str) -> str:
    """The claim's sentence."""
    return f"{place(ctx)} waits for the host {pct(share(ctx, 'host'))} of the time; {because}."


def sure(ctx: Context, cause: HostCause) -> float:
    """Confidence that there is a gap and that this is why."""
    return verdict_confidence(ctx.verdict) * cause.confidence


def look_first(ctx: Context, cause: HostCause) -> tuple[str, ...]:
    """How to settle a cause that is a suspicion; nothing where it is sure, or somebody looked already."""
    host = ctx.evidence.host
    if cause.confidence >= SURE_CAUSE or host.stacks is not None or not visible(host):
        return ()
    return (f"Not sure of the cause: `advisor diagnose --stacks --pid {pid(ctx.evidence)}` looks inside.",)


def full_core(host: HostEvidence) -> bool:
    """Whether a thread was counted to use, or to wait for, a whole core."""
    return (host.thread_demand_frac or 0.0) >= th.LAUNCH_THREAD.value


def no_core_free(host: HostEvidence) -> bool:
    """Whether all cores of the node are busy, not only those that the process may use."""
    return host.node_cpu_frac is not None and host.node_cpu_frac >= th.NODE_CPU_FULL.value


def seen_frame(ctx: Context, activities: tuple[str, ...]) -> str | None:
    """The frame that stack samples of the feeding thread show most for these activities; untrusted text."""
    stacks = usable(ctx.evidence.host.stacks)
    group = stacks.leading(activities) if stacks is not None else None
    return group.frame if group is not None and group.frac >= th.STACK_SHARE.value else None

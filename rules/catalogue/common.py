"""What the rules' sentences and evidence lines have in common."""

from __future__ import annotations

from rules import thresholds as th
from rules.evidence import Evidence
from rules.headline import WITHIN_NOISE, row_name
from rules.observed import seconds
from rules.registry import Context
from rules.verdict import EvidenceItem

_NAME_LENGTH = 60


def pct(frac: float) -> str:
    """0.384 -> "38 %"."""
    return f"{100 * frac:.0f} %"


def place(ctx: Context) -> str:
    """ "GPU 2", or "GPU 0 MIG 1g.10gb/7"."""
    return row_name(ctx.evidence.gpu, ctx.evidence.mig)


def who(evidence: Evidence) -> str:
    """The workload's name and pid. The name is untrusted; whoever shows it escapes it."""
    workload = evidence.workload
    return "the process" if workload is None else f"{workload.name[:_NAME_LENGTH]} (pid {workload.pid})"


def pid(evidence: Evidence) -> str:
    """The workload's pid for a command line, or a word to replace."""
    return "PID" if evidence.workload is None else str(evidence.workload.pid)


def share(ctx: Context, name: str) -> float:
    """One of the verdict's shares; 0 where too little is known for a verdict.

    Where two shares are too close to name the larger, both are known: what takes time is found all the same.
    """
    unknown = ctx.verdict.class_ == "unknown" and ctx.verdict.cause != WITHIN_NOISE
    return 0.0 if unknown else ctx.verdict.shares.get(name, 0.0)


def inefficiency(ctx: Context) -> float:
    """The ladder's inefficiency share: busy time short of the nearer roof."""
    return ctx.ladder.shares.get("inefficiency", 0.0)


def pauses(evidence: Evidence) -> int:
    """Runs of IDLE_HELD_MIN_S or more in which nothing ran although the device was held."""
    count, run, least = 0, 0.0, th.IDLE_HELD_MIN_S.value
    for w in evidence.windows:
        busy = w.gr_active
        quiet = not w.lost and w.has_process is not False and busy is not None and busy < th.ENGINE_IDLE.value
        before, run = run, run + w.duration_s if quiet else 0.0
        count += before < least <= run
    return count


def memory_used_frac(evidence: Evidence) -> float | None:
    """Device memory in use as a share of all of it."""
    used, total = evidence.mem_used_bytes, evidence.device.memory_total_bytes
    return None if used is None or not total else used / total


def room_to_grow(evidence: Evidence) -> tuple[str, ...]:
    """Advice to raise the batch where memory shows that it would fit; empty otherwise."""
    used = memory_used_frac(evidence)
    if used is None or used > th.SMALL_MEMORY.value:
        return ()
    return (f"Raise the batch size: {pct(used)} of device memory is in use.",)


def item(
    metric: str,
    value: float | str | None,
    unit: str = "frac",
    threshold: str | None = None,
    source: str = "verdict",
) -> EvidenceItem:
    """One line of evidence."""
    return EvidenceItem(metric=metric, value=value, unit=unit, threshold=threshold, source=source)


def at_least(limit: th.Threshold) -> str:
    """A threshold as shown."""
    return f">= {limit.value:g}"


def held_against(value: float | None, limit: th.Threshold) -> str | None:
    """How a value that decides nothing by itself stands to a threshold; None where it is unknown."""
    return None if value is None else f"{'>=' if value >= limit.value else '<'} {limit.value:g}"


def watched(evidence: Evidence) -> str:
    """How long the device was seen, such as "30 s"."""
    return f"{seconds(evidence):.0f} s"

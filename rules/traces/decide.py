"""Decide: from the figures of one traced device to the same verdict as a live look gives, tier `trace`.

A trace proves when nothing ran, and what the host did meanwhile; of that only the profiler's own influence is
in doubt. What limits a kernel is measured where its shapes and the card's ceilings are known, and else goes
by its family. So the noise of a lead is

    sqrt( (PERTURBED x options x host share)^2 + (NATURE_ERROR x both shares x part by family)^2 + floor^2 )

where the first part counts for leads over or of the host, the second for those between the device's classes.
Busy time of which no roof is known is unknown in the ladder, as it is where a live look knows no ceiling:
what limits it may be known by family all the same, but not how much of it was useful.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.confidence import FRAGILE, UNCALIBRATED
from rules.decide import share_margin
from rules.evidence import Evidence
from rules.headline import WITHIN_NOISE, headline
from rules.noise import Noise
from rules.ranking import ROOFED, Lead, lead_of, ranking
from rules.settle import within_noise
from rules.traces.causes import cause_of, host_times, pipe_of, roof_of
from rules.traces.items import evidence_items
from rules.traces.kernel_records import KernelRow
from rules.traces.natures import CAP_FAMILY, CAP_MEASURED, by_family, perturbed
from rules.traces.records import DeviceTrace
from rules.traces.shares import BUSY_SHARE, copy_us, frac, trace_shares
from rules.traces.waste import use_of
from rules.traces.words import LOST, doubts, percent, to_settle
from rules.trust import label_of
from rules.verdict import GROUPS, SHARES, Class, Margin, Verdict

# As rules.confidence has it for a live look, a little lower: shapes stand in for counters.
_CAP_BY_CEILING = {"measured": 0.95, "typical": 0.9, "stale": 0.9, "assumed": 0.88, None: 0.75}
_NATURES: tuple[Class, ...] = ("compute", "memory", "device")


def decide_trace(evidence: Evidence, ceilings: Ceilings | None) -> Verdict:
    """The verdict on one traced device; unknown where the evidence holds no trace."""
    trace = evidence.trace
    shares = {**dict.fromkeys(SHARES, 0.0), "unknown": 1.0} if trace is None else trace_shares(trace)
    groups = _groups(shares)
    ranked = ranking(groups)
    leader = None if trace is None or _undecided(shares) else ranked[0]
    noise = None if leader is None or trace is None else noise_of(leader, groups, trace)
    close = within_noise(leader, groups, noise) if leader and noise and noise.within else None
    class_: Class = "unknown" if leader is None or close else leader
    cause, sure = (WITHIN_NOISE, None) if close else _cause(class_, evidence)
    second = next((c for c in ranked if c != class_ and groups[c] >= th.SECONDARY.value), None)
    roofs = _Roofs.of(trace)
    made = Verdict(
        key=evidence.key,
        gpu=evidence.gpu,
        mig=evidence.mig,
        device_name=evidence.device.name,
        workload=evidence.workload,
        class_=class_,
        cause=cause,
        confidence=_confidence(class_, noise, shares, evidence, ceilings),
        tier="trace",
        shares=shares,
        evidence=() if trace is None else evidence_items(trace, roofs.memory, roofs.compute),
        secondary=second,
        secondary_cause=cause_of(second, evidence)[0] if second else None,
        margins=_margins(leader, groups, ranked),
        dram_roof_frac=roofs.memory,
        pipe_roof_frac=roofs.compute,
        pipe=None if trace is None else pipe_of(trace),
        roofs=roofs.by_class,
        cause_confidence=sure,
        useful_frac=None if trace is None else frac(trace, use_of(trace).useful),
        unroofed_frac=0.0 if trace is None else unroofed_frac(trace),
        ceilings_label=label_of(ceilings),
        unknown_because=(*([close] if close else []), *doubts(evidence, roofs.known_frac)),
        noise=None if noise is None else round(noise.shown, 4),
        settle=to_settle(class_, evidence, ceilings),
    )
    return msgspec.structs.replace(made, headline=_headline(made, evidence))


def _headline(verdict: Verdict, evidence: Evidence) -> str:
    """The sentence of every verdict, and that a part of the file is missing where it is."""
    said = _of_cause(verdict, evidence.trace)
    if LOST not in evidence.missing or verdict.class_ == "unknown":
        return said
    return f"{said.removesuffix('.')}; from the part of the file that could be read."


def _of_cause(verdict: Verdict, trace: DeviceTrace | None) -> str:
    """A host gap is said with the part of its cause, since a trace tells it."""
    said = headline(verdict)
    if trace is None or verdict.class_ != "host" or verdict.cause == "unattributed":
        return said
    part, whole = frac(trace, host_times(trace)[verdict.cause]), verdict.shares["host"]
    if percent(part) == percent(whole):
        return said
    told = f", {100 * whole:.0f} % of the time"
    return said.replace(told, f", {percent(part)} of the time ({percent(whole)} for its host in all)", 1)


def _groups(shares: Mapping[str, float]) -> dict[Class, float]:
    return {class_: math.fsum(shares[key] for key in keys) for class_, keys in GROUPS.items()}


def _undecided(shares: Mapping[str, float]) -> bool:
    return shares["unknown"] > th.TRACE_UNKNOWN.value


def _cause(class_: Class, evidence: Evidence) -> tuple[str, float | None]:
    if class_ != "unknown":
        return cause_of(class_, evidence)
    return "no-data" if evidence.trace is None else "not-in-trace", None


def noise_of(class_: Class, groups: Mapping[Class, float], trace: DeviceTrace) -> Noise:
    """The deciding lead of a class beside how far it may be off; see the module's text."""
    lead = lead_of(class_, groups)
    host = perturbed(trace) * groups["host"]
    both = groups[class_] + (0.0 if lead.against is None else groups[lead.against])
    natures = th.TRACE_NATURE_ERROR.value * by_family(trace) * both if _of_natures(class_, lead) else 0.0
    chance = math.hypot(host if _of_host(class_, lead) else 0.0, natures)
    fragile = lead.lead < 2.0 * chance
    return Noise(lead=lead.lead, against=lead.against, chance=chance, ceilings=0.0, fragile=fragile)


def _of_host(class_: Class, lead: Lead) -> bool:
    return class_ == "host" or lead.against in (None, "host")


def _of_natures(class_: Class, lead: Lead) -> bool:
    return class_ in _NATURES and lead.against in _NATURES


def _confidence(
    class_: Class,
    noise: Noise | None,
    shares: Mapping[str, float],
    evidence: Evidence,
    ceilings: Ceilings | None,
) -> float:
    """Probability that the lead is above 0, up to the cap of its class, less what is unknown."""
    trace = evidence.trace
    if class_ == "unknown" or noise is None or trace is None:
        return 0.0
    sure = 0.5 * (1.0 + math.erf(noise.errors / math.sqrt(2.0)))
    whole = th.TRACE_CAP_LOST.value if LOST in evidence.missing else 1.0
    score = min(sure, 1.0 - shares["unknown"], _cap(class_, trace, ceilings), whole)
    return round(min(score, FRAGILE) if noise.fragile else score, 3)


def _cap(class_: Class, trace: DeviceTrace, ceilings: Ceilings | None) -> float:
    short = th.TRACE_CAP_SHORT.value if trace.span_us < th.TRACE_SHORT_US.value else 1.0
    if class_ not in ROOFED or class_ == "communication":
        return min(short, CAP_MEASURED - perturbed(trace))
    part = by_family(trace)
    measured = _CAP_BY_CEILING[label_of(ceilings)]
    return min(short, UNCALIBRATED, part * CAP_FAMILY + (1.0 - part) * measured)


def _margins(leader: Class | None, groups: dict[Class, float], ranked: list[Class]) -> tuple[Margin, ...]:
    return () if leader is None else (share_margin(leader, groups, ranked),)


class _Roofs(msgspec.Struct, frozen=True):
    """Means of roof fractions over kernel time of which they are known, where that is half or more of it."""

    memory: float | None = None
    compute: float | None = None
    by_class: dict[str, float] = {}
    known_frac: float = 0.0

    @classmethod
    def of(cls, trace: DeviceTrace | None) -> _Roofs:
        rows = [row for row in trace.kernels if roof_of(row) is not None] if trace is not None else []
        whole = 0.0 if trace is None else _kernel_us(trace)
        known = math.fsum(_known_us(row) for row in rows)
        if trace is None or whole <= 0.0 or known <= 0.0:
            return cls()
        part = min(1.0, known / whole)
        by_class = {
            share: _mean([(roof_of(row), row) for row in rows if BUSY_SHARE.get(row.nature) == share])
            for share in ("compute", "memory", "device")
        }
        told = {share: mean for share, mean in by_class.items() if mean is not None}
        if part < th.TRACE_ROOFS_KNOWN.value:
            return cls(by_class=told, known_frac=part)
        return cls(
            memory=_mean([(row.memory_frac, row) for row in rows]),
            compute=_mean([(row.compute_frac, row) for row in rows]),
            by_class=told,
            known_frac=part,
        )


def _kernel_us(trace: DeviceTrace) -> float:
    return math.fsum(row.total_us for row in trace.kernels) + trace.kernels_left_us


def _known_us(row: KernelRow) -> float:
    return row.total_us * row.known_frac


def _mean(pairs: list[tuple[float | None, KernelRow]]) -> float | None:
    known = [(min(1.0, value), _known_us(row)) for value, row in pairs if value is not None]
    whole = math.fsum(us for _, us in known)
    return math.fsum(value * us for value, us in known) / whole if whole > 0.0 else None


def unroofed_frac(trace: DeviceTrace) -> float:
    """Share of the span in which it was busy and nobody can say how much of that was useful.

    Kernels without a known roof, and copies and sets within the device, which none is held against.
    """
    return frac(trace, use_of(trace).unknown + copy_us(trace).get("memory", 0.0))

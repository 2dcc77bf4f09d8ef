"""Decide: from added-up splits to a verdict with its cause, evidence, margins and confidence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.classify import CLOCK_REASONS, limits_of, split
from rules.confidence import confidence
from rules.evidence import Evidence
from rules.headline import CONTRADICTION, WITHIN_NOISE, headline
from rules.host_cause import host_cause
from rules.host_stacks import usable
from rules.noise import noise_of
from rules.observed import busy_mean
from rules.phases import phases
from rules.ranking import ROOFED, group_shares, ranking
from rules.roofs import PIPES, TENSOR_PIPES, contradictory
from rules.settle import settle, within_noise
from rules.split import Split, Sums, total, unseen
from rules.trust import label_of, trusted, words
from rules.verdict import SHARES, Class, EvidenceItem, Margin, Verdict

_PIPE_CAUSES = {"fp64": "fp64-pipe", "fp32": "fp32-pipe", "fp16": "fp16-pipe", "int_active": "integer-pipe"}
_DEVICE_LINES = (("sm_active", "SMs with work while busy"), ("sm_occupancy", "occupancy while busy"))
THERMAL = frozenset({"sw_thermal", "hw_thermal"})


def splits_of(evidence: Evidence, ceilings: Ceilings | None) -> list[Split]:
    """Split every sub-window of the evidence."""
    limits = limits_of(evidence, ceilings)
    return [split(w, evidence.tier, ceilings, limits) for w in evidence.windows]


def decide(evidence: Evidence, ceilings: Ceilings | None, splits: Sequence[Split] | None = None) -> Verdict:
    """The verdict on one workload. `splits` may be given by a caller that keeps them as they come."""
    if evidence.tier == "trace":
        from rules.traces.decide import decide_trace

        return decide_trace(evidence, ceilings)
    parts = _told_by_stacks(evidence, splits_of(evidence, ceilings) if splits is None else splits)
    whole = [*parts, *_silence(evidence)]
    sums = total(whole)
    groups = group_shares(sums)
    ranked = ranking(groups)
    leader = None if _undecided(evidence, sums) else ranked[0]
    noise = None if leader is None else noise_of(leader, groups, sums, whole)
    close = within_noise(leader, groups, noise) if leader and noise and noise.within else None
    class_: Class = "unknown" if leader is None or close else leader
    cause, cause_evidence, cause_confidence = _cause(class_, evidence, sums)
    cause = WITHIN_NOISE if close else cause
    second = next((c for c in ranked if c != class_ and groups[c] >= th.SECONDARY.value), None)
    shares = sums.shares or {**dict.fromkeys(SHARES, 0.0), "unknown": 1.0}
    verdict = Verdict(
        key=evidence.key,
        gpu=evidence.gpu,
        mig=evidence.mig,
        device_name=evidence.device.name,
        workload=evidence.workload,
        class_=class_,
        cause=cause,
        confidence=confidence(
            class_,
            noise=noise,
            observed_s=sums.observed_s,
            unknown=sums.shares.get("unknown", 0.0),
            tier=evidence.tier,
            label=trusted(ceilings, class_, sums.pipe),
        ),
        tier=evidence.tier,
        shares=shares,
        evidence=(*_counter_evidence(evidence, ceilings, sums), *cause_evidence),
        secondary=second,
        secondary_cause=_secondary_cause(second, evidence, sums),
        margins=_margins(leader, sums, groups, ranked),
        dram_roof_frac=sums.dram_roof,
        pipe_roof_frac=sums.pipe_roof,
        pipe=sums.pipe,
        roofs=sums.roofs,
        counters=sums.counters,
        cause_confidence=cause_confidence,
        useful_frac=sums.useful if sums.shares else None,
        ceilings_label=label_of(ceilings),
        unknown_because=(*([close] if close else []), *_unknown_because(evidence, ceilings, sums)),
        phases=phases(parts),
        noise=None if noise is None else round(noise.shown, 4),
        settle=settle(class_, cause, evidence, ceilings, noise),
    )
    return _with_headline(verdict)


def _told_by_stacks(evidence: Evidence, parts: Sequence[Split]) -> Sequence[Split]:
    """The splits, without launch-bound time where a look inside saw the pegged thread wait for the device."""
    stacks = usable(evidence.host.stacks)
    if stacks is None or stacks.frac("synchronise") < th.LAUNCH_WAITS.value:
        return parts
    return [part.waiting for part in parts]


def _silence(evidence: Evidence) -> list[Split]:
    """A silence that lasts to the end; earlier ones are among the sub-windows already."""
    if evidence.silent_since_s is None:
        return []
    return [unseen(evidence.t_end_s, max(0.0, evidence.t_end_s - evidence.silent_since_s))]


def _with_headline(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, headline=headline(verdict))


def _undecided(evidence: Evidence, sums: Sums) -> bool:
    unknown = sums.shares.get("unknown", 1.0)
    too_short = sums.observed_s < th.MIN_OBSERVED_S.value
    silent = evidence.silent_since_s is not None
    return (
        bool(evidence.lost_reason) or silent or not sums.shares or too_short or unknown > th.UNKNOWN_MAX.value
    )


def _unknown_because(evidence: Evidence, ceilings: Ceilings | None, sums: Sums) -> tuple[str, ...]:
    """Why a verdict is missing, or weaker than it could be."""
    reasons: list[str] = []
    if evidence.lost_reason:
        reasons.append(evidence.lost_reason)
    if evidence.silent_since_s is not None:
        silent_s = evidence.t_end_s - evidence.silent_since_s
        words = evidence.silent_reason or "the driver has not answered"
        reasons.append(f"{words} ({silent_s:.0f} s)")
    if sums.observed_s < th.MIN_OBSERVED_S.value:
        reasons.append(
            f"only {sums.observed_s:.1f} s of data: watch for {th.MIN_OBSERVED_S.value:.0f} s or more"
        )
    if contradicting := _contradictory(evidence, sums):
        part = f"{contradicting:.0%}".replace("%", " %")
        reasons.append(
            f"its counters contradict each other: {part} of the time the engine runs and no SM has work"
        )
    if ceilings is None:
        reasons.append(f"no ceiling is known for {evidence.device.name}, so roof fractions cannot be formed")
    if evidence.tier == "nvml":
        why = evidence.missing.get("gpm", "this device or driver gives no GPM counters")
        reasons.append(f"roofs are estimated from power and memory-controller time: {why}")
    if evidence.tier == "counters":
        needed = ("gr_active", "dram_active", "tensor_active", "fp32")
        known = {c: evidence.missing.get(f"gpm.{c}") for c in needed}
        reasons.extend(f"{counter}: {why}" for counter, why in known.items() if why)
        unread = [c for c in needed[1:] if ceilings is not None and ceilings.reading(c) is None]
        reasons.extend(f"{counter}: what it reads at its ceiling was not measured" for counter in unread)
    return tuple(reasons)


def _cause(
    class_: Class, evidence: Evidence, sums: Sums
) -> tuple[str, tuple[EvidenceItem, ...], float | None]:
    """Slug, what shows it, and how sure it is where it is inferred from the host."""
    if class_ == "host":
        slug, sure, items = host_cause(evidence)
        return slug, items, None if slug == "unattributed" else sure
    return _plain_cause(class_, evidence, sums), (), None


def _plain_cause(class_: Class, evidence: Evidence, sums: Sums) -> str:
    """The slug of every class but host, whose cause is found on the host."""
    if class_ == "idle":
        return "free" if sums.shares["free"] >= sums.shares["idle_held"] else "idle-held"
    if class_ == "memory":
        return "dram-bandwidth"
    if class_ == "compute":
        return _compute_cause(sums)
    if class_ == "device":
        return _device_cause(sums)
    if class_ == "communication":
        return "interconnect"
    return _unknown_cause(evidence, sums)


def _compute_cause(sums: Sums) -> str:
    if sums.pipe is None:
        return "compute-throughput"
    return "tensor-cores" if sums.pipe in TENSOR_PIPES else _PIPE_CAUSES.get(sums.pipe, "compute-throughput")


def _device_cause(sums: Sums) -> str:
    """By what the SMs did in the time below every roof, not while other kernels ran."""
    means = sums.counters.get("device", {})
    active, occupancy = means.get("sm_active"), means.get("sm_occupancy")
    if active is not None and active < th.LAUNCH_SM_ACTIVE.value:
        return "small-grid"
    if occupancy is not None and occupancy < th.LOW_OCCUPANCY.value:
        return "low-occupancy"
    return "latency"


def _unknown_cause(evidence: Evidence, sums: Sums) -> str:
    if evidence.lost_reason:
        return "gpu-lost"
    if evidence.silent_since_s is not None:
        return "driver-silent" if evidence.silent_blame == "driver" else "sampler-silent"
    if sums.observed_s < th.MIN_OBSERVED_S.value:
        return "no-data"
    return CONTRADICTION if _contradictory(evidence, sums) > th.UNKNOWN_MAX.value else "missing-counters"


def _contradictory(evidence: Evidence, sums: Sums) -> float:
    """Share of the time seen in which one counter denies another; that time is unknown."""
    if not sums.shares.get("unknown"):
        return 0.0
    seen_s = sum(w.duration_s for w in evidence.windows if not w.lost)
    denied_s = sum(w.duration_s for w in evidence.windows if not w.lost and contradictory(w))
    return denied_s / seen_s if seen_s > 0.0 else 0.0


def _secondary_cause(second: Class | None, evidence: Evidence, sums: Sums) -> str | None:
    if sums.shares.get("throttle", 0.0) >= th.THROTTLE_NOTED.value:
        return throttle_cause(evidence)
    return _cause(second, evidence, sums)[0] if second else None


def throttle_cause(evidence: Evidence) -> str:
    """The slug of the clock limit seen most: heat before power, since heat is a fault and a cap a choice."""
    seen = {name: frac for name, frac in evidence.throttle_frac.items() if name in CLOCK_REASONS}
    if any(seen.get(name, 0.0) >= th.THROTTLE_NOTED.value for name in THERMAL):
        return "thermal"
    if seen.get("app_clocks", 0.0) >= max(seen.values(), default=0.0) > 0.0:
        return "pinned-clocks"
    return "power-cap" if seen.get("sw_power_cap") else "hw-slowdown"


def _margins(
    class_: Class | None, sums: Sums, groups: dict[Class, float], ranked: Sequence[Class]
) -> tuple[Margin, ...]:
    """Distances of the leading class's deciding values from what would have changed the verdict."""
    if class_ is None:
        return ()
    found = [share_margin(class_, groups, ranked)]
    dram, pipe, high = sums.dram_roof, sums.pipe_roof, th.ROOF_HIGH.value
    if class_ == "memory" and dram is not None:
        found.append(_margin("DRAM roof fraction", dram, max(high, pipe or 0.0)))
    if class_ == "compute" and pipe is not None:
        found.append(_margin("pipe roof fraction", pipe, max(high, dram or 0.0)))
    if class_ == "device":
        top = max(dram or 0.0, pipe or 0.0)
        found.append(Margin(name="larger roof fraction", value=top, threshold=high, margin=high - top))
    return tuple(found)


def share_margin(class_: Class, groups: dict[Class, float], ranked: Sequence[Class]) -> Margin:
    """How far the class's share is from losing its place: to the runner-up, or by the host gap's rule."""
    first, mine = th.HOST_FIRST.value, groups[class_]
    if class_ == "host" and mine < groups[ranked[1]]:
        return _margin("share of host", mine, first)
    other = groups[ranked[1]]
    if class_ in ROOFED and first - groups["host"] < mine - other:
        return Margin(
            name="share of host", value=groups["host"], threshold=first, margin=first - groups["host"]
        )
    return _margin(f"share of {class_} over {ranked[1]}", mine, other)


def _margin(name: str, value: float, threshold: float) -> Margin:
    return Margin(name=name, value=value, threshold=threshold, margin=value - threshold)


def _counter_evidence(evidence: Evidence, ceilings: Ceilings | None, sums: Sums) -> tuple[EvidenceItem, ...]:
    """The lines every verdict shows: time with nothing running, both roofs, SMs and occupancy."""
    if not sums.shares:
        return ()
    where = _where(evidence)
    gap = sums.shares["free"] + sums.shares["idle_held"] + sums.shares["host"]
    least = against(gap, th.HOST_GAP.value)
    items = [EvidenceItem(metric="time with nothing running", value=gap, threshold=least, source=where)]
    pipe_name = PIPES.get(sums.pipe or "", "compute")
    for name, counter, value in (
        ("DRAM", "dram_active", sums.dram_roof),
        (pipe_name, sums.pipe, sums.pipe_roof),
    ):
        if value is not None:
            items.append(
                EvidenceItem(
                    metric=f"{name} roof fraction while busy",
                    value=value,
                    threshold=against(value, th.ROOF_HIGH.value),
                    source=f"{where}; {words(label_of(ceilings, counter))}",
                )
            )
    for counter, metric in _DEVICE_LINES:
        value = busy_mean(evidence, counter)
        if value is not None:
            items.append(EvidenceItem(metric=metric, value=value, source=where))
    return tuple(items)


def against(value: float, threshold: float) -> str:
    """How a value stands to its threshold, as it is: ">= 0.6" or "< 0.6"."""
    return f"{'>=' if value >= threshold else '<'} {threshold:g}"


def _where(evidence: Evidence) -> str:
    count = len(evidence.windows)
    if evidence.tier == "nvml":
        return f"NVML utilisation, power and memory-controller time, {count} samples"
    size = evidence.windows[0].duration_s * 1e3 if evidence.windows else 0.0
    return f"GPM, {count} sub-windows of {size:.0f} ms"

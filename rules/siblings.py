"""Siblings: the other GPUs of the node, as far as a rule compares with them or asks what they do."""

from __future__ import annotations

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.evidence import Evidence
from rules.observed import busy_mean, mean
from rules.verdict import Class, Verdict


class Sibling(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the node in one window: a GPU or MIG instance, the rule's own one included.

    job: the workload's job ("slurm:123", "pod:<uid>", "container:<id>"), else None; user and workload: its
    user and name, untrusted. class_, dram_roof_frac and pipe_roof_frac are its verdict's. sm_mhz: the median
    over sub-windows at work (see busy_clock). temp_c: the highest. busy_frac: mean of gr_active; dram_active
    and tensor_active: while busy. ceilings: what it is compared with, its own where it was probed.
    """

    key: str
    gpu: int
    device_name: str
    mig: str | None = None
    workload: str | None = None
    job: str | None = None
    user: str | None = None
    class_: Class = "unknown"
    ceilings: Ceilings | None = None
    sm_mhz: float | None = None
    temp_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    busy_frac: float | None = None
    dram_active: float | None = None
    tensor_active: float | None = None
    dram_roof_frac: float | None = None
    pipe_roof_frac: float | None = None


def sibling(evidence: Evidence, verdict: Verdict, ceilings: Ceilings | None) -> Sibling:
    """What the other rows of the node may know of this one."""
    work = evidence.workload
    return Sibling(
        key=evidence.key,
        gpu=evidence.gpu,
        device_name=evidence.device.name,
        mig=evidence.mig,
        workload=work.name if work else None,
        job=work.job if work else None,
        user=work.user if work else None,
        class_=verdict.class_,
        ceilings=ceilings,
        sm_mhz=busy_clock(evidence),
        temp_c=evidence.temp_c_max,
        power_w=evidence.power_w_p50,
        power_limit_w=evidence.device.power_limit_w,
        busy_frac=mean(evidence, "gr_active"),
        dram_active=busy_mean(evidence, "dram_active"),
        tensor_active=busy_mean(evidence, "tensor_active"),
        dram_roof_frac=verdict.dram_roof_frac,
        pipe_roof_frac=verdict.pipe_roof_frac,
    )


def busy_clock(evidence: Evidence) -> float | None:
    """Median SM clock of the sub-windows at work for SIBLING_BUSY of their length or more, in MHz.

    None where these make up less than CLOCK_FLAT_S: a card with little to do lowers its clock, and raises it
    over the first moments of work. Worked out once per evidence: several rules ask for it.
    """
    kept = evidence.__dict__
    if "busy_clock" not in kept:
        kept["busy_clock"] = _busy_clock(evidence)
    known: float | None = kept["busy_clock"]
    return known


def _busy_clock(evidence: Evidence) -> float | None:
    at_work = [w for w in evidence.windows if not w.lost and (w.gr_active or 0.0) >= th.SIBLING_BUSY.value]
    known = [w for w in at_work if w.sm_mhz is not None]
    if not known or sum(w.duration_s for w in known) < th.CLOCK_FLAT_S.value:
        return None
    clocks = sorted(w.sm_mhz or 0.0 for w in known)
    return clocks[len(clocks) // 2]


def comrades(siblings: tuple[Sibling, ...], key: str) -> tuple[Sibling, ...]:
    """Other whole GPUs of the same model that the job of `key` runs on as well."""
    own = next((s for s in siblings if s.key == key), None)
    if own is None or own.mig is not None or own.workload is None:
        return ()
    return tuple(s for s in siblings if s.key != own.key and _together(own, s))


def _together(own: Sibling, other: Sibling) -> bool:
    """Same model and same job; without a job, the same program of the same user."""
    if (own.device_name, own.mig) != (other.device_name, other.mig):
        return False
    if own.job is not None or other.job is not None:
        return own.job == other.job
    return (own.user, own.workload) == (other.user, other.workload)

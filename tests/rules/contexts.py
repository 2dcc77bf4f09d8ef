"""Contexts for tests of rules: one invented workload, with only what a test names."""

from __future__ import annotations

from typing import Any

import msgspec

from probes.ceilings import Ceiling, Ceilings, Reading
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Workload
from rules.finding import TERMS, LadderRow, Price
from rules.observed import busy_mean
from rules.registry import Context
from rules.siblings import sibling
from rules.split import COUNTED
from rules.stacks import StackGroup, Stacks
from rules.verdict import SHARES, Class, Verdict

DEVICE = Device(name="NVIDIA Simulated X100 80GB", memory_total_bytes=80 << 30)
PRICE = Price(usd_h=10.0, basis="user", source="--price")
CEILINGS = Ceilings(
    model="X100",
    label="assumed",
    readings=(Reading(counter="dram_active", frac=0.9, label="assumed", source="test"),),
    ceilings=tuple(
        Ceiling(metric=metric, value=value, unit="flop_s", label="assumed", source="test")
        for metric, value in (("fp32", 50e12), ("tf32", 400e12), ("bf16", 800e12), ("fp8", 1400e12))
    ),
)


def make_evidence(
    counters: dict[str, Any] | None = None,
    host: dict[str, Any] | None = None,
    device: dict[str, Any] | None = None,
    **changes: Any,
) -> Evidence:
    """Ten seconds in 50 equal sub-windows that show `counters`."""
    window = SubWindow(t_s=0.0, duration_s=0.2, **(counters or {}))
    windows = tuple(msgspec.structs.replace(window, t_s=0.2 * (i + 1)) for i in range(50))
    evidence = Evidence(
        key="GPU-0",
        gpu=0,
        device=msgspec.structs.replace(DEVICE, **(device or {})),
        tier="counters",
        t_start_s=0.0,
        t_end_s=10.0,
        workload=Workload(pid=4242, name="train.py", user="alice"),
        windows=windows,
        host=HostEvidence(**(host or {})),
    )
    return msgspec.structs.replace(evidence, **changes)


def make_context(
    evidence: Evidence | None = None,
    *,
    class_: Class = "host",
    price: Price = PRICE,
    ceilings: Ceilings | None = CEILINGS,
    useful: float = 0.0,
    verdict: dict[str, Any] | None = None,
    **shares: float,
) -> Context:
    """A context whose verdict has these shares; what they leave over is unknown."""
    evidence = make_evidence() if evidence is None else evidence
    all_shares = {name: shares.get(name, 0.0) for name in SHARES}
    all_shares["unknown"] += 1.0 - sum(all_shares.values())
    made = Verdict(
        key=evidence.key,
        gpu=evidence.gpu,
        mig=evidence.mig,
        device_name=evidence.device.name,
        workload=evidence.workload,
        class_=class_,
        cause="",
        confidence=0.9,
        tier="counters",
        shares=all_shares,
        counters={class_: counters_of(evidence) for class_ in ("memory", "compute", "device")},
    )
    return Context(
        evidence=evidence,
        verdict=msgspec.structs.replace(made, **(verdict or {})),
        ladder=_ladder(evidence, all_shares, useful, price),
        ceilings=ceilings,
        price=price,
    )


def counters_of(evidence: Evidence) -> dict[str, float]:
    """What equal sub-windows say of every class that ran in them."""
    means = {name: busy_mean(evidence, name) for name in COUNTED}
    return {name: value for name, value in means.items() if value is not None}


PROBED = Ceilings(model="X100", label="measured", sm_mhz=1700.0, power_limit_w=700.0)


def beside_siblings(own_mhz: float, *others_mhz: float, **changes: Any) -> Context:
    """GPU 0 at work at its clock, beside GPUs of the same job at theirs; `changes` are of the others."""
    evidence = make_evidence({"gr_active": 0.9, "sm_mhz": own_mhz})
    alone = make_context(evidence)
    own = sibling(evidence, alone.verdict, None)
    others = (
        msgspec.structs.replace(own, **{"key": f"GPU-{i}", "gpu": i, "sm_mhz": mhz, **changes})
        for i, mhz in enumerate(others_mhz, start=1)
    )
    return msgspec.structs.replace(alone, siblings=(own, *others))


def _ladder(evidence: Evidence, shares: dict[str, float], useful: float, price: Price) -> LadderRow:
    busy = shares["device"] + shares["memory"] + shares["compute"]
    terms = dict.fromkeys(TERMS, 0.0) | {
        "throttle": shares["throttle"],
        "useful": useful,
        "inefficiency": busy - useful,
    }
    return LadderRow(
        key=evidence.key,
        gpu=evidence.gpu,
        mig=evidence.mig,
        price_usd_h=price.usd_h,
        basis=price.basis,
        price_source=price.source,
        shares=terms,
    )


def stacks_of(samples: int = 500, others: dict[str, float] | None = None, **shares: Any) -> Stacks:
    """A look at the feeding thread with these shares (`loader_wait=0.4`), and at one other thread."""
    mine = [(slug.replace("_", "-"), frac, True) for slug, frac in shares.items()]
    theirs = [(slug, frac, False) for slug, frac in (others or {}).items()]
    return Stacks(
        pid=4242,
        tool="py-spy 0.4.3",
        samples=samples,
        seconds=samples / 100,
        groups=tuple(
            StackGroup(
                activity=slug,
                frac=frac,
                thread="MainThread" if main else "pool-0",
                main=main,
                frame=f"{slug}_function (/work/train.py:7)",
            )
            for slug, frac, main in (*mine, *theirs)
        ),
    )

"""Cases for tests of what-ifs: one invented workload, with only what a test names."""

from __future__ import annotations

from typing import Any

import msgspec

from probes.ceilings import Ceiling, Ceilings, Label
from rules.finding import Finding, Price
from rules.ladder import ladder_row
from rules.serving import ServingFigures
from rules.whatif import WhatIf
from rules.whatifs.answers import combined, what_ifs
from rules.whatifs.case import Candidate, Case, Replica, without_windows
from rules.whatifs.registry import named
from tests.rules.contexts import PRICE, make_context, make_evidence

RATES = {"fp32": 50e12, "tf32": 400e12, "bf16": 800e12, "fp8": 1400e12, "dram": 3e12}
# Of the list that the candidates are of.
LISTED = msgspec.structs.replace(PRICE, basis="bundled", source="list, X100")
OWN = Candidate(
    model="X100",
    memory_bytes=80e9,
    rates=RATES,
    clock_sms=132.0 * 1980.0,
    usd_h=10.0,
    source="list, X100",
)
SMALL = Candidate(
    model="S50",
    memory_bytes=40e9,
    rates={"dram": 1.5e12, "bf16": 200e12, "fp32": 20e12},
    clock_sms=66.0 * 1980.0,
    usd_h=4.0,
    source="list, S50",
)
LARGE = Candidate(
    model="L200",
    memory_bytes=160e9,
    rates={"dram": 6e12, "bf16": 1600e12, "fp32": 100e12},
    clock_sms=160.0 * 1980.0,
    usd_h=15.0,
    source="list, L200",
)


def ceilings(label: Label = "assumed", **more: float) -> Ceilings:
    """What the invented card does; with every figure measured where `label` says so."""
    rates = {**RATES, **more}
    return Ceilings(
        model="X100",
        label=label,
        ceilings=tuple(
            Ceiling(metric=metric, value=value, unit="", label=label, source="test")
            for metric, value in rates.items()
        ),
    )


def make_case(
    *,
    price: Price = LISTED,
    evidence: dict[str, Any] | None = None,
    card: dict[str, Any] | None = None,
    verdict: dict[str, Any] | None = None,
    limits: Ceilings | None = None,
    findings: tuple[Finding, ...] = (),
    serving: ServingFigures | None = None,
    replicas: tuple[Replica, ...] = (),
    candidates: tuple[Candidate, ...] = (),
    **shares: float,
) -> Case:
    """A case whose verdict has these shares; what they leave over is unknown."""
    largest = max(shares, key=lambda name: shares[name], default="unknown")
    class_ = {"idle_held": "idle", "free": "idle", "throttle": "compute"}.get(largest, largest)
    made = make_evidence(device=card, **(evidence or {}))
    ctx = make_context(made, class_=class_, price=price, verdict=verdict, **shares)  # type: ignore[arg-type]
    return Case(
        evidence=without_windows(made),
        verdict=ctx.verdict,
        ladder=ladder_row(made, ctx.verdict, price),
        price=price,
        ceilings=limits if limits is not None else ceilings(),
        findings=findings,
        serving=serving,
        replicas=replicas,
        candidates=candidates,
    )


def make_finding(code: str, **changes: Any) -> Finding:
    """A finding of this code, with nothing in it."""
    plain = Finding(
        code=code, title="", severity="low", gpu=0, key="GPU-0", claim="", confidence=1.0, share=0.1
    )
    return msgspec.structs.replace(plain, **changes)


def make_serving(**figures: Any) -> ServingFigures:
    """An engine with these figures."""
    return ServingFigures(endpoint="localhost:8000", engine="vllm", t_start_s=0.0, t_end_s=10.0, **figures)


def ask(case: Case, *words: str) -> WhatIf:
    """These fixes together."""
    return combined(case, [fix for word in words for fix in named(word)])


def listed(case: Case) -> dict[str, WhatIf]:
    """Slug -> what is said of it unasked."""
    return {one.fix: one for one in what_ifs(case)}

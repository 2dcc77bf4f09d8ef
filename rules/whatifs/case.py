"""Case: all that a what-if may look at. The same from a live look and from a saved diagnosis."""

from __future__ import annotations

import msgspec

from probes.ceilings import Ceilings
from rules.engine import Result, Subject
from rules.evidence import Evidence
from rules.finding import Finding, LadderRow, Price
from rules.headline import WITHIN_NOISE
from rules.serving import ServingFigures
from rules.trust import rate_label
from rules.verdict import Verdict

# Time in which nothing was asked for: slower work still fits into it.
_SLACK = ("free", "idle_held")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Another model of GPU that could be rented instead, and what it is taken to do.

    rates: ceiling ("dram", "bf16", "fp32", ...) -> bytes or FLOPs a second that such cards reach, not the
    data sheet's. clock_sms: SMs times boost clock in MHz, for work that neither roof limits. usd_h: of one
    GPU, by `source`; that of the card at hand comes from the same list, so that the ratio of both is one
    provider's.
    """

    model: str
    memory_bytes: float
    rates: dict[str, float]
    clock_sms: float | None
    usd_h: float
    source: str


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """Another GPU of the node that serves the same model.

    running: requests at once; kv_use_frac: of its KV cache.
    """

    key: str
    gpu: int
    running: float | None = None
    kv_use_frac: float | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU or MIG instance as it was diagnosed.

    evidence: without its sub-windows. price: of a whole GPU. serving: the engine on it that was asked.
    replicas: other GPUs of the node that serve the same model. candidates: models that can be rented, the one
    at hand among them where it is listed.
    """

    evidence: Evidence
    verdict: Verdict
    ladder: LadderRow
    price: Price
    ceilings: Ceilings | None = None
    findings: tuple[Finding, ...] = ()
    serving: ServingFigures | None = None
    replicas: tuple[Replica, ...] = ()
    candidates: tuple[Candidate, ...] = ()

    def share(self, name: str) -> float:
        """One of the verdict's shares, 0 to 1; 0 where too little is known for a verdict."""
        unknown = self.verdict.class_ == "unknown" and self.verdict.cause != WITHIN_NOISE
        return 0.0 if unknown else min(1.0, max(0.0, self.verdict.shares.get(name, 0.0)))

    @property
    def slack(self) -> float:
        """Share of the time in which nothing was asked of the card."""
        idle = sum(self.share(name) for name in _SLACK)
        return idle + (self.share("host") if self.verdict.cause == "no-demand" else 0.0)

    @property
    def memory_used_frac(self) -> float | None:
        """Device memory in use as a share of all of it."""
        used, total = self.evidence.mem_used_bytes, self.evidence.device.memory_total_bytes
        return None if used is None or not total else used / total

    def finding(self, code: str) -> Finding | None:
        """The finding with this code, if there is one."""
        return next((f for f in self.findings if f.code == code), None)

    def rate(self, metric: str) -> float | None:
        """What this card reaches, by its ceilings; None where that is unknown."""
        limit = self.ceilings.ceiling(metric) if self.ceilings else None
        return limit.value if limit is not None and limit.value > 0.0 else None

    def ratio(self, metric: str, over: str) -> tuple[float, str] | None:
        """One ceiling over another, and the label of the weaker: "measured" only on this very card."""
        first = self.ceilings.ceiling(metric) if self.ceilings else None
        second = self.ceilings.ceiling(over) if self.ceilings else None
        if first is None or second is None or not (first.value > 0.0 and second.value > 0.0):
            return None
        return first.value / second.value, rate_label(self.ceilings, first, second)


def case_of(
    subject: Subject,
    result: Result,
    *,
    replicas: tuple[Replica, ...] = (),
    candidates: tuple[Candidate, ...] = (),
) -> Case:
    """The case of a row that was diagnosed live."""
    return Case(
        evidence=without_windows(subject.evidence),
        verdict=result.verdict,
        ladder=result.ladder,
        price=subject.price,
        ceilings=subject.ceilings,
        findings=result.findings,
        serving=subject.evidence.serving,
        replicas=replicas,
        candidates=candidates,
    )


def without_windows(evidence: Evidence) -> Evidence:
    """The evidence as a saved diagnosis keeps it."""
    host = msgspec.structs.replace(evidence.host, stacks=None)
    return msgspec.structs.replace(evidence, windows=(), host=host)

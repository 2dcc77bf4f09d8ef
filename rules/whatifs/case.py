"""Case: all that a what-if may look at. The same from a live look and from a saved diagnosis."""

from __future__ import annotations

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.evidence import Evidence
from rules.finding import Finding, LadderRow, Price
from rules.headline import WITHIN_NOISE
from rules.serving import ServingFigures
from rules.trust import rate_label
from rules.verdict import Verdict

# Time in which nothing was asked for: slower work still fits into it.
_SLACK = ("free", "idle_held")
# Host gaps in which the host works while the device waits, and waits while the device works.
_SERIAL = frozenset({"HOST004", "HOST005", "HOST016", "TRACE004", "TRACE005", "TRACE007"})
_SURE = 0.5


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Another model of GPU that could be rented instead, and what it is taken to do.

    rates: ceiling ("dram", "bf16", "fp32", ...) -> bytes or FLOPs a second that such cards reach, not the
    data sheet's. clock_sms: SMs times boost clock in MHz, for work that neither roof limits. usd_h: of one
    GPU, by `source`; that of the card at hand comes from the same list, so that the ratio of both is one
    provider's. configured: it is what the user said to pay, and no list's.
    """

    model: str
    memory_bytes: float
    rates: dict[str, float]
    clock_sms: float | None
    usd_h: float
    source: str
    configured: bool = False


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """Another GPU of the node that serves the same model.

    running: requests at once; waiting: those in its queue; kv_use_frac: of its KV cache.
    """

    key: str
    gpu: int
    running: float | None = None
    waiting: float | None = None
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

    @property
    def unknown(self) -> bool:
        """Whether too little is known for a verdict, and so for its shares."""
        return self.verdict.class_ == "unknown" and self.verdict.cause != WITHIN_NOISE

    def share(self, name: str) -> float:
        """One of the verdict's shares, 0 to 1; 0 where too little is known for a verdict."""
        return 0.0 if self.unknown else min(1.0, max(0.0, self.verdict.shares.get(name, 0.0)))

    @property
    def idle(self) -> dict[str, float]:
        """Shares of the time in which nothing was asked of the card."""
        names = (*_SLACK, "host") if self.verdict.cause == "no-demand" else _SLACK
        return {name: self.share(name) for name in names}

    @property
    def slack(self) -> float:
        """Share of the time in which nothing was asked of the card."""
        return sum(self.idle.values())

    @property
    def may_overlap(self) -> bool:
        """Whether the host may work beside the device and set its pace: a gap that matters, not known serial.

        Loaders, launches and other processes run ahead of the device; a synchronisation, a pageable copy or a
        checkpoint stops it.
        """
        serial = any(f.code in _SERIAL and f.confidence >= _SURE for f in self.findings)
        return self.share("host") >= th.HOST_GAP.value and "host" not in self.idle and not serial

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


def without_windows(evidence: Evidence) -> Evidence:
    """The evidence as a saved diagnosis keeps it."""
    host = msgspec.structs.replace(evidence.host, stacks=None)
    return msgspec.structs.replace(evidence, windows=(), host=host)

"""Findings: one claim each, with its evidence, what to do, and what that would buy."""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.verdict import EvidenceItem

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")


class Effect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the fix would buy, as a range of throughput factors (1.4 = 40 % more work an hour).

    bound: the factor no fix of this kind can exceed, e.g. 1/(1-h) for a host gap of h.
    basis: how the range was reached, and what it assumes.
    """

    low: float
    high: float
    basis: str
    bound: float | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding on one GPU or MIG instance.

    claim: one sentence with its number. why: why this costs. actions: exact commands or settings.
    usd_h: dollars an hour the fix could at most recover; None when no price is known. Dollars of findings may
    overlap (two fixes of one gap): only the ladder sums to the bill.
    share: the share of paid time the finding stands for (ranks findings when there is no price).
    recoverable: the share of paid time behind `usd_h`, which exists without a price; None in older documents.
    owner: who can act, "job" or "fleet".
    term: the ladder's term that the finding explains (TERMS), None where it stands for no share of time.
    role: `primary` for the one finding that names a term's cause, `contributing` for the others of that term.
    """

    code: str
    title: str
    severity: Severity
    gpu: int
    key: str
    claim: str
    confidence: float
    share: float
    mig: str | None = None
    why: str = ""
    evidence: tuple[EvidenceItem, ...] = ()
    actions: tuple[str, ...] = ()
    effect: Effect | None = None
    usd_h: float | None = None
    owner: Literal["job", "fleet"] = "job"
    references: tuple[str, ...] = ()
    term: str | None = None
    role: Literal["primary", "contributing"] = "primary"
    recoverable: float | None = None


class LadderRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one GPU's (or MIG slice's) dollars an hour go. terms_usd_h sums to price_usd_h.

    shares: the same terms as shares of time; they sum to 1 and exist without a price.
    wasted_usd_h: everything but `useful` and `unknown`. basis: whose price it is
    (as in Price) with provider, instance and date in `price_source`. part: of the whole GPU,
    1 unless MIG splits it; weighs rows that have no price.
    """

    key: str
    gpu: int
    mig: str | None
    price_usd_h: float | None
    basis: str
    price_source: str
    shares: dict[str, float]
    terms: dict[str, float] | None = None
    wasted_usd_h: float | None = None
    part: float = 1.0


# The ladder's terms in the order they are shown.
TERMS: tuple[str, ...] = (
    "free",
    "idle_held",
    "host_gap",
    "communication",
    "throttle",
    "inefficiency",
    "useful",
    "unknown",
)


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per hour for one whole GPU, and whose figure that is.

    basis: `user` (a flag), `environment`, `config`, `instance` (the bundled row of the node's own type of
    instance), `bundled` (the bundled default of the model), `none`. notes: what weakens it.
    """

    usd_h: float | None
    basis: Literal["user", "environment", "config", "instance", "bundled", "none"]
    source: str
    notes: tuple[str, ...] = ()

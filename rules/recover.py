"""What of a ladder row's waste could be won back, by whom, and how much of it at least and at most.

Wasted is a fact of the window; recoverable is what a known fix of it would save. Free time is recoverable
whole: somebody else can have it. Of every other term what a finding's effect promises is. Held time of which
no finding says more is so from nothing to all of it: pauses too short to hand a card back count as held, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from rules import thresholds as th
from rules.economics import host_gap_effect, saved
from rules.finding import Effect, Finding, LadderRow

Owner = Literal["job", "fleet"]
Basis = Literal["fact", "finding", "bound", "none"]

# Who can act on a term where no finding says who. Useful and unknown time has nothing to win back.
OWNERS: dict[str, Owner] = {
    "free": "fleet",
    "idle_held": "job",
    "host_gap": "job",
    "communication": "job",
    "throttle": "fleet",
    "inefficiency": "job",
}
FREE = "no process uses it, so others can have it"
# What held time rests on where no finding puts a figure on it.
HELD = "nothing runs; what of it can be let go depends on how long its pauses last"
# What the host gap rests on where no finding puts a figure on closing it.
BOUND = "1/(1-h) is the bound of a gap whose cause no finding names"
NO_DEMAND = "nobody asks the card for more, so no change of code fills the gap"
# A share below this is floating point's, and no time at all.
_DUST = 1e-12
NOT_KNOWN: dict[str, str] = {
    "host_gap": "the gap is too small, or too little ran, to say what closing it buys",
    "communication": "no finding puts a figure on a fix of communication",
    "throttle": "neither a lowered limit nor heat is seen to hold the clocks",
    "inefficiency": "no finding puts a figure on a fix: less than a roof is not yet a fix",
}


class Recoverable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of one term could be won back, by whom, and why so much. Wasted is not the same as recoverable.

    term: a key of TERMS. owner: who can act. share_*: of the scope's paid time; usd_h_*: dollars an hour,
    None without a price. basis: "fact" (all of it, for what it is), "finding" (what the finding's effect
    allows), "bound" (held time or a gap without such a finding: from nothing to all of it), or "none":
    nothing is known to win it back, which is not to say that nothing would.
    because: the finding's code, or the fact or the want that it rests on.
    """

    term: str
    owner: Owner
    share_low: float
    share_high: float
    usd_h_low: float | None = None
    usd_h_high: float | None = None
    because: str = ""
    basis: Basis = "finding"


class _Part(msgspec.Struct, frozen=True):
    """How much of a term could be won back: parts of it, 0 to 1."""

    low: float
    high: float
    owner: Owner
    because: str
    basis: Basis


def recoverable(
    row: LadderRow, findings: Sequence[Finding], cause: str | None = None
) -> tuple[Recoverable, ...]:
    """One entry for each term of this row that is wasted.

    findings: those on this row's device. cause: its verdict's, where that is known.
    """
    found = [
        (term, _part(term, row, [f for f in findings if f.term == term], cause))
        for term in OWNERS
        if row.shares.get(term, 0.0) > _DUST
    ]
    return tuple(_entry(term, row, part) for term, part in found)


def _entry(term: str, row: LadderRow, part: _Part) -> Recoverable:
    share = row.shares[term]
    usd_h = None if row.terms is None else row.terms.get(term, 0.0)
    return Recoverable(
        term=term,
        owner=part.owner,
        share_low=part.low * share,
        share_high=part.high * share,
        usd_h_low=None if usd_h is None else part.low * usd_h,
        usd_h_high=None if usd_h is None else part.high * usd_h,
        because=part.because,
        basis=part.basis,
    )


def _part(term: str, row: LadderRow, findings: Sequence[Finding], cause: str | None) -> _Part:
    if term == "free":
        return _Part(1.0, 1.0, OWNERS[term], FREE, "fact")
    leader = _leader(findings)
    if leader is None or leader.effect is None:
        if term == "idle_held":
            return _Part(0.0, 1.0, OWNERS[term], HELD, "bound")
        if term == "host_gap":
            return _unnamed_gap(row.shares[term], cause)
        return _Part(0.0, 0.0, OWNERS[term], _why_not(term, findings), "none")
    low, high = _won_back(leader, leader.effect, row)
    share = row.shares[term]
    least, most = (min(1.0, max(0.0, part / share)) for part in (low, high))
    return _Part(least, most, leader.owner, leader.code, "finding")


def _unnamed_gap(gap: float, cause: str | None) -> _Part:
    """What the what-if `host-gap` says of a gap whose cause no finding names; nothing of it is sure."""
    if cause == "no-demand":
        return _Part(0.0, 0.0, OWNERS["host_gap"], NO_DEMAND, "none")
    effect = host_gap_effect(gap) if gap >= th.WORTH_A_FIX.value else None
    if effect is None:
        return _Part(0.0, 0.0, OWNERS["host_gap"], NOT_KNOWN["host_gap"], "none")
    return _Part(0.0, min(1.0, saved(effect) / gap), OWNERS["host_gap"], BOUND, "bound")


def _why_not(term: str, findings: Sequence[Finding]) -> str:
    named = next((f.code for f in findings if f.role == "primary"), None)
    return NOT_KNOWN[term] if named is None else f"{named} names the cause, and no fix with a known effect"


def _leader(findings: Sequence[Finding]) -> Finding | None:
    """The one finding that speaks for a term: its primary, else the one that saves most.

    A primary that wins back nothing (what it saves was useful, or of unknown use) leaves the word to others.
    Several fixes of one term mostly compete for the same time, so they are never added up.
    """
    able = [f for f in findings if f.effect is not None]
    return max(able, key=_weight, default=None)


def _weight(finding: Finding) -> tuple[bool, bool, float]:
    saves = 0.0 if finding.effect is None else saved(finding.effect)
    return finding.recoverable != 0.0, finding.role == "primary", saves


def _won_back(finding: Finding, effect: Effect, row: LadderRow) -> tuple[float, float]:
    """Shares of paid time: the same work at factor x takes 1/x of today's, so 1 - 1/x is saved."""
    high = min(saved(effect), _most(finding, row))
    low = max(0.0, 1.0 - 1.0 / effect.low) if effect.low > 0.0 else 0.0
    return min(low, high), high


def _most(finding: Finding, row: LadderRow) -> float:
    """What the finding itself counts on at most, as a share; 1 where it does not say."""
    if finding.recoverable is not None:
        return finding.recoverable
    if finding.usd_h is None or row.price_usd_h is None or row.price_usd_h <= 0.0:
        return 1.0
    return finding.usd_h / row.price_usd_h

"""Waste ladder: where one GPU's dollars an hour go. The terms sum to the price.

free + idle_held + host_gap + communication + throttle + inefficiency + useful + unknown = price.
Useful is busy time weighted by its larger roof fraction; inefficiency is the rest of busy time of which such
a fraction is known.
"""

from __future__ import annotations

import math

from rules.evidence import Evidence
from rules.finding import TERMS, LadderRow, Price
from rules.verdict import Verdict

NOT_WASTED = frozenset({"useful", "unknown"})
# What each term is called wherever there is room for it.
TERM_WORDS: dict[str, str] = {
    "free": "free",
    "idle_held": "idle-held",
    "host_gap": "host gap",
    "communication": "communication",
    "throttle": "throttle",
    "inefficiency": "inefficiency",
    "useful": "useful",
    "unknown": "unknown",
}


def ladder_row(evidence: Evidence, verdict: Verdict, price: Price) -> LadderRow:
    """The ladder of one row. Without a price it holds shares and no dollars."""
    return priced_row(
        evidence.key, evidence.gpu, evidence.mig, term_shares(verdict), price, evidence.price_share
    )


def priced_row(
    key: str, gpu: int, mig: str | None, shares: dict[str, float], price: Price, part: float
) -> LadderRow:
    """Shares of time (TERMS key -> share) in dollars, of the `part` of a whole GPU's price they stand for."""
    usd_h = None if price.usd_h is None else price.usd_h * part
    terms = None if usd_h is None else in_dollars(shares, usd_h)
    return LadderRow(
        key=key,
        gpu=gpu,
        mig=mig,
        price_usd_h=usd_h,
        basis=price.basis,
        price_source=price.source,
        shares=shares,
        terms=terms,
        wasted_usd_h=None if terms is None else wasted(terms),
        part=part,
    )


def term_shares(verdict: Verdict) -> dict[str, float]:
    """A verdict's shares of time as ladder terms; they sum to 1."""
    s = verdict.shares
    busy = s["device"] + s["memory"] + s["compute"]
    useful = min(busy, verdict.useful_frac or 0.0)
    unroofed = min(busy - useful, verdict.unroofed_frac)
    found = {
        "free": s["free"],
        "idle_held": s["idle_held"],
        "host_gap": s["host"],
        "communication": s["communication"],
        "throttle": s["throttle"],
        "inefficiency": busy - useful - unroofed,
        "useful": useful,
        "unknown": s["unknown"] + unroofed,
    }
    return {name: found[name] for name in TERMS}


def in_dollars(shares: dict[str, float], usd_h: float) -> dict[str, float]:
    """Shares times the price; the largest term takes what floating point left over, so the sum is exact."""
    terms = {name: share * usd_h for name, share in shares.items()}
    largest = max(terms, key=lambda name: terms[name])
    terms[largest] += usd_h - math.fsum(terms.values())
    return terms


def wasted(terms: dict[str, float]) -> float:
    """Of terms in dollars or as shares, what was neither useful nor unknown."""
    return math.fsum(value for name, value in terms.items() if name not in NOT_WASTED)

"""Ranking: which class a split of time names, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rules import thresholds as th
from rules.split import Sums
from rules.verdict import GROUPS, Class

ROOFED: frozenset[Class] = frozenset({"memory", "compute", "device", "communication"})


class Lead(NamedTuple):
    """By how much a class holds its place: over the share `against`, or over HOST_FIRST where that is None.

    A negative lead says that another class has the place.
    """

    lead: float
    against: Class | None


def group_shares(sums: Sums) -> dict[Class, float]:
    """Shares added up by class, without `unknown`. Throttled time goes where the slowed work was."""
    groups = {class_: sum(sums.shares.get(k, 0.0) for k in keys) for class_, keys in GROUPS.items()}
    if sums.shares.get("device", 0.0) > sums.shares.get("compute", 0.0):
        moved = sums.shares.get("throttle", 0.0)
        groups["compute"] -= moved
        groups["device"] += moved
    return groups


def ranking(groups: Mapping[Class, float]) -> list[Class]:
    """Classes by share, except that a large host gap comes before a roof.

    Time at a roof is work and a gap is none: from HOST_FIRST on, closing the gap buys 1/(1-h), more
    than a fix at the roof usually does, and it is what keeps the roof from mattering.
    """
    ranked = sorted(groups, key=lambda c: groups[c], reverse=True)
    if ranked[0] in ROOFED and groups["host"] >= th.HOST_FIRST.value:
        ranked.remove("host")
        ranked.insert(0, "host")
    return ranked


def lead_of(class_: Class, groups: Mapping[Class, float]) -> Lead:
    """How far `class_` is from losing its place, by the rules of `ranking`."""
    mine, first = groups[class_], th.HOST_FIRST.value
    rival = max((c for c in groups if c != class_), key=lambda c: groups[c])
    over = Lead(mine - groups[rival], rival)
    if class_ == "host" and rival in ROOFED:
        return max(over, Lead(mine - first, None), key=_first)
    if class_ in ROOFED and mine >= groups["idle"]:
        return min(over, Lead(first - groups["host"], None), key=_first)
    return over


def _first(lead: Lead) -> float:
    return lead.lead

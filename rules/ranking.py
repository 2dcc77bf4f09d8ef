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


def leads_of(class_: Class, groups: Mapping[Class, float]) -> tuple[Lead, ...]:
    """Every distance that `class_` must keep by the rules of `ranking`.

    From each other class and, where roofs are in play, from HOST_FIRST, which then is the first. A host gap
    in front of roofs needs one of two: HOST_FIRST, or the largest share of all.
    """
    rivals: list[Class | None] = [c for c in groups if c != class_]
    if before_roofs(class_, groups) or (class_ in ROOFED and groups[class_] >= groups["idle"]):
        rivals.insert(0, None)
    return tuple([Lead(lead_over(class_, against, groups), against) for against in rivals])


def lead_over(class_: Class, against: Class | None, groups: Mapping[Class, float]) -> float:
    """Share of `class_` over that of another; with None how far the host gap is on its side of HOST_FIRST."""
    if against is not None:
        return groups[class_] - groups[against]
    over = groups["host"] - th.HOST_FIRST.value
    return over if class_ == "host" else -over


def before_roofs(class_: Class, groups: Mapping[Class, float]) -> bool:
    """True where `class_` is a host gap that HOST_FIRST may put before a larger share."""
    return class_ == "host" and max((c for c in groups if c != "host"), key=lambda c: groups[c]) in ROOFED


def lead_of(class_: Class, groups: Mapping[Class, float]) -> Lead:
    """How far `class_` is from losing its place, by the rules of `ranking`."""
    leads = leads_of(class_, groups)
    if before_roofs(class_, groups):
        return max(leads[0], min(leads[1:], key=_first), key=_first)
    return min(leads, key=_first)


def _first(lead: Lead) -> float:
    return lead.lead

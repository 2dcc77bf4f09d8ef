"""Levers that findings and what-ifs share, so that both say the same of one fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probes.ceilings import Ceilings
from rules.economics import host_gap_bound
from rules.finding import Effect
from rules.trust import rate_label
from rules.verdict import EvidenceItem
from rules.whatif import Lever, WhatIfBasis
from rules.whatifs.anchors import (
    BATCH_HIGH,
    COMPILED,
    GRAPHS_LOW,
    GRAPHS_SOURCE,
    PINNED_HIGH,
    PINNED_LOW,
    PINNED_SOURCE,
)
from rules.whatifs.compose import factor

# What a copy reaches of pageable memory's measured rate, at which it still passes for one from there.
_LIKE_PAGEABLE = 1.25
_COPIED = "part of the gap that PCIe copies fill"
_COPY_LIMIT = "typical pinned copy on this link"
_LAUNCH = ("launch_interval", "graph_node", "dispatch_eager")
# Rounding of what is left of a share.
_EXACT = 1e-9
# Shares that each step pays for once, however large its batch.
PER_STEP = ("host", "device", "memory")


def in_gap_bytes_s(items: Iterable[EvidenceItem]) -> float | None:
    """The rate at which copies cross while nothing runs, from the evidence of a host gap's cause."""
    said = {item.metric: item.value for item in items}
    part, limit = said.get(_COPIED), said.get(_COPY_LIMIT)
    return part * limit if isinstance(part, float) and isinstance(limit, float) else None


def on_share(part: float, whole: float) -> float | None:
    """The factor on a share of the time that makes all of it `whole` times as fast; None: it falls away."""
    left = part - (1.0 - 1.0 / whole)
    return part / left if left > _EXACT else None


def pinning(
    gap: float, ceilings: Ceilings | None, copied_bytes_s: float | None
) -> tuple[tuple[Lever, ...], WhatIfBasis, str]:
    """Levers of pinned and overlapped copies on a host gap, their basis, and that in words.

    copied_bytes_s: the rate at which copies cross while nothing runs, None where it is unknown.
    """
    pinned = ceilings.ceiling("h2d_pinned") if ceilings else None
    pageable = ceilings.ceiling("h2d_pageable") if ceilings else None
    if pinned and pageable and pinned.value > pageable.value > 0.0 and copied_bytes_s is not None:
        label = rate_label(ceilings, pinned, pageable)
        if label == "measured" and copied_bytes_s <= _LIKE_PAGEABLE * pageable.value:
            times = pinned.value / pageable.value
            return (
                (Lever(share="host", low=times, high=None),),
                "measured",
                f"this card's pinned copies are {times:.1f} times as fast as pageable ones (probe), and "
                f"these cross at a pageable rate; full overlap: the bound",
            )
    low = on_share(gap, PINNED_LOW)
    high = None if host_gap_bound(gap) is not None else on_share(gap, PINNED_HIGH)
    return (Lever(share="host", low=low, high=high),), "anchor", f"{PINNED_SOURCE}; full overlap: the bound"


def graphs(gap: float, ceilings: Ceilings | None) -> tuple[tuple[Lever, ...], WhatIfBasis, str]:
    """Levers of CUDA graphs on a host gap made of launches, their basis, and that in words."""
    costs = {name: ceilings.ceiling(name) for name in _LAUNCH} if ceilings else {}
    launch, node, eager = (costs.get(name) for name in _LAUNCH)
    if launch and node and 0.0 < node.value < launch.value:
        slow = eager if eager is not None and eager.value > launch.value else launch
        if rate_label(ceilings, launch, node, slow) == "measured":
            return (
                (Lever(share="host", low=launch.value / node.value, high=slow.value / node.value),),
                "measured",
                f"on this card a node of a graph costs {1e6 * node.value:.1f} µs, a launch "
                f"{1e6 * launch.value:.1f} µs, one through the framework {1e6 * slow.value:.1f} µs (probe)",
            )
    bound = host_gap_bound(gap)
    most = COMPILED if bound is None else min(COMPILED, bound)
    low, high = (on_share(gap, min(whole, most)) for whole in (GRAPHS_LOW, most))
    return (
        (Lever(share="host", low=low, high=high),),
        "anchor",
        f"{GRAPHS_SOURCE}; never above the bound 1/(1-gap)",
    )


def doubled(shares: dict[str, float]) -> tuple[Lever, ...]:
    """Levers of a batch twice as large on the shares that each step pays for once."""
    return tuple(
        Lever(share=name, low=1.0, high=BATCH_HIGH, bound=2.0) for name in PER_STEP if shares.get(name, 0.0)
    )


def as_effect(gap: float, levers: tuple[Lever, ...], how: str) -> Effect:
    """Levers on the host gap alone, as a finding states them."""
    shares: Mapping[str, float] = {"host": gap}
    low, high = factor(shares, levers, "low"), factor(shares, levers, "high")
    return Effect(low=low, high=high, bound=host_gap_bound(gap), basis=how)

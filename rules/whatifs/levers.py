"""Levers that findings and what-ifs share, so that both say the same of one fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probes.ceilings import Ceilings
from rules.economics import amdahl, host_gap_bound
from rules.finding import Effect
from rules.trust import rate_label
from rules.verdict import EvidenceItem
from rules.whatif import Lever, WhatIfBasis
from rules.whatifs.anchors import (
    BATCH_HIGH,
    COMPILED,
    CURVE_SOURCE,
    FP8_LOW,
    FP8_SOURCE,
    GRAPHS_LOW,
    GRAPHS_SOURCE,
    PINNED_HIGH,
    PINNED_LOW,
    PINNED_SOURCE,
    weights_part,
)
from rules.whatifs.compose import End, factor

# What a copy reaches of pageable memory's measured rate, at which it still passes for one from there.
_LIKE_PAGEABLE = 1.25
_COPIED = "part of the gap that PCIe copies fill"
_COPY_LIMIT = "typical pinned copy on this link"
_LAUNCH = ("graph_node", "dispatch_eager")
# What of a share each step pays for once.
_PAID_ONCE = {"memory": "weights"}
# Rounding of what is left of a share.
_EXACT = 1e-9
# Shares that each step pays for once, however large its batch.
PER_STEP = ("host", "device", "memory")
# A type of half as many bits moves half the bytes.
HALF = 2.0


def in_gap_bytes_s(items: Iterable[EvidenceItem]) -> float | None:
    """The rate at which copies cross while nothing runs, from the evidence of a host gap's cause."""
    said = {item.metric: item.value for item in items}
    part, limit = said.get(_COPIED), said.get(_COPY_LIMIT)
    return part * limit if isinstance(part, float) and isinstance(limit, float) else None


def on_share(part: float, whole: float) -> float | None:
    """The factor on a share of the time that makes all of it `whole` times as fast; None: it falls away."""
    left = part - (1.0 - 1.0 / whole)
    return part / left if left > _EXACT else None


def _published(gap: float, least: float) -> float:
    """On a host gap, the least that was published of a fix; no gain where the gap is not worth as much."""
    bound = host_gap_bound(gap)
    times = on_share(gap, least) if bound is None or least < bound else None
    return 1.0 if times is None else times


def pinning(
    gap: float, ceilings: Ceilings | None, copied_bytes_s: float | None
) -> tuple[tuple[Lever, ...], WhatIfBasis, str]:
    """Levers of pinned and overlapped copies on a host gap, their basis, and that in words.

    copied_bytes_s: the rate at which copies cross while nothing runs, None where it is unknown. At the low
    end they fill no more of the gap than pageable copies of that rate would.
    """
    pinned = ceilings.ceiling("h2d_pinned") if ceilings else None
    pageable = ceilings.ceiling("h2d_pageable") if ceilings else None
    known = pinned and pageable and rate_label(ceilings, pinned, pageable) == "measured"
    if known and pinned and pageable and pinned.value > pageable.value > 0.0 and copied_bytes_s is not None:
        return _measured_pinning(pinned.value / pageable.value, copied_bytes_s / pageable.value)
    low = _published(gap, PINNED_LOW)
    high = None if host_gap_bound(gap) is not None else on_share(gap, PINNED_HIGH)
    return _copies(low, high, "anchor"), "anchor", f"{PINNED_SOURCE}; full overlap: the bound"


def _measured_pinning(times: float, filled: float) -> tuple[tuple[Lever, ...], WhatIfBasis, str]:
    """times: pinned over pageable copies; filled: the rate in the gap over that of pageable copies."""
    if filled > _LIKE_PAGEABLE:
        how = (
            "these copies cross faster than this card's pageable ones (probe): pinning alone may buy nothing"
        )
        return _copies(1.0, None, "measured"), "measured", f"{how}; full overlap: the bound"
    part = min(1.0, max(0.0, filled))
    return (
        _copies(1.0 / (1.0 - part + part / times), None, "measured"),
        "measured",
        f"this card's pinned copies are {times:.1f} times as fast as pageable ones (probe); at a pageable "
        f"rate these fill {100 * part:.0f} % of the gap; full overlap: the bound",
    )


def _copies(low: float | None, high: float | None, basis: WhatIfBasis) -> tuple[Lever, ...]:
    return (Lever(share="host", of="copies", low=low, high=high, basis=basis),)


def graphs(gap: float, ceilings: Ceilings | None) -> tuple[tuple[Lever, ...], WhatIfBasis, str]:
    """Levers of CUDA graphs on a host gap made of launches, their basis, and that in words.

    The low end is what was published, since nobody knows how much of the gap launches are. The upper end is
    this card's launches through the framework over nodes of a graph where both were measured, or the bound.
    """
    bound = host_gap_bound(gap)
    low = _published(gap, GRAPHS_LOW)
    measured = _measured_launches(ceilings)
    if measured is None:
        high = None if bound is not None else on_share(gap, COMPILED)
        how = f"{GRAPHS_SOURCE}; upper end: all of the gap is launches, the bound 1/(1-gap)"
    else:
        high, how = measured
    low = low if high is None or low < high else 1.0
    return (Lever(share="host", of="launches", low=low, high=high, basis="anchor"),), "anchor", how


def _measured_launches(ceilings: Ceilings | None) -> tuple[float, str] | None:
    """A launch through the framework over a node of a graph, both measured on this card."""
    node, eager = (ceilings.ceiling(name) if ceilings else None for name in _LAUNCH)
    if node is None or eager is None or not 0.0 < node.value < eager.value:
        return None
    if rate_label(ceilings, node, eager) != "measured":
        return None
    return eager.value / node.value, (
        f"low end: {GRAPHS_SOURCE}; upper end: on this card a node of a graph costs "
        f"{1e6 * node.value:.1f} µs, a launch through the framework {1e6 * eager.value:.1f} µs (probe)"
    )


def doubled(shares: dict[str, float]) -> tuple[Lever, ...]:
    """Levers of a batch twice as large on the shares that each step pays for once."""
    return tuple(
        Lever(share=name, of=_PAID_ONCE.get(name, ""), low=1.0, high=BATCH_HIGH, bound=2.0, basis="anchor")
        for name in PER_STEP
        if shares.get(name, 0.0)
    )


def slower_by_fp8(touched: float) -> float:
    """The factor on a share of the time by which all of the work runs at fp8's published slowdown."""
    return touched / (touched + 1.0 / FP8_LOW - 1.0)


def eight_bits(
    dtype: str, compute: float, memory: float, ratio: tuple[float, str], running: float | None
) -> tuple[tuple[Lever, ...], str]:
    """Levers of an 8-bit type on 16-bit work that computes and waits for DRAM, and what they rest on.

    ratio: of GEMM rates, with its label. running: an engine's requests at once, None where nobody told.
    """
    slow = slower_by_fp8(compute + memory)
    products, weights = _faster_products(ratio, slow), _fewer_weights(running, slow)
    levers = tuple(lever for lever, part in ((products, compute), (weights, memory)) if part > 0.0)
    said = (
        f"{dtype} over 16-bit GEMMs, {ratio[0]:.2f}x ({ratio[1]} ceilings), on compute-bound time",
        _weights_words(running),
        f"low end: {FP8_SOURCE}",
    )
    return levers, "; ".join(text for text, told in zip(said, (compute, memory, 1.0), strict=True) if told)


def _faster_products(ratio: tuple[float, str], slow: float) -> Lever:
    """Products by the ratio of GEMM rates; with the published slowdown at its low end, an anchor at best."""
    basis: WhatIfBasis = "anchor" if ratio[1] == "measured" else "assumption"
    return Lever(share="compute", low=min(slow, ratio[0]), high=ratio[0], bound=ratio[0], basis=basis)


def _fewer_weights(running: float | None, slow: float) -> Lever:
    """Half the bytes of weights. How much of the traffic they are is known of an engine's batch alone."""
    part = 1.0 if running is None else weights_part(running)
    high = amdahl(part, HALF)
    basis: WhatIfBasis = "assumption" if running is None else "anchor"
    return Lever(share="memory", of="weights", low=min(slow, high), high=high, bound=HALF, basis=basis)


def _weights_words(running: float | None) -> str:
    if running is None:
        return "half the bytes of memory-bound time at best, if all of them are weights"
    part = weights_part(running)
    return f"{100 * part:.0f} % of a step reads weights at {running:.0f} requests, as of {CURVE_SOURCE}"


def fewer_bytes(memory: float) -> tuple[tuple[Lever, ...], str]:
    """Levers of half the bytes on time that waits for DRAM, and what they rest on."""
    how = "half the bytes on the memory-bound share at best (2x there); 1.0x where they are all needed"
    return ((Lever(share="memory", low=1.0, high=HALF, bound=HALF),) if memory > 0.0 else ()), how


def effect_of(shares: Mapping[str, float], levers: tuple[Lever, ...], how: str) -> Effect:
    """What levers do to shares of the time, as a finding states it."""
    ends: tuple[End, ...] = ("low", "high", "bound")
    low, high, bound = (factor(shares, levers, end) for end in ends)
    return Effect(low=low, high=high, bound=bound, basis=how)


def as_effect(gap: float, levers: tuple[Lever, ...], how: str) -> Effect:
    """Levers on the host gap alone, as a finding states them."""
    shares: Mapping[str, float] = {"host": gap}
    low, high = factor(shares, levers, "low"), factor(shares, levers, "high")
    return Effect(low=low, high=high, bound=host_gap_bound(gap), basis=how)

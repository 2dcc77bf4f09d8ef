"""Fixes of time in which the GPU waits: for its host, for copies, for other GPUs, or for anybody at all."""

from __future__ import annotations

from rules import thresholds as th
from rules.economics import host_gap_bound, removed
from rules.finding import Finding
from rules.whatif import Lever
from rules.whatifs.case import Case
from rules.whatifs.levers import graphs, in_gap_bytes_s, on_share, pinning
from rules.whatifs.registry import Answer, Draft, Refused, fix

_NO_DEMAND = "nobody asks the card for more, so no change of code fills the gap"
_TOO_LITTLE_RAN = "hardly anything ran, so how fast the rest would run is not known"


_GAP_CODES = (
    *("HOST001", "HOST003", "HOST004", "HOST006", "HOST007", "HOST008", "HOST010", "HOST011"),
    *("HOST012", "HOST013", "HOST014", "HOST015", "HOST016", "HOST017"),
)


@fix("host-gap", "Close the host gap", codes=_GAP_CODES)
def host_gap(case: Case) -> Answer:
    """The host keeps the GPU fed: the gap h falls away, at most 1/(1-h).

    The range is that of the finding that names the gap's cause. Without one there may be no cure, and the low
    end is no gain.
    """
    gap = case.share("host")
    if gap < th.WORTH_A_FIX.value:
        return None
    if case.verdict.cause == "no-demand":
        return Refused(_NO_DEMAND)
    bound = host_gap_bound(gap)
    if bound is None:
        return Refused(_TOO_LITTLE_RAN)
    found = _named_cause(case)
    effect = (found.effect if found is not None else None) or removed(
        gap, f"bound 1/(1-{gap:.2f}) = {bound:.2f}x when the gap closes; no cause is known, so it may not"
    )
    low, high = (on_share(gap, max(1.0, end)) for end in (effect.low, effect.high))
    return Draft(
        levers=(Lever(share="host", low=low, high=high),),
        how=effect.basis,
        assumes=("The device's own work runs as before once it no longer waits.",),
        actions=found.actions[:2] if found is not None else _advice(case, "HOST"),
    )


def _named_cause(case: Case) -> Finding | None:
    """The finding that names why the gap is there, and what closing it buys."""
    found = [f for f in case.findings if f.code in _GAP_CODES and f.effect is not None]
    return next((f for f in found if f.role == "primary"), found[0] if found else None)


def _advice(case: Case, family: str) -> tuple[str, ...]:
    """What the first finding of a family says to do."""
    return next((f.actions[:2] for f in case.findings if f.code.startswith(family)), ())


@fix("pin-memory", "Pin memory and overlap copies", codes=("HOST005",))
def pin_memory(case: Case) -> Answer:
    """Copies come from pinned memory, and on a stream of their own while the GPU computes.

    The upper end hides them all. The lower end is pinning alone: the rates of pinned and pageable copies
    that a probe measured on this card, where the copies run at a pageable rate; else what was published.
    """
    if case.share("host") < th.WORTH_A_FIX.value:
        return None
    if not _copies(case):
        return _unseen(case, "copies", "copies from pageable memory")
    levers, _, how = pinning(case.share("host"), case.ceilings, _in_gap(case))
    return Draft(
        levers=levers,
        how=how,
        assumes=(
            "Copies are what fills the gap, and the next batch is known while this one computes.",
            "The host has memory to pin: two batches or more.",
        ),
        actions=("`DataLoader(..., pin_memory=True)` and `.to(device, non_blocking=True)`.",),
    )


def _unseen(case: Case, of: str, what: str) -> Answer:
    """What a fix would buy if the gap were made of `what`, though nothing seen says so."""
    bound = host_gap_bound(case.share("host"))
    if bound is None or case.verdict.cause == "no-demand":
        return Refused(_TOO_LITTLE_RAN if bound is None else _NO_DEMAND)
    return Draft(
        levers=(Lever(share="host", of=of, low=1.0, high=None),),
        how=f"nothing seen says that {what} fill the gap; the upper end is where they do",
        assumes=(f"The gap is made of {what}, which was not seen: a stack sample or a trace tells.",),
        if_asked=True,
    )


def _copies(case: Case) -> bool:
    return case.verdict.cause == "transfer" or case.finding("HOST005") is not None


def _in_gap(case: Case) -> float | None:
    """Bytes a second at which copies cross in the gap, as far as HOST005 told; None otherwise."""
    found = case.finding("HOST005")
    return in_gap_bytes_s(found.evidence) if found else None


@fix("cuda-graphs", "Launch through CUDA graphs", codes=("HOST002", "SERVE004"))
def cuda_graphs(case: Case) -> Answer:
    """The step is captured once and replayed: launches no longer go through the framework.

    At the upper end what is left of a gap of launches is what a node of a graph costs over what a launch
    through the framework costs. Both are measured by `advisor probe`; without them it is the bound. The low
    end is the least that graphs were published to buy.
    """
    if case.share("host") < th.WORTH_A_FIX.value:
        return None
    if case.verdict.cause != "launch-rate" and not any(case.finding(c) for c in ("HOST002", "SERVE004")):
        return _unseen(case, "launches", "launches")
    levers, _, how = graphs(case.share("host"), case.ceilings)
    return Draft(
        levers=levers,
        how=how,
        assumes=("Launches are what fills the gap, and the step has fixed shapes and no synchronisation.",),
        actions=(
            'Capture the step: `torch.compile(model, mode="reduce-overhead")`, or `torch.cuda.CUDAGraph`.',
        ),
    )


@fix("overlap", "Hide communication behind compute", codes=("COMM001",))
def overlap(case: Case) -> Answer:
    """Collectives run beside kernels instead of between them; at best none of their time is seen."""
    if case.share("communication") < th.WORTH_A_FIX.value:
        return None
    return Draft(
        levers=(Lever(share="communication", low=1.0, high=None),),
        how="bound: all of it hidden behind compute",
        assumes=("There is compute to hide it behind, and it does not slow that down.",),
        actions=_advice(case, "COMM"),
    )


@fix(
    "release",
    "Release the GPU while it is idle",
    codes=("IDLE001", "IDLE002", "IDLE003"),
    apart=("replicas",),
)
def release(case: Case) -> Answer:
    """Nobody pays for the time in which nothing ran: the GPU goes back to its pool meanwhile."""
    idle = case.share("free") + case.share("idle_held")
    if idle < th.WORTH_A_FIX.value:
        return None
    return Draft(
        levers=tuple(Lever(share=name, low=1.0, high=None) for name in ("free", "idle_held")),
        how=f"nothing ran {100 * idle:.0f} % of the time; the upper end hands all of it back",
        assumes=("The GPU can be handed back while it is idle, and is had again in no time.",),
        actions=_advice(case, "IDLE"),
        no_work=idle > 0.99,
    )

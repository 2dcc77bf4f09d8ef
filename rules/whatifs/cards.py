"""Fixes that rent another model of GPU: right-sized by the resource that binds the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rules import thresholds as th
from rules.roofs import TENSOR_PIPES
from rules.whatif import Lever
from rules.whatifs.case import Candidate, Case
from rules.whatifs.compose import time_left
from rules.whatifs.registry import Answer, Draft, Refused, fix

_GROUP = "card"
# Prices closer than this are the same.
_SAME = 0.02
_MET = 0.99


@fix("smaller-gpu", "Move to a cheaper GPU", codes=("CAP003",), group=_GROUP)
def smaller_gpu(case: Case) -> Answer:
    """The cheaper model on which today's work costs least, by the resource that binds it.

    Memory-bound time follows DRAM bandwidth, compute-bound time what the precision in use reaches there;
    time below every roof lies between no change and SMs times clock. What is held in memory must fit. Prices
    of both cards come from one list.
    """
    return _move(case, lambda other, own: other.usd_h < own.usd_h * (1.0 - _SAME), "cheaper")


@fix("larger-gpu", "Move to a faster GPU", group=_GROUP)
def larger_gpu(case: Case) -> Answer:
    """The dearer model on which today's work costs least: it pays where it gains more than its price does.

    As smaller-gpu, the other way. Time that the host takes does not shrink on it.
    """
    return _move(case, lambda other, own: other.usd_h > own.usd_h * (1.0 + _SAME), "dearer")


def _move(case: Case, wanted: Callable[[Candidate, Candidate], bool], what: str) -> Answer:
    if case.evidence.mig is not None or case.slack > 0.99 or case.verdict.class_ == "unknown":
        return None
    own = _own(case)
    if own is None:
        return Refused("this model has no price in the list that other models have theirs from")
    used = case.evidence.mem_used_bytes
    if used is None:
        return Refused("how much device memory it holds was not read")
    if case.share("communication") > th.SECONDARY.value:
        return Refused("it communicates with other GPUs, and one card of them cannot be replaced alone")
    others = [c for c in case.candidates if c.model != own.model and wanted(c, own)]
    fitting = [
        c for c in others if c.memory_bytes >= th.OTHER_CARD_ROOM.value * used and _levers(case, c, own)
    ]
    if not fitting:
        gib = f"{used / 2**30:.0f} GiB"
        return Refused(f"no {what} model in the price list holds its {gib} and has known rates for this work")
    return _draft(case, min(fitting, key=lambda c: _cost(case, c, own)), own)


def _own(case: Case) -> Candidate | None:
    model = case.ceilings.model if case.ceilings else None
    return next((c for c in case.candidates if c.model == model), None)


def _cost(case: Case, other: Candidate, own: Candidate) -> float:
    """Of today's price, what today's work costs there in the middle of the range."""
    levers = _levers(case, other, own)
    shares = {lever.share: case.share(lever.share) for lever in levers}
    ends = [_hours(case, time_left(shares, levers, end)) for end in ("low", "high")]
    return other.usd_h / own.usd_h * sum(ends) / 2.0


def _hours(case: Case, left: float) -> float:
    return max(left - case.slack, min(1.0, left))


def _draft(case: Case, other: Candidate, own: Candidate) -> Answer:
    levers, price = _levers(case, other, own), other.usd_h / own.usd_h
    if _misses_objective(case, levers):
        return Refused(f"the objective of serving is missed already, and {other.model} is slower")
    return Draft(
        levers=levers,
        basis="assumption",
        how=f"{other.model} against {own.model} by what such cards reach: {_ratios(case, other, own)}, each "
        f"{100 * th.OTHER_CARD_ERROR.value:.0f} % either way",
        title=f"Move to {other.model}",
        assumes=(
            f"Prices of both are from one list ({other.source}; {own.source}): {price:.2f}x an hour, "
            "and a price of your own keeps that ratio.",
            "The host feeds it as it does now; where it is slower, today's work takes longer or more cards.",
            "The objective, if there is one, allows what is slower there.",
        ),
        actions=("Run one job there with `advisor run`, then `advisor compare`.",),
        price_low=price,
        price_high=price,
    )


def _misses_objective(case: Case, levers: Sequence[Lever]) -> bool:
    met = case.serving.slo_met_frac if case.serving is not None else None
    return met is not None and met < _MET and any((lever.high or 2.0) < 1.0 for lever in levers)


def _metric(case: Case) -> str:
    """The rate that compute-bound time follows."""
    pipe = case.verdict.pipe or ""
    if pipe in ("dfma", "dmma"):
        return "fp64_tensor"
    if pipe in TENSOR_PIPES:
        return "int8" if pipe == "imma" else "bf16"
    return {"fp64": "fp64", "fp32": "fp32"}.get(pipe, "bf16")


def _levers(case: Case, other: Candidate, own: Candidate) -> tuple[Lever, ...]:
    """What each share does on the other card; empty where a share that matters cannot be told."""
    memory = _over(other.rates.get("dram"), own.rates.get("dram"))
    compute = _over(other.rates.get(_metric(case)), own.rates.get(_metric(case)))
    if (case.share("memory") > 0.0 and memory is None) or (_clocked(case) > 0.0 and compute is None):
        return ()
    device = _over(other.clock_sms, own.clock_sms)
    found = [_either_way("memory", memory), *(_either_way(name, compute) for name in ("compute", "throttle"))]
    if case.share("device") > 0.0:
        if device is None:
            return ()
        low, high = min(1.0, device), max(1.0, device)
        found.append(Lever(share="device", low=low, high=high, bound=high))
    return tuple(lever for lever in found if lever is not None and case.share(lever.share) > 0.0)


def _clocked(case: Case) -> float:
    return case.share("compute") + case.share("throttle")


def _either_way(share: str, ratio: float | None) -> Lever | None:
    if ratio is None:
        return None
    high = ratio * (1.0 + th.OTHER_CARD_ERROR.value)
    return Lever(share=share, low=ratio * (1.0 - th.OTHER_CARD_ERROR.value), high=high, bound=high)


def _over(other: float | None, own: float | None) -> float | None:
    return other / own if other and own else None


def _ratios(case: Case, other: Candidate, own: Candidate) -> str:
    said = []
    for name, metric in (("memory", "dram"), ("compute", _metric(case))):
        ratio = _over(other.rates.get(metric), own.rates.get(metric))
        if ratio is not None and case.share(name) > 0.0:
            said.append(f"{metric} {ratio:.2f}x")
    return ", ".join(said) or "SMs and clock"

"""Fixes that rent another model of GPU: right-sized by the resource that binds the work."""

from __future__ import annotations

from collections.abc import Callable

from rules import thresholds as th
from rules.roofs import TENSOR_PIPES
from rules.serving import ServingFigures
from rules.slo import parse_slo
from rules.whatif import Lever
from rules.whatifs.case import Candidate, Case
from rules.whatifs.paid import after
from rules.whatifs.registry import Answer, Draft, Refused, fix

_GROUP = "card"
# Prices closer than this are the same.
_SAME = 0.02
_MET = 0.99
# Rates of both cards are of one table, typical of such cards, so that what data sheets leave out cancels.
_ERROR = th.OTHER_CARD_ERROR.value
# Whose prices no list's ratio holds for.
OWN_PRICES = frozenset({"user", "environment", "config"})
_HOST = (
    "Another card comes with another host: its cores and memory feed it as this one's do. Where they are "
    "fewer or slower, today's work takes longer or more cards."
)
_CHOSEN = "It is the cheapest of {} by the middle of their ranges: what is picked so is put too high easily."


@fix("smaller-gpu", "Move to a cheaper GPU", codes=("CAP003",), group=_GROUP)
def smaller_gpu(case: Case) -> Answer:
    """The cheaper model on which today's work costs least, by the resource that binds it.

    Memory-bound time follows DRAM bandwidth, compute-bound time what the precision in use reaches there;
    time below every roof lies between no change and SMs times clock. What is held in memory must fit. Prices
    of both cards are the user's, or of one list; else it is throughput alone. Where the host may set the
    pace, a slower card may cost no time at all.
    """
    return _move(case, lambda other, own: other.usd_h < own.usd_h * (1.0 - _SAME), "cheaper")


@fix("larger-gpu", "Move to a faster GPU", group=_GROUP)
def larger_gpu(case: Case) -> Answer:
    """The model of the same price or a higher one on which today's work costs least.

    It pays where it gains more than its price does. As smaller-gpu, the other way. Time that the host takes
    does not shrink on it, and where the host may set the pace one end is no gain.
    """
    return _move(case, _no_cheaper, "other model of its price or a dearer")


def _no_cheaper(other: Candidate, own: Candidate) -> bool:
    """Dearer, or as dear and with more bandwidth or more SMs times clock."""
    if other.usd_h > own.usd_h * (1.0 + _SAME):
        return True
    faster = other.rates.get("dram", 0.0) > own.rates.get("dram", 0.0)
    faster |= (other.clock_sms or 0.0) > (own.clock_sms or 0.0)
    return faster and other.usd_h >= own.usd_h * (1.0 - _SAME)


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
    return _draft(case, min(fitting, key=lambda c: _cost(case, c, own)), own, len(fitting))


def _own(case: Case) -> Candidate | None:
    model = case.ceilings.model if case.ceilings else None
    return next((c for c in case.candidates if c.model == model), None)


def _cost(case: Case, other: Candidate, own: Candidate) -> float:
    """Of today's price, what today's work costs there in the middle of the range."""
    then = after(case, _levers(case, other, own))
    return other.usd_h / own.usd_h * (then.cheap + then.dear) / 2.0


def _draft(case: Case, other: Candidate, own: Candidate, among: int) -> Answer:
    levers, price = _levers(case, other, own), _price(case, other, own)
    then = after(case, levers)
    missed = _misses_objective(case.serving, then.high) if case.serving is not None else ""
    if missed:
        return Refused(f"{missed}, and {other.model} is slower")
    return Draft(
        levers=levers,
        basis="assumption",
        how=f"{other.model} against {own.model} by what such cards reach: {_ratios(case, other, own)}, each "
        f"{100 * _ERROR:.0f} % either way",
        title=f"Move to {other.model} (another card: {_priced(other, price)})",
        assumes=(
            _prices(case, other, own, price),
            _HOST,
            *_allowed(case.serving, then.low),
            *((_CHOSEN.format(among),) if among > 1 else ()),
        ),
        actions=("Run one job there with `advisor run`, then `advisor compare`.",),
        price_low=1.0 if price is None else price,
        price_high=1.0 if price is None else price,
        price_known=price is not None,
    )


def _price(case: Case, other: Candidate, own: Candidate) -> float | None:
    """The other card's price as a multiple of this one's; None where the two are of different origin.

    A list's ratio says nothing of a price that somebody agreed on, or of a card that is owned.
    """
    paid = case.price.usd_h
    if other.configured:
        return other.usd_h / (paid or own.usd_h)
    elsewhere = paid is not None and abs(paid - own.usd_h) > _SAME * own.usd_h
    return None if case.price.basis in OWN_PRICES or elsewhere else other.usd_h / own.usd_h


def _priced(other: Candidate, price: float | None) -> str:
    if price is None:
        return "no price for it, give [prices]"
    return "price from [prices]" if other.configured else "assumed price"


def _prices(case: Case, other: Candidate, own: Candidate, price: float | None) -> str:
    if price is None:
        return (
            f"No price of that card goes with yours ({case.price.source}), so this is throughput alone; it "
            f"was picked by list prices ({other.source}; {own.source})."
        )
    if other.configured:
        return f"Its price is yours ({other.source}): {price:.2f}x an hour of this one's."
    return f"Prices of both are assumed, from one list ({other.source}; {own.source}): {price:.2f}x an hour."


def _misses_objective(serving: ServingFigures, times: float) -> str:
    """Why the objective of serving forbids work at `times` today's speed; "" where it is not known to."""
    met = serving.slo_met_frac if serving.slo_met_frac is not None else serving.slo_met_high_frac
    if times >= 1.0:
        return ""
    if met is not None and met < _MET:
        return "the objective of serving is missed already"
    over = _over_limit(serving, times)
    return f"at best there {over}" if over else ""


def _over_limit(serving: ServingFigures, times: float) -> str:
    """The first latency of the objective whose 99th percentile is above its limit at `times` the speed."""
    try:
        limits = parse_slo(serving.slo).limits if serving.slo else {}
    except ValueError:
        return ""
    known = {name: getattr(serving, f"{name}_p99_s", None) for name in limits}
    for name, limit in limits.items():
        p99 = known[name]
        if p99 is not None and p99 / times > limit:
            return f"the 99th percentile of {name} is {1e3 * p99 / times:.0f} of {1e3 * limit:.0f} ms allowed"
    return ""


def _allowed(serving: ServingFigures | None, times: float) -> tuple[str, ...]:
    """What the objective has to allow at the lower end."""
    over = _over_limit(serving, times) if serving is not None and times < 1.0 else ""
    if over:
        return (f"The upper end holds: at the lower one {over}.",)
    return ("The objective, if there is one, allows what is slower there.",)


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
        low, high = min(1.0, device * (1.0 - _ERROR)), max(1.0, device * (1.0 + _ERROR))
        found.append(Lever(share="device", low=low, high=high, bound=high))
    return tuple(lever for lever in found if lever is not None and case.share(lever.share) > 0.0)


def _clocked(case: Case) -> float:
    return case.share("compute") + case.share("throttle")


def _either_way(share: str, ratio: float | None) -> Lever | None:
    if ratio is None:
        return None
    high = ratio * (1.0 + _ERROR)
    return Lever(share=share, low=ratio * (1.0 - _ERROR), high=high, bound=high)


def _over(other: float | None, own: float | None) -> float | None:
    return other / own if other and own else None


def _ratios(case: Case, other: Candidate, own: Candidate) -> str:
    said = []
    for name, metric in (("memory", "dram"), ("compute", _metric(case))):
        ratio = _over(other.rates.get(metric), own.rates.get(metric))
        if ratio is not None and case.share(name) > 0.0:
            said.append(f"{metric} {ratio:.2f}x")
    return ", ".join(said) or "SMs and clock"

"""Whether a fix was made, as far as two looks tell: by what it changes, beyond noise, in the right way.

A share of time shrinks whenever another one grows. So a fix's own time is taken for the same work in both:
its share in B over the throughput's factor. Time at a roof says nothing where that factor is itself an
estimate from useful time, which moves with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from rules import thresholds as th
from rules import thresholds_compare as tc
from rules.compare.records import Change, Prediction, Throughput
from rules.finding import Finding

# Whether it was made, None where nothing tells; and what tells it.
Told = tuple[bool | None, str]

# Time that a fix takes away as a whole, and that is seen to go.
_WAITS = frozenset({"free", "idle_held", "host", "communication", "throttle"})
_SHARES_OF_TERM = {
    "free": ("free",),
    "idle_held": ("idle_held",),
    "host_gap": ("host",),
    "communication": ("communication",),
    "throttle": ("throttle",),
    "inefficiency": ("device", "memory", "compute"),
}
NOTHING_TELLS = "nothing tells whether it was made"
_OTHER_DEMAND = "demand was not the same"


class Moved(msgspec.Struct, frozen=True):
    """A share of time in A and in B; half: half the width of its change's 95 % interval, None without one."""

    a: float
    b: float
    half: float | None = None


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """price_usd_h: of the row in A. price_after_usd_h: of B's, where the two may be held against each other.

    same_look: both documents are one. same_card: the model is the same; card_after: the model in B, by the
    name that prices have. power_limits_w, running: in A and in B; running: requests of its engines. clock:
    where the SM clock went. shares: of time, by their names. terms_a, terms_b: shares of the paid time by the
    ladder's term.
    """

    price_usd_h: float | None = None
    price_after_usd_h: float | None = None
    same_look: bool = False
    same_card: bool = False
    card_after: str | None = None
    power_limits_w: tuple[float | None, float | None] = (None, None)
    running: tuple[float | None, float | None] = (None, None)
    clock: Change = "unknown"
    shares: Mapping[str, Moved] = {}
    terms_a: Mapping[str, float] = {}
    terms_b: Mapping[str, float] = {}


def shares_of_term(term: str | None) -> tuple[str, ...]:
    """The shares of time that make up a term of the ladder, of those that a fix can take away."""
    return _SHARES_OF_TERM.get(term or "", ())


def made(
    said: Prediction,
    before: Sequence[Finding],
    after: Sequence[Finding],
    got: Throughput,
    known: Circumstances,
) -> Told:
    """Whether the fix was made between A, whose findings are `before`, and B."""
    if got.demand:
        return None, _OTHER_DEMAND
    direct = [_DIRECT[slug](said, known) for slug in said.fix.split("+") if slug in _DIRECT]
    if direct:
        return next((told for told in direct if told[0] is not True), direct[0])
    found = _by_findings(said, before, after, known)
    if found is not None and found[0] is not True:
        return found
    by_time = _by_time(said.shares, got, known)
    if found is None or by_time[0] is False:
        return by_time
    if by_time[0] is None and not _fell_beyond_noise(said, before, after, known):
        return None, f"{found[1]}; nothing tells that from noise"
    return found


# --- by what it changes itself --------------------------------------------------------------------


def _card(said: Prediction, known: Circumstances) -> Told:
    if known.same_card:
        return False, "the card is the same"
    named = said.title.removeprefix("Move to ")
    if known.card_after is not None and named not in (said.title, known.card_after):
        return False, f"the card is another than that: {known.card_after}"
    return True, "the card is another"


def _cap(said: Prediction, known: Circumstances) -> Told:  # noqa: ARG001
    """The limit was lowered, and to about the watts that were proposed."""
    a, b = known.power_limits_w
    if a is None or b is None:
        return None, "the power limits are not known"
    proposed = th.POWER_CAP.value * a
    if abs(b / a - 1.0) <= tc.LIMIT_MOVED.value:
        return False, "the power limit is the same"
    if b > a:
        return False, f"the power limit was raised, from {a:.0f} to {b:.0f} W"
    if abs(b / proposed - 1.0) > tc.CAP_NEAR.value:
        return False, f"the power limit was lowered to {b:.0f} W, and the fix is a limit of {proposed:.0f} W"
    return True, f"the power limit was lowered, from {a:.0f} to {b:.0f} W"


def _clock(said: Prediction, known: Circumstances) -> Told:  # noqa: ARG001
    if known.clock == "up":
        return True, "the SM clock rose"
    if known.clock in ("no-difference", "down"):
        return False, "the SM clock did not rise"
    return None, "nothing tells whether the SM clock rose"


def _requests(said: Prediction, known: Circumstances) -> Told:  # noqa: ARG001
    """One of fewer replicas has more requests at once."""
    a, b = known.running
    if a is None or b is None:
        return None, NOTHING_TELLS
    if a <= tc.FINDING_SMALLER.value * b:
        return True, f"its engine runs {b:.3g} requests instead of {a:.3g}"
    return False, f"its engine runs {b:.3g} requests, after {a:.3g}"


_DIRECT: dict[str, Callable[[Prediction, Circumstances], Told]] = {
    "smaller-gpu": _card,
    "larger-gpu": _card,
    "power-cap": _cap,
    "full-clock": _clock,
    "replicas": _requests,
}


# --- by its findings ------------------------------------------------------------------------------


def _by_findings(
    said: Prediction, before: Sequence[Finding], after: Sequence[Finding], known: Circumstances
) -> Told | None:
    """None where A has no finding of it."""
    had, has = _shares(said, before), _shares(said, after)
    if had <= 0.0:
        return None
    if has <= 0.0:
        return _gone([f for f in before if f.code in said.codes], known)
    smaller = has <= tc.FINDING_SMALLER.value * had
    word = "fell" if smaller else "stayed" if has <= had else "grew"
    return smaller, f"its finding {word}, from {had * 100:.0f} % to {has * 100:.0f} % of the time"


def _shares(said: Prediction, findings: Sequence[Finding]) -> float:
    return math.fsum(f.share for f in findings if f.code in said.codes)


def _gone(gone: Sequence[Finding], known: Circumstances) -> Told:
    """A finding also goes where B did not look for it, or calls the same lost time by another name.

    So the term that the time is booked under must have fallen by what FINDING_SMALLER asks of the finding.
    """
    parts = {f.term: f.share for f in gone if f.term is not None and f.term in known.terms_a}
    if not parts or not known.terms_b:
        return None, "its finding went, and no share of time tells whether for the fix"
    had = math.fsum(known.terms_a[term] for term in parts)
    has = math.fsum(known.terms_b.get(term, 0.0) for term in parts)
    asked = (1.0 - tc.FINDING_SMALLER.value) * min(had, math.fsum(parts.values()))
    if had - has >= asked:
        return True, "its finding went"
    return False, f"its finding went, and its lost time stayed, {had * 100:.0f} % and {has * 100:.0f} %"


def _fell_beyond_noise(
    said: Prediction, before: Sequence[Finding], after: Sequence[Finding], known: Circumstances
) -> bool:
    halves = [known.shares[name].half for name in said.shares if name in known.shares]
    half = _sum(halves)
    return half is not None and _shares(said, before) - _shares(said, after) > half


# --- by its own time ------------------------------------------------------------------------------


def _by_time(shares: Sequence[str], got: Throughput, known: Circumstances) -> Told:
    """By the time that the fix is for, for the same work in both."""
    names = [name for name in shares if name in _WAITS] or shares
    waits = bool(_WAITS & set(names))
    own = [known.shares[name] for name in names if name in known.shares]
    if not own or not got.factor or (got.basis == "estimate" and not waits):
        return None, NOTHING_TELLS
    had, has, half = math.fsum(m.a for m in own), math.fsum(m.b for m in own) / got.factor, _half(own, got)
    if half is None:
        return None, "no interval tells whether its time fell by more than noise"
    said = f"from {had * 100:.0f} % to {has * 100:.0f} % of A's, for the same work"
    if had - has > half and (not waits or has <= tc.FINDING_SMALLER.value * had):
        return True, f"its time fell, {said}"
    if half > (1.0 - tc.FINDING_SMALLER.value) * had:
        return None, f"its time went {said}: no more than noise, which could hide the fix"
    return (False, f"its time stayed, {said}") if waits else (None, NOTHING_TELLS)


def _half(own: Sequence[Moved], got: Throughput) -> float | None:
    """Half the width of the interval of `had` less `has`; the factor's own chance is a part of it."""
    half = _sum([moved.half for moved in own])
    if half is None or not got.factor:
        return None
    off = 0.0 if got.low is None or got.high is None else (got.high - got.low) / 2.0 / got.factor
    return math.hypot(half * max(1.0, 1.0 / got.factor), math.fsum(m.b for m in own) / got.factor * off)


def _sum(halves: Sequence[float | None]) -> float | None:
    """None where one is not known, or there is none."""
    known = [half for half in halves if half is not None]
    return math.fsum(known) if known and len(known) == len(halves) else None

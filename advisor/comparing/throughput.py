"""How much more work B does an hour: counted by engines or by the user, else estimated from useful time."""

from __future__ import annotations

from typing import Literal

import msgspec

from advisor.comparing.demand import tokens_s, unheld
from advisor.comparing.figures import Pairing, direction, powers_w
from advisor.comparing.means import means, too_short
from rules import thresholds as th
from rules.compare.intervals import ratio
from rules.compare.records import Throughput

_COUNTED_ASSUMES = "counted: what of it is chance cannot be told from one figure a window"
_SERVED_ASSUMES = "tokens that the engine counted, with as much asked of it in both"
_ESTIMATE_ASSUMES = "an estimate: the same work, at the same precision, on the same card"
# Fewer useful seconds than a hundredth of the time are the readings' own error.
_LEAST_USEFUL = th.NOISE_FLOOR.value


class Work(msgspec.Struct, frozen=True):
    """Rates of work that the user counted: steps, items or tokens a second of the whole job."""

    a: float
    b: float


def throughput(pair: Pairing, work: Work | None) -> Throughput:
    """The factor on one pair, by the best basis there is."""
    if work is not None:
        return _counted(pair, "work", "work", work.a, work.b, _COUNTED_ASSUMES)
    demand = unheld(pair.a.serving, pair.b.serving)
    served = [tokens_s(row.serving) for row in (pair.a, pair.b)]
    if demand is None and served[0] and served[1] is not None:
        return _counted(pair, "serving", "tokens", served[0], served[1], _SERVED_ASSUMES)
    return msgspec.structs.replace(_estimated(pair), demand=demand or "")


def _counted(
    pair: Pairing, basis: Literal["work", "serving"], unit: str, a: float, b: float, assumes: str
) -> Throughput:
    why = pair.refused.get("all")
    found = Throughput(basis=basis, unit=unit, a=a, b=b, assumes=assumes)
    if why is not None and not pair.insist:
        return msgspec.structs.replace(found, refused=why)
    factor = b / a
    says = direction(factor, factor, factor, 1.0)
    done = msgspec.structs.replace(found, factor=factor, says=says, forced=why is not None)
    return msgspec.structs.replace(done, energy=_energy(pair, factor))


def _estimated(pair: Pairing) -> Throughput:
    useful = [row.verdict.useful_frac for row in (pair.a, pair.b)]
    found = Throughput(
        basis="estimate", unit="useful share", a=useful[0], b=useful[1], assumes=_ESTIMATE_ASSUMES
    )
    why = next((pair.refused[g] for g in ("all", "roofs", "estimate") if g in pair.refused), None)
    if why is not None and not pair.insist:
        return msgspec.structs.replace(found, refused=why)
    if useful[0] is None or useful[1] is None:
        return msgspec.structs.replace(found, refused="the useful share of time is not known")
    if useful[0] < _LEAST_USEFUL:
        return msgspec.structs.replace(
            found, refused="A did next to nothing that is useful: nothing to divide by"
        )
    factor = useful[1] / useful[0]
    done = msgspec.structs.replace(
        found, factor=factor, says="unclear", forced=why is not None, energy=_energy(pair, factor)
    )
    return _bounded(done, pair)


def _bounded(found: Throughput, pair: Pairing) -> Throughput:
    """With the interval of the ratio of the two means, moved to the verdicts' own ratio."""
    mean_a, mean_b = means(pair.a).get("useful"), means(pair.b).get("useful")
    if found.factor is None:
        return found
    within = None if mean_a is None or mean_b is None else ratio(mean_a, mean_b, th.NOISE_FLOOR.value)
    if within is None or mean_a is None or mean_b is None:
        why = too_short(pair.a) or too_short(pair.b) or "useful time is too small for one"
        return msgspec.structs.replace(found, no_interval=why)
    moved = found.factor / (mean_b.value / mean_a.value)
    low, high = within.low * moved, within.high * moved
    return msgspec.structs.replace(found, low=low, high=high, says=direction(found.factor, low, high, 1.0))


def _energy(pair: Pairing, factor: float) -> float | None:
    """Joules for the same work, as a factor of A's."""
    powers = powers_w(pair.a, pair.b)
    if not powers[0] or powers[1] is None or factor <= 0.0:
        return None
    return powers[1] / powers[0] / factor

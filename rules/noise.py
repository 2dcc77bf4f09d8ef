"""Noise: how much the deciding lead may be off, by chance and by the ceilings' own error.

    noise = sqrt(chance^2 + ceilings^2 + NOISE_FLOOR^2)

A class keeps its place against every other class and, for a roof, as long as the host gap stays below
HOST_FIRST. Each of these leads has a noise of its own, and the smallest in units of its noise decides. (A
host gap in front of roofs needs HOST_FIRST or the largest share, so the better of the two.)

chance: the standard error of the lead over the window, from the means of NOISE_BLOCKS stretches of it (method
of batch means). Neighbouring sub-windows are alike, so their number says nothing. A verdict is of the window
that was watched, in which long phases and trends are facts; what changes from one stretch to the next is
chance. So the variance of the n means is that of their successive differences d (von Neumann 1941),
sum(d^2) / (2 (n - 1)): one change between two long phases is one difference. Stretches that make up for each
other (prefill and decode in turns of seconds) differ and tell nothing, so the plain variance less their
covariances, weighted by Bartlett's window, counts where it is the smaller. (Of independent stretches the
smaller of both is about three quarters of the standard error.)

ceilings: a reading at the ceiling is off by its label's error, and by the same in every sub-window; so is the
part of the other roof that kernels carry (CARRY). The whole window is shared out anew with both readings, and
with CARRY, moved up and down by their errors, and the largest loss of each lead counts. `fragile` says that
twice the error would cost the class its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from operator import attrgetter, itemgetter, sub
from typing import NamedTuple

import msgspec

from rules import thresholds as th
from rules.divide import CORNERS, MOVABLE, NEAR
from rules.ranking import before_roofs, lead_of, lead_over, leads_of, ranking
from rules.split import Split, Sums
from rules.verdict import CLASS_OF, Class

_BLOCKS = int(th.NOISE_BLOCKS.value)
_LAGS = 3  # stretches apart at which turns still make up for each other: a third of the window

_errors = attrgetter("errors")
_least = itemgetter(0)


class Noise(msgspec.Struct, frozen=True):
    """The deciding lead beside its noise; all in shares of time.

    against: the class it leads, None for HOST_FIRST.
    fragile: twice the ceilings' error would cost the class its place, whichever lead it is.
    turned: the class that the largest loss of lead by the ceilings would name, None where it names the same.
    """

    lead: float
    against: Class | None
    chance: float
    ceilings: float
    fragile: bool
    turned: Class | None = None

    @property
    def total(self) -> float:
        """Both parts and the floor together, as independent errors."""
        return math.sqrt(self.chance**2 + self.ceilings**2 + th.NOISE_FLOOR.value**2)

    @property
    def shown(self) -> float:
        """The noise as it is told: a share is not off by more than 1."""
        return min(1.0, self.total)

    @property
    def within(self) -> bool:
        """True when the lead does not stand out of its noise."""
        return self.lead < self.total

    @property
    def errors(self) -> float:
        """The lead in units of its noise."""
        return self.lead / self.total


def noise_of(class_: Class, groups: Mapping[Class, float], sums: Sums, splits: Sequence[Split]) -> Noise:
    """The deciding lead of `class_` and its noise. `splits` are those that `sums` adds up."""
    moved = _corners(groups, sums.moved)
    fragile = any(lead_of(class_, shares).lead <= 0.0 for shares in moved)
    near = moved[:NEAR] or [groups]
    stretches = _stretches(groups, sums, splits)
    found: list[Noise] = []
    for lead, against in leads_of(class_, groups):
        least, worst = min(((lead_over(class_, against, shares), shares) for shares in near), key=_least)
        named = ranking(worst)[0]
        found.append(
            Noise(
                lead=lead,
                against=against,
                chance=_error_of_mean(_gained(class_, against, stretches.seconds), stretches.length),
                ceilings=max(0.0, lead - least),
                fragile=fragile,
                turned=named if named != class_ else None,
            )
        )
    return _deciding(found, either=before_roofs(class_, groups))


def _deciding(found: Sequence[Noise], *, either: bool) -> Noise:
    """The smallest lead in units of its noise. either: the first will do instead of all the others."""
    if not either:
        return min(found, key=_errors)
    return max(found[0], min(found[1:], key=_errors), key=_errors)


def _corners(groups: Mapping[Class, float], moved: tuple[float, ...] | None) -> list[Mapping[Class, float]]:
    """Shares by class with the readings at each corner of their errors."""
    if moved is None:
        return []
    width = len(MOVABLE)
    found: list[Mapping[Class, float]] = []
    for i in range(len(CORNERS)):
        change = dict(zip(MOVABLE, moved[i * width : (i + 1) * width], strict=True))
        found.append({class_: share + change.get(class_, 0.0) for class_, share in groups.items()})
    return found


class _Stretches(NamedTuple):
    """A window in stretches of about the same length, and the seconds of each class in them."""

    length: list[float]
    seconds: dict[Class, list[float]]


def _stretches(groups: Mapping[Class, float], sums: Sums, splits: Sequence[Split]) -> _Stretches:
    """NOISE_BLOCKS stretches, or as many as there are splits.

    Whether quiet time is idle or the host's depends on the whole window; a stretch takes its part of both.
    """
    ends = list(accumulate([part.duration_s for part in splits], initial=0.0))
    count = min(_BLOCKS, len(splits))
    length = [0.0] * count
    seconds: dict[Class, list[float]] = {class_: [0.0] * count for class_ in groups}
    classes, held = _class_of(groups, sums), _held_part(sums, splits)
    for part, start in zip(splits, ends, strict=False):
        i = min(count - 1, int((start + 0.5 * part.duration_s) / ends[-1] * count)) if ends[-1] > 0.0 else 0
        length[i] += part.duration_s
        for share, s in part.seconds.items():
            if share in classes:
                seconds[classes[share]][i] += s
        if part.quiet_s:
            seconds["idle"][i] += held * part.quiet_s
            seconds["host"][i] -= held * part.quiet_s
    return _Stretches(length, seconds)


def _class_of(groups: Mapping[Class, float], sums: Sums) -> Mapping[str, Class]:
    """The class of each share; throttled time goes where `group_shares` took it."""
    plain = sums.shares.get("compute", 0.0) + sums.shares.get("throttle", 0.0)
    return {**CLASS_OF, "throttle": "device"} if abs(groups["compute"] - plain) > 1e-12 else CLASS_OF


def _held_part(sums: Sums, splits: Sequence[Split]) -> float:
    """Part of the quiet seconds that is idle-held."""
    quiet_s = sum([part.quiet_s for part in splits])
    length_s = sum([part.duration_s for part in splits])
    return min(1.0, sums.shares.get("idle_held", 0.0) * length_s / quiet_s) if quiet_s > 0.0 else 0.0


def _gained(class_: Class, against: Class | None, seconds: Mapping[Class, list[float]]) -> list[float]:
    """By how many seconds each stretch adds to a lead, but for a part that is the same a second."""
    if against is None:
        return seconds["host"]
    return list(map(sub, seconds[class_], seconds[against]))


def _error_of_mean(gained: Sequence[float], length: Sequence[float]) -> float:
    """Standard error of sum(gained) / sum(length) over stretches of unlike length (ratio estimator)."""
    used = [(g, s) for g, s in zip(gained, length, strict=True) if s > 0.0]
    n, whole = len(used), sum(length)
    if n < 2:
        return 0.0
    mean = sum([g for g, _ in used]) / whole
    off = [g - mean * s for g, s in used]
    covariances = [_covariance(off, lag) for lag in range(_LAGS + 1)]
    made_up = sum([2.0 * (1.0 - lag / (_LAGS + 1)) * covariances[lag] for lag in range(1, _LAGS + 1)])
    plain = covariances[0] + min(0.0, made_up)
    successive = 0.5 * sum([(b - a) ** 2 for a, b in pairwise(off)])
    return math.sqrt(n / (n - 1) * max(0.0, min(plain, successive))) / whole


def _covariance(off: Sequence[float], lag: int) -> float:
    return sum([a * b for a, b in zip(off, off[lag:], strict=False)])

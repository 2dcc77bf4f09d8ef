"""Noise: how much the deciding lead may be off, by chance and by the ceilings' own error.

    noise = sqrt(chance^2 + ceilings^2 + NOISE_FLOOR^2)

chance: the standard error of the lead over the window, from the means of NOISE_BLOCKS stretches of it (method
of batch means): s / sqrt(n), s being the standard deviation of the n means. Neighbouring sub-windows are
alike, so their number says nothing; whole stretches of seconds are nearly independent. Stretches that make up
for each other (prefill and decode in turns of seconds) tell less than s: their covariances, weighted by
Bartlett's window, take from s^2. Stretches that are alike do not add to it: a verdict is of the window that
was watched, in which a long phase is a fact.

ceilings: a reading at the ceiling is off by its label's error, and by the same in every sub-window; so is the
part of the other roof that kernels carry (CARRY). The whole window is shared out anew with both readings, and
with CARRY, moved up and down by their errors, and the largest loss of lead counts. `fragile` says that twice
the error would cost the class its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

import msgspec

from rules import thresholds as th
from rules.divide import CORNERS, MOVABLE, STEPS
from rules.ranking import lead_of, ranking
from rules.split import Split, Sums
from rules.verdict import CLASS_OF, GROUPS, Class

_BLOCKS = int(th.NOISE_BLOCKS.value)
_LAGS = 3  # stretches apart at which turns still make up for each other: a third of the window
_FIRST_STEP = len(CORNERS) // len(STEPS)


class Noise(msgspec.Struct, frozen=True):
    """A lead beside its noise; all in shares of time. against: the class it leads, None for HOST_FIRST.

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
    def within(self) -> bool:
        """True when the lead does not stand out of its noise."""
        return self.lead < self.total


def noise_of(class_: Class, groups: Mapping[Class, float], sums: Sums, splits: Sequence[Split]) -> Noise:
    """The lead of `class_` in these shares, and its noise. `splits` are those that `sums` adds up."""
    lead, against = lead_of(class_, groups)
    moved = _corners(groups, sums.moved)
    corners = [lead_of(class_, shares).lead for shares in moved]
    near = corners[:_FIRST_STEP]
    worst = moved[near.index(min(near))] if near else groups
    named = ranking(worst)[0]
    return Noise(
        lead=lead,
        against=against,
        chance=_chance(_Contrast(class_, against, groups, sums), splits),
        ceilings=max(0.0, lead - min(near, default=lead)),
        fragile=min(corners, default=lead) <= 0.0,
        turned=named if named != class_ else None,
    )


def _corners(groups: Mapping[Class, float], moved: tuple[float, ...] | None) -> list[dict[Class, float]]:
    """Shares by class with the readings at each corner of their errors."""
    if moved is None:
        return []
    width = len(MOVABLE)
    found = []
    for i in range(len(CORNERS)):
        change = dict(zip(MOVABLE, moved[i * width : (i + 1) * width], strict=True))
        found.append({class_: share + change.get(class_, 0.0) for class_, share in groups.items()})
    return found


class _Contrast:
    """Seconds of one class less those of the other, of any split.

    Whether quiet time is idle or the host's depends on the whole window; a stretch takes its part of both.
    """

    def __init__(
        self, class_: Class, against: Class | None, groups: Mapping[Class, float], sums: Sums
    ) -> None:
        signs: dict[Class, float] = {"host": 1.0} if against is None else {class_: 1.0, against: -1.0}
        self._signs = {share: signs[c] for share, c in CLASS_OF.items() if c in signs}
        moved = abs(groups["compute"] - sum(sums.shares.get(k, 0.0) for k in GROUPS["compute"])) > 1e-12
        if moved:  # throttled time went with the device's
            self._signs["throttle"] = signs.get("device", 0.0)
        self._quiet = signs.get("idle", 0.0) - signs.get("host", 0.0)
        self._held = sums.shares.get("idle_held", 0.0)

    def held_part(self, splits: Sequence[Split]) -> float:
        """Part of the quiet seconds that is idle-held."""
        quiet_s = sum([part.quiet_s for part in splits])
        length_s = sum([part.duration_s for part in splits])
        return min(1.0, self._held * length_s / quiet_s) if quiet_s > 0.0 else 0.0

    def of(self, part: Split, held: float) -> float:
        """Seconds that the lead gains by this split."""
        signs = self._signs
        gained = sum([signs[share] * s for share, s in part.seconds.items() if share in signs])
        return gained + part.quiet_s * held * self._quiet


def _chance(contrast: _Contrast, splits: Sequence[Split]) -> float:
    """Standard error of the lead from the means of stretches; 0 where there is one stretch only."""
    held = contrast.held_part(splits)
    ends = list(accumulate([part.duration_s for part in splits], initial=0.0))
    count = min(_BLOCKS, len(splits))
    if count < 2 or ends[-1] <= 0.0:
        return 0.0
    gained, length = [0.0] * count, [0.0] * count
    for part, start in zip(splits, ends, strict=False):
        block = min(count - 1, int((start + 0.5 * part.duration_s) / ends[-1] * count))
        gained[block] += contrast.of(part, held)
        length[block] += part.duration_s
    return _error_of_mean(gained, length)


def _error_of_mean(gained: Sequence[float], length: Sequence[float]) -> float:
    """Standard error of sum(gained) / sum(length) over stretches of unlike length (ratio estimator)."""
    used = [(g, s) for g, s in zip(gained, length, strict=True) if s > 0.0]
    n, whole = len(used), sum(length)
    if n < 2:
        return 0.0
    mean = sum([g for g, _ in used]) / whole
    off = [g - mean * s for g, s in used]
    squares = _covariance(off, 0)
    made_up = sum([2.0 * (1.0 - lag / (_LAGS + 1)) * _covariance(off, lag) for lag in range(1, _LAGS + 1)])
    return math.sqrt(n / (n - 1) * max(0.0, squares + min(0.0, made_up))) / whole


def _covariance(off: Sequence[float], lag: int) -> float:
    return sum([a * b for a, b in zip(off, off[lag:], strict=False)])

"""How a figure of one device moved, and whether a ceiling fell below the card's own past.

A card is compared with itself under the same setting alone: method, driver, libraries, power limit, ECC, MIG
profile, the probe's mode, and held against held. What it could do is the best median of HISTORY_BEST_OF runs
in a row, so that one lucky run makes no ceiling, and a slow decline does not carry its own baseline down.
The newest run is degraded when it is below that by more than

    allowed = max(HISTORY_FALL, (HISTORY_NOISE + chosen) * sqrt(own^2 + runs^2))

own: the newest figure's spread over its timed windows, as a share: (p90 - p10) / 2.563, the distance of those
quantiles of a normal distribution, else its cv. runs: the standard deviation of one run, from the median of
successive differences over sqrt(2) (von Neumann 1941), so that a decline does not count as noise; of m
differences it is widened by 1 + 1/m, as few tell little. chosen: a best among n runs lies above what the card
usually does, by chance alone: 0.6 sqrt(2 ln(n/2)) standard deviations or less where runs are normal. These
two widen it no further than a severe fall. Of two earlier runs nothing tells how much runs differ, and
HISTORY_FALL stands alone.
Shares, dollars and power of diagnoses depend on the workload: their trends are shown and not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Literal

import msgspec

from rules import thresholds as th

# Between the 10th and 90th percentile of a normal distribution, and from a median deviation to its deviation.
_P10_P90 = 2.563
_MAD = 1.4826
# By how much the best median of three of n normal values exceeds their mean: 0.6 sqrt(2 ln(n/2)) deviations
# is a little more than what made-up series show (0.3 of 5, 0.7 of 10, 1.4 of 50, 1.6 of 100).
_CHOSEN = 0.6
_LIMIT_STEP = 0.01  # drivers round a power limit to milliwatts; people move it by tens of watts
# Beyond these no ratio or mean of two figures can be held; no card's figure comes near.
_LEAST, _MOST = 1e-150, 1e150
_BEST_OF = int(th.HISTORY_BEST_OF.value)


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a figure depends on besides the card. None is not known, and differs from nothing.

    versions: libraries that decide it (cuda, torch, cublas, cupy). mode: of the probe run. held: whether the
    figure is what the card sustains.
    """

    method_version: int | None = None
    driver: str | None = None
    versions: dict[str, str] = {}
    power_limit_w: float | None = None
    ecc: bool | None = None
    mig: str | None = None
    mode: str | None = None
    held: bool = False


class Take(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of one run, with what else was seen. t_s: Unix time. fit: valid, so it may be a best."""

    t_s: float
    value: float
    setting: Setting = Setting()
    fit: bool = True
    p10: float | None = None
    p90: float | None = None
    cv: float | None = None
    sm_mhz: float | None = None
    mem_mhz: float | None = None
    power_w: float | None = None
    temp_c: float | None = None
    throttle_reasons: tuple[str, ...] = ()


class Fall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ceiling below the card's own past.

    severity: "severe" below HISTORY_SEVERE of the best. best: what the card could do, best_t_s when.
    of_best: the newest figure over it (its inverse where less is better), below 1. allowed_frac: the fall
    that noise explains. since_s: the first run of those in a row that are too low; runs: how many;
    before_s: the last good run. compared: earlier runs under the same setting. meanwhile: what else changed.
    """

    severity: Literal["degraded", "severe"]
    now: float
    best: float
    best_t_s: float
    of_best: float
    allowed_frac: float
    since_s: float
    runs: int
    compared: int
    before_s: float | None = None
    meanwhile: tuple[str, ...] = ()


class Apart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Earlier runs that the newest is not compared with. differences: of the latest of them, in words.

    median: of their figures. change_frac: the median of the first HISTORY_BEST_OF runs under the newest one's
    setting over it, less 1: what came with the new setting.
    """

    runs: int
    differences: tuple[str, ...]
    median: float
    change_frac: float | None = None


class Trend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one figure of one device moved, oldest first.

    higher: whether more is better; None where neither is. usual: the median of the earlier values that the
    newest is compared with. change_frac: the newest over that, less 1. judged: whether a fall could be told.
    because: why not, else None.
    """

    metric: str
    unit: str
    higher: bool | None
    t_s: tuple[float, ...]
    values: tuple[float, ...]
    now: float
    usual: float | None = None
    change_frac: float | None = None
    compared: int = 0
    judged: bool = False
    because: str | None = None
    fall: Fall | None = None
    apart: Apart | None = None


def plain_trend(
    metric: str, unit: str, points: Sequence[tuple[float, float]], higher: bool | None = None
) -> Trend | None:
    """A figure that is shown and not judged. points: (Unix time, value), in any order. None without any."""
    known = sorted((t, v) for t, v in points if math.isfinite(t) and abs(v) < _MOST)
    if not known:
        return None
    values = tuple(v for _, v in known)
    usual = median(values[:-1]) if len(values) > 1 else None
    return Trend(
        metric=metric,
        unit=unit,
        higher=higher,
        t_s=tuple(t for t, _ in known),
        values=values,
        now=values[-1],
        usual=usual,
        change_frac=_change(values[-1], usual),
        compared=len(values) - 1,
        because="the workload decides it",
    )


def ceiling_trend(metric: str, unit: str, takes: Sequence[Take], *, higher: bool = True) -> Trend | None:
    """How a ceiling moved, and whether it fell. Takes that are no positive number are left out."""
    known = sorted((t for t in takes if _is_figure(t)), key=lambda take: take.t_s)
    if not known:
        return None
    now = known[-1]
    past = [t for t in known[:-1] if not differences(t.setting, now.setting)]
    apart = [t for t in known[:-1] if differences(t.setting, now.setting)]
    best = [t for t in past if t.fit] or past
    usual = median(t.value for t in past) if past else None
    return Trend(
        metric=metric,
        unit=unit,
        higher=higher,
        t_s=tuple(t.t_s for t in known),
        values=tuple(t.value for t in known),
        now=now.value,
        usual=usual,
        change_frac=_change(now.value, usual),
        compared=len(past),
        judged=bool(past),
        because=None if past else _why_not(apart),
        fall=_fall([*past, now], best, higher) if past else None,
        apart=_apart(apart, [*past, now]) if apart else None,
    )


def differences(then: Setting, now: Setting) -> tuple[str, ...]:
    """What differs between two settings, in words; empty where they can be compared."""
    names = [name for name in then.versions if name in now.versions]
    pairs = [
        ("method", then.method_version, now.method_version),
        ("driver", then.driver, now.driver),
        *((name, then.versions[name], now.versions[name]) for name in sorted(names)),
        ("ECC", _on(then.ecc), _on(now.ecc)),
        ("mode", then.mode, now.mode),
    ]
    found = [f"{name} {a} then, {b} now" for name, a, b in pairs if None not in (a, b) and a != b]
    if then.mig != now.mig:
        found.append(f"{then.mig or 'a whole GPU'} then, {now.mig or 'a whole GPU'} now")
    if _limits_differ(then.power_limit_w, now.power_limit_w):
        found.append(f"power limit {then.power_limit_w:g} W then, {now.power_limit_w:g} W now")
    if then.held != now.held and not found:
        found.append("held until clocks settled in one of them alone")
    return tuple(found)


def allowed_frac(past: Sequence[Take], now: Take) -> float:
    """The part of a ceiling by which `now` may be lower without meaning anything."""
    own, floor, times = _spread(now), th.HISTORY_FALL.value, th.HISTORY_NOISE.value
    if len(past) < _BEST_OF:
        return max(floor, times * math.hypot(own, _spread(past[-1]) if past else 0.0))
    steps = [abs(b.value - a.value) / max(a.value, b.value) for a, b in pairwise(past)]
    runs = _MAD * median(steps) / math.sqrt(2)
    chosen = _CHOSEN * math.sqrt(2.0 * math.log(len(past) / 2.0))
    wide = (times + chosen) * math.hypot(own, runs * (1.0 + 1.0 / len(steps)))
    return max(floor, times * math.hypot(own, runs), min(wide, 1.0 - th.HISTORY_SEVERE.value))


def _fall(takes: Sequence[Take], fit: Sequence[Take], higher: bool) -> Fall | None:
    """takes: under one setting, oldest first, the newest last. fit: those whose best counts."""
    now = takes[-1]
    best, best_t_s = _best(fit, higher)
    allowed = allowed_frac(takes[:-1], now)
    of_best = [t.value / best if higher else best / t.value for t in takes]
    if of_best[-1] >= 1.0 - allowed:
        return None
    start = len(takes) - 1
    while start > 0 and of_best[start - 1] < 1.0 - allowed:
        start -= 1
    is_severe = of_best[-1] < th.HISTORY_SEVERE.value
    return Fall(
        severity="severe" if is_severe else "degraded",
        now=now.value,
        best=best,
        best_t_s=best_t_s,
        of_best=of_best[-1],
        allowed_frac=allowed,
        since_s=takes[start].t_s,
        runs=len(takes) - start,
        compared=len(takes) - 1,
        before_s=takes[start - 1].t_s if start else None,
        meanwhile=meanwhile(takes[:start], takes[start:]),
    )


def _best(takes: Sequence[Take], higher: bool) -> tuple[float, float]:
    """The best median of runs in a row, and the time of the run that it is; of few runs the best one."""
    better = max if higher else min
    if len(takes) < _BEST_OF:
        found = better(takes, key=lambda t: t.value)
    else:
        stretches = (takes[i : i + _BEST_OF] for i in range(len(takes) - _BEST_OF + 1))
        middle = [sorted(stretch, key=lambda t: t.value)[_BEST_OF // 2] for stretch in stretches]
        found = better(middle, key=lambda t: t.value)
    return found.value, found.t_s


def meanwhile(before: Sequence[Take], after: Sequence[Take]) -> tuple[str, ...]:
    """Clocks, power, temperature and reasons to throttle that changed with a fall, in words."""
    clock, power = th.HISTORY_CLOCK.value, th.HISTORY_POWER.value
    said = [
        _moved("SM clock", "MHz", _middle(before, "sm_mhz"), _middle(after, "sm_mhz"), clock),
        _moved("memory clock", "MHz", _middle(before, "mem_mhz"), _middle(after, "mem_mhz"), clock),
        _moved("power", "W", _middle(before, "power_w"), _middle(after, "power_w"), power),
    ]
    cool, hot = _middle(before, "temp_c"), _middle(after, "temp_c")
    if cool is not None and hot is not None and abs(hot - cool) >= th.HISTORY_HEAT_C.value:
        said.append(f"temperature {cool:.0f} °C before, {hot:.0f} °C since")
    known = {reason for take in before for reason in take.throttle_reasons}
    new = sorted({reason for take in after for reason in take.throttle_reasons} - known) if before else []
    said += [f"throttled by {', '.join(new)}"] if new else []
    return tuple(filter(None, said))


def _moved(name: str, unit: str, before: float | None, after: float | None, least: float) -> str:
    if not before or after is None or abs(after - before) < least * before:
        return ""
    return f"{name} {before:.0f} {unit} before, {after:.0f} {unit} since"


def _middle(takes: Sequence[Take], name: str) -> float | None:
    known = [value for t in takes if (value := getattr(t, name)) is not None]
    return median(known) if known else None


def _apart(takes: Sequence[Take], alike: Sequence[Take]) -> Apart:
    """takes: under other settings. alike: under the newest one's setting, oldest first, the newest last."""
    usual = median(t.value for t in takes)
    return Apart(
        runs=len(takes),
        differences=differences(takes[-1].setting, alike[-1].setting),
        median=usual,
        change_frac=_change(median(t.value for t in alike[:_BEST_OF]), usual),
    )


def _why_not(apart: Sequence[Take]) -> str:
    return "no earlier run was made under the same setting" if apart else "there is no earlier run"


def _spread(take: Take) -> float:
    """One standard deviation of a figure's windows, as a share of it; 0 where it is not known."""
    if take.p10 is not None and take.p90 is not None:
        found = abs(take.p90 - take.p10) / _P10_P90 / take.value
    else:
        found = take.cv or 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


def _is_figure(take: Take) -> bool:
    return math.isfinite(take.t_s) and _LEAST < take.value < _MOST


def _change(now: float, usual: float | None) -> float | None:
    change = now / usual - 1.0 if usual else None
    return change if change is not None and math.isfinite(change) else None


def _limits_differ(then_w: float | None, now_w: float | None) -> bool:
    if not then_w or not now_w:
        return False
    return abs(now_w - then_w) > _LIMIT_STEP * then_w


def _on(enabled: bool | None) -> str | None:
    return None if enabled is None else "on" if enabled else "off"

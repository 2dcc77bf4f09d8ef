"""Split: how one stretch of time divides among the shares; and sums of splits.

Splits of neighbouring stretches merge into one without losing a second, so a long run can be kept at a
coarser resolution and still say the same. What a quiet stretch means (a host gap, or memory held idle)
depends on how long it lasts, so a split remembers the quiet time at its two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import add
from typing import TypeVar

import msgspec

from rules import thresholds as th
from rules.divide import MOVABLE, added
from rules.verdict import CLASS_OF, SHARES

_HELD_S = th.IDLE_HELD_MIN_S.value
# Counters whose means are kept by class: what one class's kernels are like, whatever runs beside them.
COUNTED: tuple[str, ...] = ("sm_active", "sm_occupancy", "tensor_active")
_HOST, _DEVICE = MOVABLE.index("host"), MOVABLE.index("device")
_ROUNDING = 1e-12
T = TypeVar("T")


class Split(msgspec.Struct, frozen=True, dict=True):
    """One stretch's seconds, divided. `seconds` sums to `duration_s`; quiet time is in it as `host`.

    seen_s: seconds with data. useful_s: seconds of memory, compute and device time weighted by the larger
    roof fraction: the device did what it can. dram_s, pipe_s: busy seconds weighted by that roof fraction.
    at_s, roof_s: busy seconds by the class they went to, and the same weighted by the larger roof fraction.
    counted_s: class -> for each of COUNTED in turn, its busy seconds weighted by the counter while busy, and
    those in which the counter was read.
    quiet_s: nothing ran although a process holds the device; head_quiet_s, tail_quiet_s: at either end.
    held_s: quiet runs inside that lasted long enough to be idle-held, the ends left out.
    moved_s: by how many seconds the shares in `rules.divide.MOVABLE` change as the readings at the ceilings
    move by their errors, for each of `rules.divide.CORNERS`; None where nothing changes.
    spared_s: what a held-down clock would have cost, had launches not been the limit: seconds of compute, of
    device and of useful time. None where nothing.
    """

    t_s: float
    duration_s: float
    seconds: dict[str, float]
    seen_s: float = 0.0
    useful_s: float = 0.0
    busy_s: float = 0.0
    at_s: dict[str, float] = {}
    roof_s: dict[str, float] = {}
    dram_s: float | None = None
    pipe_s: float | None = None
    pipe: str | None = None
    quiet_s: float = 0.0
    head_quiet_s: float = 0.0
    tail_quiet_s: float = 0.0
    held_s: float = 0.0
    moved_s: tuple[float, ...] | None = None
    counted_s: dict[str, tuple[float, ...]] = {}
    spared_s: tuple[float, ...] | None = None

    @property
    def quiet(self) -> bool:
        """True when nothing ran from end to end although a process holds the device."""
        return 0.0 < self.duration_s <= self.head_quiet_s

    @cached_property
    def prevailing(self) -> str:
        """The class with most of the seconds; "unknown" where that is what most of them are."""
        scores: dict[str, float] = {}
        for share, seconds in self.seconds.items():
            class_ = CLASS_OF.get(share, "unknown")
            scores[class_] = scores.get(class_, 0.0) + seconds
        return max(scores, key=scores.__getitem__)

    @cached_property
    def waiting(self) -> Split:
        """The same time, if the pegged thread waits for the device: what went to launches is the device's.

        Only launches take busy time for the host, so that is all of `at_s["host"]` and of its changes.
        """
        launch_s, moved_s = self.at_s.get("host", 0.0), _all_waiting(self.moved_s)
        if launch_s <= 0.0 and moved_s is self.moved_s:
            return self
        compute_s, device_s, useful_s = self.spared_s or (0.0, 0.0, 0.0)
        gained = {
            "host": -launch_s,
            "device": launch_s - device_s,
            "compute": -compute_s,
            "throttle": compute_s + device_s,
        }
        return msgspec.structs.replace(
            self,
            seconds={k: max(0.0, v) for k, v in _sum(self.seconds, gained).items()},
            useful_s=self.useful_s - useful_s,
            at_s=_renamed(self.at_s, add),
            roof_s=_renamed(self.roof_s, add),
            counted_s=_renamed(self.counted_s, _columns),
            moved_s=moved_s,
            spared_s=None,
        )


def unseen(t_s: float, duration_s: float) -> Split:
    """Time without data: paid for, and unknown."""
    return Split(t_s, duration_s, {"unknown": duration_s})


def quiet(t_s: float, duration_s: float) -> Split:
    """Time in which nothing ran although a process holds the device."""
    return Split(
        t_s,
        duration_s,
        {"host": duration_s},
        seen_s=duration_s,
        quiet_s=duration_s,
        head_quiet_s=duration_s,
        tail_quiet_s=duration_s,
    )


def merge(a: Split, b: Split) -> Split:
    """One split for the time of both, b following a."""
    between = 0.0 if a.quiet or b.quiet else a.tail_quiet_s + b.head_quiet_s
    return Split(
        b.t_s,
        a.duration_s + b.duration_s,
        _sum(a.seconds, b.seconds),
        seen_s=a.seen_s + b.seen_s,
        useful_s=a.useful_s + b.useful_s,
        busy_s=a.busy_s + b.busy_s,
        at_s=_sum(a.at_s, b.at_s),
        roof_s=_sum(a.roof_s, b.roof_s),
        dram_s=_added(a.dram_s, b.dram_s),
        pipe_s=_added(a.pipe_s, b.pipe_s),
        pipe=a.pipe if (a.pipe_s or 0.0) >= (b.pipe_s or 0.0) else b.pipe,
        quiet_s=a.quiet_s + b.quiet_s,
        head_quiet_s=a.duration_s + b.head_quiet_s if a.quiet else a.head_quiet_s,
        tail_quiet_s=a.tail_quiet_s + b.duration_s if b.quiet else b.tail_quiet_s,
        held_s=a.held_s + b.held_s + (between if between >= _HELD_S else 0.0),
        moved_s=added(a.moved_s, b.moved_s),
        counted_s=_counted(a.counted_s, b.counted_s),
        spared_s=added(a.spared_s, b.spared_s),
    )


class Sums(msgspec.Struct, frozen=True):
    """Splits added up over a window. shares sums to 1, or is empty without any split.

    observed_s: seconds with data. roofs: class -> mean height of the roof reached over its own time.
    moved: by how much shares change with the readings at the ceilings, as `Split.moved_s`.
    counters: class -> counter -> its mean over that class's own time, for each of COUNTED that was read.
    """

    observed_s: float
    shares: dict[str, float]
    useful: float
    dram_roof: float | None
    pipe_roof: float | None
    pipe: str | None
    roofs: dict[str, float] = {}
    moved: tuple[float, ...] | None = None
    counters: dict[str, dict[str, float]] = {}


def total(splits: Sequence[Split]) -> Sums:
    """Add splits up by time. Quiet runs of IDLE_HELD_MIN_S, or of all that was seen, are idle-held."""
    length = sum([s.duration_s for s in splits])
    if length <= 0.0:
        return Sums(0.0, {}, 0.0, None, None, None)
    seconds = dict.fromkeys(SHARES, 0.0)
    for part in splits:
        for key, value in part.seconds.items():
            seconds[key] += value
    held = _held_seconds(splits)
    seconds["host"] -= held
    seconds["idle_held"] += held
    return Sums(
        sum([s.seen_s for s in splits]),
        _normalised(seconds),
        min(1.0, sum([s.useful_s for s in splits]) / length),
        _mean([(s.dram_s, s.busy_s) for s in splits]),
        _mean([(s.pipe_s, s.busy_s) for s in splits]),
        _main_pipe(splits),
        _class_roofs(splits),
        _moved(splits, length),
        _class_counters(splits),
    )


def _moved(splits: Sequence[Split], length_s: float) -> tuple[float, ...] | None:
    changed = [part.moved_s for part in splits if part.moved_s is not None]
    return tuple([sum(column) / length_s for column in zip(*changed, strict=True)]) if changed else None


def _held_seconds(splits: Sequence[Split]) -> float:
    """Seconds of quiet runs that lasted, or all quiet seconds when nothing but quiet was seen."""
    held = run = 0.0
    for part in splits:
        if part.quiet:
            run += part.duration_s
            continue
        run += part.head_quiet_s
        held += part.held_s + (run if run >= _HELD_S else 0.0)
        run = part.tail_quiet_s
    held += run if run >= _HELD_S else 0.0
    quiet_s, seen_s = sum([s.quiet_s for s in splits]), sum([s.seen_s for s in splits])
    nothing_else = 0.0 < seen_s <= quiet_s * (1 + 1e-12)
    return quiet_s if nothing_else else held


def _normalised(seconds: dict[str, float]) -> dict[str, float]:
    """Shares that sum to 1 within rounding: the largest takes what floating point left over."""
    whole = sum(seconds.values())
    shares = {key: max(0.0, value / whole) for key, value in seconds.items()}
    largest = max(shares, key=shares.__getitem__)
    shares[largest] += 1.0 - sum(shares.values())
    return shares


def _class_roofs(splits: Sequence[Split]) -> dict[str, float]:
    at_s: dict[str, float] = {}
    roof_s: dict[str, float] = {}
    for part in splits:
        for key, value in part.at_s.items():
            at_s[key] = at_s.get(key, 0.0) + value
            roof_s[key] = roof_s.get(key, 0.0) + part.roof_s[key]
    return {key: min(1.0, roof_s[key] / seconds) for key, seconds in at_s.items() if seconds > 0.0}


def _class_counters(splits: Sequence[Split]) -> dict[str, dict[str, float]]:
    rows: dict[str, list[tuple[float, ...]]] = {}
    for part in splits:
        for key, row in part.counted_s.items():
            rows.setdefault(key, []).append(row)
    return {key: _means([sum(column) for column in zip(*of, strict=True)]) for key, of in rows.items()}


def _means(sums: Sequence[float]) -> dict[str, float]:
    pairs = zip(COUNTED, sums[::2], sums[1::2], strict=True)
    return {name: min(1.0, counted_s / read_s) for name, counted_s, read_s in pairs if read_s > 0.0}


def _mean(pairs: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None]
    weight = sum([w for _, w in known])
    return sum([v for v, _ in known]) / weight if weight > 0 else None


def _main_pipe(splits: Sequence[Split]) -> str | None:
    weights: dict[str, float] = {}
    for part in splits:
        if part.pipe:
            weights[part.pipe] = weights.get(part.pipe, 0.0) + (part.pipe_s or 0.0)
    return max(weights, key=weights.__getitem__) if weights else None


def _sum(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    return {key: a.get(key, 0.0) + b.get(key, 0.0) for key in {**a, **b}}


def _counted(
    a: dict[str, tuple[float, ...]], b: dict[str, tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    return {
        key: _columns(a[key], b[key]) if key in a and key in b else (a.get(key) or b[key])
        for key in {**a, **b}
    }


def _columns(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(map(add, a, b))


def _renamed(of: dict[str, T], added_up: Callable[[T, T], T]) -> dict[str, T]:
    """The same by class, with the host's part of busy time counted as the device's."""
    kept = {key: value for key, value in of.items() if key != "host"}
    if "host" in of:
        kept["device"] = added_up(kept["device"], of["host"]) if "device" in kept else of["host"]
    return kept


def _all_waiting(moved_s: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Changes of the shares, the host's counted as the device's; the same object where it has none."""
    width = len(MOVABLE)
    if moved_s is None or not any(moved_s[_HOST::width]):
        return moved_s
    found = list(moved_s)
    for i in range(0, len(found), width):
        found[i + _DEVICE] += found[i + _HOST]
        found[i + _HOST] = 0.0
    return tuple(found) if any(abs(by) > _ROUNDING for by in found) else None


def _added(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else a + b

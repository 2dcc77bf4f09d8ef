"""Roofline: where a workload stands between what its card's memory and its arithmetic can do.

Counters tell shares of time, not bytes and operations. A rate is therefore the counter's roof fraction times
the ceiling at which that reading was taken, and an intensity is the ratio of two such rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from probes.ceilings import Ceiling, Ceilings
from rules.roofs import TENSOR_PIPES
from rules.trust import rate_label, reading_errors
from rules.verdict import Verdict

# Pipe counter -> the ceiling that its reading stands for, and what is uncertain about that.
_RATES: dict[str, tuple[tuple[str, ...], str]] = {
    "hmma": (("bf16", "fp16"), "the counter does not tell fp16 from bf16, nor both from fp8"),
    "tensor_active": (("bf16", "fp16"), "which precision ran is not told: taken as bf16"),
    "imma": (("int8",), "operations of int8"),
    "dfma": (("fp64_tensor",), ""),
    "dmma": (("fp64_tensor",), ""),
    "fp64": (("fp64",), ""),
    "fp32": (("fp32",), "multiply-adds are assumed; other fp32 work counts as two operations all the same"),
}
# Pipes that a series' one counter of arithmetic, `tensor_active`, stands for: its reading at the ceiling is
# bf16's, so that integer and fp64 products have the mean and nothing else.
_IN_SERIES = frozenset({"hmma", "tensor_active"})
# Roofs of arithmetic shown for comparison, beside the one that the workload's pipe has.
_SHOWN = ("fp4", "fp8", "bf16", "tf32", "fp32")
_SPLIT = ("memory", "compute")
# A stretch stands for a class that has this much of its busy time.
MOSTLY = 0.8
# Below this part of a stretch busy, its counters over its busy time are a ratio of two small figures.
MIN_BUSY = 0.05


class Roof(msgspec.Struct, frozen=True, kw_only=True):
    """One ceiling: bytes a second of DRAM (`memory`) or operations a second of a pipe (`compute`).

    label: measured, typical, assumed, or stale. used: the workload's points were made with it.
    """

    kind: Literal["memory", "compute"]
    metric: str
    value: float
    label: str
    source: str
    used: bool = False


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Rates while busy. class_: whose time it is, None for all busy time. share: of the window."""

    class_: str | None
    bytes_s: float
    flop_s: float
    share: float = 0.0

    @property
    def intensity(self) -> float:
        """Operations per byte of DRAM traffic."""
        return self.flop_s / self.bytes_s


class Stretches(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of a time series that a roofline reads: seconds, counters, and shares by class."""

    duration_s: tuple[float, ...]
    shares: dict[str, tuple[float, ...]]
    counters: dict[str, tuple[float | None, ...]]


class Roofline(msgspec.Struct, frozen=True, kw_only=True):
    """Roofs and points of one row. missing: why there is no point to show, else None.

    mean: all busy time. classes: busy time of one class each, where stretches tell it. stretches: each
    stretch of the window. error_frac: relative error of a point's place below its roofs.
    """

    roofs: tuple[Roof, ...] = ()
    mean: Point | None = None
    classes: tuple[Point, ...] = ()
    stretches: tuple[Point, ...] = ()
    pipe: str | None = None
    note: str = ""
    error_frac: float | None = None
    missing: str | None = None


def roofline(verdict: Verdict, ceilings: Ceilings | None, series: Stretches | None = None) -> Roofline:
    """The row's roofs and points, or the reason why there are none."""
    reason = _missing(verdict, ceilings)
    if reason is not None or ceilings is None:
        return Roofline(missing=reason)
    pipe = verdict.pipe or ""
    dram, arithmetic = ceilings.ceiling("dram"), _rate(ceilings, pipe)
    if dram is None or arithmetic is None:
        return Roofline(missing=_no_rate(dram, pipe))
    stretches = _stretches(series, ceilings, dram, arithmetic) if pipe in _IN_SERIES and series else ()
    return Roofline(
        roofs=_roofs(ceilings, dram, arithmetic),
        mean=_mean(verdict, dram, arithmetic),
        classes=_classes(stretches),
        stretches=tuple(point for point, _ in stretches),
        pipe=pipe,
        note=_RATES[pipe][1],
        error_frac=_error(ceilings, pipe),
    )


def _missing(verdict: Verdict, ceilings: Ceilings | None) -> str | None:
    if verdict.tier != "counters":
        return "without GPM counters, neither bytes nor operations can be told from NVML's figures"
    if ceilings is None:
        return "no ceilings of this card are known"
    if not verdict.dram_roof_frac or not verdict.pipe_roof_frac:
        return "no work was seen at both the DRAM counter and a pipe's counter"
    return None


def _no_rate(dram: Ceiling | None, pipe: str) -> str:
    if dram is None:
        return "the card's DRAM bandwidth is unknown"
    return f"no ceiling in operations a second is known for the pipe that was busiest ({pipe or 'none'})"


def _rate(ceilings: Ceilings, pipe: str) -> Ceiling | None:
    """The ceiling in operations a second behind a pipe's counter."""
    names = _RATES.get(pipe, ((), ""))[0]
    return next((found for name in names if (found := ceilings.ceiling(name)) is not None), None)


def _roofs(ceilings: Ceilings, dram: Ceiling, arithmetic: Ceiling) -> tuple[Roof, ...]:
    others = [found for name in _SHOWN if (found := ceilings.ceiling(name)) is not None]
    shown = {c.metric: c for c in (arithmetic, *others) if c.value > 0.0}
    ordered = sorted(shown.values(), key=lambda c: (-c.value, c.metric))
    return (
        _roof("memory", dram, ceilings, used=True),
        *(_roof("compute", c, ceilings, used=c.metric == arithmetic.metric) for c in ordered),
    )


def _roof(kind: Literal["memory", "compute"], limit: Ceiling, ceilings: Ceilings, *, used: bool) -> Roof:
    return Roof(
        kind=kind,
        metric=limit.metric,
        value=limit.value,
        label=rate_label(ceilings, limit),
        source=limit.source,
        used=used,
    )


def _mean(verdict: Verdict, dram: Ceiling, arithmetic: Ceiling) -> Point:
    return Point(
        class_=None,
        bytes_s=(verdict.dram_roof_frac or 0.0) * dram.value,
        flop_s=(verdict.pipe_roof_frac or 0.0) * arithmetic.value,
        share=math.fsum(verdict.shares.get(name, 0.0) for name in ("device", "memory", "compute")),
    )


def _stretches(
    series: Stretches, ceilings: Ceilings, dram: Ceiling, arithmetic: Ceiling
) -> tuple[tuple[Point, float], ...]:
    """Each busy stretch of the window as a point, with its busy seconds."""
    at_dram, at_pipe = ceilings.fracs.get("dram_active"), ceilings.fracs.get("tensor_active")
    if at_dram is None or at_pipe is None:
        return ()
    whole_s = math.fsum(series.duration_s) or 1.0
    return tuple(
        (
            Point(
                class_=_class_of(series, i),
                bytes_s=min(1.0, moved / busy / at_dram) * dram.value,
                flop_s=min(1.0, worked / busy / at_pipe) * arithmetic.value,
                share=busy * series.duration_s[i] / whole_s,
            ),
            busy * series.duration_s[i],
        )
        for i, busy, moved, worked in _busy(series)
    )


def _busy(series: Stretches) -> Iterator[tuple[int, float, float, float]]:
    """Index, gr_active, dram_active and tensor_active of stretches in which all three say something."""
    columns = [series.counters.get(name, ()) for name in ("gr_active", "dram_active", "tensor_active")]
    for i, (busy, moved, worked) in enumerate(zip(*columns, strict=False)):
        if busy is None or moved is None or worked is None or i >= len(series.duration_s):
            continue
        if min(busy, 1.0) >= MIN_BUSY and moved > 0.0 and worked > 0.0:
            yield i, min(busy, 1.0), moved, worked


def _class_of(series: Stretches, i: int) -> str | None:
    """The class that most of a stretch's busy time went to."""
    parts = {
        name: series.shares[name][i] for name in (*_SPLIT, "device") if i < len(series.shares.get(name, ()))
    }
    whole = math.fsum(parts.values())
    best = max(parts, key=lambda name: parts[name], default=None)
    return best if best is not None and whole > 0.0 and parts[best] >= MOSTLY * whole else None


def _classes(stretches: Sequence[tuple[Point, float]]) -> tuple[Point, ...]:
    """Means over the stretches that were mostly of one class; nothing where there is one class alone."""
    named = {point.class_ for point, _ in stretches if point.class_ is not None}
    if len(named) < len(_SPLIT):
        return ()
    found = ([pair for pair in stretches if pair[0].class_ == name] for name in sorted(named))
    return tuple(_weighted(pairs) for pairs in found)


def _weighted(pairs: Sequence[tuple[Point, float]]) -> Point:
    seconds = math.fsum(weight for _, weight in pairs)

    def mean(rate: Callable[[Point], float]) -> float:
        return math.fsum(rate(point) * weight for point, weight in pairs) / seconds

    return Point(
        class_=pairs[0][0].class_,
        bytes_s=mean(lambda p: p.bytes_s),
        flop_s=mean(lambda p: p.flop_s),
        share=math.fsum(point.share for point, _ in pairs),
    )


def _error(ceilings: Ceilings, pipe: str) -> float | None:
    """The larger error of the two readings that a point rests on."""
    errors = reading_errors(ceilings)
    pipes = (pipe, "tensor_active") if pipe in TENSOR_PIPES else (pipe,)
    of_pipe = next((errors[name] for name in pipes if name in errors), None)
    known = [error for error in (errors.get("dram_active"), of_pipe) if error is not None]
    return max(known, default=None)

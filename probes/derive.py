"""From a stored run to what rules divide by: ceilings, counters at them, and the clock a card holds."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from probes.ceilings import Ceiling, Ceilings, Label, Reading
from probes.metrics import best
from probes.peaks import FP64_TENSOR
from probes.record import Measurement, ProbeReport

# Below this a counter was not what its own probe ran into, so its reading is no ceiling: a healthy card
# reaches half of its data sheet in any GEMM or copy (DCGM's floors lie higher still).
AT_CEILING = 0.3
# Below this the probe's stretch was mostly pauses, and a counter while busy is too coarse (as in live work).
BUSY = 0.5
# Compute capabilities whose cards give GPM counters. Others may, and then have shown it.
_WITH_GPM = frozenset({"9.0", "10.0", "10.3"})
# Reasons for a lower clock that a healthy card in a cool room does not give.
_FAULTS = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})

# Name of a ceiling that rules read -> metrics that give it; the first that was measured counts. Copies stand
# for memory, as most kernels both read and write; `dram_read` and the others keep their own names too.
_NAMED: dict[str, tuple[str, ...]] = {
    "dram": ("dram_copy", "dram_triad"),
    "fp8": ("fp8_e4m3", "mxfp8"),
    "fp4": ("nvfp4", "mxfp4"),
}
# A link's ceiling bounds either direction, from either socket, so it is the best of these.
_LINK = ("h2d_pinned", "d2h_pinned", "h2d_numa_local")

# Metric -> live counters that it drives to their ceiling. Whatever else moves meanwhile is not at one.
_DRIVES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dram_read", "dram_write", "dram_copy", "dram_triad"), ("dram_active",)),
    **dict.fromkeys(("bf16", "fp16", "tf32"), ("tensor_active", "hmma")),
    **dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4", "mxfp4"), ("tensor_active",)),
    "int8": ("tensor_active", "imma"),
    "fp32": ("fp32",),
}
# GEMMs whose clock and power may stand for the card under load.
_LOADS = (
    *("bf16", "fp16", "tf32", "fp8_e4m3", "fp8_e5m2", "int8", "fp32", "fp64"),
    *("mxfp8", "nvfp4", "mxfp4"),
)

_Item = TypeVar("_Item", Reading, Ceiling)


def usable(report: ProbeReport) -> dict[str, Measurement]:
    """The figure of each metric that may be a ceiling: valid, and of a device that nobody else used."""
    if report.contended is not None:
        return {}
    fit = [m for m in report.measurements if is_ceiling(m)]
    names = dict.fromkeys(m.metric for m in fit)
    found = {name: best(m for m in fit if m.metric == name) for name in names}
    return {name: m for name, m in found.items() if m is not None}


def is_ceiling(m: Measurement) -> bool:
    """Whether a figure may be divided by."""
    return m.valid == "valid" and m.label == "measured" and _positive(m.value)


def alike(takes: Sequence[Measurement]) -> list[float]:
    """Figures of one metric that can be compared: what each held, or where one was not held, each median.

    A quick run has no sustained figure; its median beside another's sustained one would look like a gain.
    """
    for figures in ([m.sustained for m in takes], [m.median for m in takes]):
        known = [figure for figure in figures if figure is not None]
        if len(known) == len(takes):
            return known
    return [m.value or 0.0 for m in takes]


def ceilings_of(report: ProbeReport, assumed: Ceilings | None) -> Ceilings | None:
    """What this very card was seen to do; what was not measured comes from `assumed`, with its own label.

    A reading is the highest that a fitting probe showed while busy, so that no live fraction exceeds what
    the card can show. The whole is `measured` when the limits of memory and of the tensor cores (without GPM:
    of memory and of a GEMM) are; else it is `assumed`, also where there is nothing to assume. None when
    nothing is known at all.

    sm_mhz is the lowest clock at which any GEMM was held, and no higher than what is assumed: how far a power
    limit lowers the clock depends on the load and on how warm the card is, and work that the probe's
    hungriest load would slow as much has lost nothing. A GEMM that heat slowed says nothing of that. Where
    none was held, it is what is assumed. power_limit_w is the limit under which it was held.
    """
    found = usable(report)
    if not found:
        return assumed
    readings = _readings(report, found)
    held = _held(found)
    sheet = assumed or Ceilings(model=report.device.name, label="assumed")
    label: Label = "measured" if _is_whole(report, found, readings) else sheet.label
    return Ceilings(
        model=report.device.model or sheet.model,
        label=label,
        readings=_filled(readings, sheet.readings, lambda r: r.counter),
        ceilings=_filled(_ceilings(report, found), sheet.ceilings, lambda c: c.metric),
        sm_mhz=_clock(held, sheet.sm_mhz or report.device.sm_mhz_max) or sheet.sm_mhz,
        sm_count=report.device.sm_count or sheet.sm_count,
        power_w=_power(held) or sheet.power_w,
        power_limit_w=report.device.power_limit_w if held else None,
        measured_s=report.t_s,
    )


def _is_whole(report: ProbeReport, found: dict[str, Measurement], readings: Sequence[Reading]) -> bool:
    """Whether the limits that verdicts rest on are measured."""
    if report.device.kind == "cpu":
        return True
    counters = {r.counter for r in readings}
    if report.device.compute_capability in _WITH_GPM or any(m.counters_at_ceiling for m in found.values()):
        return {"dram_active", "tensor_active"} <= counters
    return any(name in found for name in _NAMED["dram"]) and any(name in found for name in _LOADS)


def _held(found: dict[str, Measurement]) -> list[Measurement]:
    """GEMMs that were held until clocks had settled, at a clock that heat and faults left alone."""
    loads = (found[name] for name in _LOADS if name in found)
    return [
        m
        for m in loads
        if m.sustained is not None
        and _positive(m.conditions.extra.get("sustained_sm_mhz"))
        and not _FAULTS.intersection(m.conditions.throttle_reasons)
    ]


def _clock(held: Sequence[Measurement], most: float | None) -> float | None:
    """The lowest clock at which a half-precision GEMM was held, for want of one any GEMM, MHz, and no more
    than `most`; None where none was. Which others found time to be held differs from run to run."""
    halves = [m for m in held if m.metric in ("bf16", "fp16")]
    lowest = min((m.conditions.extra["sustained_sm_mhz"] for m in halves or held), default=None)
    return lowest if lowest is None or not _positive(most) else min(lowest, most or lowest)


def _power(held: Sequence[Measurement]) -> float | None:
    """The most that a load drew while the power limit held it, W: only there it is all that a card may."""
    drawn = (
        m.conditions.extra.get("sustained_power_w")
        for m in held
        if "sw_power_cap" in m.conditions.throttle_reasons
    )
    return max((power_w for power_w in drawn if power_w is not None and _positive(power_w)), default=None)


def _readings(report: ProbeReport, found: dict[str, Measurement]) -> list[Reading]:
    highest: dict[str, tuple[float, Measurement]] = {}
    for m in found.values():
        for counter in _driven(report, m.metric):
            frac = while_busy(m, counter)
            if frac is None or not AT_CEILING <= frac < math.inf:
                continue
            if counter not in highest or frac > highest[counter][0]:
                highest[counter] = (frac, m)
    return [
        Reading(counter=counter, frac=min(1.0, frac), label="measured", source=_source(report, m))
        for counter, (frac, m) in highest.items()
    ]


def while_busy(m: Measurement, counter: str) -> float | None:
    """What a counter read in the part of the probe's stretch in which anything ran.

    Live counters are divided by gr_active before they are compared with this. Without gr_active it is the
    plain reading; None where the counter was not read, or pauses made up most of the stretch.
    """
    frac, busy = m.counters_at_ceiling.get(counter), m.counters_at_ceiling.get("gr_active")
    if frac is None or busy is None or not math.isfinite(busy):
        return frac
    return frac / min(1.0, busy) if busy >= BUSY else None


def _driven(report: ProbeReport, metric: str) -> tuple[str, ...]:
    if metric != "fp64":
        return _DRIVES.get(metric, ())
    return ("dfma", "dmma") if _has_fp64_tensor(report) else ("fp64",)


def _ceilings(report: ProbeReport, found: dict[str, Measurement]) -> list[Ceiling]:
    named = {(_own_name(report, metric)): m for metric, m in found.items()}
    for name, metrics in _NAMED.items():
        first = next((found[metric] for metric in metrics if metric in found), None)
        if first is not None:
            named[name] = first
    link = max((found[x] for x in _LINK if x in found), key=lambda m: m.value or 0.0, default=None)
    if link is not None:
        named["pcie"] = link
    return [_ceiling(report, name, m) for name, m in named.items()]


def _own_name(report: ProbeReport, metric: str) -> str:
    """The name that rules give a metric: "fp64" is the plain pipe there."""
    return "fp64_tensor" if metric == "fp64" and _has_fp64_tensor(report) else metric


def _has_fp64_tensor(report: ProbeReport) -> bool:
    return report.device.compute_capability in FP64_TENSOR


def _ceiling(report: ProbeReport, name: str, m: Measurement) -> Ceiling:
    return Ceiling(
        metric=name,
        value=m.value or 0.0,
        unit=m.unit,
        label="measured",
        source=_source(report, m),
        p10=m.p10,
        p90=m.p90,
        cv=m.cv,
    )


def _source(report: ProbeReport, m: Measurement) -> str:
    """ "probe bf16: torch.mm 8192x8192x8192, 2026-11-21"."""
    how = " ".join(part for part in (m.conditions.method, m.conditions.shape) if part)
    return f"probe {m.metric}{': ' if how else ''}{how}, {_day(report.t_s)}"


def _day(t_s: float) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(t_s, datetime.UTC):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return "on an unknown day"


def _filled(
    measured: Iterable[_Item], others: Iterable[_Item], name: Callable[[_Item], str]
) -> tuple[_Item, ...]:
    """What was measured, then what else is known."""
    known = {name(item): item for item in measured}
    for item in others:
        known.setdefault(name(item), item)
    return tuple(known.values())


def _positive(value: float | None) -> bool:
    return value is not None and 0.0 < value < math.inf

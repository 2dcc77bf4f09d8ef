"""From a stored run to what rules divide by; when it no longer holds; which GPU falls behind its siblings."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from probes import METHOD_VERSION
from probes.ceilings import Ceiling, Ceilings, Label, Reading
from probes.metrics import METRICS, best
from probes.peaks import FP64_TENSOR
from probes.record import Measurement, Outlier, ProbeReport
from probes.stats import quantile

# Below this a counter was not what its own probe ran into, so its reading is no ceiling: a healthy card
# reaches half of its data sheet in any GEMM or copy (DCGM's floors lie higher still).
AT_CEILING = 0.3
# Fixed work on one card repeats within 2 %. What moves it over months is dust, thermal paste and warm air.
OLD_S = 90 * 86400.0
# Drivers round a limit to milliwatts; people move it by tens of watts.
POWER_LIMIT_CHANGE = 0.01

# Name of a ceiling that rules read -> metrics that give it; the first that was measured counts. Copies stand
# for memory, as most kernels both read and write; `dram_read` and the others keep their own names too.
_NAMED: dict[str, tuple[str, ...]] = {
    "dram": ("dram_copy", "dram_triad"),
    "fp8": ("fp8_e4m3", "mxfp8"),
    "fp4": ("nvfp4", "mxfp4"),
}
# A link's ceiling bounds either direction, so it is the better of the two.
_LINK = ("h2d_pinned", "d2h_pinned")

# Metric -> live counters that it drives to their ceiling. Whatever else moves meanwhile is not at one.
_DRIVES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dram_read", "dram_write", "dram_copy", "dram_triad"), ("dram_active",)),
    **dict.fromkeys(("bf16", "fp16", "tf32"), ("tensor_active", "hmma")),
    **dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4", "mxfp4"), ("tensor_active",)),
    "int8": ("tensor_active", "imma"),
    "fp32": ("fp32",),
}
# GEMMs whose clock and power may stand for the card under load: the better of the first two, else in order.
_HALVES = ("bf16", "fp16")
_LOADS = (*_HALVES, "tf32", "fp8_e4m3", "int8", "fp32", "fp64")

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

    A reading is the highest that a fitting probe showed, so that no live fraction exceeds what the card can
    show. The whole is `measured` when the limits of memory and of the tensor cores (without GPM: of memory
    and of a GEMM) are, or when there is nothing to assume; else it has the label of `assumed`. None when
    nothing is known at all.

    sm_mhz and power_w are those of the best half-precision GEMM while it was held. Rules take a clock below
    that, under the same limit, for time lost: by the boost clock of a short or light probe every large GEMM
    would look throttled. So where no GEMM was held, a measured card has no sm_mhz.
    """
    found = usable(report)
    if not found:
        return assumed
    readings = _readings(report, found)
    clock, power_w = _held(found)
    sheet = assumed or Ceilings(model=report.device.name, label="measured")
    label: Label = "measured" if _is_whole(found, readings) else sheet.label
    return Ceilings(
        model=report.device.model or sheet.model,
        label=label,
        readings=_filled(readings, sheet.readings, lambda r: r.counter),
        ceilings=_filled(_ceilings(report, found), sheet.ceilings, lambda c: c.metric),
        sm_mhz=clock if clock or label == "measured" else sheet.sm_mhz,
        sm_count=report.device.sm_count or sheet.sm_count,
        power_w=power_w or sheet.power_w,
        measured_s=report.t_s,
    )


def stale(
    report: ProbeReport,
    *,
    driver: str | None = None,
    power_limit_w: float | None = None,
    ecc: bool | None = None,
    mig_profile: str | None = None,
    now_s: float | None = None,
) -> str | None:
    """Why the figures may no longer hold for the device as it is now, or None.

    What is unknown (None) is not compared, but for mig_profile: None says that the device is a whole GPU.
    """
    for reason in (
        _other_method(report),
        _other_driver(report, driver),
        _other_mode(report, power_limit_w, ecc, mig_profile),
        _other_time(report, now_s),
    ):
        if reason:
            return reason
    return None


def _other_method(report: ProbeReport) -> str | None:
    if report.method_version == METHOD_VERSION:
        return None
    return f"measured by method {report.method_version}, and this advisor has method {METHOD_VERSION}"


def _other_driver(report: ProbeReport, driver: str | None) -> str | None:
    then = report.versions.get("driver")
    if driver is None or then is None or then == driver:
        return None
    return f"measured under driver {then}, now it is {driver}"


def _other_mode(
    report: ProbeReport, power_limit_w: float | None, ecc: bool | None, mig_profile: str | None
) -> str | None:
    then = report.device
    if then.mig_profile != mig_profile:
        return f"measured as {then.mig_profile or 'a whole GPU'}, now it is {mig_profile or 'a whole GPU'}"
    if _positive(then.power_limit_w) and _positive(power_limit_w):
        was, now = then.power_limit_w or 0.0, power_limit_w or 0.0
        if abs(now - was) > POWER_LIMIT_CHANGE * was:
            return f"measured under a power limit of {was:g} W, now it is {now:g} W"
    if None not in (ecc, then.ecc_enabled) and ecc != then.ecc_enabled:
        return f"measured with ECC {_on(then.ecc_enabled)}, now it is {_on(ecc)}"
    return None


def _other_time(report: ProbeReport, now_s: float | None) -> str | None:
    if now_s is None:
        return None
    age_s = now_s - report.t_s
    if age_s < -86400:
        return "measured at a time that has yet to come: a clock was set back"
    return f"measured {age_s / 86400:.0f} days ago" if age_s > OLD_S else None


def _on(enabled: bool | None) -> str:
    return "on" if enabled else "off"


def _is_whole(found: dict[str, Measurement], readings: Sequence[Reading]) -> bool:
    """Whether the limits that verdicts rest on are measured."""
    counters = {r.counter for r in readings}
    if any(m.counters_at_ceiling for m in found.values()):
        return {"dram_active", "tensor_active"} <= counters
    return any(name in found for name in _NAMED["dram"]) and any(name in found for name in _LOADS)


def _held(found: dict[str, Measurement]) -> tuple[float | None, float | None]:
    """SM clock and power of the load that stands for the card, once clocks had settled under it."""
    held = {name: found[name] for name in _LOADS if name in found and found[name].sustained is not None}
    load = best(held[name] for name in _HALVES if name in held) or next(iter(held.values()), None)
    if load is None:
        return None, None
    extra = load.conditions.extra
    clock, power_w = extra.get("sustained_sm_mhz"), extra.get("sustained_power_w")
    return clock if _positive(clock) else None, power_w if _positive(power_w) else None


def _readings(report: ProbeReport, found: dict[str, Measurement]) -> list[Reading]:
    highest: dict[str, tuple[float, Measurement]] = {}
    for m in found.values():
        for counter in _driven(report, m.metric):
            frac = m.counters_at_ceiling.get(counter)
            if frac is None or not AT_CEILING <= frac < math.inf:
                continue
            if counter not in highest or frac > highest[counter][0]:
                highest[counter] = (frac, m)
    return [
        Reading(counter=counter, frac=min(1.0, frac), label="measured", source=_source(report, m))
        for counter, (frac, m) in highest.items()
    ]


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


# Fraction of its siblings' median below which a GPU falls behind, by probe. Only what the card itself sets
# is compared: launch costs and the host's memory differ by socket.
#
# tensor: silicon spreads by 5 % and more within one healthy node, so about 2.5 % to either side of the
# median; gpu-fryer flags 10 % below a node's best, which is about 7.5 % below its median. 5 % lies between.
# bandwidth: memory clocks are fixed, and runs repeat within 1 %: three times that.
# transfer: links of two sockets differ by a few percent; a link that came up with half its lanes reads 0.5.
BEHIND = {"tensor": 0.95, "bandwidth": 0.97, "transfer": 0.90}
# What the host does in these is no matter of the card.
_OF_THE_HOST = frozenset({"h2d_pageable", "d2h_pageable", "h2d_numa_local", "h2d_numa_remote"})
# With two GPUs one is lower, and nothing says which of them is unusual.
_TELLING = 3


def outliers(reports: Sequence[ProbeReport]) -> tuple[Outlier, ...]:
    """GPUs that fall behind the median of their siblings (same model, same MIG profile), the worst first.

    One record a GPU and probe: its worst metric. Of two siblings the lower one is named, and that two
    cannot tell. Degraded figures count, for they are what is looked for; contended ones do not.
    """
    found = [outlier for group in _siblings(reports) for outlier in _behind(group)]
    return tuple(sorted(found, key=lambda o: (o.frac, o.key, o.metric)))


def _siblings(reports: Sequence[ProbeReport]) -> list[list[ProbeReport]]:
    groups: dict[tuple[str | None, ...], list[ProbeReport]] = {}
    for report in reports:
        d = report.device
        if d.kind == "cuda" and report.contended is None:
            groups.setdefault((d.model or d.name, d.mig_profile), []).append(report)
    return [group for group in groups.values() if len({r.device.key for r in group}) > 1]


def _behind(group: Sequence[ProbeReport]) -> list[Outlier]:
    worst: dict[tuple[str, str], Outlier] = {}
    for metric in METRICS.values():
        if metric.probe not in BEHIND or metric.name in _OF_THE_HOST:
            continue
        figures = _figures(group, metric.name)
        for key, own in figures.items():
            others = [figure for other, figure in figures.items() if other != key]
            frac = own / quantile(others, 0.5) if others else 1.0
            known = worst.get((key, metric.probe))
            if frac < BEHIND[metric.probe] and (known is None or frac < known.frac):
                worst[key, metric.probe] = _outlier(group, list(figures), key, metric.name, frac)
    return list(worst.values())


def _figures(group: Sequence[ProbeReport], metric: str) -> dict[str, float]:
    """Key -> figure of the GPUs that have one to compare."""
    takes = {r.device.key: m for r in group if (m := r.measurement(metric)) is not None and _counts(m)}
    return dict(zip(takes, alike(list(takes.values())), strict=True))


def _counts(m: Measurement) -> bool:
    return m.label == "measured" and m.valid in ("valid", "degraded") and _positive(m.value)


def _outlier(
    group: Sequence[ProbeReport], keys: Sequence[str], key: str, metric: str, frac: float
) -> Outlier:
    reports = {r.device.key: r for r in group}
    d = reports[key].device
    said = f"{_called(reports[key])} reaches {frac * 100:.0f} % of "
    if len(keys) < _TELLING:
        other = next(reports[k] for k in keys if k != key)
        said += f"{_called(other)}'s {metric}; two cannot tell which of them is unusual"
    else:
        said += f"its siblings' {metric}"
    return Outlier(key=d.key, index=d.index, metric=metric, frac=frac, message=said)


def _called(report: ProbeReport) -> str:
    """ "GPU 5", or "GPU 5 MIG 1g.10gb" for an instance."""
    d = report.device
    name = d.key if d.index is None else f"GPU {d.index}"
    return f"{name} MIG {d.mig_profile}" if d.mig_profile else name

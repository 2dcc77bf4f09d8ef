"""What the history says of each device over time: rows in, `DeviceTrends` out. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from advisor.keeping.records import DeviceTrends, KeptDiagnosis, KeptFigure
from probes.metrics import METRICS
from rules.trend import Setting, Take, Trend, ceiling_trend, plain_trend

# Besides the driver, what a figure depends on of all that a run names.
_DECIDING = ("cuda", "torch", "cublas", "cupy")
# Probes whose figures the host decides as much as the card: load, clocks and memory of the CPU.
HOST_SIDE = frozenset({"launch", "dispatch", "allocator", "host"})
_OF_THE_HOST = frozenset({"h2d_pageable", "d2h_pageable", "h2d_numa_local", "h2d_numa_remote"})


class Workload(NamedTuple):
    """A figure of diagnoses that is charted. higher: whether more is better, None where neither is."""

    title: str
    unit: str
    higher: bool | None
    figure: Callable[[KeptDiagnosis], float | None]


WORKLOADS: dict[str, Workload] = {
    "useful": Workload("useful share", "frac", True, lambda d: d.useful_frac),
    "wasted": Workload("wasted share", "frac", False, lambda d: d.wasted_frac),
    "wasted_usd_h": Workload("wasted", "usd_h", False, lambda d: d.wasted_usd_h),
    "power_w_p50": Workload("power, median", "w", None, lambda d: d.power_w_p50),
    "power_w_p90": Workload("power, 90th percentile", "w", None, lambda d: d.power_w_p90),
    "sm_mhz": Workload("SM clock, median", "mhz", None, lambda d: d.sm_mhz_p50),
}


def device_trends(
    diagnoses: Sequence[KeptDiagnosis], figures: Sequence[KeptFigure], metric: str | None = None
) -> tuple[DeviceTrends, ...]:
    """Each device's trends, by its latest index. metric: that figure alone."""
    keys = dict.fromkeys([*(d.key for d in diagnoses), *(f.key for f in figures)])
    found = (
        _device(
            key,
            [d for d in diagnoses if d.key == key],
            [f for f in figures if f.key == key],
            metric,
        )
        for key in keys
    )
    return tuple(sorted(found, key=_place))


def ceiling_trends(figures: Iterable[KeptFigure], metric: str | None = None) -> tuple[Trend, ...]:
    """Of one device's figures, how each metric moved, in the order in which probes list them."""
    takes: dict[str, list[KeptFigure]] = {}
    for figure in figures:
        if metric in (None, figure.metric) and figure.value is not None and _counts(figure):
            takes.setdefault(figure.metric, []).append(figure)
    order = [name for name in METRICS if name in takes]
    order += sorted(name for name in takes if name not in METRICS)
    made = (_ceiling(name, takes[name]) for name in order)
    return tuple(trend for trend in made if trend is not None)


def fallen(device: DeviceTrends) -> tuple[Trend, ...]:
    """The device's ceilings that fell, the worst first."""
    return tuple(
        sorted((t for t in device.ceilings if t.fall), key=lambda t: t.fall.of_best if t.fall else 1.0)
    )


def _device(
    key: str, diagnoses: Sequence[KeptDiagnosis], figures: Sequence[KeptFigure], metric: str | None
) -> DeviceTrends:
    seen: list[KeptDiagnosis | KeptFigure] = [*diagnoses, *figures]
    newest = max(seen, key=lambda row: row.t_s)
    times = [row.t_s for row in seen]
    priced = one_price(diagnoses)
    return DeviceTrends(
        key=key,
        gpu=newest.gpu,
        mig=newest.mig,
        name=newest.name,
        diagnoses=len(diagnoses),
        probe_runs=len({f.t_s for f in figures}),
        t_start_s=min(times),
        t_end_s=max(times),
        hosts=tuple(sorted({d.host for d in diagnoses})),
        synthetic=any(d.synthetic for d in diagnoses),
        synthetic_diagnoses=sum(d.synthetic for d in diagnoses),
        price_usd_h=priced[-1].price_usd_h if priced else None,
        price_basis=priced[-1].price_basis if priced else None,
        other_prices=_other_prices(diagnoses, priced),
        ceilings=ceiling_trends(figures, metric),
        workloads=_workloads(diagnoses, metric),
    )


def one_price(diagnoses: Sequence[KeptDiagnosis]) -> list[KeptDiagnosis]:
    """Diagnoses at the price of the newest that has one, oldest first: their dollars compare."""
    priced = sorted((d for d in diagnoses if d.price_usd_h is not None), key=lambda d: (d.t_s, d.id))
    return [d for d in priced if d.price_usd_h == priced[-1].price_usd_h]


def price_of(row: KeptDiagnosis) -> tuple[float | None, str | None]:
    """What a row's dollars rest on."""
    return row.price_usd_h, row.price_basis


def _other_prices(rows: Sequence[KeptDiagnosis], priced: Sequence[KeptDiagnosis]) -> tuple[float, ...]:
    kept = {d.id for d in priced}
    left = sorted((d for d in rows if d.id not in kept), key=lambda d: (d.t_s, d.id))
    return tuple(d.price_usd_h for d in left if d.price_usd_h is not None)


def _workloads(diagnoses: Sequence[KeptDiagnosis], metric: str | None) -> tuple[Trend, ...]:
    """Figures in dollars are trended within one price: across two they say what the price did."""
    made = []
    for name, workload in WORKLOADS.items():
        if metric in (None, name):
            rows = one_price(diagnoses) if workload.unit == "usd_h" else diagnoses
            points = [(d.t_s, v) for d in rows if (v := workload.figure(d)) is not None]
            made.append(plain_trend(name, workload.unit, points, workload.higher))
    return tuple(trend for trend in made if trend is not None)


def _ceiling(name: str, figures: Sequence[KeptFigure]) -> Trend | None:
    known = METRICS.get(name)
    is_hosts = name in _OF_THE_HOST or (known is not None and known.probe in HOST_SIDE)
    higher = known is None or known.higher
    if is_hosts:
        points = [(f.t_s, f.value) for f in figures if f.value is not None]
        trend = plain_trend(name, figures[0].unit, points, higher)
        return _replaced(trend, "the host decides it as much as the card")
    return ceiling_trend(name, figures[0].unit, [_take(f) for f in figures], higher=higher)


def _replaced(trend: Trend | None, because: str) -> Trend | None:
    return None if trend is None else msgspec.structs.replace(trend, because=because)


def _counts(figure: KeptFigure) -> bool:
    """Degraded figures count, for they are what is looked for; what somebody else's work made does not."""
    return figure.valid in ("valid", "degraded") and figure.label == "measured" and not figure.contended


def _take(f: KeptFigure) -> Take:
    setting = Setting(
        method_version=f.method_version,
        driver=f.versions.get("driver"),
        versions={name: f.versions[name] for name in _DECIDING if name in f.versions},
        power_limit_w=f.power_limit_w,
        ecc=f.ecc,
        mig=f.mig,
        mode=f.mode,
        held=f.held,
    )
    return Take(
        t_s=f.t_s,
        value=f.value or 0.0,
        setting=setting,
        fit=f.valid == "valid",
        p10=f.p10,
        p90=f.p90,
        cv=f.cv,
        sm_mhz=f.sm_mhz,
        mem_mhz=f.mem_mhz,
        power_w=f.power_w,
        temp_c=f.temp_c,
        throttle_reasons=f.throttle_reasons,
    )


def _place(device: DeviceTrends) -> tuple[bool, int, str]:
    return device.gpu is None, device.gpu or 0, device.key

"""Sanity rules: which measured figures may serve as ceilings, which are doubtful, and which cannot be right.

Pure: records in, the same records in the same order out, with `valid` and `reason` set (and `of_spec` taken
back where the link it is over cannot be the one that was measured). A rejected record cannot be right; a
degraded one is real or may be, yet is no ceiling; a valid one may have a remark. What was rejected or has no
figure is left as it is, and so is what a probe itself calls degraded, unless it cannot be right either.

The rules come from what public benchmarks of these cards got wrong; each constant names its source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from probes.ceilings import pcie_line_bytes_s
from probes.lab import CLOCK_DRIFT, STEADY_CV, memory_share, spec_figure
from probes.links import has_c2c
from probes.metrics import METRICS
from probes.ordering import JUDGED, in_order, rejected, sheet_of
from probes.peaks import peak_flop_s
from probes.record import DeviceFacts, Measurement
from probes.specs import GpuSpec

# More than the data sheet: wrong row, sparse denominator, a cache hit, a missing synchronisation. Writes on
# an H100 PCIe reach 0.989 (RRZE gpu-benches), so 2 % leaves room for timing alone.
OVER_SPEC = 1.02
# Random data reach 0.80 on H100 and H200, 0.73 to 0.78 on B200 and GB200 (mamf-finder), 0.81 in tf32; zeros
# gain 13 %. What is claimed above 0.90 has been constant data.
SUSPECT_GEMM = 0.90
# The worst healthy GEMM and copy on record reach 0.51 and 0.78 (MI300X: mamf-finder, Azure guide).
FLOOR = 0.5
# Cards sold with little power for their size (72 W L4, 70 W T4, 150 W A10) hold clocks far below those of
# their data sheets and are healthy: what they do in a clock tells. GEMMs on them are near 0.8 of that; less
# than this is another fault. The reason that the driver gives must be the power limit alone.
POWER_CAPPED_OF_CLOCK = 0.6
POWER_CAP = "sw_power_cap"
# The fastest PCIe link there is, for devices that do not tell what theirs can do.
NEWEST_PCIE_GEN, LANES = 6, 16
# Below 75 % of what DCGM's memory test expects of the model it fails: 2540, 3110, 5430 GB/s and an A100's own
# limit (NVIDIA DCGM, diag-skus.yaml).
DRAM_FLOORS_BYTES_S = {
    "H100 SXM5 80GB": 1905e9,
    "H200 SXM 141GB": 2332e9,
    "B200 SXM (HGX)": 4072e9,
    "A100 SXM4 80GB": 1173e9,
}
# A healthy node's pinned copies, over the link's line rate: 48 of 64 GB/s, 21 of 32 (Azure AI guide).
LINK_FLOORS = {5: 0.75, 4: 0.656}
# Timed on the host's clock beside everything else that runs there; cloud hosts differ by 14 % between runs of
# the same code (dogacel).
HOST_CV = 0.10
# Standard deviations between the 10th and 90th percentile of a normal distribution.
_P10_TO_P90 = 2.5631

_DEVICE_TIMED = frozenset({"bandwidth", "latency", "tensor", "transfer"})
_CLOCKED = frozenset({"bandwidth", "latency", "tensor"})
_HOST_RATES = frozenset({"membw", "gemm"})
_SLOW_BY_NATURE = frozenset({"h2d_pageable", "d2h_pageable", "h2d_numa_remote"})
_TENSOR_CORES = frozenset({"tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4", "mxfp4"})


def judge(
    measurements: Sequence[Measurement], facts: DeviceFacts, spec: GpuSpec | None
) -> tuple[Measurement, ...]:
    """The records with `valid` and `reason` as the rules see them. Judging twice changes nothing more.

    Every take on a metric is judged for itself. Without a data sheet (a CPU, an unknown card) the rules that
    need one do not apply.
    """
    alone = [_alone(m, facts, spec) for m in measurements]
    return tuple(in_order(alone, facts, spec))


def _alone(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> Measurement:
    """What can be said of a record without the others."""
    if m.valid not in JUDGED:
        return m
    why = _absurd(m) or _over_spec(m, facts, spec)
    if why is not None:
        return rejected(m, why)
    if m.valid == "degraded":
        return m
    if _over_link(m, facts, spec):
        m = _of_unknown_link(m, facts)
    doubts = _doubts(m, facts, spec)
    if doubts:
        said = [m.reason] if m.reason else []
        return msgspec.structs.replace(m, valid="degraded", reason="; ".join((*doubts, *said)))
    return _remarked(m, (_capped(m, facts, spec), _moved(m)))


def _remarked(m: Measurement, remarks: Sequence[str | None]) -> Measurement:
    """The valid record with what is remarkable of it, each once."""
    said = m.reason.split("; ") if m.reason else []
    reason = "; ".join(dict.fromkeys((*said, *(remark for remark in remarks if remark))))
    return msgspec.structs.replace(m, reason=reason) if reason else m


def _absurd(m: Measurement) -> str | None:
    figures = {"median": m.median, "burst": m.burst, "sustained": m.sustained}
    for name, figure in figures.items():
        if figure is not None and not _possible(figure, m.unit):
            return f"{name} of {figure:g} is no possible figure"
    return "no figure" if m.median is None else None


def _possible(figure: float, unit: str) -> bool:
    return math.isfinite(figure) and (figure >= 0 if unit in ("frac", "count") else figure > 0)


def _over_spec(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    sheet = _fastest_link(facts, spec) if _is_link(m) else sheet_of(m, facts, spec)
    most = _most(m)
    if sheet is None or most <= OVER_SPEC * sheet * _overclock(m, facts, spec):
        return None
    return (
        f"{most / sheet:.2f} of the data sheet: more than the card can do (a cache hit, the wrong data sheet "
        "or clock, or time that was not waited for)"
    )


def _most(m: Measurement) -> float:
    return max(v for v in (m.median, m.sustained, 0.0) if v is not None)


def _is_link(m: Measurement) -> bool:
    return m.metric in METRICS and METRICS[m.metric].spec == "pcie"


def _fastest_link(facts: DeviceFacts, spec: GpuSpec | None) -> float | None:
    """Line rate of the widest link that the device could have by itself; None where PCIe is no bound.

    What NVML calls the most of a link is the most of device and slot together, and a virtual machine's slot
    may call itself generation 1 or narrow whatever the link is.
    """
    if has_c2c(facts, spec):
        return None
    gen = facts.pcie_gen_device_max or (spec.pcie_gen if spec else None) or NEWEST_PCIE_GEN
    return pcie_line_bytes_s(max(gen, facts.pcie_gen_max or 0), LANES)


def _over_link(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> bool:
    """Whether a copy was faster than the link is said to be."""
    line = spec_figure(facts, spec, "pcie") if _is_link(m) else None
    return line is not None and _most(m) > OVER_SPEC * line


def _of_unknown_link(m: Measurement, facts: DeviceFacts) -> Measurement:
    """The record without a share of a link that cannot be the one it came over."""
    why = (
        f"the driver says gen {facts.pcie_gen_max} x{facts.pcie_width_max} at most, which cannot carry this "
        "rate: the link is not known (a virtual machine?)"
    )
    missing = {**m.conditions.missing, "of_spec": why}
    return msgspec.structs.replace(
        m, of_spec=None, conditions=msgspec.structs.replace(m.conditions, missing=missing)
    )


def _overclock(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> float:
    """How far the SM clock was over the one that the data sheet's rates stand for; boards boost above it."""
    clock = m.conditions.sm_mhz or facts.sm_mhz_max
    if spec is None or clock is None or m.probe != "tensor":
        return 1.0
    sheet_mhz = _sheet_mhz(m, facts, spec) or spec.boost_mhz
    return max(1.0, clock / sheet_mhz) if sheet_mhz else 1.0


def _sheet_mhz(m: Measurement, facts: DeviceFacts, spec: GpuSpec) -> float | None:
    """The clock that the data sheet's rate follows from: for tensor cores often less than the boost clock."""
    sheet, peak = sheet_of(m, facts, spec), peak_flop_s(facts, m.metric, 1.0)[0]
    return sheet / peak if sheet and peak else None


def _doubts(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> list[str]:
    found = (_suspect(m, facts, spec), _too_low(m, facts, spec), *_unsteady(m))
    return [why for why in found if why is not None]


def _suspect(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    """A GEMM above what random data let a Hopper or Blackwell reach under its power limit. An H20, cut down
    in its SMs alone, and a MIG instance have power to spare and do reach it."""
    sheet, major = sheet_of(m, facts, spec), (facts.compute_capability or "").partition(".")[0]
    if sheet is None or m.value is None or spec is None or spec.gpu == "H20" or facts.mig_profile:
        return None
    if major not in ("9", "10") or m.metric not in _TENSOR_CORES or m.value <= SUSPECT_GEMM * sheet:
        return None
    return (
        f"{m.value / sheet:.2f} of the data sheet: more than random data are known to reach "
        f"({SUSPECT_GEMM:g}); {_whence(m)}"
    )


def _whence(m: Measurement) -> str:
    if m.conditions.extra.get("settled") == 0.0 and m.sustained is None:
        return "it was still at a boost clock that it does not hold"
    return "were the operands constant?"


def _too_low(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    sheet = sheet_of(m, facts, spec)
    if sheet is None or m.value is None or not _has_floor(m, facts) or _over_link(m, facts, spec):
        return None
    floor, whose = _floor(m, facts, spec, sheet)
    if m.value >= floor or _capped(m, facts, spec):
        return None
    return f"{m.value / sheet:.2f} of the data sheet, below {whose} ({floor / sheet:.2f}): {_perhaps(m)}"


def _has_floor(m: Measurement, facts: DeviceFacts) -> bool:
    """A MIG instance has some of its GPU's copy engines, and nobody published what they reach."""
    return m.metric not in _SLOW_BY_NATURE and not (_is_link(m) and facts.mig_profile is not None)


def _capped(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    """That a GEMM below half of its data sheet does what it can at the clock its power limit leaves it."""
    sheet = sheet_of(m, facts, spec)
    if m.probe != "tensor" or sheet is None or m.value is None or m.value >= FLOOR * sheet:
        return None
    if _held_back(m) != (POWER_CAP,) or m.of_clock is None or m.of_clock < POWER_CAPPED_OF_CLOCK:
        return None
    return f"{m.value / sheet:.2f} of the data sheet, whose clock the power limit does not allow"


def _held_back(m: Measurement) -> tuple[str, ...]:
    return tuple(reason for reason in m.conditions.throttle_reasons if reason != "gpu_idle")


def _floor(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None, sheet: float) -> tuple[float, str]:
    """The least that a healthy device reaches, and who says so."""
    key = METRICS[m.metric].spec if m.metric in METRICS else None
    if key == "dram" and spec is not None and spec.model in DRAM_FLOORS_BYTES_S:
        floor = DRAM_FLOORS_BYTES_S[spec.model] * memory_share(facts, spec)
        if floor > FLOOR * sheet:
            return floor, "DCGM's limit for this model"
    if key == "pcie":
        return LINK_FLOORS.get(facts.pcie_gen_max or 0, FLOOR) * sheet, "what healthy nodes reach"
    return FLOOR * sheet, "what any healthy card reaches"


def _perhaps(m: Measurement) -> str:
    """The likelier cause, by what was seen meanwhile."""
    held = _held_back(m)
    if held:
        return f"degraded or shared, and held back by {', '.join(held)}"
    if m.of_clock is not None and m.of_clock >= FLOOR:
        return "degraded: its clock was low"
    return "degraded or shared"


def _unsteady(m: Measurement) -> list[str | None]:
    """Windows or a clock that would not hold still. A loop that ran until it had settled is steady."""
    if m.sustained is not None and m.conditions.extra.get("sustained_settled") == 1.0:
        return []
    again = " twice" if m.conditions.rerun else ""
    return [_spread(m, again), _drift(m, again)]


def _spread(m: Measurement, again: str) -> str | None:
    on_host = m.probe in _HOST_RATES or m.metric in _SLOW_BY_NATURE
    spread = _scatter(m) if on_host else m.cv
    if spread is None or not (on_host or m.probe in _DEVICE_TIMED):
        return None
    limit, what = (HOST_CV, "p10 to p90 imply a cv of") if on_host else (STEADY_CV, "cv")
    return f"unsteady{again}: {what} {spread:.1%} (limit {limit:.0%})" if spread > limit else None


def _scatter(m: Measurement) -> float | None:
    """The coefficient of variation that p10 and p90 imply, which one window that the scheduler took away from
    us does not move; for want of them, the one measured."""
    if m.p10 is None or m.p90 is None or not m.median:
        return m.cv
    return (m.p90 - m.p10) / (_P10_TO_P90 * m.median)


def _drift(m: Measurement, again: str) -> str | None:
    said = _clocks(m)
    if said is None or _moved(m) is not None:
        return None
    return f"unsteady{again}: {said} (limit {CLOCK_DRIFT:.0%})"


def _moved(m: Measurement) -> str | None:
    """That the clock moved while windows stayed as long, with nothing but the power limit holding it back:
    so does every healthy card that large GEMMs bring to its limit."""
    said = _clocks(m)
    if said is None or m.cv is None or m.cv > STEADY_CV or not set(_held_back(m)) <= {POWER_CAP}:
        return None
    return f"{said} under the power limit" if _held_back(m) else f"{said}, and windows stayed as long"


def _clocks(m: Measurement) -> str | None:
    """Between which clocks a card went that should have kept to one."""
    low, high = m.conditions.sm_mhz_min, m.conditions.sm_mhz_max
    if m.probe not in _CLOCKED or low is None or high is None or high - low <= CLOCK_DRIFT * high:
        return None
    return f"the SM clock went from {low:.0f} to {high:.0f} MHz"

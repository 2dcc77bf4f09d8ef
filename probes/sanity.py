"""Sanity rules: which measured figures may serve as ceilings, which are doubtful, and which cannot be right.

Pure: records in, the same records in the same order out, with `valid` and `reason` set. A rejected record
cannot be right; a degraded one is real or may be, yet is no ceiling. What was rejected or has no figure is
left as it is, and so is what a probe itself calls degraded, unless it cannot be right either.

The rules come from what public benchmarks of these cards got wrong; each constant names its source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from probes.lab import CLOCK_DRIFT, STEADY_CV, memory_share, spec_figure
from probes.metrics import METRICS
from probes.peaks import flops_per_clock, peak_flop_s
from probes.record import DeviceFacts, Measurement
from probes.specs import GpuSpec
from probes.typical import rate_frac

# More than the data sheet: wrong row, sparse denominator, a cache hit, a missing synchronisation. Writes on
# an H100 PCIe reach 0.989 (RRZE gpu-benches), so 2 % leaves room for timing alone.
OVER_SPEC = 1.02
# Random data reach 0.80 on H100 and H200, 0.73 to 0.78 on B200 and GB200 (mamf-finder), 0.81 in tf32; zeros
# gain 13 %. What is claimed above 0.90 has been constant data.
SUSPECT_GEMM = 0.90
# The worst healthy GEMM and copy on record reach 0.51 and 0.78 (MI300X: mamf-finder, Azure guide).
FLOOR = 0.5
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
# fp8 over bf16, and bf16 over tf32, are 2 in every data sheet; 1.3 leaves power limits room (an H100 shows
# 1.77 and 1.97: mamf-finder, zzc0721/torch-performance-test-data).
ORDER = 1.3
_SLACK = ORDER / 2
# Standard deviations between the 10th and 90th percentile of a normal distribution.
_P10_TO_P90 = 2.5631

_DEVICE_TIMED = frozenset({"bandwidth", "latency", "tensor", "transfer"})
_CLOCKED = frozenset({"bandwidth", "latency", "tensor"})
_HOST_RATES = frozenset({"membw", "gemm"})
_SLOW_BY_NATURE = frozenset({"h2d_pageable", "d2h_pageable", "h2d_numa_remote"})
_TENSOR_CORES = frozenset({"tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4", "mxfp4"})
_JUDGED = ("valid", "degraded")


class Order(NamedTuple):
    """`fast` must be at least `ratio` times `slow`.

    nominal: what data sheets promise, where none is at hand; None: then nothing can be said. software: a
    violation can only mean that `fast` ran as software.
    """

    fast: str
    slow: str
    ratio: float
    nominal: float | None
    software: bool = False


# From slow to fast, so that a wrong figure is out before it is held against the next. GeForce and L40 run
# tf32 no faster than fp32.
ORDERS = (
    Order("tf32", "fp32", 1.0, 1.0),
    Order("bf16", "tf32", ORDER, 2.0),
    Order("fp16", "tf32", ORDER, 2.0),
    *(Order(fp8, half, ORDER, 2.0) for fp8 in ("fp8_e4m3", "fp8_e5m2") for half in ("bf16", "fp16")),
    *(Order("int8", half, 1.0, None, software=True) for half in ("bf16", "fp16")),
)


def judge(
    measurements: Sequence[Measurement], facts: DeviceFacts, spec: GpuSpec | None
) -> tuple[Measurement, ...]:
    """The records with `valid` and `reason` as the rules see them. Judging twice changes nothing more.

    Every take on a metric is judged for itself. Without a data sheet (a CPU, an unknown card) the rules that
    need one do not apply.
    """
    alone = [_alone(m, facts, spec) for m in measurements]
    return tuple(_in_order(alone, facts, spec))


def _alone(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> Measurement:
    """What can be said of a record without the others."""
    if m.valid not in _JUDGED:
        return m
    why = _absurd(m) or _over_spec(m, facts, spec)
    if why is not None:
        return _rejected(m, why)
    doubts = [] if m.valid == "degraded" else _doubts(m, facts, spec)
    return msgspec.structs.replace(m, valid="degraded", reason="; ".join(doubts)) if doubts else m


def _rejected(m: Measurement, why: str) -> Measurement:
    return msgspec.structs.replace(m, valid="rejected", reason=why)


def _absurd(m: Measurement) -> str | None:
    figures = {"median": m.median, "burst": m.burst, "sustained": m.sustained}
    for name, figure in figures.items():
        if figure is not None and not _possible(figure, m.unit):
            return f"{name} of {figure:g} is no possible figure"
    return "no figure" if m.median is None else None


def _possible(figure: float, unit: str) -> bool:
    return math.isfinite(figure) and (figure >= 0 if unit in ("frac", "count") else figure > 0)


def _over_spec(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    sheet = sheet_of(m, facts, spec)
    most = max(v for v in (m.median, m.sustained, 0.0) if v is not None)
    if sheet is None or most <= OVER_SPEC * sheet * _overclock(m, spec):
        return None
    return (
        f"{most / sheet:.2f} of the data sheet: more than the card can do (a cache hit, the wrong data sheet "
        "or clock, or time that was not waited for)"
    )


def _overclock(m: Measurement, spec: GpuSpec | None) -> float:
    """How far the SM clock was over the one that the data sheet's rates stand for; boards boost above it."""
    clock = m.conditions.sm_mhz
    if spec is None or spec.boost_mhz is None or clock is None or m.probe != "tensor":
        return 1.0
    return max(1.0, clock / spec.boost_mhz)


def sheet_of(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> float | None:
    """The data sheet's figure for this one: what the metric names, else what the probe divided by."""
    known = METRICS.get(m.metric)
    named = spec_figure(facts, spec, known.spec) if known else None
    return m.value / m.of_spec if named is None and m.of_spec and m.value else named


def _doubts(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> list[str]:
    found = (_suspect(m, facts, spec), _too_low(m, facts, spec), *_unsteady(m))
    return [why for why in found if why is not None]


def _suspect(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    """A GEMM above what random data let a Hopper or Blackwell reach. An H20, cut down in its SMs alone,
    has power to spare and does reach it."""
    sheet, major = sheet_of(m, facts, spec), (facts.compute_capability or "").partition(".")[0]
    if sheet is None or m.value is None or spec is None or spec.gpu == "H20":
        return None
    if major not in ("9", "10") or m.metric not in _TENSOR_CORES or m.value <= SUSPECT_GEMM * sheet:
        return None
    return (
        f"{m.value / sheet:.2f} of the data sheet: more than random data are known to reach "
        f"({SUSPECT_GEMM:g}); were the operands constant?"
    )


def _too_low(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> str | None:
    sheet = sheet_of(m, facts, spec)
    if sheet is None or m.value is None or not _has_floor(m, facts):
        return None
    floor, whose = _floor(m, facts, spec, sheet)
    if m.value >= floor:
        return None
    return f"{m.value / sheet:.2f} of the data sheet, below {whose} ({floor / sheet:.2f}): {_perhaps(m)}"


def _has_floor(m: Measurement, facts: DeviceFacts) -> bool:
    """A MIG instance has some of its GPU's copy engines, and nobody published what they reach."""
    over_link = m.metric in METRICS and METRICS[m.metric].spec == "pcie"
    return m.metric not in _SLOW_BY_NATURE and not (over_link and facts.mig_profile is not None)


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
    held = [reason for reason in m.conditions.throttle_reasons if reason != "gpu_idle"]
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
    limit = HOST_CV if on_host else STEADY_CV
    return f"unsteady{again}: windows spread by {spread:.1%} (limit {limit:.0%})" if spread > limit else None


def _scatter(m: Measurement) -> float | None:
    """The coefficient of variation that p10 and p90 imply, which one window that the scheduler took away from
    us does not move; for want of them, the one measured."""
    if m.p10 is None or m.p90 is None or not m.median:
        return m.cv
    return (m.p90 - m.p10) / (_P10_TO_P90 * m.median)


def _drift(m: Measurement, again: str) -> str | None:
    low, high = m.conditions.sm_mhz_min, m.conditions.sm_mhz_max
    if m.probe not in _CLOCKED or low is None or high is None or high - low <= CLOCK_DRIFT * high:
        return None
    return f"unsteady{again}: the SM clock went from {low:.0f} to {high:.0f} MHz (limit {CLOCK_DRIFT:.0%})"


def _in_order(records: list[Measurement], facts: DeviceFacts, spec: GpuSpec | None) -> list[Measurement]:
    """The records after each pair of precisions was compared."""
    judged = list(records)
    for order in ORDERS:
        ratio = least_ratio(order, facts, spec)
        if ratio is not None:
            _compare(judged, order, ratio, facts, spec)
    return judged


def least_ratio(order: Order, facts: DeviceFacts, spec: GpuSpec | None) -> float | None:
    """How many times `slow` must `fast` be on this card; None where nothing is known.

    Less than the rule says where the data sheet promises less: GeForce and L40 in tf32, int8 on B300.
    """
    nominal = _nominal(order, facts, spec)
    return None if nominal is None else min(order.ratio, _SLACK * nominal)


def _nominal(order: Order, facts: DeviceFacts, spec: GpuSpec | None) -> float | None:
    fast = spec_figure(facts, spec, METRICS[order.fast].spec)
    slow = spec_figure(facts, spec, METRICS[order.slow].spec)
    if fast and slow:
        return fast / slow
    fast, slow = flops_per_clock(facts, order.fast), flops_per_clock(facts, order.slow)
    return fast / slow if fast and slow else order.nominal


def _compare(
    judged: list[Measurement], order: Order, ratio: float, facts: DeviceFacts, spec: GpuSpec | None
) -> None:
    """Reject, of the best takes on both, the one that is wrong until they agree; then every `fast` take that
    is still too slow."""
    fast, slow = _takes(judged, order.fast), _takes(judged, order.slow)
    while fast and slow and _times(judged[fast[0]], judged[slow[0]]) < ratio:
        pair = judged[fast[0]], judged[slow[0]]
        fast_wrong = order.software or _is_fast_wrong(*pair, facts, spec)
        wrong = fast[0] if fast_wrong else slow[0]
        judged[wrong] = _rejected(judged[wrong], _out_of_order(order, *pair, ratio, fast_wrong))
        fast, slow = _takes(judged, order.fast), _takes(judged, order.slow)
    for place in fast[1:] if slow else ():
        pair = judged[place], judged[slow[0]]
        if _times(*pair) < ratio:
            judged[place] = _rejected(judged[place], _out_of_order(order, *pair, ratio, fast_wrong=True))


def _takes(judged: Sequence[Measurement], metric: str) -> list[int]:
    """Places of the takes that may be right, the best first."""
    places = [i for i, m in enumerate(judged) if m.metric == metric and m.valid in _JUDGED and m.median]
    return sorted(places, key=lambda i: (-(judged[i].median or 0.0), i))


def _times(fast: Measurement, slow: Measurement) -> float:
    return (fast.median or 0.0) / (slow.median or math.inf)


def _is_fast_wrong(fast: Measurement, slow: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> bool:
    """Whether the lower precision is the one further from what such cards are seen to reach. Without a data
    sheet or a clock to tell, it is: too slow a kernel is by far the commoner mistake."""
    off_fast, off_slow = _off(fast, facts, spec), _off(slow, facts, spec)
    return off_fast is None or off_slow is None or off_fast >= off_slow


def _off(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> float | None:
    """How far a GEMM is from the typical share of its peak, as a ratio's logarithm."""
    peak = sheet_of(m, facts, spec) or peak_flop_s(facts, m.metric, facts.sm_mhz_max)[0]
    if not peak or not m.median:
        return None
    typical = rate_frac(spec.gpu if spec else "", METRICS[m.metric].spec or "") or (0.75, "")
    return abs(math.log(m.median / peak / typical[0]))


def _out_of_order(order: Order, fast: Measurement, slow: Measurement, ratio: float, fast_wrong: bool) -> str:
    times = f"{order.fast} is {_times(fast, slow):.2f} times {order.slow}, and should be {ratio:.2f} or more"
    if order.software:
        return f"{times}: it ran as software, not on the tensor cores"
    if fast_wrong:
        return f"{times}: the wrong kernel ran"
    return f"{times}: of the two, this one is further from what such cards reach"

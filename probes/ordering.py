"""Precisions held against each other: a narrower one that is not faster than it must be ran another kernel.

Part of the sanity rules, see `probes.sanity`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from probes.lab import spec_figure
from probes.matmul import LARGER
from probes.metrics import METRICS
from probes.peaks import flops_per_clock, peak_flop_s
from probes.record import DeviceFacts, Measurement
from probes.specs import GpuSpec
from probes.typical import rate_frac

# fp8 over bf16, and bf16 over tf32, are 2 in every data sheet; 1.3 leaves power limits room (an H100 shows
# 1.77 and 1.97: mamf-finder, zzc0721/torch-performance-test-data).
ORDER = 1.3
_SLACK = ORDER / 2
JUDGED = ("valid", "degraded")


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


def in_order(records: list[Measurement], facts: DeviceFacts, spec: GpuSpec | None) -> list[Measurement]:
    """The records after each pair of precisions was compared."""
    judged = list(records)
    for order in ORDERS:
        ratio = least_ratio(order, facts, spec)
        if ratio is not None:
            _compare(judged, order, ratio, facts, spec)
    return judged


def rejected(m: Measurement, why: str) -> Measurement:
    """The record as one that cannot be right."""
    return msgspec.structs.replace(m, valid="rejected", reason=why)


def sheet_of(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> float | None:
    """The data sheet's figure for this one: what the metric names, else what the probe divided by."""
    known = METRICS.get(m.metric)
    named = spec_figure(facts, spec, known.spec) if known else None
    return m.value / m.of_spec if named is None and m.of_spec and m.value else named


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
        judged[wrong] = rejected(judged[wrong], _out_of_order(order, *pair, ratio, fast_wrong))
        fast, slow = _takes(judged, order.fast), _takes(judged, order.slow)
    for place in fast[1:] if slow else ():
        pair = judged[place], judged[slow[0]]
        if _times(*pair) < ratio:
            judged[place] = rejected(judged[place], _out_of_order(order, *pair, ratio, fast_wrong=True))


def _takes(judged: Sequence[Measurement], metric: str) -> list[int]:
    """Places of the takes that may be right and can be compared, the best first. One at a small shape alone
    says nothing of how fast the precision is."""
    places = [
        i
        for i, m in enumerate(judged)
        if m.metric == metric and m.valid in JUDGED and m.median and LARGER not in m.conditions.missing
    ]
    return sorted(places, key=lambda i: (-(judged[i].median or 0.0), i))


def _times(fast: Measurement, slow: Measurement) -> float:
    """How many times `slow` `fast` is, as timed or clock for clock, whichever is more: a hot card may have
    held another clock for the one than for the other."""
    times = (fast.median or 0.0) / (slow.median or math.inf)
    clocks = fast.conditions.sm_mhz, slow.conditions.sm_mhz
    return max(times, times * clocks[1] / clocks[0]) if clocks[0] and clocks[1] else times


def _is_fast_wrong(fast: Measurement, slow: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> bool:
    """Whether the lower precision is the one that is doubtful by itself, or else the one further from what
    such cards are seen to reach. Without a data sheet or a clock to tell, it is: too slow a kernel is by far
    the commoner mistake."""
    if fast.valid != slow.valid:
        return fast.valid == "degraded"
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

"""Levers of fixes on a traced device, that findings and what-ifs share; each says its seconds of the trace.

What a trace tells apart, it tells by cause: `Lever.of` is then a key of CAUSES, and levers on different
causes save different time, so that they add up (rules.whatifs.compose).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.economics import amdahl
from rules.evidence import Evidence
from rules.finding import Effect
from rules.traces.causes import host_times, rank_row, roof_of
from rules.traces.kernel_records import FamilyRow, KernelRow
from rules.traces.natures import perturbed
from rules.traces.records import DeviceTrace, RankFigures
from rules.traces.shares import BUSY_SHARE, IDLE_SHARE, frac, share_us, transfer_us
from rules.traces.waste import nature_us
from rules.trust import rate_label
from rules.whatif import Lever, WhatIfBasis
from rules.whatifs.compose import time_left
from rules.whatifs.levers import effect_of

# Halving what a fix takes aim at is the least that is called closing it.
_HALF = 2.0
# Families of kernels that a compiler fuses into one another.
FUSIBLE = frozenset({"elementwise", "reduction", "normalisation", "softmax", "copy"})


class Plan(NamedTuple):
    """What a fix does to a traced device: its levers, what they rest on, and the time it takes aim at."""

    levers: tuple[Lever, ...]
    how: str
    us: float

    def effect(self, shares: Mapping[str, float]) -> Effect:
        """As a finding states it."""
        return effect_of(shares, self.levers, self.how)


def seconds(us: float) -> str:
    """µs as people read them: "1.32 s", "48 ms", "120 µs"."""
    if us >= 1e6:
        return f"{us / 1e6:.3g} s"
    return f"{us / 1e3:.3g} ms" if us >= 1e3 else f"{us:.0f} µs"


def told(trace: DeviceTrace, levers: tuple[Lever, ...], shares: Mapping[str, float], how: str) -> str:
    """How a range came about, led by what it saves of the trace."""
    least, most = (trace.span_us * (1.0 - time_left(shares, levers, end)) for end in ("low", "high"))
    saved = f"up to {seconds(most)}" if least < 0.005 * most else f"{seconds(least)} to {seconds(most)}"
    return f"saves {saved} of {seconds(trace.span_us)} traced: {how}"


def plan(
    trace: DeviceTrace, shares: Mapping[str, float], parts: tuple[tuple[Lever, float], ...], how: str
) -> Plan | None:
    """A plan from levers with the µs each touches; None where that is not worth a fix."""
    levers = tuple(_sized(trace, shares, lever, us) for lever, us in parts if us > 0.0)
    us = math.fsum(us for _, us in parts)
    known = tuple(lever for lever in levers if lever is not None)
    if not known or us < th.WORTH_A_FIX.value * trace.span_us:
        return None
    return Plan(known, told(trace, known, shares, how), us)


def _sized(trace: DeviceTrace, shares: Mapping[str, float], lever: Lever, us: float) -> Lever | None:
    whole = shares.get(lever.share, 0.0) * trace.span_us
    if whole <= 0.0:
        return None
    part = min(1.0, us / whole)
    return Lever(
        share=lever.share, part=part, of=lever.of, basis=lever.basis, low=lever.low, high=lever.high,
        bound=lever.bound,
    )  # fmt: skip


def _host(of: str, low: float = 1.0, basis: WhatIfBasis = "measured") -> Lever:
    return Lever(share="host", of=of, low=low, high=None, basis=basis)


def loader(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """The input pipeline off the critical path: half of its idle time at least, all of it at best."""
    us = trace.causes.get("data_loading", 0.0)
    how = "idle time in which the host waits for a batch or makes one; the low end takes half of it away"
    return plan(trace, shares, ((_host("data_loading", _HALF, "assumption"), us),), how)


def graphs(trace: DeviceTrace, shares: Mapping[str, float], only: str | None = None) -> Plan | None:
    """CUDA graphs: idle time between the kernels of chains, gap by gap of the cause that the trace gives it.

    only: a share of time, where no more than that is spoken of. None where chains were measured and a graph
    would save nothing; where nobody measured them, launches as a whole, of which nothing is sure.
    """
    chains = trace.chains
    if chains is None:
        us = host_times(trace)["launch-rate"] if only in (None, "host") else 0.0
        how = "idle time in which the next launch had not been issued; nothing is claimed at the low end"
        return plan(trace, shares, ((_host("host_launch"), us),), how)
    doubt = perturbed(trace)
    parts = tuple(
        part for cause in chains.saved_high_by if (part := _of_chains(trace, cause, doubt, only)) is not None
    )
    how = chains.basis or "idle time between the kernels of chains that are launched one by one"
    if doubt > 0.0 and any(lever.share == "host" for lever, _ in parts):
        how += f", less {100 * doubt:.0f} % for what the profiler's options add to launches"
    return plan(trace, shares, parts, how)


def _of_chains(trace: DeviceTrace, cause: str, doubt: float, only: str | None) -> tuple[Lever, float] | None:
    """What a graph saves of one cause of idle time: its lever, and the µs that it touches."""
    chains, share = trace.chains, IDLE_SHARE.get(cause, "unknown")
    if chains is None or share == "unknown" or only not in (None, share):
        return None
    most = min(chains.saved_high_by[cause], trace.causes.get(cause, 0.0))
    if most <= 0.0:
        return None
    least = min(most, chains.saved_low_by.get(cause, 0.0) * (1.0 - (doubt if share == "host" else 0.0)))
    low = None if least >= most else 1.0 / (1.0 - least / most)
    return Lever(share=share, of=cause, low=low, high=None, basis="measured"), most


def graphs_us(trace: DeviceTrace) -> tuple[float, float]:
    """µs that CUDA graphs save of idle time, at least and at most; nothing where nobody measured."""
    chains, doubt = trace.chains, perturbed(trace)
    causes = () if chains is None else tuple(chains.saved_high_by)
    parts = [part for cause in causes if (part := _of_chains(trace, cause, doubt, None)) is not None]
    least = math.fsum(us if lever.low is None else us * (1.0 - 1.0 / lever.low) for lever, us in parts)
    return least, math.fsum(us for _, us in parts)


def launches(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Late launches: what a graph saves of them; where it saves nothing, at best all, by other means."""
    found = graphs(trace, shares, "host")
    if found is not None or trace.chains is None:
        return found
    us = host_times(trace)["launch-rate"]
    how = (
        "idle time in gaps below 1 ms for want of a launch, in no chain of short kernels that a CUDA graph "
        "would launch at once: what the host does there takes the time; low end: no gain"
    )
    return plan(trace, shares, ((_host("host_launch"), us),), how)


def whole_gap(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """All of the host's share gone: the bound of whatever is done about it."""
    us = share_us(trace)["host"]
    return plan(trace, shares, ((_host(""), us),), "all time in which the device waits for its host")


def host_code(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Code of the host's between launches, in gaps of 1 ms or more: at best all of it moves off the path."""
    us = host_times(trace)["main-thread"]
    how = "idle time in gaps of 1 ms or more in which the host launched nothing; low end: no gain"
    return plan(trace, shares, ((_host("host_launch"), us),), how)


def syncs(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Synchronisations removed: at best the idle time right behind them; launches are made ahead again."""
    waited = trace.causes.get("synchronisation", 0.0)
    caught_up = host_times(trace)["sync"] - waited
    parts = ((_host("synchronisation"), waited), (_host("host_launch"), caught_up))
    how = "idle time in synchronisations and behind them, while the host caught up; low end: no gain"
    return plan(trace, shares, parts, how)


def copies(trace: DeviceTrace, shares: Mapping[str, float], ceilings: Ceilings | None) -> Plan | None:
    """Copies from pinned memory, beside kernels: pinned over pageable at least, all hidden at best."""
    ratio = _pinned_ratio(trace, ceilings)
    low = 1.0 if ratio is None else ratio
    rest = "low end: no gain" if ratio is None else f"low end: pinned copies run {ratio:.1f} times as fast"
    how = f"time in which the device waits for copies; {rest}; all hidden behind kernels at best"
    return plan(trace, shares, ((_host("copy_wait", low), transfer_us(trace)),), how)


def _pinned_ratio(trace: DeviceTrace, ceilings: Ceilings | None) -> float | None:
    """Pinned over pageable copies as measured on this card, where all copies are pageable."""
    pinned, pageable = (
        ceilings.ceiling(f"h2d_{kind}") if ceilings else None for kind in ("pinned", "pageable")
    )
    seen = {row.memory for row in trace.copies if row.kind in ("h2d", "d2h")}
    if pinned is None or pageable is None or seen != {"pageable"} or not 0.0 < pageable.value < pinned.value:
        return None
    measured = rate_label(ceilings, pinned, pageable) == "measured"
    return pinned.value / pageable.value if measured else None


def allocation(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Allocation out of the steps: at best none of its idle time is left."""
    us = trace.causes.get("allocator", 0.0)
    how = "idle time while device or pinned memory is allocated or freed; low end: no gain"
    return plan(trace, shares, ((_host("allocator"), us),), how)


def checkpoints(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Checkpoints written beside the steps: at best none of their idle time is left."""
    us = trace.causes.get("checkpoint_io", 0.0)
    how = "idle time in checkpoints and files; low end: no gain"
    return plan(trace, shares, ((_host("checkpoint_io"), us),), how)


def overlap(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Collectives beside kernels: none of their exposed time is left at best."""
    us = share_us(trace)["communication"]
    free = trace.busy.get("compute", 0.0) + trace.busy.get("memory", 0.0) + trace.busy.get("latency", 0.0)
    hidden = min(us, max(0.0, free - trace.communication_overlapped_us))
    lever = Lever(share="communication", low=1.0, high=None, basis="measured")
    how = (
        "time of collectives with no other kernel beside them, as far as there are kernels to hide it behind"
    )
    return plan(trace, shares, ((lever, hidden),), how)


def balance(evidence: Evidence, shares: Mapping[str, float]) -> Plan | None:
    """Ranks that arrive together: at best what the job's step is longer than balanced work would make it.

    That is the work of the rank that has most, less the mean of all; no rank gains more of its own wait.
    """
    trace, row = evidence.trace, rank_row(evidence)
    if trace is None or row is None or row.wait_exposed_us is None:
        return None
    us = min(row.wait_exposed_us, share_us(trace)["communication"])
    spared = spared_frac(evidence.ranks)
    if spared is not None:
        us = min(us, spared * trace.span_us)
    lever = Lever(share="communication", of="communication_wait", low=1.0, high=None, basis="measured")
    how = (
        "time in collectives beyond that of the last rank to come, at most the work of the rank with most "
        "of it less the mean of all ranks; low end: no gain"
    )
    return plan(trace, shares, ((lever, us),), how)


def spared_frac(ranks: RankFigures | None) -> float | None:
    """Part of a job's time that balanced work spares: (most - mean) over the time of the rank with most."""
    if ranks is None or ranks.imbalance_frac is None or not ranks.rows:
        return None
    most = max(ranks.rows, key=lambda row: row.work_us)
    worked_us = max(0.0, most.busy_us - most.exposed_us)
    return ranks.imbalance_frac * min(1.0, worked_us / most.span_us) if most.span_us > 0.0 else None


def odd_steps(trace: DeviceTrace, lost_us: float) -> Effect:
    """Odd steps without what the device waited in them beyond a usual step."""
    part = frac(trace, lost_us)
    high = 1.0 / (1.0 - min(part, 0.99))
    how = "idle time and exposed communication of odd steps beyond those of a usual one; low end: no gain"
    return Effect(low=1.0, high=high, bound=high, basis=how)


def larger(trace: DeviceTrace, us: float) -> Effect:
    """Kernels that leave the device empty do more work in the same time."""
    part, times = frac(trace, us), th.TRACE_FILLED_FASTER.value
    how = (
        f"up to {times:g} times the work in these kernels' time, as they leave room for it; low end: no gain"
    )
    return Effect(low=1.0, high=amdahl(part, times), bound=1.0 / (1.0 - min(part, 0.99)), basis=how)


def nearer(trace: DeviceTrace, us: float, lost_us: float) -> Effect:
    """Kernels below their roofs reach what counts as being at one. us: saved then; lost_us: at the roof."""
    high, bound = (1.0 / (1.0 - min(frac(trace, each), 0.99)) for each in (us, lost_us))
    how = f"these kernels at {th.ROOF_HIGH.value:g} of a roof, which counts as reaching it; low end: no gain"
    return Effect(low=1.0, high=high, bound=bound, basis=how)


def eligible(trace: DeviceTrace) -> tuple[FamilyRow, ...]:
    """Families of matrix work that could use the tensor cores and do not."""
    return tuple(row for row in trace.families if row.tensor == "eligible")


def faster_type(ceilings: Ceilings | None) -> str | None:
    """The first of TF32, bf16 and fp16 that pays on this card; None where rates are not known."""
    return next(
        (t for t in ("tf32", "bf16", "fp16") if (_ratio(ceilings, t) or (0.0,))[0] >= th.TF32_PAYS.value),
        None,
    )


def device_gaps(trace: DeviceTrace, shares: Mapping[str, float], slug: str) -> Plan | None:
    """Idle time of the device's own: between queued kernels, or while streams wait for each other."""
    cause = {"kernel-gap": "kernel_gap", "stream-dependency": "stream_dependency"}[slug]
    lever = Lever(share="device", of=cause, low=1.0, high=None, basis="measured")
    how = "idle time while work is queued; low end: no gain"
    return plan(trace, shares, ((lever, trace.causes.get(cause, 0.0)),), how)


def tensor_cores(
    trace: DeviceTrace, shares: Mapping[str, float], ceilings: Ceilings | None, dtype: str
) -> Plan | None:
    """Eligible products in another precision, by this card's ratio of rates; None where that is not known."""
    ratio = _ratio(ceilings, dtype)
    if ratio is None or ratio[0] < th.TF32_PAYS.value:
        return None
    basis: WhatIfBasis = "measured" if ratio[1] == "measured" else "assumption"
    lever = Lever(share="compute", of="products", low=1.0, high=ratio[0], bound=ratio[0], basis=basis)
    us = math.fsum(nature_us(row, "compute") for row in eligible(trace))
    how = (
        f"{dtype} over fp32 products, {ratio[0]:.1f}x ({ratio[1]} ceilings), on kernels that the trace "
        "names; low end: no gain where they are small"
    )
    return plan(trace, shares, ((lever, us),), how)


def misaligned(trace: DeviceTrace) -> tuple[KernelRow, ...]:
    """Kernels that use tensor cores on operands which they cannot read 16 bytes at a time."""
    return tuple(row for row in trace.kernels if row.misaligned and row.tensor == "used")


def alignment(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Sizes padded so that kernels read 16 bytes at a time; no faster than this card's roofs allow."""
    parts = [
        _aligned(tuple(r for r in misaligned(trace) if r.nature == nature), BUSY_SHARE[nature])
        for nature in ("compute", "memory", "latency")
    ]
    how = (
        f"kernels that read 16 bytes at once taken as up to {th.TRACE_ALIGNED_GAIN.value:g}x as fast, within "
        "roofs where they are known (assumed); low end: no gain, where padding costs as much as it saves"
    )
    return plan(trace, shares, tuple(parts), how)


def _aligned(rows: tuple[KernelRow, ...], share: str) -> tuple[Lever, float]:
    us = math.fsum(row.total_us for row in rows)
    at_roof = math.fsum(row.total_us * min(1.0, roof_of(row) or 0.0) for row in rows)
    room = us / at_roof if at_roof > 0.0 else None
    most = th.TRACE_ALIGNED_GAIN.value if room is None else min(th.TRACE_ALIGNED_GAIN.value, room)
    return Lever(share=share, of="alignment", low=1.0, high=most, bound=room), us


def _ratio(ceilings: Ceilings | None, dtype: str) -> tuple[float, str] | None:
    fast, slow = (ceilings.ceiling(name) if ceilings else None for name in (dtype, "fp32"))
    if fast is None or slow is None or not 0.0 < slow.value < fast.value:
        return None
    return fast.value / slow.value, rate_label(ceilings, fast, slow)


def fusible_us(trace: DeviceTrace) -> float:
    """µs of memory-bound element-wise kernels and reductions."""
    return math.fsum(nature_us(row, "memory") for row in trace.families if row.family in FUSIBLE)


def fusion(trace: DeviceTrace, shares: Mapping[str, float]) -> Plan | None:
    """Element-wise kernels fused: two in one move half the bytes."""
    lever = Lever(share="memory", of="activations", low=1.0, high=th.TRACE_FUSED_FASTER.value)
    how = (
        "two element-wise kernels in one move half the bytes (2x there), longer chains more; low end: no gain"
    )
    return plan(trace, shares, ((lever, fusible_us(trace)),), how)

"""KempnerPulse's rules after its documentation: twelve categories, the first that matches wins.

It reads DCGM's profiling fields once a second; GPM's counters of the same names stand in, averaged over the
second. DCGM's memory-copy utilisation is NVML's memory-controller time.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from advisor.telemetry.records import Sample
from benchmarks.accuracy.rival import Rival, mean
from benchmarks.workloads.spec import Label

_GB_S = 1e9


class Look(msgspec.Struct, frozen=True):
    """One second: shares 0 to 1, bytes a second. Missing figures count as 0, as its documentation has it."""

    sm: float
    tensor: float
    dram: float
    gr: float
    fp64: float
    memcpy: float
    pcie: float

    @property
    def real_util(self) -> float:
        """Its composite, in its default weights."""
        return min(1.0, 0.35 * self.sm + 0.35 * self.tensor + 0.20 * self.dram + 0.10 * self.gr)

    @property
    def copies(self) -> bool:
        """Whether it sees heavy transfer."""
        return self.memcpy >= 0.40 or self.pcie >= _GB_S


# In its order. "Busy, low SM use" is said to be overhead, synchronisation or small kernels, and "low
# utilization" leaves the GPU waiting: both counted as host, in its favour.
_RULES: tuple[tuple[Callable[[Look], bool], Label | None], ...] = (
    (lambda w: max(w.real_util, w.gr, w.dram) < 0.05 and not w.copies, "idle"),
    (lambda w: w.tensor >= 0.50 and w.sm >= 0.60, "compute"),
    (lambda w: w.tensor >= 0.15 and w.sm >= 0.40, "compute"),
    (lambda w: w.fp64 >= 0.20 and w.sm >= 0.50, "compute"),
    (lambda w: w.copies and w.sm < 0.30, "host"),
    (lambda w: w.dram >= 0.50 and w.sm < 0.50, "memory"),
    (lambda w: w.sm >= 0.80, "compute"),
    (lambda w: w.sm >= 0.50, "compute"),
    (lambda w: w.dram >= 0.40, "memory"),
    (lambda w: w.gr >= 0.40 and w.sm < 0.25, "host"),
    (lambda w: max(w.gr, w.sm, w.dram) < 0.15, "host"),
    (lambda _: True, None),
)
_MAPPING = (
    "its bottleneck column; I/O as host; 'busy, low SM use' and 'low utilization' as host; 'mixed' as no "
    "class; majority over one look a second; needs counters"
)


def kempnerpulse() -> Rival:
    """The rival; it has nothing to say where a recording holds no counters."""
    return Rival(
        name="KempnerPulse",
        version="rules of docs/classification.md, 12 categories",
        source="https://github.com/KempnerInstitute/kempnerpulse/blob/main/docs/classification.md",
        mapping=_MAPPING,
        looks=lambda seen: [category(look(s)) for s in seen.samples if s.gpm],
        sees="counters",
    )


def look(sample: Sample) -> Look:
    """A second as its fields would show it."""

    def counter(name: str) -> float:
        return mean([getattr(g, name) for g in sample.gpm]) or 0.0

    return Look(
        sm=counter("sm_active"),
        tensor=counter("tensor_active"),
        dram=counter("dram_active"),
        gr=counter("gr_active"),
        fp64=counter("fp64"),
        memcpy=sample.mem_util_frac or 0.0,
        pcie=max(counter("pcie_rx_bytes_s"), counter("pcie_tx_bytes_s")),
    )


def category(seen: Look) -> Label | None:
    """The class of the first of its rules that matches."""
    return next(label for matches, label in _RULES if matches(seen))

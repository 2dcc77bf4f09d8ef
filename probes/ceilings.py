"""Ceilings: what a card can do, and what its live counters read while it does it.

A live counter means little alone: `dram_active` of 0.78 may be all that a card's DRAM counter ever
shows. So every roof fraction divides a counter by its own reading at the ceiling. Readings come, in
this order, from a probe run on this very card (`measured`), from a bundled figure for the model
(`typical`), or from a data sheet times a typical fraction (`assumed`). An unknown card has none.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

Label = Literal["measured", "typical", "assumed"]

# Pinned host-to-device copies over 16 lanes, bytes per second and direction. Gen 3 to 5: nvbandwidth and
# the Azure AI benchmarking guide (12.3, 25 to 26.3, 51 to 55.6 GB/s); others 0.8 of the line rate.
_PCIE_X16_BYTES_S = {1: 3.2e9, 2: 6.4e9, 3: 12.3e9, 4: 25.5e9, 5: 53e9, 6: 102e9}


# Gigatransfers a second over 8 bits, per lane and direction: what the link is sold as, before encoding.
_PCIE_LANE_BYTES_S = {1: 0.25e9, 2: 0.5e9, 3: 1e9, 4: 2e9, 5: 4e9, 6: 8e9}


def pcie_line_bytes_s(gen: int | None, width: int | None) -> float | None:
    """Line rate of a PCIe link per direction (64 GB/s for gen 5 x16); None for an unknown link."""
    lane = _PCIE_LANE_BYTES_S.get(gen) if gen is not None else None
    return lane * width if lane is not None and width is not None and 1 <= width <= 32 else None


def pcie_copy_bytes_s(gen: int | None, width: int | None) -> float | None:
    """What a pinned copy typically reaches, per direction, on a PCIe link; None for an unknown link."""
    full = _PCIE_X16_BYTES_S.get(gen) if gen is not None else None
    return full * width / 16 if full is not None and width is not None and 1 <= width <= 32 else None


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one live counter shows when the card can do no more.

    counter: name of the field in a GPM window (`dram_active`, `tensor_active`, `fp32_active`, ...).
    frac: the counter's value at the ceiling, 0 to 1.
    """

    counter: str
    frac: float
    label: Label
    source: str


class Ceiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured or assumed limit of a card, such as DRAM copy bandwidth or dense bf16 throughput.

    value is in `unit` (`bytes_s`, `flop_s`, `op_s`, `s`, `frac`). p10, p90 and cv exist only when measured;
    they are of the windows, while value is what is held, where that was measured.
    """

    metric: str
    value: float
    unit: str
    label: Label
    source: str
    p10: float | None = None
    p90: float | None = None
    cv: float | None = None


class Ceilings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Everything known of one card's limits.

    model: the row of the spec table (or the probed card) these hold for, e.g. "H100 SXM5 80GB".
    sm_mhz: the lowest SM clock at which the probe's GEMMs were held, else the data sheet's boost clock.
    power_w: the most they drew at the power limit, else the data sheet's. power_limit_w: the limit under
    which sm_mhz was held; None where no GEMM was. measured_s: Unix time of the probe, or of its oldest
    figure; None when assumed. stale: why measured figures may no longer hold (another driver, another power
    limit, ...), else None.
    """

    model: str
    label: Label
    readings: tuple[Reading, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    sm_mhz: float | None = None
    sm_count: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    measured_s: float | None = None
    stale: str | None = None

    @cached_property
    def fracs(self) -> dict[str, float]:
        """Counter -> its value at the ceiling, of those above 0; looked up for every sub-window."""
        return {r.counter: r.frac for r in reversed(self.readings) if r.frac > 0.0}

    def reading(self, counter: str) -> Reading | None:
        """The counter's reading at its ceiling, or None when nothing is known of it."""
        return next((r for r in self.readings if r.counter == counter), None)

    def ceiling(self, metric: str) -> Ceiling | None:
        """The limit called `metric`, or None when nothing is known of it."""
        return next((c for c in self.ceilings if c.metric == metric), None)

"""What the device went through while it was measured: clocks, power, heat, and its own counters.

The interface; `probes.nvml_meter` reads NVML, and `NoMeter` stands in where there is nothing to read.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over a metered stretch; sm_mhz_min and _max are the 10th and 90th percentile.

    counters: GPM counters by the names live windows have (`dram_active`, ...), 0 to 1, mean over the windows
    that lie wholly inside the stretch. missing: what could not be read, and why.
    """

    samples: int = 0
    sm_mhz: float | None = None
    sm_mhz_min: float | None = None
    sm_mhz_max: float | None = None
    mem_mhz: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temp_c: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    pcie_gen: int | None = None
    pcie_width: int | None = None
    counters: dict[str, float] = {}
    missing: dict[str, str] = {}


class Meter(Protocol):
    """Watches one device between `start` and `stop`, from a thread of its own."""

    def start(self) -> None:
        """Begin a stretch."""
        ...

    def stop(self) -> Observed:
        """End it and say what was seen. Never raises: what cannot be read is in `missing`."""
        ...

    def close(self) -> None:
        """Let go of the driver. Safe to call twice."""
        ...


@runtime_checkable
class Hushable(Protocol):
    """A meter that has a quiet sibling: one that looks once at the end and runs no thread meanwhile."""

    def quiet(self) -> Meter:
        """The sibling, on the same device and driver."""
        ...


class NoMeter:
    """Nothing to read, and why."""

    def __init__(self, why: str) -> None:
        self._why = why

    def start(self) -> None:
        """Nothing begins."""

    def stop(self) -> Observed:
        """Nothing was seen."""
        return Observed(missing={"conditions": self._why})

    def close(self) -> None:
        """Nothing is held."""

"""What the device went through while it was measured: clocks, power, heat, and its own counters.

The interface; `probes.nvml_meter` reads NVML, and `NoMeter` stands in where there is nothing to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

# Fewer GPM windows than this tell of their own edges rather than of the load.
FEWEST_CLEAN = 2

_WAITED = "the device waited between the timed windows, so that counters would show its waiting"
_TOO_FEW = "fewer than two GPM windows (110 ms each) lie wholly within the timed part"


class GpmWindow(NamedTuple):
    """Counters, 0 to 1, over `duration_s`; begin_s and end_s by time.monotonic, with what sampling took."""

    duration_s: float
    counters: dict[str, float]
    begin_s: float = 0.0
    end_s: float = 0.0


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over a metered stretch; sm_mhz_min and _max are the 10th and 90th percentile.

    counters: GPM counters by the names live windows have (`dram_active`, ...), 0 to 1, mean over windows that
    lie wholly inside the stretch, as read: over the whole time, not over gr_active. windows: every one of
    them. missing: what could not be read, and why.
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
    windows: tuple[GpmWindow, ...] = ()
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


def within(seen: Observed, span: tuple[float, float] | None) -> Observed:
    """What was seen, its counters over the windows wholly inside `span` only (by time.monotonic): the part
    in which the device did nothing but what was timed, None where there is no such part."""
    if not seen.windows:
        return seen
    clean = [w for w in seen.windows if span is not None and span[0] <= w.begin_s and w.end_s <= span[1]]
    if len(clean) >= FEWEST_CLEAN:
        missing = {name: why for name, why in seen.missing.items() if name != "counters"}
        return msgspec.structs.replace(seen, counters=means(clean), missing=missing)
    missing = {**seen.missing, "counters": _WAITED if span is None else _TOO_FEW}
    return msgspec.structs.replace(seen, counters={}, missing=missing)


def means(windows: Sequence[GpmWindow]) -> dict[str, float]:
    """Each counter's mean over time."""
    names = dict.fromkeys(name for window in windows for name in window.counters)
    return {name: _mean([w for w in windows if name in w.counters], name) for name in names}


def _mean(windows: Sequence[GpmWindow], name: str) -> float:
    whole_s = sum(w.duration_s for w in windows)
    return round(sum(w.counters[name] * w.duration_s for w in windows) / whole_s, 5)

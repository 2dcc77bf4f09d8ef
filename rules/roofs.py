"""Roof fractions of busy time: how near one sub-window came to the DRAM roof and to a pipe's roof."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.evidence import SubWindow, Tier

# GPM pipe counters (fields of SubWindow) and how people call what keeps them busy.
PIPES: dict[str, str] = {
    "tensor_active": "tensor cores",
    "hmma": "tensor cores (fp16/bf16)",
    "imma": "tensor cores (integer)",
    "dfma": "tensor cores (fp64)",
    "dmma": "tensor cores (fp64)",
    "fp64": "fp64 pipe",
    "fp32": "fp32 pipe",
    "fp16": "fp16 pipe",
    "int_active": "integer pipe",
}
# Pipes that most work runs on: nothing can be said of the pipes' roof without them.
_DECISIVE = ("tensor_active", "fp32")
_POWER_CAP = "sw_power_cap"
# A clock below this part of the reference is one that was read at rest.
_SLOWEST = 0.3
# Part of the SMs below which none had work: one of an H100's 132 is 0.008.
_NO_SM = 0.002
_TENSOR_KINDS = ("hmma", "imma", "dfma", "dmma")
TENSOR_PIPES = frozenset({"tensor_active", *_TENSOR_KINDS})


class Roofs(msgspec.Struct, frozen=True, gc=False):
    """Roof fractions of one sub-window's busy time, 0 to 1; None where a counter or its ceiling is unknown.

    complete: enough is known to say that *neither* roof was approached.
    """

    dram: float | None
    pipe: float | None
    pipe_name: str | None
    complete: bool

    @property
    def top(self) -> float | None:
        """The larger known roof fraction."""
        if self.dram is None:
            return self.pipe
        return self.dram if self.pipe is None else max(self.dram, self.pipe)


class Limits(msgspec.Struct, frozen=True):
    """Device limits a sub-window is compared with. Any may be unknown.

    power_w: what a load that uses all of the device draws; limit_w: its power limit, of which the idle draw
    is a share. sm_mhz: the reference clock: the probe's, or the data sheet's boost clock when assumed.
    errors: counter -> relative error of its reading at the ceiling.
    clock_reasons: the reasons under which a clock below the reference is time lost.
    """

    power_w: float | None = None
    sm_mhz: float | None = None
    pcie_bytes_s: float | None = None
    nvlink_bytes_s: float | None = None
    clock_reasons: frozenset[str] = frozenset()
    limit_w: float | None = None
    errors: dict[str, float] = {}


def sensible(value: float | None) -> bool:
    """Whether a counter can be believed at all: a number, neither below 0 nor without end."""
    return value is not None and 0.0 <= value < math.inf


def contradictory(w: SubWindow) -> bool:
    """Whether the engine is said to run throughout and no SM to have work: of a kernel both would be said.

    The counters stand still, or something other than kernels keeps the engine's front end at work.
    """
    busy, active = w.gr_active or 0.0, w.sm_active
    return busy >= 0.5 and active is not None and 0.0 <= active < _NO_SM * busy


def roofs(window: SubWindow, tier: Tier, ceilings: Ceilings | None, limits: Limits) -> Roofs:
    """Roof fractions by the counters, or estimated from NVML's coarse figures where there is no GPM."""
    busy = min(1.0, window.gr_active or 0.0)
    if busy <= 0.0:
        return Roofs(None, None, None, False)
    if tier == "nvml":
        return _estimated(window, busy, limits)
    return _counted(window, busy, ceilings)


def _counted(w: SubWindow, busy: float, ceilings: Ceilings | None) -> Roofs:
    if ceilings is None or contradictory(w):
        return Roofs(None, None, None, False)
    at_ceiling = ceilings.fracs
    best, name = None, None
    for counter in PIPES:
        frac = _of_ceiling(getattr(w, counter), busy, at_ceiling.get(counter))
        if frac is not None and (best is None or frac > best):
            best, name = frac, counter
    name = _carried_by(w) if name == "tensor_active" else name
    dram = _of_ceiling(w.dram_active, busy, at_ceiling.get("dram_active"))
    if _hidden(w, busy, at_ceiling) > max(dram or 0.0, best or 0.0):
        return Roofs(None, None, None, False)
    # Without the tensor and fp32 pipes a high roof may be out of sight, so "neither" cannot be said.
    seen = dram is not None and all(
        counter in at_ceiling and sensible(getattr(w, counter)) for counter in _DECISIVE
    )
    return Roofs(dram, best, name, seen)


def _carried_by(w: SubWindow) -> str:
    """The kind of tensor work that most of `tensor_active` is, where the counters of kinds say so."""
    name, most = "tensor_active", 0.5 * (w.tensor_active or 0.0)
    for kind in _TENSOR_KINDS:
        value: float | None = getattr(w, kind)
        if value is not None and value > most:
            name, most = kind, value
    return name


def _hidden(w: SubWindow, busy: float, at_ceiling: Mapping[str, float]) -> float:
    """The least roof fraction of a decisive pipe whose reading at the ceiling is unknown: it is 1 at most."""
    hidden = [getattr(w, counter) for counter in _DECISIVE if counter not in at_ceiling]
    return max([min(1.0, value / busy) for value in hidden if sensible(value)], default=0.0)


def _of_ceiling(value: float | None, busy: float, at_ceiling: float | None) -> float | None:
    if value is None or at_ceiling is None or not 0.0 <= value < math.inf:
        return None
    return min(1.0, value / busy / at_ceiling)


def _estimated(w: SubWindow, busy: float, limits: Limits) -> Roofs:
    """NVML only: memory-controller time stands in for DRAM, power above idle for both roofs together.

    Work draws power above idle in proportion to the time it runs. DRAM traffic draws its part of that
    (NVML_DRAM_POWER at its roof), so what is left argues for the pipes, relative to what a GEMM leaves that
    carries its own traffic. Clocks held down draw less, in proportion at least.
    """
    dram = None
    if w.mem_util_frac is not None:
        dram = min(1.0, w.mem_util_frac / busy / th.NVML_MEM_UTIL_CEILING.value)
    drawn = _power_frac(w, busy, limits)
    pipe = None
    if drawn is not None:
        of_dram = th.NVML_DRAM_POWER.value * (dram or 0.0)
        of_gemm = 1.0 - th.NVML_DRAM_POWER.value * th.CARRY.value
        pipe = min(1.0, max(0.0, drawn - of_dram) / of_gemm)
    return Roofs(dram, pipe, None, dram is not None and pipe is not None)


def _power_frac(w: SubWindow, busy: float, limits: Limits) -> float | None:
    """Power above idle while busy, over that of a load that uses all of the device; None when unknown."""
    if w.power_w is None or not limits.power_w:
        return None
    if _POWER_CAP in w.throttle_reasons:
        return 1.0
    idle_w = th.NVML_IDLE_POWER.value * (limits.limit_w or limits.power_w)
    above_w = limits.power_w - idle_w
    if above_w <= 0.0:
        return None
    return min(1.0, max(0.0, w.power_w - idle_w) / above_w / busy / _slowed(w, limits))


def _slowed(w: SubWindow, limits: Limits) -> float:
    """The clock over the reference clock, where it is held down and not merely at rest."""
    if not w.sm_mhz or not limits.sm_mhz or "gpu_idle" in w.throttle_reasons:
        return 1.0
    return max(_SLOWEST, min(1.0, w.sm_mhz / limits.sm_mhz))


def roof_errors(w: SubWindow, tier: Tier, found: Roofs, limits: Limits) -> tuple[float, float]:
    """Relative errors of the DRAM and the pipe fraction, by where they come from."""
    assumed = th.CEILING_ERROR_ASSUMED.value
    if tier == "nvml":
        rounded = th.NVML_ROUNDING.value / max(th.NVML_ROUNDING.value, w.gr_active or 0.0)
        return assumed + rounded, assumed + rounded
    errors, pipe = limits.errors, found.pipe_name or ""
    return errors.get("dram_active", assumed), errors.get(pipe, errors.get(basis(pipe), assumed))


def basis(pipe: str) -> str:
    """The counter whose reading at the ceiling stands for a kind of tensor work that has none of its own."""
    return "tensor_active" if pipe in TENSOR_PIPES else pipe


def link_frac(w: SubWindow, limits: Limits) -> float:
    """The nearest any link direction came to its ceiling, 0 when neither traffic nor ceiling is known."""
    pairs = (
        (w.pcie_rx_bytes_s, limits.pcie_bytes_s),
        (w.pcie_tx_bytes_s, limits.pcie_bytes_s),
        (w.nvlink_rx_bytes_s, limits.nvlink_bytes_s),
        (w.nvlink_tx_bytes_s, limits.nvlink_bytes_s),
    )
    return max((rate / ceiling for rate, ceiling in pairs if rate and ceiling), default=0.0)

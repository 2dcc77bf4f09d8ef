"""Pieces that scenarios are put together from: series, cards, loads, processes.

Every number here is invented to look plausible. None was read from a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Scenario = dict[str, Any]
Part = dict[str, Any]
Value = float | Part

# Above the largest process id that Linux gives, so such a process is never found under /proc.
FIRST_PID = 4_200_001


def bursts(value: float, duty: float, period_s: float) -> Part:
    """`value` for the share `duty` of each period, then 0."""
    return {"series": [[0, value], [round(duty * period_s, 6), 0]], "loop_s": period_s}


def phases(steps: Sequence[tuple[float, float]]) -> Part:
    """A loop of (seconds, value) steps."""
    points, t = [], 0.0
    for seconds, value in steps:
        points.append([round(t, 6), value])
        t += seconds
    return {"series": points, "loop_s": round(t, 6)}


def noisy(value: Value, amplitude: float) -> Part:
    """The same series with noise of this relative amplitude, the same on every run."""
    base = value if isinstance(value, dict) else {"series": value}
    return {**base, "noise": amplitude}


@dataclass(frozen=True)
class Card:
    """A model of GPU as its driver describes it."""

    name: str
    memory_mib: int
    limit_w: float
    sm_mhz: int
    mem_mhz: int
    compute_capability: str
    cores: int
    architecture: int
    gpm: bool
    bus_bits: int = 5120
    pcie_gen: int = 5
    nvlink_links: int = 18

    def facts(self) -> Part:
        """Keys of a GPU that its model decides."""
        limits = ("power_limit_w", "power_limit_default_w", "power_limit_max_w")
        return {
            "name": self.name,
            "memory_total_mib": self.memory_mib,
            **dict.fromkeys(limits, self.limit_w),
            "sm_mhz_max": self.sm_mhz,
            "mem_mhz": self.mem_mhz,
            "mem_mhz_max": self.mem_mhz,
            "compute_capability": self.compute_capability,
            "cores": self.cores,
            "architecture": self.architecture,
            "gpm_supported": self.gpm,
            "memory_bus_bits": self.bus_bits,
            "pcie_gen": self.pcie_gen,
            "pcie_gen_max": self.pcie_gen,
            "pcie_gen_device_max": self.pcie_gen,
            "nvlink_links": self.nvlink_links,
            "cpu_affinity": [0, 1],
        }


H100 = Card("NVIDIA H100 80GB HBM3", 81559, 700, 1980, 2619, "9.0", 16896, 9, gpm=True)
A100 = Card(
    "NVIDIA A100-SXM4-80GB", 81920, 400, 1410, 1593, "8.0", 6912, 7, gpm=False, pcie_gen=4, nvlink_links=12
)


@dataclass(frozen=True)
class Load:
    """What work does to a card: GPM fractions and NVML readings."""

    counters: Mapping[str, Value]
    power_w: Value
    sm_mhz: Value
    temp_c: Value
    mem_util: Value
    gpu_util: Value | None = None
    memory_mib: float = 62000
    reasons: Sequence[str] = field(default=())

    def readings(self) -> Part:
        """Keys of a GPU under this load. Utilisation follows gr_active unless it is given."""
        util = {} if self.gpu_util is None else {"gpu_util": self.gpu_util}
        return {
            "gpm": dict(self.counters),
            "power_w": self.power_w,
            "sm_mhz": self.sm_mhz,
            "temp_c": self.temp_c,
            "mem_temp_c": 60,
            "mem_util": self.mem_util,
            **util,
            "reasons": list(self.reasons),
        }

    def with_noise(self, amplitude: float) -> Load:
        """The same load with every counter and the power unsteady."""
        counters = {key: noisy(value, amplitude) for key, value in self.counters.items()}
        return replace(self, counters=counters, power_w=noisy(self.power_w, amplitude))


def counters(
    gr: float, sm: float, occupancy: float, tensor: float, dram: float, **others: Value
) -> dict[str, Value]:
    """GPM fractions under their scenario keys; the tensor pipe is HMMA unless said otherwise."""
    return {
        "gr_active": gr,
        "sm_active": sm,
        "sm_occupancy": occupancy,
        "tensor_active": tensor,
        "hmma": tensor,
        "dram_active": dram,
        **others,
    }


def process(memory_mib: float, *, name: str = "python", offset: int = 0, **keys: Any) -> Part:
    """A compute process. Its id comes from ADVISOR_NVML_PID for the first, else is one that cannot exist."""
    pid: str | int = FIRST_PID + offset if offset else f"env:ADVISOR_NVML_PID:{FIRST_PID}"
    return {"pid": pid, "name": name, "memory_mib": memory_mib, **keys}


def gpu(card: Card, load: Load, *processes: Part, **keys: Any) -> Part:
    """One GPU under a load. `keys` override."""
    return {**card.facts(), **load.readings(), "processes": list(processes), **keys}


def node(note: str, *gpus: Part, **keys: Any) -> Scenario:
    """A scenario. The note says that it is synthetic."""
    return {"note": f"synthetic: {note}", **keys, "gpus": list(gpus)}

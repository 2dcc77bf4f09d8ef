"""A small card for the memory probes: the host's memory and clock, and kernels that run on the host."""

from __future__ import annotations

from typing import Any

from probes.lab import Lab
from probes.meter import NoMeter
from probes.record import DeviceFacts, Mode, Plan
from probes.timing import CpuTimer, Policy

BRIEF = Policy(windows=3, window_s=1e-4, total_s=2e-3, warm_s=0.0)


def memory_lab(cupy: Any = None, *, mode: Mode = "default", budget_s: float = 60.0, **facts: Any) -> Lab:
    """A lab on the host's memory with 1 MiB of L2 and 72 MiB free. cupy: None is not installed."""
    known: dict[str, Any] = {"l2_bytes": 1 << 20, "memory_free_bytes": 72 << 20, **facts}
    told = DeviceFacts(kind="cpu", key="cpu:0", name="host", **known)
    lab = Lab(told, Plan(device="cpu", mode=mode), timer=CpuTimer(), meter=NoMeter("a test"))
    lab.policy = BRIEF
    if cupy is not None:
        lab.__dict__["cupy"] = cupy
    lab.begin(budget_s)
    return lab

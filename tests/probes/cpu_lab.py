"""A lab of the CPU for tests, as the worker makes one, with little memory and little patience."""

from __future__ import annotations

import msgspec

from probes.cpu_facts import cpu_facts
from probes.lab import Lab
from probes.meter import NoMeter
from probes.record import DeviceFacts, Plan
from probes.timing import CpuTimer, Policy


def cpu_lab(facts: DeviceFacts | None = None, *, free_bytes: int = 64 << 20) -> Lab:
    """Quick mode, a few short windows, and a budget that is already over."""
    told = facts or msgspec.structs.replace(cpu_facts(), memory_free_bytes=free_bytes)
    lab = Lab(told, Plan(device="cpu", mode="quick"), timer=CpuTimer(), meter=NoMeter("a test"))
    lab.policy = Policy(windows=3, window_s=1e-4, total_s=1e-3, warm_s=0.0)
    lab.begin(0.0)
    return lab

"""A lab on a simulated device, for the probes of the host's side."""

from __future__ import annotations

from typing import Any

import pytest

from probes.lab import Lab
from probes.meter import NoMeter, Observed
from probes.record import DeviceFacts, Mode, Plan
from probes.timing import CudaTimer
from tests.probes.host_sim import Costs, SimTorch

CLOCKED = ("lab", "timing", "queued", "allocator", "transfer")


class SeenMeter(NoMeter):
    """Sees what it is told to."""

    def __init__(self, seen: Observed) -> None:
        super().__init__("")
        self._seen = seen

    def stop(self) -> Observed:
        return self._seen


def facts(**more: Any) -> DeviceFacts:
    return DeviceFacts(kind="cuda", key="GPU-1", name="NVIDIA H100 80GB HBM3", **more)


def simulated(
    monkeypatch: pytest.MonkeyPatch,
    torch: Any,
    costs: Costs | None = None,
    *,
    mode: Mode = "quick",
    names: tuple[str, ...] = (),
    seen: Observed | None = None,
    known: DeviceFacts | None = None,
) -> tuple[Lab, SimTorch]:
    """A lab whose device, and whose clock, are simulated."""
    fake = SimTorch(torch, costs)
    for module in CLOCKED:
        monkeypatch.setattr(f"probes.{module}.time", fake.cuda.clock)
    monkeypatch.setattr("probes.timing._now", fake.cuda.clock.perf_counter)
    plan = Plan(mode=mode, names=names)
    meter = SeenMeter(seen or Observed(sm_mhz=1980.0))
    lab = Lab(known or facts(), plan, timer=CudaTimer(fake), meter=meter)
    lab.__dict__["torch"] = fake
    return lab, fake

"""Labs for tests of GEMM probes: on this CPU, and on the meta device, which checks without computing."""

from __future__ import annotations

from typing import Any

from probes.lab import Lab
from probes.meter import NoMeter, Observed
from probes.record import DeviceFacts, Mode, Plan
from probes.specs import GpuSpec
from probes.timing import Call, CpuTimer, Policy

CPU = DeviceFacts(kind="cpu", key="cpu:0", name="a CPU", memory_free_bytes=2 << 30)
H100 = DeviceFacts(
    kind="cuda",
    key="GPU-0",
    name="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    sm_count=132,
    memory_free_bytes=80 << 30,
)
TINY = Policy(windows=3, window_s=1e-4, total_s=1e-3, warm_s=1e-4)


class SteadyTimer:
    """Calls once and says that a call takes `call_s`: no test depends on this machine's speed."""

    def __init__(self, call_s: float = 1e-3) -> None:
        self.call_s = call_s
        self.batches: list[tuple[int, int]] = []

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        self.batches.append((calls, count))
        call()
        return [self.call_s * calls] * count

    def synchronize(self) -> None:
        pass


class SteadyMeter:
    """Sees the same each time."""

    def __init__(self, seen: Observed) -> None:
        self.seen = seen
        self.stretches = 0

    def start(self) -> None:
        self.stretches += 1

    def stop(self) -> Observed:
        return self.seen

    def close(self) -> None:
        pass


class CpuBackedLab(Lab):
    """Says that it is a GPU, works on the CPU."""

    @property
    def device(self) -> str:
        return "cpu"

    def free_bytes(self) -> int:
        return self.facts.memory_free_bytes or 0


class MetaLab(CpuBackedLab):
    """Tensors without data: shapes, strides and dtypes are checked as for CUDA."""

    @property
    def device(self) -> str:
        return "meta"

    def generator(self) -> Any:
        return None


def lab(
    facts: DeviceFacts = CPU,
    mode: Mode = "quick",
    *,
    timer: Any = None,
    meter: Any = None,
    spec: GpuSpec | None = None,
    sustained_s: float | None = None,
    kind: type[Lab] = CpuBackedLab,
) -> Lab:
    """A lab with a tiny policy and no time limit."""
    plan = Plan(device="0", mode=mode, sustained_s=sustained_s, seed=7)
    made = kind(facts, plan, timer=timer or CpuTimer(), meter=meter or NoMeter("a test"), spec=spec)
    made.policy = TINY
    return made

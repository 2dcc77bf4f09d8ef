"""A card on an invented clock that large GEMMs bring to its power limit, where its SM clock decays.

Stands in for an H100 under the GEMM probe. Its rates and times are arithmetic on made-up constants near those
that public benchmarks report; none was read from a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from probes.lab import Lab
from probes.matmul import Shape
from probes.meter import Observed
from probes.peaks import peak_flop_s
from probes.precisions import Gemm, Precision
from probes.record import DeviceFacts, Plan
from probes.specs import find_spec
from probes.stats import quantile
from probes.timing import POLICIES, Call

FACTS = DeviceFacts(
    kind="cuda",
    key="GPU-0",
    name="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    sm_count=132,
    sm_mhz_max=1980.0,
    memory_free_bytes=80 << 30,
    memory_total_bytes=85_520_809_984,
)
BOOST_MHZ = 1980.0
# The clock that each precision is left with under the power limit, once settled.
HELD_MHZ = {
    "bf16": 1570.0,
    "fp16": 1520.0,
    "fp8_e4m3": 1400.0,
    "fp8_e5m2": 1380.0,
    "tf32": 1600.0,
    "fp32": 1800.0,
    "int8": 1450.0,
    "fp64": 1700.0,
}
DECAY_S, RECOVER_S = 0.15, 0.15
PER_CLOCK = 0.93
LAUNCH_S = 4e-6
BLOCK_S = 5e-3
SAMPLE_S = 0.01


class HotCard:
    """A timer, a meter and the time. slow: another program takes so many times as long."""

    def __init__(self, *, first_s: float = 0.4, each_s: float = 0.05, slow: float = 1.0) -> None:
        self.now_s = 50.0
        self.mhz = BOOST_MHZ
        self.slow = slow
        self._first_s, self._each_s = first_s, each_s
        self._known: set[str] = set()
        self._samples: list[tuple[float, bool]] | None = None

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Nothing runs, and the clock rises again."""
        self._pass(seconds, BOOST_MHZ, RECOVER_S, capped=False)

    def run(self, metric: str, shape: Shape) -> None:
        """One product; the first of a precision loads its kernels."""
        if metric not in self._known:
            self.sleep(self._each_s if self._known else self._first_s)
            self._known.add(metric)
        self._pass(self.call_s(metric, shape, self.mhz), HELD_MHZ[metric], DECAY_S, capped=True)

    def call_s(self, metric: str, shape: Shape, mhz: float) -> float:
        return self.slow * (shape.flops / self.flop_s(metric, shape, mhz) + LAUNCH_S)

    def flop_s(self, metric: str, shape: Shape, mhz: float) -> float:
        """The rate at a clock; small products leave SMs idle."""
        peak, why = peak_flop_s(FACTS, metric, mhz)
        assert peak is not None, why
        return PER_CLOCK * peak / (1.0 + 1.5e9 / shape.flops * 2)

    def held_flop_s(self, metric: str, shape: Shape) -> float:
        return shape.flops / self.call_s(metric, shape, HELD_MHZ[metric])

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        self.sleep(BLOCK_S)
        return [self._window(call, calls) for _ in range(count)]

    def synchronize(self) -> None:
        """A call is over when it returns."""

    def start(self) -> None:
        self._samples = []

    def stop(self) -> Observed:
        samples, self._samples = self._samples or [], None
        clocks = [mhz for mhz, _ in samples] or [self.mhz]
        return Observed(
            samples=len(clocks),
            sm_mhz=quantile(clocks, 0.5),
            sm_mhz_min=quantile(clocks, 0.1),
            sm_mhz_max=quantile(clocks, 0.9),
            power_w=690.0,
            throttle_reasons=("sw_power_cap",) if any(capped for _, capped in samples) else (),
        )

    def close(self) -> None:
        """Nothing is held."""

    def precision(self, precision: Precision) -> Precision:
        """The precision, done by this card."""

        def make(_torch: Any, gemm: Gemm) -> Callable[[], object]:
            k = gemm.a.shape[1] * (2 if precision.a.endswith("_x2") else 1)
            shape = Shape(gemm.a.shape[0], gemm.b.shape[0], k)
            return lambda: self.run(precision.metric, shape)

        return msgspec.structs.replace(precision, call=make, variants=())

    def _window(self, call: Call, calls: int) -> float:
        begin = self.now_s
        for _ in range(calls):
            call()
        return self.now_s - begin

    def _pass(self, seconds: float, target_mhz: float, tau_s: float, *, capped: bool) -> None:
        self.now_s += seconds
        self.mhz = target_mhz + (self.mhz - target_mhz) * math.exp(-seconds / tau_s)
        if self._samples is not None and (len(self._samples) + 1) * SAMPLE_S <= self.now_s:
            self._samples.append((self.mhz, capped))


class HotLab(Lab):
    """Works with the card's time, on operands without data."""

    card: HotCard

    @property
    def device(self) -> str:
        return "meta"

    def generator(self) -> Any:
        return None

    def free_bytes(self) -> int:
        return 80 << 30

    def begin(self, budget_s: float, most_s: float = math.inf) -> None:
        self._end_s = self.card.now_s + min(budget_s * self.scale, most_s)

    def time_left_s(self) -> float:
        return self._end_s - self.card.now_s


def hot_lab(card: HotCard, mode: Any) -> HotLab:
    """A lab on the card, with the mode's own policy."""
    spec = find_spec(FACTS.name, FACTS.memory_total_bytes)
    made = HotLab(FACTS, Plan(device="0", mode=mode), timer=card, meter=card, spec=spec)
    made.card = card
    assert made.policy == POLICIES[mode]
    return made

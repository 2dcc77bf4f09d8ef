"""A card on an invented clock: it leaves its boost clock under load, and its counters integrate busy time.

Every figure is invented. A spin keeps the graphics engine active, as on a real card, but neither tensor cores
nor memory: counters that take spins for load read too low, and gr_active does not show it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from probes.meter import GpmWindow, Observed
from tests.probes.fake_cuda import FakeClock, FakeCuda, FakeTorch

BOOST_MHZ, HELD_MHZ = 1980.0, 1500.0
# How quickly the clock falls to what the card holds.
DECAY_S = 0.3
GPM_S = 0.112
# What the counters read while the load runs without a gap.
LOADED = {"gr_active": 1.0, "tensor_active": 0.9, "dram_active": 0.8}
SPINNING = {"gr_active": 1.0}


class Busy(NamedTuple):
    """The device at work, and what its counters read meanwhile."""

    begin_s: float
    end_s: float
    counters: dict[str, float]


class CardCuda(FakeCuda):
    """A stream whose kernels slow down with the clock. What is launched names its time at the boost clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.busy: list[Busy] = []
        self.decays = True
        self._spinning = False

    def mhz(self, at_s: float) -> float:
        """The SM clock, by how long the card was under load until then."""
        if not self.decays:
            return BOOST_MHZ
        loaded_s = sum(min(b.end_s, at_s) - b.begin_s for b in self.busy if b.begin_s < at_s)
        return HELD_MHZ + (BOOST_MHZ - HELD_MHZ) * math.exp(-loaded_s / DECAY_S)

    def launch(self, device_s: float, host_s: float) -> None:
        at_s = max(self.free_s, self.clock.now_s + host_s)
        taken_s = device_s if self._spinning else device_s * BOOST_MHZ / self.mhz(at_s)
        super().launch(taken_s, host_s)
        self._note(self.free_s - taken_s, SPINNING if self._spinning else LOADED)

    def _note(self, begin_s: float, counters: dict[str, float]) -> None:
        last = self.busy[-1] if self.busy else None
        if last is not None and last.counters is counters and begin_s - last.end_s < 1e-9:
            self.busy[-1] = last._replace(end_s=self.free_s)
        else:
            self.busy.append(Busy(begin_s, self.free_s, counters))

    def _sleep(self, cycles: int) -> None:
        self._spinning = True
        try:
            super()._sleep(cycles)
        finally:
            self._spinning = False

    def counters(self, begin_s: float, end_s: float) -> dict[str, float]:
        """Means over this time."""
        found = dict.fromkeys(LOADED, 0.0)
        for busy in self.busy:
            shared_s = min(end_s, busy.end_s) - max(begin_s, busy.begin_s)
            for name, value in busy.counters.items():
                found[name] += max(0.0, shared_s) * value / (end_s - begin_s)
        return found


class CardTorch(FakeTorch):
    """The module, on such a card."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.cuda: CardCuda = CardCuda(clock)


class CardMeter:
    """Looks at the card as often as GPM allows. stretches: from when to when."""

    def __init__(self, cuda: CardCuda) -> None:
        self._cuda = cuda
        self._begin_s = 0.0
        self.stretches: list[tuple[float, float]] = []

    def start(self) -> None:
        self._begin_s = self._cuda.clock.now_s

    def stop(self) -> Observed:
        begin_s, end_s = self._begin_s, self._cuda.clock.now_s
        self.stretches.append((begin_s, end_s))
        edges = [begin_s + i * GPM_S for i in range(int((end_s - begin_s) / GPM_S) + 1)]
        clocks = sorted(self._cuda.mhz(at_s) for at_s in edges)
        return Observed(
            samples=len(clocks),
            sm_mhz=clocks[len(clocks) // 2],
            sm_mhz_min=clocks[0],
            sm_mhz_max=clocks[-1],
            windows=tuple(GpmWindow(b - a, self._cuda.counters(a, b), a, b) for a, b in pairwise(edges)),
        )

    def close(self) -> None:
        """Nothing is held."""

"""A device and a host on one invented clock: what is launched costs the host time and the device time.

Stands in for `torch` in `CudaTimer`. Its times are arithmetic, so that tests of timing need neither a GPU
nor a quiet machine.
"""

from __future__ import annotations

from collections.abc import Callable


class FakeClock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeEvent:
    """A mark in the stream, reached at `at_s`."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.at_s = float("inf")

    def record(self) -> None:
        self.at_s = max(self._cuda.clock.now_s, self._cuda.free_s)

    def query(self) -> bool:
        return self.at_s <= self._cuda.clock.now_s

    def elapsed_time(self, end: FakeEvent) -> float:
        return (end.at_s - self.at_s) * 1e3


class FakeCuda:
    """A stream that runs what is launched in order, and holds no more than `depth` launches ahead."""

    depth = 1000

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.free_s = 0.0
        self.spins = 0
        self.synchronised = 0
        self._ends: list[float] = []

    def Event(self, enable_timing: bool) -> FakeEvent:  # noqa: N802
        assert enable_timing
        return FakeEvent(self)

    def launch(self, device_s: float, host_s: float) -> None:
        self.clock.now_s += host_s
        if len(self._ends) >= self.depth:
            self.clock.now_s = max(self.clock.now_s, self._ends[-self.depth])
        self.free_s = max(self.clock.now_s, self.free_s) + device_s
        self._ends.append(self.free_s)

    def synchronize(self) -> None:
        self.synchronised += 1
        self.clock.now_s = max(self.clock.now_s, self.free_s)
        self._ends.clear()

    def _sleep(self, cycles: int) -> None:
        self.spins += 1
        self.launch(cycles / 2e9, 5e-6)


class FakeTorch:
    """The module, as far as the timer knows it."""

    def __init__(self, clock: FakeClock) -> None:
        self.cuda = FakeCuda(clock)

    def kernel(self, device_s: float, host_s: float = 5e-6) -> Callable[[], None]:
        """A call that launches one kernel."""
        return lambda: self.cuda.launch(device_s, host_s)

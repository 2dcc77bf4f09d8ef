"""Holding a CUDA stream with a kernel that spins, while the host queues what is to be timed behind it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

# A stream takes about a thousand launches before the host has to wait; below that with room for events.
QUEUE_LAUNCHES = 800
_CALIBRATION_CYCLES = 2_000_000


class Spin:
    """Spins on torch's current stream. cuda: torch.cuda."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda

    def hold(self, seconds: float) -> None:
        """Keep the stream busy for about so long. Returns at once."""
        self._cuda._sleep(round(seconds * self._cycles_s))

    @cached_property
    def _cycles_s(self) -> float:
        return spin_rate(self._cuda)


def spin_rate(cuda: Any) -> float:
    """Cycles that `torch.cuda._sleep` spins in a second: the fastest of several, as a cold card speeds up.
    A card whose clock falls later on spins longer, which does no harm."""
    rates: list[float] = []
    for _ in range(4):
        begin, end = (cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        cuda._sleep(_CALIBRATION_CYCLES)
        end.record()
        cuda.synchronize()
        rates.append(_CALIBRATION_CYCLES / (begin.elapsed_time(end) / 1e3))
    return max(rates)

"""The time that one call has."""

from __future__ import annotations

import time
from typing import NamedTuple

# What packing and ending take.
RESERVE_S = 15.0


class Clock(NamedTuple):
    """budget_s: how long the call may take, from `begin_s` (monotonic) on."""

    budget_s: float
    begin_s: float

    @classmethod
    def of(cls, budget_s: float) -> Clock:
        """A clock that begins now."""
        return cls(budget_s, time.monotonic())

    def passed_s(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.begin_s

    def left_s(self) -> float:
        """Seconds left but for packing; negative where there are none."""
        return self.budget_s - RESERVE_S - self.passed_s()

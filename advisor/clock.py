"""Clock: whether the wall clock was set between two frames of a stream."""

from __future__ import annotations

# Frames this far apart without a gap between them mean that the clock was set, not that time passed.
CLOCK_STEP_S = 10.0
CLOCK_STEP_TICKS = 5.0


def was_set(before_s: float, now_s: float, interval_s: float, *, in_gap: bool) -> bool:
    """Whether a frame's time and that of the one before it are of two clocks. in_gap: a gap lies between."""
    step_s = now_s - before_s
    ahead = not in_gap and step_s > max(CLOCK_STEP_S, CLOCK_STEP_TICKS * interval_s)
    return ahead or step_s < -interval_s

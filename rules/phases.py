"""Phases: stretches of a window in which one class prevailed, so that a mix reads as phases, not flicker."""

from __future__ import annotations

from collections.abc import Sequence

from rules.classify import Split
from rules.thresholds import IDLE_HELD_MIN_S
from rules.verdict import Phase

# Shorter stretches are merged into the one before: a person reads seconds, not sub-windows.
MIN_PHASE_S = 1.0
MAX_PHASES = 64
QUIET = "quiet"


def phases(splits: Sequence[Split]) -> tuple[Phase, ...]:
    """Merge equal neighbours; fold stretches under MIN_PHASE_S into the one before them."""
    runs: list[tuple[str, float, float]] = []
    for part in splits:
        name = QUIET if part.quiet else part.prevailing
        start, end = part.t_s - part.duration_s, part.t_s
        if runs and runs[-1][0] == name:
            runs[-1] = (runs[-1][0], runs[-1][1], end)
        else:
            runs.append((name, start, end))
    merged: list[tuple[str, float, float]] = []
    for name, start, end in ((_settle(r, alone=len(runs) == 1), r[1], r[2]) for r in runs):
        if merged and (merged[-1][0] == name or end - start < MIN_PHASE_S):
            merged[-1] = (merged[-1][0], merged[-1][1], end)
        else:
            merged.append((name, start, end))
    return tuple(Phase(class_=n, t_start_s=a, t_end_s=b) for n, a, b in merged[:MAX_PHASES])


def _settle(run: tuple[str, float, float], *, alone: bool) -> str:
    """A quiet run is idle when it lasts, a host gap when work surrounds it closely."""
    name, start, end = run
    if name != QUIET:
        return name
    return "idle" if alone or end - start >= IDLE_HELD_MIN_S.value else "host"

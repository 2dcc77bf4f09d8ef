"""Phases: stretches of a window in which one class prevailed, so that a mix reads as phases, not flicker."""

from __future__ import annotations

from collections.abc import Sequence

from rules.split import Split
from rules.thresholds import IDLE_HELD_MIN_S
from rules.verdict import Phase

# Shorter stretches are merged into the one before: a person reads seconds, not sub-windows. What was merged
# is called by what took most of it.
MIN_PHASE_S = 1.0
_ROUNDING_S = 1e-6
MAX_PHASES = 64

_QUIET = "quiet"
_Run = tuple[str, float, float]


def phases(splits: Sequence[Split]) -> tuple[Phase, ...]:
    """Merge equal neighbours and fold short stretches into the one before; coarser when there are many."""
    runs = _runs(splits)
    named = [(_settle(run, alone=len(runs) == 1), run[1], run[2]) for run in runs]
    shortest_s = MIN_PHASE_S
    found = _folded(named, shortest_s)
    while len(found) > MAX_PHASES:
        shortest_s *= 2
        found = _folded(named, shortest_s)
    return tuple(Phase(class_=name, t_start_s=start, t_end_s=end) for name, start, end in found)


def _runs(splits: Sequence[Split]) -> list[_Run]:
    runs: list[_Run] = []
    for part in splits:
        name = _QUIET if part.quiet else part.prevailing
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], part.t_s)
        else:
            runs.append((name, part.t_s - part.duration_s, part.t_s))
    return runs


def _settle(run: _Run, *, alone: bool) -> str:
    """A quiet run is idle when it lasts, a host gap when work surrounds it closely."""
    name, start, end = run
    if name != _QUIET:
        return name
    return "idle" if alone or end - start >= IDLE_HELD_MIN_S.value else "host"


def _folded(runs: Sequence[_Run], shortest_s: float) -> list[_Run]:
    stretches: list[list[_Run]] = []
    for run in runs:
        name, start, end = run
        if stretches and (stretches[-1][0][0] == name or end - start < shortest_s - _ROUNDING_S):
            stretches[-1].append(run)
        else:
            stretches.append([run])
    named = [(_most(stretch), stretch[0][1], stretch[-1][2]) for stretch in stretches]
    joined: list[_Run] = []
    for name, start, end in named:
        if joined and joined[-1][0] == name:
            joined[-1] = (name, joined[-1][1], end)
        else:
            joined.append((name, start, end))
    return joined


def _most(stretch: Sequence[_Run]) -> str:
    seconds: dict[str, float] = {}
    for name, start, end in stretch:
        seconds[name] = seconds.get(name, 0.0) + end - start
    return max(seconds, key=seconds.__getitem__)

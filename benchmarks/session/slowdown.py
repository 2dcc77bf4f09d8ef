"""What being watched costs two workloads."""

from __future__ import annotations

import statistics
from typing import Any

from advisor.telemetry.feed import NoFeedError
from benchmarks.session.clock import Clock
from benchmarks.workloads.child import Child, ChildError, Where
from benchmarks.workloads.watch import WatchError, Watching, watch

# What a process takes to start and to end.
START_S = 20.0


def slow_down(where: Where, watching: Watching, seconds: float, clock: Clock) -> dict[str, Any]:
    """Steps per second of a launch-bound workload and of a copy, with and without watching, alternating."""
    found: dict[str, Any] = {}
    for name in ("eager_tiny_kernels", "copy"):
        rates: dict[str, list[float]] = {"alone": [], "watched": []}
        problems = []
        for how in ("alone", "watched") * 2:
            if clock.left_s() < seconds + START_S:
                problems.append("no time was left")
                break
            try:
                rates[how].append(_steps_s(name, where, seconds, watching if how == "watched" else None))
            except (ChildError, WatchError, NoFeedError) as problem:
                problems.append(str(problem))
        found[name] = {**rates, "ratio": _ratio(rates), "problems": problems}
    return found


def _steps_s(name: str, where: Where, seconds: float, watching: Watching | None) -> float:
    with Child(name, "base", seconds, where) as child:
        child.started(START_S * 2)
        if watching is not None:
            watch(watching.feed(), watching, seconds - 1.0, None)
        account = child.finish(seconds + START_S)
    return account.steps / account.wall_s


def _ratio(rates: dict[str, list[float]]) -> float | None:
    if not rates["alone"] or not rates["watched"]:
        return None
    return statistics.median(rates["watched"]) / statistics.median(rates["alone"])

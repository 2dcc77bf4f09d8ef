"""`--stacks`: looks inside the processes while the node is watched, and why one could not be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advisor.cli.diagnostics import note
from advisor.cli.session import Outcome, tree_pids

if TYPE_CHECKING:
    from advisor.looks import StackFeed
    from advisor.monitor import Monitor
    from advisor.telemetry.feed import Feed

LEAST_S = 2.0


def looking_inside(feed: Feed, duration_s: float, native: bool, pid: int | None) -> StackFeed:
    """The feed, with one look inside each device's main process; of `pid` and its children alone if given."""
    from advisor.looks import StackFeed, look_for
    from advisor.telemetry.stacks import SECONDS

    take = look_for(min(SECONDS, max(LEAST_S, duration_s / 2)), native)
    if pid is None:
        return StackFeed(feed, take)
    return StackFeed(feed, take, mine=lambda seen: seen in tree_pids(pid))


def last_looks(looks: StackFeed, monitor: Monitor, outcome: Outcome) -> None:
    """Take the looks that were not done when the time was over, and say what could not be seen."""
    for seen in looks.rest(0.0 if outcome.interrupted else None):
        monitor.feed(seen)
    for line in dict.fromkeys(_complaints(monitor)):
        note(line)


def _complaints(monitor: Monitor) -> list[str]:
    said: list[str] = []
    for track in monitor.tracks.values():
        if track.inside is not None and track.inside.stacks.missing:
            said.append(f"stacks of GPU {track.info.index}: {track.inside.stacks.missing}")
        elif track.inside is None:
            said.append(f"stacks of GPU {track.info.index}: no process that uses it could be seen")
    return said

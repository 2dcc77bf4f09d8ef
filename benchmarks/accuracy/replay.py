"""Replay: one recording through the product's own reader, monitor and rules, in each tier and ablation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from advisor.config import Config
from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.lines import RecordingError
from advisor.telemetry.records import DeviceInfo, End, Frame, Hello, HostSample, Message, Sample
from advisor.telemetry.replay import ReplayFeed
from benchmarks.accuracy.ablations import ABLATIONS, TIERS, View, seen_through
from benchmarks.accuracy.corpus import Problem, Recorded
from benchmarks.accuracy.rival import Rival, Seen
from benchmarks.workloads.spec import Truth
from rules.verdict import Verdict


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One recording's verdicts: tier -> verdict, (ablation, tier) -> verdict, rival -> class or None.

    rivals_named: rival -> the class it named most often, leaving out the looks at which it named none.

    synthetic: the header, the truth or the session says so.
    """

    recorded: Recorded
    synthetic: bool
    verdicts: dict[str, Verdict]
    ablated: dict[str, dict[str, Verdict]] = {}
    rivals: dict[str, str | None] = {}
    rivals_named: dict[str, str | None] = {}


class JudgingMonitor(Monitor):
    """The monitor, asked for verdicts alone: no ladder, no findings."""

    def verdicts(self) -> dict[str, Verdict]:
        """Key of each device -> its verdict."""
        return {key: self._judge(track, steady=False).verdict for key, track in self._shown().items()}


def replay_all(recorded: Recorded, rivals: Sequence[Rival], *, ablations: bool) -> Replayed | Problem:
    """Everything that is said of one recording; a Problem that names the file where it cannot be read."""
    try:
        messages = read_messages(recorded.path)
        key = subject_key(messages, recorded.truth)
        return _replay(recorded, messages, key, rivals, ablations)
    except (RecordingError, ValueError, ArithmeticError) as error:  # figures that no device gives
        return Problem(file=str(recorded.path), reason=str(error))


def _replay(
    recorded: Recorded, messages: Sequence[Message], key: str, rivals: Sequence[Rival], ablations: bool
) -> Replayed:
    ablated = {
        name: {tier: verdict_of(messages, key, TIERS[tier], view) for tier in tiers}
        for name, (_, tiers, view) in (ABLATIONS.items() if ablations else ())
    }
    seen, there = what_rivals_see(messages, key), [rival for rival in rivals if rival.missing is None]
    return Replayed(
        recorded=recorded,
        synthetic=recorded.synthetic or header(messages).synthetic,
        verdicts={tier: verdict_of(messages, key, view) for tier, view in TIERS.items()},
        ablated=ablated,
        rivals={rival.name: said_by(rival.classify, seen) for rival in there},
        rivals_named={rival.name: said_by(rival.named, seen) for rival in there},
    )


def read_messages(path: Path) -> list[Message]:
    """The whole stream as fast as it can be read. Raises RecordingError for a file that is not whole.

    A verdict on half a recording says nothing of the truth of all of it, so a damaged one is left out.
    """
    feed = ReplayFeed(path, speed=0)
    try:
        messages: list[Message] = [feed.start()]
        while not isinstance(messages[-1], End):
            messages += feed.poll(0.0)
        if feed.warnings:
            raise RecordingError(f"is not whole: {feed.warnings[0]}", "record it again")
        return messages
    finally:
        feed.close()


def header(messages: Sequence[Message]) -> Hello:
    """The stream's first message."""
    first = messages[0]
    if not isinstance(first, Hello):
        raise ValueError("a stream starts with its header")
    return first


def subject_key(messages: Sequence[Message], truth: Truth) -> str:
    """The device the workload ran on: where its process was seen, else the only or the first one."""
    devices = [d for d in header(messages).devices if not d.mig_enabled]
    if not devices:
        raise ValueError("holds no device")
    pid = truth.base.pid
    looks = [p for m in messages if isinstance(m, Frame) for p in m.processes or ()]
    known = {d.key for d in devices}
    mine = (p.key for p in looks if p.pid == pid and p.key in known)
    return next(mine, devices[0].key)


def verdict_of(messages: Sequence[Message], key: str, *views: View) -> Verdict:
    """The verdict on one device of the stream as seen through these views."""
    monitor = JudgingMonitor(MonitorOptions(window_s=None, source="replay", config=Config(), env={}))
    for message in seen_through(messages, *views):
        monitor.feed(message)
    found = monitor.verdicts().get(key)
    if found is None:
        raise ValueError("the device it is about is not in its stream")
    return found


def said_by(asked: Callable[[Seen], str | None], seen: Seen) -> str | None:
    """The class a rival names; none where its own code fails on the recording."""
    try:
        return asked(seen)
    except Exception:
        return None


def what_rivals_see(messages: Sequence[Message], key: str) -> Seen:
    """The same samples, one a second, as rivals poll them."""
    frames = [m for m in messages if isinstance(m, Frame)]
    return Seen(
        info=_info(header(messages).devices, key),
        samples=tuple(_of(key, frames)),
        host=tuple(_hosts(frames)),
    )


def _info(devices: Iterable[DeviceInfo], key: str) -> DeviceInfo:
    return next(d for d in devices if d.key == key)


def _of(key: str, frames: Iterable[Frame]) -> list[Sample]:
    return [s for frame in frames for s in frame.samples if s.key == key]


def _hosts(frames: Iterable[Frame]) -> list[HostSample]:
    return [frame.host for frame in frames if frame.host is not None]

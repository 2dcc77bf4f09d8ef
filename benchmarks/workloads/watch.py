"""Watching one device as the program does: its own feed, monitor and recorder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec

from advisor.ceilings import CeilingsFeed
from advisor.document import Diagnosis
from advisor.monitor import Monitor, MonitorOptions
from advisor.store import Store
from advisor.telemetry.feed import Feed
from advisor.telemetry.recorder import Recorder
from advisor.telemetry.records import DeviceInfo, End, Frame, Hello, Message
from advisor.telemetry.sampler import LiveFeed

INTERVAL_S = 1.0
# The part of the ticks at which the device has to answer.
ANSWERED = 0.5
DRY_NOTE = "tiny workloads on the CPU beside the driver's answers: a test of the recorder, no measurement"


class WatchError(Exception):
    """Nothing came of watching; the message says why."""


class Watching(NamedTuple):
    """What to watch. key: UUID of the device that is kept of the stream; dry: label it as synthetic."""

    key: str
    gpm_interval_s: float
    store: Store
    dry: bool = False

    def feed(self) -> Feed:
        """A new live feed with this card's measured ceilings in it."""
        live = LiveFeed(interval_s=INTERVAL_S, gpm_interval_s=self.gpm_interval_s)
        return CeilingsFeed(live, self.store, lambda problem: print(problem, flush=True))


class Watched(NamedTuple):
    """hello: as recorded. samples: how often the device answered. pids: who used it. diagnosis: what came of
    it."""

    hello: Hello
    samples: int
    pids: frozenset[int]
    diagnosis: Diagnosis


def watch(feed: Feed, watching: Watching, seconds: float, path: Path | None) -> Watched:
    """Watch for `seconds` and record to `path`.

    Raises WatchError where the device answered for less than half of the time, or the feed ended; and what
    feed and recorder raise.
    """
    monitor = Monitor(MonitorOptions(command="benchmarks/workloads/record.py"))
    samples, pids = 0, set[int]()
    try:
        hello = _header(feed.start(), watching)
        monitor.feed(hello)
        with Recorder(path, overwrite=True) if path else nullcontext() as recorder:
            if recorder:
                recorder.write(hello)
            for message in _heard(feed, seconds):
                kept = of_device(message, watching.key)
                samples += _answers(kept)
                pids |= _pids(kept)
                monitor.feed(kept)
                if recorder:
                    recorder.write(kept)
    finally:
        feed.close()
    if samples < max(1.0, ANSWERED * seconds / INTERVAL_S):
        raise WatchError(f"the device answered {samples} times in {seconds:.0f} s")
    return Watched(hello, samples, frozenset(pids), monitor.diagnosis())


def _heard(feed: Feed, seconds: float) -> Iterator[Message]:
    """What comes within `seconds`. Raises WatchError where the feed ends by itself before."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for message in feed.poll(min(0.25, left)):
            if isinstance(message, End):
                raise WatchError(f"the feed ended: {message.reason}")
            if not isinstance(message, Hello):
                yield message


def _header(hello: Hello, watching: Watching) -> Hello:
    key = watching.key
    kept = msgspec.structs.replace(
        hello,
        devices=_only(hello.devices, key),
        ceilings={k: c for k, c in hello.ceilings.items() if k == key},
    )
    return msgspec.structs.replace(kept, synthetic=True, note=DRY_NOTE) if watching.dry else kept


def _answers(message: Message) -> int:
    return sum(sample.state == "ok" for sample in message.samples) if isinstance(message, Frame) else 0


def _pids(message: Message) -> set[int]:
    return {p.pid for p in message.processes or ()} if isinstance(message, Frame) else set()


def _only(devices: tuple[DeviceInfo, ...], key: str) -> tuple[DeviceInfo, ...]:
    return tuple(info for info in devices if info.key == key)


def of_device(message: Message, key: str) -> Message:
    """The message without the node's other devices."""
    if not isinstance(message, Frame):
        return message
    return msgspec.structs.replace(
        message,
        samples=tuple(sample for sample in message.samples if sample.key == key),
        processes=None if message.processes is None else tuple(p for p in message.processes if p.key == key),
        devices=None if message.devices is None else _only(message.devices, key),
        ceilings={k: c for k, c in message.ceilings.items() if k == key},
    )


def node(watching_gpm_s: float) -> Hello:
    """What the driver lists here. Raises NoFeedError where nothing can be measured."""
    feed = LiveFeed(interval_s=INTERVAL_S, gpm_interval_s=watching_gpm_s)
    try:
        return feed.start()
    finally:
        feed.close()

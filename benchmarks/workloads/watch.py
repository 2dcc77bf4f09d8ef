"""Watching one device as the program does: its own feed, monitor and recorder."""

from __future__ import annotations

import time
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
from advisor.telemetry.records import DeviceInfo, Frame, Hello, Message
from advisor.telemetry.sampler import LiveFeed

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
        live = LiveFeed(interval_s=1.0, gpm_interval_s=self.gpm_interval_s)
        return CeilingsFeed(live, self.store, lambda problem: print(problem, flush=True))


class Watched(NamedTuple):
    """hello: as recorded. samples: how many of the device came. diagnosis: what `advisor` made of it."""

    hello: Hello
    samples: int
    diagnosis: Diagnosis


def watch(feed: Feed, watching: Watching, seconds: float, path: Path | None) -> Watched:
    """Watch for `seconds` and record to `path`. Raises WatchError where no sample of the device came, and
    what feed and recorder raise."""
    monitor = Monitor(MonitorOptions(command="benchmarks/workloads/record.py"))
    samples = 0
    try:
        hello = _header(feed.start(), watching)
        monitor.feed(hello)
        with Recorder(path, overwrite=True) if path else nullcontext() as recorder:
            if recorder:
                recorder.write(hello)
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                for message in feed.poll(min(0.25, left)):
                    if isinstance(message, Hello):
                        continue
                    kept = of_device(message, watching.key)
                    samples += len(kept.samples) if isinstance(kept, Frame) else 0
                    monitor.feed(kept)
                    if recorder:
                        recorder.write(kept)
    finally:
        feed.close()
    if not samples:
        raise WatchError("the driver gave no sample of the device")
    return Watched(hello, samples, monitor.diagnosis())


def _header(hello: Hello, watching: Watching) -> Hello:
    key = watching.key
    kept = msgspec.structs.replace(
        hello,
        devices=_only(hello.devices, key),
        ceilings={k: c for k, c in hello.ceilings.items() if k == key},
    )
    return msgspec.structs.replace(kept, synthetic=True, note=DRY_NOTE) if watching.dry else kept


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
    feed = LiveFeed(interval_s=1.0, gpm_interval_s=watching_gpm_s)
    try:
        return feed.start()
    finally:
        feed.close()

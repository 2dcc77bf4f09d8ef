"""Looks inside processes travel beside the stream: into evidence, a recording and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from advisor.looks import StackFeed
from advisor.monitor import Monitor, MonitorOptions
from advisor.pump import MonitorThread
from advisor.telemetry.recorder import Recorder
from advisor.telemetry.recording_reader import read_recording
from advisor.telemetry.records import End, Frame, Hello, Message, ProcessSample, StackLook
from rules.stacks import StackGroup, Stacks
from tests import factories as make

KEY = make.device_key(0)


def process(pid: int, key: str = KEY, gib: int = 1) -> ProcessSample:
    return ProcessSample(key=key, pid=pid, name="train.py", mem_used_bytes=gib << 30)


def seen(pid: int, frame: str = "f (/home/alice/train.py:3)") -> Stacks:
    group = StackGroup(activity="lock", frac=1.0, thread="MainThread", main=True, frame=frame)
    return Stacks(pid=pid, tool="py-spy 0.4.3", samples=500, seconds=5.0, groups=(group,))


class Scripted:
    """A feed of given messages, one a poll."""

    def __init__(self, messages: list[Message]) -> None:
        self.left = messages
        self.closed = False

    def start(self, timeout_s: float = 10.0) -> Hello:
        return make.make_hello()

    def poll(self, timeout_s: float) -> list[Message]:
        return [self.left.pop(0)] if self.left else []

    def close(self) -> None:
        self.closed = True


def frame(seq: int, *processes: ProcessSample) -> Frame:
    samples = (make.make_sample(t_s=make.T0_S + seq),)
    return Frame(seq=seq, t_s=make.T0_S + seq, samples=samples, processes=processes)


def test_each_devices_main_process_is_looked_at_once() -> None:
    asked: list[int] = []

    def take(pid: int, stop: Callable[[], bool]) -> Stacks:
        asked.append(pid)
        return seen(pid)

    other = "GPU-other"
    first = frame(1, process(7), process(8, gib=40), process(8, other), process(9, "GPU-unwanted"))
    source = Scripted([first, frame(2, process(8, gib=40)), frame(3)])
    feed = StackFeed(source, take, keys={KEY, other})
    got = [message for _ in range(3) for message in feed.poll(0.0)]
    got += feed.rest(10.0)
    feed.close()
    assert asked == [8]
    assert [m.seq for m in got if isinstance(m, Frame)] == [1, 2, 3]
    assert {m.key for m in got if isinstance(m, StackLook)} == {KEY, other}
    assert source.closed


def test_closing_ends_a_look_that_runs() -> None:
    def take(pid: int, stop: Callable[[], bool]) -> Stacks:
        while not stop():
            time.sleep(0.005)
        return seen(pid)

    feed = StackFeed(Scripted([frame(1, process(7))]), take)
    feed.poll(0.0)
    assert feed.rest(0.0) == []
    feed.close()
    assert not any(thread.is_alive() for thread in feed._threads)


def test_only_processes_that_are_mine() -> None:
    source = Scripted([frame(1, process(7, gib=9), process(8))])
    feed = StackFeed(source, lambda pid, _: seen(pid), mine=lambda pid: pid == 8)
    got = [*feed.poll(0.0), *feed.rest(10.0)]
    assert [message.stacks.pid for message in got if isinstance(message, StackLook)] == [8]


def monitored(*messages: Message) -> Monitor:
    monitor = Monitor(MonitorOptions(source="replay"))
    for message in (make.make_hello(), *messages):
        monitor.feed(message)
    return monitor


def inside(monitor: Monitor) -> Stacks | None:
    track = monitor.tracks[KEY]
    return track.evidence({}, make.T0_S, make.T0_S + 9).host.stacks


def test_a_look_reaches_the_evidence_of_its_process_alone() -> None:
    look = StackLook(t_s=make.T0_S + 2, key=KEY, stacks=seen(7))
    assert inside(monitored(frame(1, process(7)), look)) == look.stacks
    assert inside(monitored(frame(1, process(8)), look)) is None
    failed = StackLook(
        t_s=make.T0_S + 3, key=KEY, stacks=Stacks(pid=7, tool="t", samples=0, seconds=0, missing="x")
    )
    assert inside(monitored(frame(1, process(7)), look, failed)) == look.stacks
    assert inside(monitored(frame(1, process(7)), failed)) == failed.stacks
    gone = StackLook(t_s=make.T0_S + 2, key="GPU-gone", stacks=seen(7))
    assert inside(monitored(frame(1, process(7)), gone)) is None


def test_a_recording_keeps_it_without_homes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    look = StackLook(t_s=make.T0_S + 2, key=KEY, stacks=seen(7))
    end = End(t_s=make.T0_S + 3, reason="done")
    with Recorder(path) as recorder:
        for message in (make.make_hello(), frame(1, process(7)), look, end):
            recorder.write(message)
    with read_recording(path) as reader:
        kept = [message for message in reader if isinstance(message, StackLook)]
    assert [k.stacks.groups[0].frame for k in kept] == ["f (train.py:3)"]
    assert "alice" not in path.read_text()
    assert reader.warnings == []


def test_a_replay_says_that_its_processes_are_elsewhere() -> None:
    feed = Scripted([frame(1, process(7))])
    monitor = Monitor(MonitorOptions(source="replay"))
    thread = MonitorThread(feed, monitor, make.make_hello())
    try:
        assert "recording" in (thread.look_inside(KEY, lambda: False).missing or "")
    finally:
        thread.close()


def test_a_live_look_without_a_process_says_so() -> None:
    thread = MonitorThread(Scripted([]), Monitor(MonitorOptions(source="live")), make.make_hello())
    try:
        assert "no process" in (thread.look_inside(KEY, lambda: False).missing or "")
        deadline = time.monotonic() + 10
        while thread.snapshot().devices[0].inside is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        thread.close()

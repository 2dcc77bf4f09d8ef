"""The thread between a feed and a screen: failures, recordings, pauses, replays and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor import pump
from advisor.monitor import Monitor, MonitorOptions
from advisor.pump import MonitorThread, Sink, Tape, let_time_pass
from advisor.snapshot import Snapshot
from advisor.telemetry.recording import Recorder, RecordingError, ReplayFeed, read_recording
from advisor.telemetry.records import DeviceInfo, End, Frame, Gap, Hello, Message
from tests.advisor.cli.feeds import CannedFeed
from tests.advisor.streams import T0, device, frames, hello, sample

PATIENCE_S = 20.0
BUSY = {"dram_active": 0.9}
HELLO = hello(device(0))
FULL = RecordingError("the disk is full: writing x.jsonl stopped, the 3 messages before it are kept")


def until(true: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


def pump_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "advisor-pump"]


class GivenFeed(CannedFeed):
    """Gives what is put into `coming`."""

    def __init__(self, header: Hello = HELLO) -> None:
        super().__init__(header)
        self.problem_now: Exception | None = None

    def poll(self, timeout_s: float) -> list[Message]:
        if self.problem_now is not None:
            raise self.problem_now
        return super().poll(timeout_s)

    def give(self, *messages: Message) -> None:
        self.batches.append(list(messages))


class ListSink:
    """Keeps messages in memory; `failure` is raised instead, from then on."""

    def __init__(self) -> None:
        self.kept: list[Message] = []
        self.failure: Exception | None = None
        self.closed = 0
        self.writing = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def write(self, message: Message) -> None:
        assert not self.closed, "written after it was closed"
        self.writing.set()
        assert self.gate.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        assert not self.closed, "closed while it was written"
        self.kept.append(message)

    def close(self) -> None:
        self.closed += 1


Pump = Callable[..., MonitorThread]


@pytest.fixture
def pumped() -> Iterator[Pump]:
    """Makes pumps and closes them; none leaves a thread behind."""
    made: list[MonitorThread] = []

    def make(feed: Any, source: Any = "live", monitor: Monitor | None = None, **more: Any) -> MonitorThread:
        options = MonitorOptions(source=source, env={}, price_flag=4.0, window_s=60.0)
        header = more.pop("header", HELLO)
        made.append(MonitorThread(feed, monitor or Monitor(options), header, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert not pump_threads()


def recorders(*sinks: ListSink) -> Callable[[Path], Sink]:
    rest = iter(sinks)
    return lambda _path: next(rest)


def seen(source: MonitorThread, t_s: float) -> Callable[[], bool]:
    return lambda: source.snapshot().t_s >= t_s


# --- failures --------------------------------------------------------------------------------------


def test_a_monitor_that_explodes_leaves_the_last_picture_with_the_reason(pumped: Pump) -> None:
    class Exploding(Monitor):
        def feed(self, message: Message) -> None:
            if isinstance(message, Frame) and message.seq == 3:
                raise ZeroDivisionError("float division by zero")
            super().feed(message)

    feed, sink, news = GivenFeed(), ListSink(), threading.Event()
    source = pumped(
        feed, monitor=Exploding(MonitorOptions(source="live", env={})), open_recorder=recorders(sink)
    )
    source.subscribe(news)
    source.start_recording(Path("x"))
    feed.give(*frames(BUSY, 2))
    until(seen(source, T0 + 2))
    news.clear()
    feed.give(*frames(BUSY, 1, start=3))
    assert news.wait(PATIENCE_S)
    until(lambda: source.snapshot().stale)
    last = source.snapshot()
    assert last.stale == "advisor failed: ZeroDivisionError: float division by zero"
    assert last.t_s == T0 + 2 and last.devices[0].sample is not None
    assert source.recording_problem == last.stale
    assert sink.closed == 1
    until(lambda: not pump_threads())


def test_a_snapshot_or_a_feed_that_fails_is_said(pumped: Pump) -> None:
    class Blind(Monitor):
        def snapshot(self) -> Snapshot:
            if self._now_s > T0:
                raise KeyError("GPU-1")
            return super().snapshot()

    feed = GivenFeed()
    blind = pumped(feed, monitor=Blind(MonitorOptions(source="live", env={})))
    feed.give(*frames(BUSY, 1))
    until(lambda: blind.snapshot().stale == "advisor failed: KeyError: 'GPU-1'")
    broken = GivenFeed()
    source = pumped(broken)
    broken.problem_now = OSError("pipe broke")
    until(lambda: source.snapshot().stale == "advisor failed: OSError: pipe broke")


def test_reading_that_is_stuck_is_said_until_it_goes_on(
    pumped: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "STUCK_S", 0.4)
    feed, sink = GivenFeed(), ListSink()
    source = pumped(feed, open_recorder=recorders(sink))
    source.start_recording(Path("x"))
    sink.gate.clear()
    feed.give(*frames(BUSY, 1))
    until(lambda: "advisor is stuck" in (source.snapshot().stale or ""))
    sink.gate.set()
    until(lambda: source.snapshot().stale is None and source.snapshot().t_s == T0 + 1)
    assert source.snapshot() is source.snapshot()


# --- recordings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [FULL, OSError(28, "No space left on device"), ValueError("no UTF-8")])
def test_a_full_disk_ends_the_recording_and_not_the_screen(pumped: Pump, failure: Exception) -> None:
    feed, sink, again, news = GivenFeed(), ListSink(), ListSink(), threading.Event()
    source = pumped(feed, open_recorder=recorders(sink, again))
    source.subscribe(news)
    source.start_recording(Path("x"))
    sink.failure = failure
    feed.give(*frames(BUSY, 1))
    until(lambda: source.recording_problem)
    assert source.recording_problem == str(failure)
    assert news.wait(PATIENCE_S)
    assert sink.closed == 1
    feed.give(*frames(BUSY, 3, start=2))
    until(seen(source, T0 + 4))
    assert source.snapshot().stale is None
    source.start_recording(Path("y"))
    until(lambda: source.recording_problem is None)
    feed.give(*frames(BUSY, 1, start=5))
    until(lambda: len(again.kept) == 2)


def test_a_disk_that_is_really_full(pumped: Pump) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    source = pumped(GivenFeed(), open_recorder=lambda path: Recorder(path, overwrite=True))
    with pytest.raises(RecordingError, match="disk is full"):
        source.start_recording(full)
    source.stop_recording()


def test_a_file_that_cannot_be_made_leaves_the_running_recording(pumped: Pump, tmp_path: Path) -> None:
    feed = GivenFeed()
    source = pumped(feed, open_recorder=Recorder)
    source.start_recording(tmp_path / "good.jsonl")
    with pytest.raises(RecordingError, match="does not exist"):
        source.start_recording(tmp_path / "absent" / "bad.jsonl")
    feed.give(*frames(BUSY, 2))
    until(seen(source, T0 + 2))
    source.stop_recording()
    with read_recording(tmp_path / "good.jsonl") as reader:
        assert [type(message).__name__ for message in reader] == ["Frame", "Frame", "End"]


def test_a_second_recording_finishes_the_first(pumped: Pump) -> None:
    feed, first, second = GivenFeed(), ListSink(), ListSink()
    source = pumped(feed, open_recorder=recorders(first, second))
    source.start_recording(Path("x"))
    source.start_recording(Path("y"))
    assert (first.closed, second.closed) == (1, 0)
    source.stop_recording()
    source.stop_recording()
    assert (first.closed, second.closed) == (1, 1)


def test_what_cannot_be_recorded_says_so(pumped: Pump) -> None:
    with pytest.raises(OSError, match="cannot be recorded"):
        pumped(GivenFeed()).start_recording(Path("x"))


def test_stopping_waits_for_the_message_that_is_being_written(pumped: Pump) -> None:
    feed, sink = GivenFeed(), ListSink()
    source = pumped(feed, open_recorder=recorders(sink))
    source.start_recording(Path("x"))
    sink.writing.clear()
    sink.gate.clear()
    feed.give(*frames(BUSY, 3))
    assert sink.writing.wait(PATIENCE_S)
    stopping = threading.Thread(target=source.stop_recording)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive() and sink.closed == 0
    sink.gate.set()
    stopping.join(PATIENCE_S)
    assert sink.closed == 1
    until(seen(source, T0 + 3))
    assert source.recording_problem is None


def test_a_recording_begins_with_the_present_time_and_devices(pumped: Pump, tmp_path: Path) -> None:
    feed = GivenFeed()
    source = pumped(feed, open_recorder=lambda path: Recorder(path, redact=False))
    both: tuple[DeviceInfo, ...] = (device(0), device(1, name="NVIDIA H200"))
    feed.give(*frames(BUSY, 3000))
    late = Frame(
        seq=3001, t_s=T0 + 3001, devices=both, samples=tuple(sample(d, T0 + 3001, BUSY) for d in both)
    )
    feed.give(late)
    until(seen(source, T0 + 3001))
    source.start_recording(tmp_path / "x.jsonl")
    feed.give(*frames(BUSY, 2, *both, start=3002))
    until(seen(source, T0 + 3003))
    source.stop_recording()
    with read_recording(tmp_path / "x.jsonl") as reader:
        assert reader.hello.t_s == T0 + 3001
        assert reader.hello.devices == both
        assert reader.hello.host == HELLO.host
        messages = list(reader)
    assert [m.t_s for m in messages[:2]] == [T0 + 3002, T0 + 3003]
    assert isinstance(messages[-1], End) and messages[-1].reason == "stopped by the user"


def test_a_recording_that_begins_in_a_silence_says_so() -> None:
    tape, sink = Tape(HELLO), ListSink()
    silent = Gap(t_s=T0 + 5, kind="silent", reason="driver not answering since 14:02:31")
    begin = time.time()
    assert tape.take(silent)
    tape.begin(sink)
    header, gap = sink.kept
    assert isinstance(header, Hello) and begin <= header.t_s <= time.time()
    assert gap == Gap(t_s=header.t_s, kind="silent", reason=silent.reason)


def test_the_end_of_the_stream_is_recorded_once() -> None:
    tape, sink = Tape(HELLO), ListSink()
    tape.begin(sink)
    tape.take(End(t_s=T0 + 9, reason="gave up", error=True))
    tape.end("stopped by the user")
    assert [m.reason for m in sink.kept if isinstance(m, End)] == ["gave up"]
    assert sink.closed == 1


# --- pause, news and the end -----------------------------------------------------------------------


def test_a_pause_freezes_the_picture_and_not_the_recording(pumped: Pump) -> None:
    feed, sink = GivenFeed(), ListSink()
    source = pumped(feed, open_recorder=recorders(sink))
    source.start_recording(Path("x"))
    source.pause(True)
    feed.give(*frames(BUSY, 4))
    until(lambda: len(sink.kept) == 5)
    frozen = source.snapshot()
    time.sleep(0.3)
    assert source.snapshot() is frozen and frozen.t_s == T0
    source.pause(False)
    until(seen(source, T0 + 4))


def test_a_stream_that_ends_in_a_pause_shows_its_end_afterwards(pumped: Pump) -> None:
    feed = GivenFeed()
    source = pumped(feed)
    source.pause(True)
    feed.give(*frames(BUSY, 4), End(t_s=T0 + 5, reason="the sampler gave up", error=True))
    until(lambda: not feed.batches)
    assert source.snapshot().ended is None
    source.pause(False)
    until(lambda: source.snapshot().ended == "the sampler gave up")
    until(lambda: not pump_threads())


def test_a_gap_is_news_at_once(pumped: Pump) -> None:
    feed, news = GivenFeed(), threading.Event()
    source = pumped(feed)
    source.subscribe(news)
    feed.give(*frames(BUSY, 3))
    until(seen(source, T0 + 3))
    news.clear()
    feed.give(Gap(t_s=T0 + 3, kind="silent", reason="driver not answering since 22:13:23"))
    assert news.wait(PATIENCE_S)
    assert source.snapshot().stale == "driver not answering since 22:13:23"
    assert source.snapshot().devices[0].state == "silent"


def test_a_silence_grows_while_it_lasts(pumped: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "SILENCE_S", 0.05)
    feed = GivenFeed(hello(t_s=time.time() - 9.0))
    source = pumped(feed, header=feed.header)
    feed.give(Gap(t_s=feed.header.t_s, kind="silent", reason="driver not answering"))
    until(lambda: source.snapshot().stale)
    first = source.snapshot().t_s
    until(lambda: source.snapshot().t_s > first)


def test_much_news_is_drawn_a_few_times_a_second(pumped: Pump) -> None:
    feed, pictures = GivenFeed(), set[int]()
    source = pumped(feed)
    for message in frames(BUSY, 300):
        feed.give(message)
    begin = time.monotonic()
    while source.snapshot().t_s < T0 + 300:
        pictures.add(id(source.snapshot()))
        assert time.monotonic() - begin < PATIENCE_S
        time.sleep(0.001)
    assert len(pictures) <= 2 + (time.monotonic() - begin) / pump.PUBLISH_S


def test_close_leaves_no_thread_and_may_be_repeated() -> None:
    feed, sink = GivenFeed(), ListSink()
    source = MonitorThread(feed, Monitor(MonitorOptions(env={})), HELLO, open_recorder=lambda _path: sink)
    assert len(pump_threads()) == 1
    source.start_recording(Path("x"))
    source.close()
    source.close()
    assert not pump_threads()
    assert sink.closed == 1 and feed.closed >= 1


# --- replays ---------------------------------------------------------------------------------------


def recording(path: Path, *messages: Message) -> Path:
    with Recorder(path) as recorder:
        recorder.write(HELLO)
        for message in messages:
            recorder.write(message)
    return path


def test_a_replay_goes_through_to_its_end(pumped: Pump, tmp_path: Path) -> None:
    feed = ReplayFeed(recording(tmp_path / "x.jsonl", *frames(BUSY, 12)), speed=100.0)
    source = pumped(feed, source="replay", header=feed.start())
    until(lambda: source.snapshot().ended)
    shown = source.snapshot()
    assert (shown.mode, shown.t_s, shown.ended) == ("replay", T0 + 12, "end of the recording")
    assert shown.devices[0].verdict is not None and shown.devices[0].verdict.class_ == "memory"


def test_a_paused_replay_stands_still(pumped: Pump, tmp_path: Path) -> None:
    feed = ReplayFeed(recording(tmp_path / "x.jsonl", *frames(BUSY, 2000)), speed=50.0)
    source = pumped(feed, source="replay", header=feed.start())
    until(seen(source, T0 + 2))
    source.pause(True)
    assert feed.paused
    time.sleep(0.1)
    position = feed.position_s
    time.sleep(0.2)
    assert feed.position_s == position
    source.pause(False)
    until(seen(source, T0 + position + 2))


def test_a_looped_replay_is_never_silent(pumped: Pump, tmp_path: Path) -> None:
    feed = ReplayFeed(recording(tmp_path / "x.jsonl", *frames(BUSY, 20)), speed=40.0, loop=True)
    source = pumped(feed, source="demo", header=feed.start())
    while source.snapshot().t_s < T0 + 70:
        shown = source.snapshot()
        assert (shown.stale, shown.paused) == (None, False)
        assert [view.state for view in shown.devices] in (["waiting"], ["ok"])
        assert "DEV005" not in {found.code for found in shown.diagnosis.findings}
        time.sleep(0.002)
    history = source.snapshot().devices[0].history
    assert any(point.gap for point in history), "the seam is a hole in the chart"
    assert len([point for point in history if not point.gap]) > 20


def test_a_recorded_silence_is_as_long_as_recorded(pumped: Pump, tmp_path: Path) -> None:
    silent = Gap(t_s=T0 + 9, kind="silent", reason="driver not answering since 22:13:29")
    path = recording(tmp_path / "x.jsonl", *frames(BUSY, 9), silent, End(t_s=T0 + 12, reason="stopped"))
    feed = ReplayFeed(path, speed=100.0)
    source = pumped(feed, source="replay", header=feed.start())
    until(lambda: source.snapshot().ended)
    assert source.snapshot().t_s == T0 + 12
    claims = [found.claim for found in source.snapshot().diagnosis.findings if found.code == "DEV005"]
    assert len(claims) == 1 and " 3 s" in claims[0]


@pytest.mark.parametrize(("source", "grows"), [("live", True), ("run", True), ("replay", False)])
def test_the_clock_counts_on_a_live_node_alone(source: Any, grows: bool) -> None:
    monitor = Monitor(MonitorOptions(source=source, env={}))
    monitor.feed(HELLO)
    monitor.feed(Gap(t_s=T0 + 1, kind="silent", reason="driver not answering"))
    let_time_pass(monitor, [])
    assert (monitor.snapshot().t_s > T0 + 1) is grows

"""A replay gives the recorded messages at the recorded pace, faster, from a place, or round and round."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from advisor.telemetry.feed import Feed, NoFeedError
from advisor.telemetry.recording import RecordingError, ReplayFeed, demo_feed
from advisor.telemetry.records import DeviceInfo, End, Frame, Gap, Message
from advisor.telemetry.replay import LONGEST_WAIT_S
from tests.advisor.telemetry.streams import HELLO, frame, record


class Clock:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record(
        tmp_path / "x.jsonl", [*(frame(seq) for seq in range(10)), End(t_s=1009.0, reason="stopped")]
    )


def feed(path: Path, clock: Clock, speed: float = 1.0, seek_s: float = 0.0, loop: bool = False) -> ReplayFeed:
    made = ReplayFeed(path, speed, seek_s, loop, clock=clock, sleep=clock.sleep)
    made.start()
    return made


def seqs(messages: list[Message]) -> list[int]:
    return [message.seq for message in messages if isinstance(message, Frame)]


def drain(source: Feed, polls: int = 200) -> list[Message]:
    return [message for _ in range(polls) for message in source.poll(0.5)]


def test_frames_come_when_they_were_recorded(path: Path, clock: Clock) -> None:
    replay = feed(path, clock)
    seen = [(message.t_s - 1000, clock.now - 50) for _ in range(60) for message in replay.poll(0.4)]
    assert [recorded for recorded, _ in seen] == [*range(10), 9]
    assert all(0 <= now - recorded < 0.41 for recorded, now in seen)


def test_poll_waits_no_longer_than_told_nor_than_needed(path: Path, clock: Clock) -> None:
    replay = feed(path, clock)
    assert seqs(replay.poll(5)) == [0]
    assert clock.now == 50
    assert replay.poll(0.3) == []
    assert clock.now == pytest.approx(50.3)
    assert seqs(replay.poll(5)) == [1]
    assert clock.now == pytest.approx(51)


@pytest.mark.parametrize(("speed", "took_s"), [(2.0, 4.5), (0.5, 18.0), (90.0, 0.1)])
def test_speed(path: Path, clock: Clock, speed: float, took_s: float) -> None:
    replay = feed(path, clock, speed)
    while not any(isinstance(message, End) for message in replay.poll(1)):
        pass
    assert clock.now - 50 == pytest.approx(took_s)


@pytest.mark.parametrize("speed", [0.0, math.inf])
def test_as_fast_as_possible_never_sleeps(path: Path, clock: Clock, speed: float) -> None:
    messages = feed(path, clock, speed).poll(1)
    assert seqs(messages) == list(range(10))
    assert isinstance(messages[-1], End)
    assert clock.now == 50


def test_nothing_comes_after_the_end(path: Path, clock: Clock) -> None:
    replay = feed(path, clock, 0)
    assert [type(message) for message in drain(replay)].count(End) == 1
    assert replay.poll(0.1) == []


def test_an_end_is_made_where_the_recording_has_none(tmp_path: Path, clock: Clock) -> None:
    path = record(tmp_path / "x.jsonl", [frame(0), frame(1)])
    path.write_bytes(path.read_bytes()[:-10])
    replay = feed(path, clock)
    messages = drain(replay)
    assert seqs(messages) == [0]
    assert messages[-1] == End(t_s=1000.0, reason="end of the recording")
    assert "cut off" in replay.warnings[0]


def test_a_header_alone_ends_at_once(tmp_path: Path, clock: Clock) -> None:
    replay = feed(record(tmp_path / "x.jsonl", []), clock)
    assert replay.poll(1) == [End(t_s=HELLO.t_s, reason="end of the recording")]
    assert replay.duration_s == 0


def test_seek_carries_what_is_only_told_now_and_then(tmp_path: Path, clock: Clock) -> None:
    device = (DeviceInfo(key="GPU-1", index=1, name="Simulated GPU", uuid="GPU-1"),)
    frames = [frame(seq) for seq in range(10)]
    frames[2] = Frame(seq=2, t_s=1002.0, devices=device)
    replay = feed(record(tmp_path / "x.jsonl", frames), clock, seek_s=6.5)
    first = replay.poll(5)[0]
    assert clock.now == pytest.approx(50.5)
    assert isinstance(first, Frame)
    assert first.seq == 7
    assert first.devices == device
    assert first.processes == frames[5].processes
    assert first.host == frames[5].host
    assert replay.position_s == 7


def test_a_seek_past_the_end_is_refused(path: Path, clock: Clock) -> None:
    with pytest.raises(RecordingError, match="ends at 9 s") as caught:
        feed(path, clock, seek_s=100)
    assert caught.value.fix


@pytest.mark.parametrize(("speed", "seek_s"), [(-1.0, 0.0), (math.nan, 0.0), (1.0, -1.0), (1.0, math.nan)])
def test_impossible_paces_are_refused(path: Path, speed: float, seek_s: float) -> None:
    with pytest.raises(RecordingError):
        ReplayFeed(path, speed, seek_s).start()


def test_pause_holds_and_resume_goes_on(path: Path, clock: Clock) -> None:
    replay = feed(path, clock)
    assert seqs(replay.poll(1)) == [0]
    replay.pause()
    replay.pause()
    assert replay.paused
    assert replay.poll(30) == []
    assert clock.now == 80
    replay.resume()
    replay.resume()
    assert replay.poll(0.9) == []
    assert seqs(replay.poll(0.2)) == [1]


def test_a_loop_goes_on_in_time_and_marks_its_seam(path: Path, clock: Clock) -> None:
    replay = feed(path, clock, loop=True)
    messages = drain(replay, 60)
    assert seqs(messages)[:12] == [*range(10), 0, 1]
    assert not any(isinstance(message, End) for message in messages)
    stamps = [message.t_s for message in messages]
    assert stamps == sorted(stamps)
    again = [message for message in messages if isinstance(message, Frame)][10]
    assert again.t_s == again.samples[0].t_s == again.samples[0].gpm[0].t_s == 1010.0
    assert again.host is not None
    assert again.host.t_s == 1010.0
    seams = [place for place, message in enumerate(messages) if isinstance(message, Gap)]
    assert [messages[place].t_s for place in seams[:2]] == [1009.0, 1019.0]
    assert {message.kind for message in messages if isinstance(message, Gap)} == {"paused"}
    assert all(isinstance(messages[place + 1], Frame) for place in seams)
    assert 0 <= replay.position_s <= replay.duration_s


def test_long_holes_and_clocks_that_jump_are_not_sat_through(tmp_path: Path, clock: Clock) -> None:
    stamps = [1000.0, 1e9, 5.0, 6.0]
    path = record(tmp_path / "x.jsonl", [frame(seq, t_s=t_s) for seq, t_s in enumerate(stamps)])
    replay = feed(path, clock)
    assert seqs(drain(replay, 1000)) == [0, 1, 2, 3]
    assert replay.duration_s == replay.position_s == LONGEST_WAIT_S + 1


def test_position_and_duration(path: Path, clock: Clock) -> None:
    replay = feed(path, clock)
    assert replay.duration_s == 9
    clock.now += 4.2
    replay.poll(0)
    assert replay.position_s == 4


def test_a_replay_is_a_feed_and_its_errors_are_a_feeds(tmp_path: Path) -> None:
    source: Feed = ReplayFeed(tmp_path / "none.jsonl")
    with pytest.raises(NoFeedError):
        source.start()
    source.close()
    source.close()
    assert source.poll(0) == []


def test_without_a_bundled_demo_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(RecordingError, match="demo"):
        demo_feed().start()
    record(tmp_path / "demo.jsonl.gz", [frame(0)])
    assert demo_feed(speed=0).start().synthetic

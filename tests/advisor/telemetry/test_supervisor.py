"""Deadlines, restarts and gaps, with small scripts in the worker's place."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from advisor.telemetry import supervisor as supervising
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import DeviceInfo, End, Frame, Gap, Hello, HostInfo, Message
from advisor.telemetry.sampler import LiveFeed
from advisor.telemetry.supervisor import Continuity, CrashBudget, Supervisor, late_after_s, worker_command

PATIENCE_S = 20.0


def hello(*names: str) -> Hello:
    devices = tuple(DeviceInfo(key=name, index=i, name=name, uuid=name) for i, name in enumerate(names))
    return Hello(t_s=1.0, advisor_version="0", host=HostInfo(host="h"), devices=devices)


def line(message: Message) -> str:
    return msgspec.json.encode(message).decode()


def script(body: str) -> list[str]:
    """A worker that says hello and a frame, then does what `body` says."""
    start = f"print({line(hello('a'))!r}); print({line(Frame(seq=0, t_s=1.0))!r}, flush=True)"
    return [sys.executable, "-S", "-c", f"import os, sys, time, signal\n{start}\n{body}\n"]


@contextmanager
def supervised(command: list[str], **deadlines: float) -> Iterator[list[Message]]:
    messages: list[Message] = []
    options = {"late_s": 0.3, "kill_after_s": 0.6, **deadlines}
    supervisor = Supervisor(command, messages.append, **options)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield messages
    finally:
        supervisor.stop()
        thread.join(PATIENCE_S)
        supervisor.release()
        assert not thread.is_alive()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def gaps(messages: list[Message]) -> list[Gap]:
    return [message for message in messages if isinstance(message, Gap)]


def ended(messages: list[Message]) -> bool:
    return bool(messages) and isinstance(messages[-1], End)


def test_silence_is_a_gap_that_a_frame_ends() -> None:
    later = f"time.sleep(1.0); print({line(Frame(seq=7, t_s=2.0))!r}, flush=True); time.sleep(60)"
    with supervised(script(later), kill_after_s=60.0) as messages:
        until(lambda: sum(isinstance(m, Frame) for m in messages) == 2)
    kinds = [type(message).__name__ for message in messages[:4]]
    assert kinds == ["Hello", "Frame", "Gap", "Frame"]
    gap, frame = messages[2], messages[3]
    assert isinstance(gap, Gap) and gap.kind == "silent"
    assert gap.reason == f"driver not answering since {time.strftime('%H:%M:%S', time.localtime(gap.t_s))}"
    assert isinstance(frame, Frame) and frame.seq == 1


def test_a_hung_worker_is_killed_and_replaced() -> None:
    with supervised(script("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")) as messages:
        until(lambda: sum(isinstance(m, Frame) for m in messages) == 2)
    assert [gap.kind for gap in gaps(messages)][:2] == ["silent", "restart"]
    assert gaps(messages)[1].reason.startswith("sampler restarted: silent for 0.6 s, driver not answering")
    assert sum(isinstance(m, Hello) for m in messages) == 1
    assert [m.seq for m in messages if isinstance(m, Frame)][:2] == [0, 1]


def test_a_crash_is_a_gap_that_names_the_signal() -> None:
    with supervised(script("sys.stderr.write('boom\\n'); os.kill(os.getpid(), 11)")) as messages:
        until(lambda: sum(isinstance(m, Frame) for m in messages) == 2)
    assert gaps(messages)[0].kind == "restart"
    assert gaps(messages)[0].reason == "sampler restarted: was killed by SIGSEGV: boom"


def test_too_many_crashes_end_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "BACKOFF_S", (0.01,))
    with supervised(script("sys.exit(9)")) as messages:
        until(lambda: ended(messages))
    end = messages[-1]
    assert isinstance(end, End) and end.error
    assert "stopped 5 times" in end.reason and "exit code 9" in end.reason and end.fix
    assert len(gaps(messages)) == 4


def test_a_worker_that_gives_up_later_is_restarted_with_its_reason() -> None:
    farewell = line(End(t_s=2.0, reason="driver/library version mismatch", error=True, fix="reboot"))
    with supervised(script(f"print({farewell!r}, flush=True)")) as messages:
        until(lambda: gaps(messages))
    assert "driver/library version mismatch" in gaps(messages)[0].reason


def test_garbage_on_the_pipe_restarts_the_worker() -> None:
    with supervised(script("print('not json', flush=True); time.sleep(60)")) as messages:
        until(lambda: gaps(messages))
    assert "no message" in gaps(messages)[0].reason


def test_a_message_may_come_in_pieces() -> None:
    whole = line(Frame(seq=1, t_s=2.0))
    pieces = f"sys.stdout.write({whole[:9]!r}); sys.stdout.flush(); time.sleep(0.05); print({whole[9:]!r})"
    with supervised(script(f"{pieces}\nsys.stdout.flush(); time.sleep(60)"), late_s=30.0) as messages:
        until(lambda: sum(isinstance(m, Frame) for m in messages) == 2)


def test_what_cannot_be_started_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "BACKOFF_S", (0.01,))
    with supervised(["/nonexistent/worker"]) as messages:
        until(lambda: ended(messages))
    assert isinstance(messages[0], End) and "could not be started" in messages[0].reason


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    stubborn = f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with supervised(script(stubborn), late_s=30.0):
        until(lambda: pid_file.exists() and pid_file.read_text())
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_wake_up_pipe_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with supervised(script("sys.stdin.read()")) as messages:
            until(lambda: messages)
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def test_start_says_that_the_driver_does_not_answer() -> None:
    feed = LiveFeed(command=[sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    with pytest.raises(NoFeedError, match=r"does not answer \(waited 0.3 s\)") as caught:
        feed.start(timeout_s=0.3)
    assert "dmesg" in caught.value.fix
    feed.close()


def test_start_says_why_the_sampler_does_not_start() -> None:
    feed = LiveFeed(command=[sys.executable, "-S", "-c", "import sys; sys.exit('no such thing')"])
    with pytest.raises(NoFeedError, match="no such thing"):
        feed.start(timeout_s=1.0)


def test_start_passes_on_what_the_worker_cannot_do() -> None:
    farewell = line(End(t_s=2.0, reason="no NVIDIA driver found", error=True, fix="Install it."))
    feed = LiveFeed(command=[sys.executable, "-S", "-c", f"print({farewell!r})"])
    with pytest.raises(NoFeedError, match="no NVIDIA driver found") as caught:
        feed.start(timeout_s=PATIENCE_S)
    assert caught.value.fix == "Install it."


def test_poll_keeps_its_time_and_is_empty_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "BACKOFF_S", (0.01,))
    feed = LiveFeed(command=script("sys.exit(1)"))
    feed.start(PATIENCE_S)
    seen: list[Message] = []
    while not ended(seen):
        seen += feed.poll(1.0)
    assert feed.poll(10.0) == []
    feed.close()
    feed.close()


def test_one_stream_of_several_workers() -> None:
    continuity = Continuity()
    first = hello("a", "b")
    assert continuity.greeted(first) is first
    assert continuity.framed(Frame(seq=0, t_s=1.0)).devices is None
    assert continuity.greeted(hello("a", "b")) is None
    assert continuity.framed(Frame(seq=0, t_s=2.0)) == Frame(seq=1, t_s=2.0)
    assert continuity.greeted(hello("a")) is None
    changed = continuity.framed(Frame(seq=0, t_s=3.0))
    assert changed.seq == 2 and changed.devices == hello("a").devices
    assert continuity.framed(Frame(seq=1, t_s=4.0)).devices is None


def test_devices_that_changed_within_a_worker_are_the_new_state() -> None:
    continuity = Continuity()
    continuity.greeted(hello("a", "b"))
    continuity.framed(Frame(seq=0, t_s=1.0, devices=hello("a").devices))
    continuity.greeted(hello("a"))
    assert continuity.framed(Frame(seq=0, t_s=2.0)).devices is None


def test_crashes_long_ago_are_forgiven() -> None:
    budget = CrashBudget()
    assert [budget.spend(s) for s in (0.0, 1.0, 2.0, 3.0)] == [0.5, 1.0, 2.0, 4.0]
    assert budget.spend(100.0) == 0.5
    assert [budget.spend(100.0 + s) for s in (1.0, 2.0, 3.0, 4.0)][-1] is None


STAMPS = """
import mmap
view = memoryview(mmap.mmap(int(os.environ["ADVISOR_PHASE_FD"]), mmap.PAGESIZE)).cast("d")
def at(phase, since): view[0], view[1] = since, phase
"""


def test_a_call_that_does_not_return_is_seen_long_before_a_frame_is_due() -> None:
    hang = STAMPS + "time.sleep(0.5); at(2, time.monotonic()); time.sleep(60)"
    with supervised(script(hang), late_s=3600.0) as messages:
        until(lambda: gaps(messages))
        seen_at = time.time()
    (gap,) = gaps(messages)
    assert gap.reason.startswith("driver not answering since ")
    assert 1.0 < seen_at - gap.t_s < PATIENCE_S


def test_slow_calls_are_no_gap_until_a_frame_is_late() -> None:
    slow = STAMPS + "while True: at(1, time.monotonic()); time.sleep(0.02)"
    with supervised(script(slow), late_s=2.5, kill_after_s=0.1) as messages:
        until(lambda: gaps(messages))
        time.sleep(1.0)
    (gap,) = gaps(messages)
    assert gap.reason.startswith("driver answers too slowly for a sample since ")
    assert sum(isinstance(m, Frame) for m in messages) == 1, "a slow driver is not killed"


def test_a_frame_may_be_late_by_three_intervals() -> None:
    assert late_after_s(1.0) == 10.0
    assert late_after_s(10.0) == 30.0


def test_the_command_keeps_the_working_folder_out() -> None:
    command = worker_command(1.0, 0.2, 5.0)
    assert command[:4] == [sys.executable, "-P", "-m", "advisor.telemetry.worker"]
    assert "--no-gpm" in worker_command(1.0, None, 5.0)

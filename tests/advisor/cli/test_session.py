"""One look at a node: durations, silence, ends, Ctrl-C, and processes watched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.cli.diagnostics import CliError, ExitCode
from advisor.cli.session import (
    Look,
    Outcome,
    collect,
    diagnosis_of,
    exit_of,
    make_monitor,
    reproduce,
    selected_keys,
    started,
    tree_pids,
)
from advisor.config import Config
from advisor.monitor import Monitor
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.recording import Recorder, ReplayFeed
from advisor.telemetry.records import End, Gap, Hello, Message
from tests.advisor.cli.feeds import CannedFeed, InterruptedFeed
from tests.advisor.streams import T0, device, frames, hello, process

HELLO = hello(device(0), device(1))
BUSY = {"gr_active": 1.0, "dram_active": 0.9}


def monitor_for(header: Hello = HELLO, **look: object) -> Monitor:
    return make_monitor(header, Look(source="replay", **look), Config())  # type: ignore[arg-type]


def test_a_stream_that_ends_is_read_to_its_end() -> None:
    feed = CannedFeed(HELLO, [list(frames(BUSY, 8, *HELLO.devices)), [End(t_s=T0 + 9, reason="over")]])
    monitor = monitor_for()
    outcome = collect(feed, monitor, HELLO, None)
    assert (outcome.frames, outcome.interrupted) == (8, False)
    assert outcome.ended is not None
    assert [v.gpu for v in diagnosis_of(monitor, outcome).verdicts] == [0, 1]
    assert exit_of(outcome) is ExitCode.OK


def test_it_takes_its_duration_and_not_much_more() -> None:
    feed = CannedFeed(HELLO, [[message] for message in frames(BUSY, 2, *HELLO.devices)])
    begin = time.monotonic()
    outcome = collect(feed, monitor_for(), HELLO, 0.3)
    assert 0.3 <= time.monotonic() - begin < 5.0
    assert outcome.frames == 2
    assert max(feed.polls) <= 0.5


def test_a_driver_that_never_answers_ends_on_time_and_cannot_be_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silence = Gap(t_s=time.time(), kind="silent", reason="driver not answering since 14:02:31")
    monitor = monitor_for()
    begin = time.monotonic()
    outcome = collect(CannedFeed(HELLO, [[silence]]), monitor, HELLO, 0.3)
    assert time.monotonic() - begin < 5.0
    assert exit_of(outcome) is ExitCode.CANNOT_MEASURE
    assert "driver not answering since 14:02:31" in capsys.readouterr().err
    assert {v.class_ for v in diagnosis_of(monitor, outcome).verdicts} == {"unknown"}


@pytest.mark.parametrize(("ends", "silent_s"), [([], 0.0), ([End(t_s=T0 + 10, reason="stopped")], 2.0)])
def test_a_recording_that_ends_in_a_silence_is_no_longer_than_recorded(
    tmp_path: Path, ends: list[Message], silent_s: float
) -> None:
    silence = Gap(t_s=T0 + 8, kind="silent", reason="driver not answering since 22:13:28")
    with Recorder(tmp_path / "x.jsonl") as recorder:
        for message in (HELLO, *frames(BUSY, 8, *HELLO.devices), silence, *ends):
            recorder.write(message)
    feed = ReplayFeed(tmp_path / "x.jsonl", speed=0)
    monitor = monitor_for(feed.start())
    found = diagnosis_of(monitor, collect(feed, monitor, HELLO, None, label=""))
    assert found.provenance.t_end_s == T0 + 8 + silent_s
    for verdict in found.verdicts:
        assert verdict.shares["unknown"] == pytest.approx(silent_s / (8 + silent_s), abs=0.02)
        assert verdict.shares["memory"] > 0.7
        assert "not answer" in " ".join(verdict.unknown_because)


def test_a_silence_that_ended_is_no_failure() -> None:
    gap = Gap(t_s=T0 + 1, kind="restart", reason="restarted")
    outcome = collect(CannedFeed(HELLO, [[gap, *frames(BUSY, 2)]]), monitor_for(), HELLO, 0.1)
    assert outcome.silence == ""
    assert exit_of(outcome) is ExitCode.OK


def test_ctrl_c_keeps_what_was_seen() -> None:
    monitor = monitor_for()
    outcome = collect(InterruptedFeed(HELLO, [frames(BUSY, 6, *HELLO.devices)]), monitor, HELLO, 60.0)
    assert outcome.interrupted
    assert len(diagnosis_of(monitor, outcome).verdicts) == 2
    assert exit_of(outcome) is ExitCode.INTERRUPTED


def test_ctrl_c_before_any_data_says_so() -> None:
    monitor = monitor_for()
    outcome = collect(InterruptedFeed(HELLO), monitor, HELLO, 60.0)
    with pytest.raises(CliError) as caught:
        diagnosis_of(monitor, outcome)
    assert caught.value.code == ExitCode.INTERRUPTED


def test_stop_ends_it() -> None:
    answers = iter([False, False, True])
    feed = CannedFeed(HELLO)
    collect(feed, monitor_for(), HELLO, None, stop=lambda: next(answers))
    assert len(feed.polls) == 2


def test_an_early_end_with_an_error_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    ended = End(t_s=T0, reason="the worker died five times", error=True)
    assert exit_of(Outcome(frames=3, ended=ended)) is ExitCode.OK
    assert "the worker died five times" in capsys.readouterr().err
    assert exit_of(Outcome(frames=0, ended=ended)) is ExitCode.CANNOT_MEASURE


def test_a_watched_process_narrows_the_diagnosis_to_its_devices() -> None:
    mine, other = device(0), device(1)
    batch = [
        frame.__class__(
            **{
                **{f: getattr(frame, f) for f in frame.__struct_fields__},
                "processes": (process(mine.key, pid=os.getpid()), process(other.key, pid=2**22 + 1)),
            }
        )
        for frame in frames(BUSY, 6, mine, other)
    ]
    monitor = monitor_for()
    outcome = collect(CannedFeed(HELLO, [batch]), monitor, HELLO, 0.1, pid=os.getpid())
    assert outcome.keys == {mine.key}
    assert [v.key for v in diagnosis_of(monitor, outcome).verdicts] == [mine.key]


@pytest.fixture
def grandchild() -> Iterator[tuple[int, int]]:
    """PIDs of a shell of ours and of the sleeping process it started."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} -c 'import time; time.sleep(60)' & echo $!; wait"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    yield shell.pid, pid
    os.killpg(shell.pid, 9)
    shell.wait(10)
    shell.stdout.close()


def test_descendants_are_part_of_the_tree(grandchild: tuple[int, int]) -> None:
    shell, sleeper = grandchild
    assert {shell, sleeper} <= tree_pids(os.getpid())
    assert tree_pids(shell) == {shell, sleeper}


def test_a_process_that_is_gone_is_its_own_tree() -> None:
    assert tree_pids(2**22 + 1) == {2**22 + 1}


def test_no_feed_means_exit_code_3_and_closes_the_feed() -> None:
    feed = CannedFeed(HELLO, problem=NoFeedError("no NVIDIA driver found", "install it"))
    with pytest.raises(CliError) as caught, started(feed):
        pass
    assert (caught.value.code, caught.value.fix) == (ExitCode.CANNOT_MEASURE, "install it")
    assert feed.closed == 1


@pytest.mark.parametrize(("gpu", "keys"), [(None, None), ("1", frozenset({HELLO.devices[1].key}))])
def test_selection(gpu: str | None, keys: frozenset[str] | None) -> None:
    assert selected_keys(HELLO, Look(gpu=gpu)) == keys


def test_selection_of_what_is_not_there_is_bad_input() -> None:
    with pytest.raises(CliError) as caught:
        selected_keys(HELLO, Look(gpu="7"))
    assert caught.value.code == ExitCode.USAGE


def test_cuda_visible_devices_counts_on_a_live_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert selected_keys(HELLO, Look(source="live")) == frozenset({HELLO.devices[1].key})
    assert selected_keys(HELLO, Look(source="replay")) is None


def test_hiding_every_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(CliError, match="leaves no GPU visible") as caught:
        selected_keys(HELLO, Look(source="live"))
    assert caught.value.code == ExitCode.CANNOT_MEASURE


def test_the_command_line_can_be_pasted_into_a_shell() -> None:
    assert reproduce(["run", "--", "echo", "a b; rm"]) == "advisor run -- echo 'a b; rm'"

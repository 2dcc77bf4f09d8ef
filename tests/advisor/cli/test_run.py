"""`advisor run`: the command's streams, exit code and signals are its own, with or without a driver."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from subprocess import PIPE

import pytest

from advisor.cli import running
from advisor.cli.child import Child, in_foreground
from advisor.cli.delivery import Delivery
from advisor.cli.diagnostics import CliError
from advisor.cli.session import Look
from advisor.config import Config
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import Hello, Message
from tests.advisor.cli.feeds import CannedFeed
from tests.advisor.cli.harness import ADVISOR, advisor, without_driver
from tests.advisor.streams import device, frames, hello

HELLO = hello(device(0))
BUSY = {"gr_active": 1.0, "dram_active": 0.9}

# Says that it is ready, then on each signal its name; ends with 5 on SIGTERM.
LISTENER = """
import signal, sys, time
def heard(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(5)
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), heard)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_exit_code_passes_through_without_a_driver(tmp_path: Path, script: str, code: int) -> None:
    done = advisor("run", "--", "sh", "-c", f"echo result; {script}", env=without_driver(tmp_path))
    assert (done.returncode, done.stdout) == (code, "result\n")
    assert "runs unobserved" in done.stderr


def test_stdin_and_options_of_the_command_are_its_own(tmp_path: Path) -> None:
    done = advisor("run", "cat", "-n", env=without_driver(tmp_path), stdin="a\nb\n")
    assert done.stdout.split() == ["1", "a", "2", "b"]


@pytest.mark.parametrize(("program", "code"), [("no-such-program-here", 127), ("/", 126)])
def test_a_command_that_cannot_start(tmp_path: Path, program: str, code: int) -> None:
    done = advisor("run", "--", program, env=without_driver(tmp_path))
    assert done.returncode == code
    assert f"cannot run {program}" in done.stderr


def test_signals_reach_the_command(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*ADVISOR, "run", "--", sys.executable, "-c", LISTENER],
        env=without_driver(tmp_path),
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for number in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM"):
        process.send_signal(getattr(signal, number))
        assert process.stdout.readline() == f"{number}\n"
    assert process.wait(30) == 5
    process.communicate()


def test_ctrl_c_on_a_terminal_reaches_the_command_once(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        [*ADVISOR, "run", "--", sys.executable, "-c", LISTENER],
        env=without_driver(tmp_path),
        stdin=terminal,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.write(controller, b"\x03")
    assert process.stdout.readline() == "SIGINT\n"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    os.close(controller)
    assert (process.returncode, rest) == (5, "SIGTERM\n")


def test_without_a_terminal_nothing_comes_from_the_keyboard() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from advisor.cli.child import in_foreground as f; raise SystemExit(f())"],
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0


def test_keyboard_signals_are_not_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.cli.child.in_foreground", lambda: True)
    child = Child()
    try:
        child.start(["sleep", "0.3"])
        os.kill(os.getpid(), signal.SIGINT)
        assert child.wait() == 0
    finally:
        child.restore()


def test_signals_before_the_start_are_kept_for_the_command() -> None:
    child = Child()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        child.start(["sleep", "60"])
        assert child.wait() == 128 + signal.SIGTERM
    finally:
        child.restore()


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = Child()
    try:
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        child.start(["sh", "-c", "kill -HUP $$; exit 4"])
        assert child.wait() == 4
    finally:
        child.restore()
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    Child().restore()
    assert signal.getsignal(signal.SIGTERM) is before


class Observed:
    """Runs a command with a canned feed in the sampler's place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, feed: CannedFeed) -> None:
        monkeypatch.setattr(running, "live_feed", lambda _config: feed)
        self.feed = feed

    def __call__(self, *argv: str, wanted: Delivery | None = None) -> int:
        look = Look(source="run", command="advisor run -- " + " ".join(argv))
        return running.run_observed(argv, look, Config(), wanted or Delivery())


class EndlessFeed(CannedFeed):
    """A frame a poll, for as long as it is asked."""

    def __init__(self, header: Hello) -> None:
        super().__init__(header)
        self._next = 1

    def poll(self, timeout_s: float) -> list[Message]:
        time.sleep(min(timeout_s, 0.05))
        self._next += 1
        return list(frames(BUSY, 1, *self.header.devices, start=self._next))


def test_report_goes_to_stderr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    observed = Observed(monkeypatch, EndlessFeed(HELLO))
    assert observed("sh", "-c", "echo mine; sleep 0.5; exit 6", wanted=Delivery(form="json")) == 6
    said = capfd.readouterr()
    assert said.out == "mine\n"
    assert '"schema_version": 1' in said.err
    assert observed.feed.closed == 1


def test_report_goes_to_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = Delivery(out=str(tmp_path / "report.json"))
    assert Observed(monkeypatch, EndlessFeed(HELLO))("sleep", "0.4", wanted=wanted) == 0
    assert '"source": "run"' in (tmp_path / "report.json").read_text()


def test_report_to_a_place_that_does_not_exist_is_refused_before_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = Delivery(out=str(tmp_path / "missing" / "report.json"))
    with pytest.raises(CliError):
        Observed(monkeypatch, EndlessFeed(HELLO))("touch", str(tmp_path / "ran"), wanted=wanted)
    assert not (tmp_path / "ran").exists()


def test_a_command_too_short_to_see(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert Observed(monkeypatch, CannedFeed(HELLO))("true") == 0
    assert "no sample came while it ran" in capfd.readouterr().err


def test_no_driver_is_said_and_the_code_stands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    feed = CannedFeed(HELLO, problem=NoFeedError("no NVIDIA driver found", "install it"))
    assert Observed(monkeypatch, feed)("sh", "-c", "exit 9") == 9
    assert "sh runs unobserved: no NVIDIA driver found" in capfd.readouterr().err


class HungFeed(CannedFeed):
    """A driver that does not even answer the first call."""

    def start(self, timeout_s: float = 10.0) -> Hello:
        time.sleep(3600)
        return self.header


def test_a_hung_driver_delays_neither_start_nor_end(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "READY_S", 0.1)
    monkeypatch.setattr(running, "STOP_S", 0.1)
    begin = time.monotonic()
    assert Observed(monkeypatch, HungFeed(HELLO))("sh", "-c", "exit 3") == 3
    assert time.monotonic() - begin < 30
    assert "the driver did not answer" in capfd.readouterr().err


def test_in_foreground_does_not_raise() -> None:
    assert in_foreground() in (True, False)

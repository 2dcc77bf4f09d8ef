"""`advisor` without a command: the screen on a terminal, one report elsewhere, the demo without a driver."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from advisor.cli import output, replaying, screen, start
from advisor.cli.app import run_cli
from advisor.cli.delivery import Delivery
from advisor.cli.replaying import wants_screen
from advisor.config import Config
from advisor.monitor import Monitor
from advisor.reports.json import decode
from advisor.telemetry.feed import Feed, NoFeedError
from advisor.telemetry.records import End, Frame, Hello
from tests.advisor.cli.feeds import CannedFeed
from tests.advisor.cli.harness import ADVISOR, on_simulated
from tests.advisor.streams import T0, device, frames, hello, process
from tests.conftest import NvmlStub

HELLO = hello(device(0))
NO_DRIVER = NoFeedError("no NVIDIA driver found", "install it")
BUSY = {"gr_active": 1.0, "dram_active": 0.9}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at a terminal."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr(replaying, "stdin_is_terminal", lambda: True)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Monitor]:
    """Monitors that a screen was opened with, instead of the screen."""
    seen: list[Monitor] = []

    def open_screen(_feed: Feed, monitor: Monitor, _hello: Hello, *_more: object) -> int:
        seen.append(monitor)
        return 0

    monkeypatch.setattr(screen, "open_screen", open_screen)
    return seen


def use(monkeypatch: pytest.MonkeyPatch, feed: CannedFeed) -> CannedFeed:
    monkeypatch.setattr(start, "live_feed", lambda _config: feed)
    return feed


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("once", "wanted", "screen_opens"),
    [
        (False, Delivery(), True),
        (True, Delivery(), False),
        (False, Delivery(form="json"), False),
        (False, Delivery(out="report.md"), False),
    ],
)
def test_who_gets_the_screen(once: bool, wanted: Delivery, screen_opens: bool) -> None:
    assert wants_screen(once, wanted) is screen_opens


@pytest.mark.parametrize("missing", [(output, "is_terminal"), (replaying, "stdin_is_terminal")])
@pytest.mark.usefixtures("terminal")
def test_no_screen_without_both_ends_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[ModuleType, str]
) -> None:
    monkeypatch.setattr(*missing, lambda: False)
    assert not wants_screen(False, Delivery())


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_the_screen(monkeypatch: pytest.MonkeyPatch, opened: list[Monitor]) -> None:
    feed = use(monkeypatch, CannedFeed(HELLO))
    assert run_cli(["--gpu", "0", "--price", "3"]) == 0
    (monitor,) = opened
    assert monitor.options.source == "live"
    assert monitor.options.window_s == 60.0
    assert monitor.options.price_flag == 3.0
    assert monitor.options.command == "advisor diagnose --duration 5s --gpu 0 --price 3"
    assert feed.closed >= 1


@pytest.mark.parametrize("redact", [True, False])
def test_the_screens_recordings_are_redacted_as_configured(tmp_path: Path, redact: bool) -> None:
    sink = start.recorder_maker(Config(redact=redact))(tmp_path / "x.jsonl")
    sink.write(HELLO)
    (frame,) = frames(BUSY, 1)
    assert isinstance(frame, Frame)
    named = (process(user="alice", command="train --api-key hf_abcdefghijklmnopqrstuv"),)
    sink.write(msgspec.structs.replace(frame, processes=named))
    sink.close()
    text = (tmp_path / "x.jsonl").read_text()
    assert ("alice" in text, "hf_abc" in text) == (not redact, not redact)


@pytest.mark.parametrize("redact", [True, False])
def test_the_screen_is_told_whether_to_redact(monkeypatch: pytest.MonkeyPatch, redact: bool) -> None:
    told: dict[str, object] = {}

    def run_tui(_source: object, **options: object) -> int:
        told.update(options)
        return 0

    monkeypatch.setattr("advisor.tui.run_tui", run_tui)
    feed = CannedFeed(HELLO)
    assert screen.open_screen(feed, Monitor(), HELLO, Config(redact=redact)) == 0
    assert told["redact"] is redact
    assert feed.closed >= 1


def test_elsewhere_one_report(
    monkeypatch: pytest.MonkeyPatch, opened: list[Monitor], capsys: pytest.CaptureFixture[str]
) -> None:
    feed = CannedFeed(HELLO, [[*frames(BUSY, 6), End(t_s=T0 + 7, reason="over")]])
    use(monkeypatch, feed)
    assert run_cli(["--json"]) == 0
    assert [v.class_ for v in decode(capsys.readouterr().out).verdicts] == ["memory"]
    assert opened == []
    assert feed.closed >= 1


@pytest.mark.usefixtures("terminal")
def test_no_driver_on_a_terminal_opens_the_demo_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, opened: list[Monitor]
) -> None:
    use(monkeypatch, CannedFeed(HELLO, problem=NO_DRIVER))
    demo = CannedFeed(HELLO, [[End(t_s=T0, reason="over")]])
    monkeypatch.setattr(replaying, "started_demo", lambda *_args, **_more: (demo, HELLO))
    assert run_cli([]) == 0
    (monitor,) = opened
    assert monitor.options.source == "demo"
    assert monitor.options.reason == "no NVIDIA driver found. install it"


def test_demo_off_in_the_configuration_means_exit_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADVISOR_DEMO", "off")
    use(monkeypatch, CannedFeed(HELLO, problem=NO_DRIVER))
    assert run_cli([]) == 3
    assert "no NVIDIA driver found" in capsys.readouterr().err


def test_the_screen_opens_on_a_real_terminal_and_q_leaves(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    controller, end = os.openpty()
    process = subprocess.Popen(
        ADVISOR,
        env={**on_simulated(nvml_stub, "memory", tmp_path), "COLUMNS": "80", "LINES": "24"},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    assert b"H100" in drawn_until(controller, b"H100")
    os.write(controller, b"q")
    drawn_until(controller, b"\x1b[?1049l")  # back from the alternate screen
    assert process.wait(30) == 0
    os.close(controller)


def drawn_until(controller: int, mark: bytes) -> bytes:
    """What was drawn, until `mark` is in it or nothing comes any more."""
    drawn = b""
    deadline = time.monotonic() + 60
    while mark not in drawn and time.monotonic() < deadline:
        if select.select([controller], [], [], 0.5)[0]:
            try:
                drawn += os.read(controller, 1 << 16)
            except OSError:
                break
    return drawn

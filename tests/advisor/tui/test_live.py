"""The screens over the real sampler, which reads the simulated NVML library: synthetic data, and says so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from advisor.monitor import Monitor, MonitorOptions
from advisor.pump import MonitorThread
from advisor.snapshot import DeviceView
from advisor.telemetry.recording import Recorder, read_recording
from advisor.telemetry.sampler import LiveFeed
from advisor.tui.app import AdvisorApp, TuiOptions
from advisor.tui.screens.help import HelpScreen
from advisor.tui.screens.overview import OverviewScreen
from tests.advisor.tui.screen_text import screen_lines, screen_text, until
from tests.conftest import NvmlStub

INTERVAL_S = 0.5
START_S = 60.0


@asynccontextmanager
async def live(
    stub: NvmlStub, scenario: str, monkeypatch: pytest.MonkeyPatch, folder: Path, size: tuple[int, int]
) -> AsyncIterator[tuple[AdvisorApp, Pilot[int]]]:
    """The app over a sampler process of its own, as the command opens it; asked every hour but for news."""
    played = stub.env(scenario)
    for name in ("LD_LIBRARY_PATH", "ADVISOR_NVML_SCENARIO"):
        monkeypatch.setenv(name, played[name])
    feed = LiveFeed(interval_s=INTERVAL_S, gpm_interval_s=0.1)
    hello = feed.start(timeout_s=START_S)
    monitor = Monitor(MonitorOptions(source="live", window_s=30.0, env={}, price_flag=4.0))
    source = MonitorThread(feed, monitor, hello, open_recorder=Recorder)
    app = AdvisorApp(source, TuiOptions(interval_s=3600.0, folder=folder))
    try:
        async with app.run_test(size=size) as pilot:
            yield app, pilot
    finally:
        source.close()


def rows_of(app: AdvisorApp) -> list[str]:
    screen = app.screen
    assert isinstance(screen, OverviewScreen)
    return screen.table.keys


def devices_of(app: AdvisorApp) -> tuple[DeviceView, ...]:
    return app.snapshot.devices if app.snapshot else ()


def now_s(app: AdvisorApp) -> float:
    return app.snapshot.t_s if app.snapshot else 0.0


def shows(app: AdvisorApp, words: str) -> Callable[[], bool]:
    return lambda: words in screen_text(app)


async def test_eight_gpus_live_and_synthetic(
    nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with live(nvml_stub, "eight_gpus", monkeypatch, tmp_path, (120, 40)) as (app, pilot):
        await until(pilot, shows(app, "compute"), "a verdict")
        head = screen_lines(app)[0]
        assert "SYNTHETIC" in head and "LIVE" in head and "8 × H100" in head
        assert len(rows_of(app)) == 8
        text = screen_text(app)
        assert sorted(view.info.index for view in devices_of(app)) == list(range(8))
        assert "driver not answering" not in text
        await pilot.press("r")
        await until(pilot, lambda: app.recording is not None, "the recording")
        path = app.recording
        assert path is not None
        await until(pilot, lambda: len(path.read_text().splitlines()) > 2, "two frames")
        await pilot.press("r")
        await until(pilot, lambda: app.recording is None, "the end of the recording")
    with read_recording(path) as reader:
        assert reader.hello.synthetic and len(reader.hello.devices) == 8
        assert abs(reader.hello.t_s - time.time()) < START_S


async def test_a_hung_driver_is_on_the_screen_and_keys_work(
    nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with live(nvml_stub, "hung", monkeypatch, tmp_path, (100, 30)) as (app, pilot):
        await until(pilot, lambda: any(view.sample for view in devices_of(app)), "data")
        assert "LIVE" in screen_lines(app)[0]
        await until(pilot, shows(app, "not answering"), "the notice")
        assert "STALE" in screen_lines(app)[0]
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "enter")
        await until(pilot, shows(app, "where the time went"), "the detail")
        assert "STALE" in screen_lines(app)[0]
        first = app.snapshot
        assert first is not None
        await until(pilot, lambda: now_s(app) > first.t_s, "the silence growing")

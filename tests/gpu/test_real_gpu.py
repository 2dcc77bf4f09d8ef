"""What only a real NVIDIA GPU can show. Skipped where there is none; read-only, and no load is started."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import Frame, Hello
from advisor.telemetry.sampler import LiveFeed

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[Hello, LiveFeed]]:
    feed = LiveFeed(interval_s=1.0, gpm_interval_s=0.2)
    try:
        hello = feed.start(timeout_s=30)
    except NoFeedError as error:
        feed.close()
        pytest.skip(f"no GPU here: {error}")
    if hello.synthetic:
        feed.close()
        pytest.skip("the NVML here is simulated")
    yield hello, feed
    feed.close()


def watched(live: tuple[Hello, LiveFeed], seconds: float) -> tuple[Monitor, list[Frame]]:
    hello, feed = live
    monitor, frames = Monitor(MonitorOptions(env={})), []
    monitor.feed(hello)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for message in feed.poll(0.25):
            monitor.feed(message)
            frames += [message] if isinstance(message, Frame) else []
    return monitor, frames


def test_every_device_is_seen_and_judged(live: tuple[Hello, LiveFeed]) -> None:
    monitor, frames = watched(live, 5.0)
    assert len(frames) >= 3
    document = monitor.diagnosis()
    assert len(document.verdicts) == len([d for d in live[0].devices if not d.mig_enabled])
    for verdict in document.verdicts:
        assert abs(sum(verdict.shares.values()) - 1.0) < 1e-9
        assert verdict.class_ != "unknown" or verdict.unknown_because


def test_power_memory_and_clocks_are_plausible(live: tuple[Hello, LiveFeed]) -> None:
    _, frames = watched(live, 3.0)
    for sample in frames[-1].samples:
        assert sample.power_w is None or 1.0 < sample.power_w < 2000.0
        assert sample.mem_total_bytes is None or sample.mem_total_bytes > 1 << 30
        assert sample.energy_j is None or sample.energy_j > 0.0


def test_gpm_gives_fractions_where_it_is_supported(live: tuple[Hello, LiveFeed]) -> None:
    hello, _ = live
    if not any(d.gpm for d in hello.devices):
        pytest.skip("no device here has GPM")
    _, frames = watched(live, 3.0)
    windows = [g for sample in frames[-1].samples for g in sample.gpm]
    assert windows
    for g in windows:
        assert g.gr_active is not None and 0.0 <= g.gr_active <= 1.05
        assert 0.1 <= g.duration_s <= 1.0


def test_watching_takes_little_of_a_core(live: tuple[Hello, LiveFeed]) -> None:
    monitor, _ = watched(live, 5.0)
    cost = monitor.diagnosis().provenance.watch_cost_frac
    assert cost is not None and cost < 0.2

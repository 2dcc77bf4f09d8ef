"""The live feed on the simulated NVML library: real pynvml, real worker process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psutil
import pytest

from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import End, Frame, Gap, Hello, Message, Sample
from advisor.telemetry.sampler import LiveFeed
from tests.conftest import NvmlStub
from tests.nvml_stub import scenarios

PATIENCE_S = 30.0


@pytest.fixture
def play(nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes workers started from now on find the simulated library with a scenario."""

    def choose(scenario: dict[str, Any] | str, *, without: tuple[str, ...] = ()) -> None:
        stub = nvml_stub.without(without) if without else nvml_stub
        for name, value in stub.env(scenario).items():
            monkeypatch.setenv(name, value)

    return choose


@contextmanager
def live(interval_s: float = 0.2, gpm_interval_s: float = 0.12, **options: Any) -> Iterator[LiveFeed]:
    with closing(LiveFeed(interval_s, gpm_interval_s, **options)) as feed:
        yield feed


def collect(feed: LiveFeed, enough: Callable[[list[Message]], object]) -> list[Message]:
    messages: list[Message] = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(messages):
        assert time.monotonic() < deadline, f"it did not happen; {messages[-2:]}"
        messages += feed.poll(0.5)
    return messages


def frames(messages: list[Message]) -> list[Frame]:
    return [message for message in messages if isinstance(message, Frame)]


def gaps(messages: list[Message]) -> list[Gap]:
    return [message for message in messages if isinstance(message, Gap)]


def windows(messages: list[Message], device: int = 0) -> list[Any]:
    return [window for frame in frames(messages) for window in frame.samples[device].gpm]


def some_windows(messages: list[Message]) -> bool:
    return bool(frames(messages)) and bool(windows(messages, -1))


def test_header_and_frames(play: Callable[..., None]) -> None:
    play("compute")
    with live() as feed:
        hello = feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: len(frames(m)) >= 4 and some_windows(m))
    assert hello.synthetic and hello.note == "simulated NVML library"
    assert hello.driver_version == "580.95.05" and hello.interval_s == 0.2
    (device,) = hello.devices
    assert device.gpm is True and device.sm_count == 132 and device.power_limit_w == 700.0
    first = frames(messages)[0]
    assert [frame.seq for frame in frames(messages)][:4] == [0, 1, 2, 3]
    assert first.cost_s is not None and 0 < first.cost_s < 5.0
    assert first.host is not None and first.processes is not None
    assert first.samples[0].gpu_util_frac == 0.99 and first.samples[0].power_w == 680.0
    assert frames(messages)[3].processes is None, "processes are looked at rarely"
    window = windows(messages)[0]
    assert window.tensor_active == pytest.approx(0.85) and window.duration_s >= 0.1


def test_polling_goes_on_while_the_driver_hangs(play: Callable[..., None]) -> None:
    play(scenarios.hung(0.5))
    with live() as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, gaps)
        (gap,) = gaps(messages)
        assert gap.kind == "silent" and gap.reason.startswith("driver not answering since ")
        assert time.time() - gap.t_s < 3.0 + 2.0, "shown soon after the call began, with room for a slow box"
        before = time.monotonic()
        assert feed.poll(0.05) == []
        assert time.monotonic() - before < 1.0
    assert not workers(), "a hung worker does not outlive its feed"


def test_a_hang_between_frames_is_seen_long_before_the_next_frame(play: Callable[..., None]) -> None:
    fault = {"function": "nvmlGpmSampleGet", "from_s": 1.0, "hang": True}
    play({**scenarios.compute(), "faults": [fault]})
    with live(interval_s=60.0) as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, gaps)
    assert len(frames(messages)) == 1
    assert gaps(messages)[0].reason.startswith("driver not answering since ")
    assert gaps(messages)[0].t_s - frames(messages)[0].t_s < 30.0


def test_a_driver_that_answers_again_ends_the_gap_at_once(play: Callable[..., None]) -> None:
    fault = {"function": "nvmlGpmSampleGet", "from_s": 1.0, "to_s": 4.0, "hang_s": 4.0}
    play({**scenarios.compute(), "faults": [fault]})
    with live(interval_s=60.0) as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: gaps(m) and isinstance(m[-1], Frame))
    assert [type(message).__name__ for message in messages] == ["Frame", "Gap", "Frame"]


def test_slow_calls_are_no_silence(play: Callable[..., None]) -> None:
    """Each sweep takes half a second, so that frames 0.2 s apart all come late."""
    play({**scenarios.compute(), "latency_us": {"nvmlGpmSampleGet": 500_000}})
    with live() as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: len(frames(m)) >= 5)
    assert gaps(messages) == []


def test_a_sampler_that_does_not_run_is_not_blamed_on_the_driver(play: Callable[..., None]) -> None:
    play("compute")
    with live() as feed:
        feed.start(PATIENCE_S)
        collect(feed, frames)
        (worker,) = workers()
        worker.suspend()
        messages = collect(feed, gaps)
        worker.resume()
        after = collect(feed, frames)
    assert gaps(messages)[0].reason.startswith("sampler not running since ")
    assert gaps(after) == []


def test_a_crash_is_marked_and_survived(play: Callable[..., None]) -> None:
    play(scenarios.crash(0.5))
    with live() as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: gaps(m) and isinstance(m[-1], Frame))
    assert gaps(messages)[0].kind == "restart" and "SIGABRT" in gaps(messages)[0].reason
    numbers = [frame.seq for frame in frames(messages)]
    assert numbers == list(range(len(numbers)))
    assert not any(isinstance(message, Hello | End) for message in messages)


def test_a_lost_gpu_leaves_the_other_running(play: Callable[..., None]) -> None:
    play(scenarios.lost(60))
    with live() as feed:
        hello = feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: frames(m) and frames(m)[-1].samples[1].state == "lost")
        messages += collect(feed, lambda m: len(frames(m)) >= 2)
    assert len(hello.devices) == 2
    well, lost = frames(messages)[-1].samples
    assert well.state == "ok" and well.power_w == 680.0
    assert lost.power_w is None and "lost" in lost.missing["device"]
    assert gaps(messages) == []


def test_a_mig_gpu_lost_while_listed_leaves_the_other_running(play: Callable[..., None]) -> None:
    scenario = scenarios.mig()
    scenario["gpus"] += scenarios.compute()["gpus"]
    scenario["faults"] = [{"function": "nvmlDeviceGetAttributes*", "gpu": 0, "lost": True}]
    play(scenario)
    with live() as feed:
        hello = feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: len(frames(m)) >= 2)
    gpu, instance, *_, well = hello.devices
    assert gpu.mig_enabled and instance.parent_key == gpu.key and "lost" in instance.missing["device"]
    states = {sample.key: sample.state for sample in frames(messages)[-1].samples}
    assert states == {gpu.key: "lost", instance.key: "lost", well.key: "ok"}
    assert gaps(messages) == []


def test_a_gpu_removed_from_the_list_is_reported(play: Callable[..., None]) -> None:
    scenario = scenarios.lost(10**9)
    scenario["gpus"][1]["removed_at_s"] = 0.4
    play(scenario)
    with live() as feed:
        feed.start(PATIENCE_S)
        messages = collect(
            feed,
            lambda m: (
                frames(m) and (len(frames(m)[-1].samples) < 2 or frames(m)[-1].samples[1].state == "lost")
            ),
        )
    assert frames(messages)[-1].samples[0].state == "ok"


def test_an_older_driver_s_metrics_come_out_right(play: Callable[..., None]) -> None:
    play("old_abi")
    with live() as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, some_windows)
    window = windows(messages)[0]
    assert window.dram_active == pytest.approx(0.9) and window.gr_active == pytest.approx(0.99)
    assert window.fp32 == pytest.approx(0.12) and window.tensor_active == pytest.approx(0.05)


def test_mig_instances(play: Callable[..., None]) -> None:
    play("mig")
    with live() as feed:
        hello = feed.start(PATIENCE_S)
        messages = collect(feed, some_windows)
    gpu, *instances = hello.devices
    assert gpu.mig_enabled and [i.mig_profile for i in instances] == ["3g.40gb", "2g.20gb", "1g.10gb"]
    assert all(instance.parent_key == gpu.key and instance.gpm for instance in instances)
    by_key = {device.key: number for number, device in enumerate(hello.devices)}
    assert "while MIG is on" in frames(messages)[0].samples[0].missing["gpu_util_frac"]
    memory, compute, _ = (windows(messages, by_key[i.key])[-1] for i in instances)
    assert memory.dram_active > 0.8 > memory.tensor_active
    assert compute.tensor_active > 0.8 > compute.dram_active
    processes = frames(messages)[0].processes
    assert processes is not None and {p.key for p in processes} == {i.key for i in instances}


def test_a_card_without_gpm(play: Callable[..., None]) -> None:
    play("no_gpm")
    with live() as feed:
        hello = feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: len(frames(m)) >= 3)
    assert hello.devices[0].gpm is False
    sample = frames(messages)[-1].samples[0]
    assert sample.gpm == () and "Hopper" in sample.missing["gpm"] and sample.gpu_util_frac == 1.0


def test_gpm_can_be_left_out(play: Callable[..., None]) -> None:
    play("compute")
    with live(gpm=False) as feed:
        (device,) = feed.start(PATIENCE_S).devices
        messages = collect(feed, lambda m: len(frames(m)) >= 3)
    assert device.gpm is None and device.missing["gpm"] == "left out on request"
    assert windows(messages) == [] and "gpm" not in last_sample(messages).missing


def last_sample(messages: list[Message]) -> Sample:
    return frames(messages)[-1].samples[0]


def test_a_driver_without_some_functions(play: Callable[..., None]) -> None:
    missing = ("nvmlDeviceGetFieldValues", "nvmlDeviceGetTotalEnergyConsumption", "nvmlGpmQueryDeviceSupport")
    play("compute", without=missing)
    with live() as feed:
        feed.start(PATIENCE_S)
        messages = collect(feed, lambda m: len(frames(m)) >= 2)
    sample = last_sample(messages)
    reason = "needs a newer driver (function not found)"
    assert sample.energy_j is None and sample.pcie_tx_bytes is None and sample.power_w == 680.0
    assert [sample.missing[name] for name in ("energy_j", "pcie_tx_bytes", "gpm")] == [reason] * 3


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (9, "the NVIDIA driver is not loaded"),
        (18, "driver/library version mismatch"),
        (4, "no permission"),
        (999, "does not start NVML"),
    ],
)
def test_what_keeps_nvml_from_starting(play: Callable[..., None], code: int, said: str) -> None:
    fault = {"function": "nvmlInit*", "return": code}
    play({**scenarios.compute(), "faults": [fault]})
    with live() as feed, pytest.raises(NoFeedError, match=said) as caught:
        feed.start(PATIENCE_S)
    assert caught.value.fix


def test_a_driver_without_a_gpu(play: Callable[..., None]) -> None:
    play({**scenarios.compute(), "gpus": []})
    with live() as feed, pytest.raises(NoFeedError, match="no GPU is visible"):
        feed.start(PATIENCE_S)


def test_a_driver_that_hangs_at_the_start(play: Callable[..., None]) -> None:
    fault = {"function": "nvmlInit*", "hang": True}
    play({**scenarios.compute(), "faults": [fault]})
    with live() as feed, pytest.raises(NoFeedError, match="does not answer"):
        feed.start(1.0)
    assert not workers()


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    with live() as feed:
        try:
            feed.start(PATIENCE_S)
        except NoFeedError as refused:
            assert "libnvidia-ml.so.1" in str(refused) and "Install" in refused.fix
        else:
            pytest.skip("there is a driver here")


def workers() -> list[psutil.Process]:
    """Sampler processes below this one."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if "advisor.telemetry.worker" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_no_worker_survives_its_feed(play: Callable[..., None]) -> None:
    play("compute")
    with live() as feed:
        feed.start(PATIENCE_S)
        assert len(workers()) == 1
    assert workers() == []

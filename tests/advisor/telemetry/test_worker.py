"""The sampler process: its cadence, its isolation of failures, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import msgspec
import psutil
import pytest

from advisor.telemetry import worker as working
from advisor.telemetry.host import HostReader
from advisor.telemetry.nvml_init import CannotMeasureError
from advisor.telemetry.phase import PhaseWriter
from advisor.telemetry.processes import GpuProcess, ProcessReader
from advisor.telemetry.records import Frame, Hello, Message
from advisor.telemetry.worker import Host, Options, Sampling
from tests.advisor.telemetry.fake_nvml import FakeNvml, Gpu, Process
from tests.conftest import NvmlStub
from tests.nvml_stub import scenarios

PATIENCE_S = 20.0
COMMAND = [sys.executable, "-P", "-m", "advisor.telemetry.worker"]


def run(nvml: FakeNvml, frames: int, options: Options, host: Host | None = None) -> list[Message]:
    """The messages of a worker that is stopped after some frames."""
    sent: list[Message] = []

    def wait(timeout_s: float) -> bool:
        time.sleep(max(0.0, timeout_s))
        return sum(isinstance(message, Frame) for message in sent) < frames

    sampling = Sampling(nvml, host or Host(), options, sent.append, wait, PhaseWriter({}))
    sampling.run()
    sampling.close()
    return sent


def frames_of(messages: Sequence[Message]) -> list[Frame]:
    return [message for message in messages if isinstance(message, Frame)]


def test_a_stream_begins_with_the_header() -> None:
    hello, *rest = run(FakeNvml(), 2, Options(interval_s=0.1))
    assert isinstance(hello, Hello) and not hello.synthetic and hello.note == ""
    assert (hello.driver_version, hello.cuda_version) == ("999.1", "12.8")
    assert [frame.seq for frame in frames_of(rest)] == [0, 1]


def test_processes_are_looked_at_twice_and_then_rarely() -> None:
    nvml = FakeNvml(Gpu(processes=[Process(os.getpid())]))
    frames = frames_of(run(nvml, 6, Options(interval_s=0.1)))
    assert [frame.processes is not None for frame in frames] == [True, True, False, False, False, False]
    assert nvml.calls["nvmlDeviceGetComputeRunningProcesses"] == 2


def test_the_slow_tier_is_read_every_five_seconds() -> None:
    nvml = FakeNvml()
    run(nvml, 6, Options(interval_s=0.1))
    assert nvml.calls["nvmlDeviceGetRemappedRows"] == 1


def test_the_driver_s_buffers_are_freed_at_the_end() -> None:
    nvml = FakeNvml()
    run(nvml, 2, Options(interval_s=0.1))
    assert nvml.samples == {}


def test_no_device_is_nothing_to_measure() -> None:
    class Empty(FakeNvml):
        def _nvmlDeviceGetCount(self) -> int:  # noqa: N802
            return 0

    with pytest.raises(CannotMeasureError, match="no GPU is visible"):
        run(Empty(), 1, Options(interval_s=0.1))


def fail(*_args: object) -> object:
    raise RuntimeError("/proc is on fire")


def test_a_host_that_cannot_be_read_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("info", "sample"):
        monkeypatch.setattr(HostReader, name, fail)
    monkeypatch.setattr(ProcessReader, "look", fail)
    hello, frame = run(FakeNvml(Gpu(processes=[Process(4711, 5)])), 1, Options(interval_s=0.1))
    assert isinstance(hello, Hello) and "/proc is on fire" in hello.host.missing["host"]
    assert isinstance(frame, Frame) and frame.host is not None and frame.processes is not None
    assert frame.samples[0].power_w == 291.5
    assert "/proc is on fire" in frame.host.missing["host"]
    (process,) = frame.processes
    assert (process.pid, process.mem_used_bytes, process.name) == (4711, 5, "/usr/bin/proc4711")
    assert "/proc is on fire" in process.missing["process"]


def test_a_host_reader_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "_open", fail)
    host = Host()
    assert "on fire" in host.info().missing["host"] and "on fire" in host.sample(1.0).missing["host"]
    (process,) = host.look([GpuProcess(key="a", pid=3)], {})
    assert process.name == "pid 3"


def test_ticks_that_were_missed_are_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 10.5)
    assert working._next(10.0, 1.0) == 11.0
    assert working._next(3.0, 1.0) == 11.0
    assert working._next(10.4, 0.2) == pytest.approx(10.6)


def test_options_are_kept_in_bounds() -> None:
    assert working._options([]) == Options()
    assert working._options(["--no-gpm"]).gpm_interval_s is None
    tight = working._options(["--interval", "0", "--gpm-interval", "0.01"])
    assert tight.interval_s == 0.1 and tight.gpm_interval_s is not None and tight.gpm_interval_s > 0.1


@pytest.fixture
def start(nvml_stub: NvmlStub) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a worker on the simulated library."""

    def begin(*command: str, scenario: str = "compute") -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        full = list(command) or [*COMMAND, "--interval", "0.1"]
        played = scenarios.hung(0.3) if scenario == "hung" else scenario
        return subprocess.Popen(full, env=nvml_stub.env(played), stdin=pipe, stdout=pipe, stderr=pipe)

    return begin


def test_it_ends_when_its_input_closes(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    worker = start()
    assert worker.stdout is not None and worker.stdin is not None and worker.stderr is not None
    assert isinstance(msgspec.json.decode(worker.stdout.readline(), type=Message), Hello)
    worker.send_signal(signal.SIGINT)
    assert isinstance(msgspec.json.decode(worker.stdout.readline(), type=Message), Frame)
    worker.stdin.close()
    assert worker.wait(PATIENCE_S) == 0
    assert worker.stderr.read() == b""
    worker.stdout.close()
    worker.stderr.close()


PARENT = """
import subprocess, sys, time
from advisor.telemetry.sampler import LiveFeed
from advisor.telemetry.records import Frame, Gap
feed = LiveFeed(0.2)
feed.start(20.0)
while not any(isinstance(m, Gap if sys.argv[1] == "hung" else Frame) for m in feed.poll(1.0)):
    pass
print(feed._supervisor._worker.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("scenario", ["compute", "hung"])
def test_it_does_not_outlive_a_parent_that_is_killed(
    start: Callable[..., subprocess.Popen[bytes]], scenario: str
) -> None:
    parent = start(sys.executable, "-c", PARENT, scenario, scenario=scenario)
    assert parent.stdout is not None and parent.stdin is not None and parent.stderr is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for pipe in (parent.stdin, parent.stdout, parent.stderr):
        pipe.close()


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_heavy_modules_are_not_loaded() -> None:
    code = (
        "import sys, advisor.telemetry.worker; "
        "print([m for m in ('rich', 'textual', 'click', 'psutil', 'torch', 'asyncio') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_what_the_library_prints_does_not_reach_the_stream() -> None:
    code = (
        "import os; from advisor.telemetry import worker; from advisor.telemetry.records import End; "
        "send = worker._sender(worker._claim_stdout()); os.write(1, b'noise'); "
        "send(End(t_s=1.0, reason='x'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"noise" not in shown.stdout and b"noise" in shown.stderr
    assert msgspec.json.decode(shown.stdout, type=Message)

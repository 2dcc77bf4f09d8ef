"""Asking for a trace: a real PyTorch process once, and processes made up for everything that goes wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.asking import Wanted, fetch_trace
from advisor.traces.ondemand.protocol import Ask, address, reply
from advisor.traces.ondemand.server import Patience, ask_for_trace
from advisor.traces.ondemand.target import Target, target

PROFILED = Path(__file__).with_name("profiled.py")
QUICK = Patience(poll_s=1.0, steps_s=0.5, write_s=2.0)


def _request(pids: tuple[int, ...], wants: int = 3) -> bytes:
    body = wants.to_bytes(4, "little") + len(pids).to_bytes(4, "little") + bytes(8)
    return reply("req", body + b"".join(pid.to_bytes(4, "little") for pid in pids))


class Process(threading.Thread):
    """A process that asks for orders as PyTorch does, in a thread of this one; `orders` is what it got."""

    def __init__(self, folder: Path, writes: bool = True, obeys_steps: bool = True) -> None:
        super().__init__(daemon=True)
        self.folder, self.writes, self.obeys_steps = folder, writes, obeys_steps
        self.orders: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            asking.bind(str(self.folder / "client"))
            asking.settimeout(0.2)
            while not self.done.is_set():
                try:
                    asking.sendto(b"noise", address(str(self.folder)))
                    asking.sendto(_request((os.getpid(), os.getppid())), address(str(self.folder)))
                    order = asking.recv(65536)[40:].decode()
                except OSError:
                    time.sleep(0.02)
                    continue
                if order:
                    self.orders.append(order)
                    self._obey(order)
                time.sleep(0.05)

    def _obey(self, order: str) -> None:
        said = dict(line.split("=", 1) for line in order.splitlines())
        if self.writes and (self.obeys_steps or "ACTIVITIES_DURATION_MSECS" in said):
            Path(Ask(log_file=said["ACTIVITIES_LOG_FILE"]).written_by(os.getpid())).write_text(
                '{"traceEvents": []}'
            )


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    made.start()
    yield made
    made.done.set()
    made.join()


def _who(folder: Path) -> Target:
    return Target(
        pid=os.getpid(), inner_pid=os.getpid(), socket_dir=str(folder), uid=os.getuid(), gid=os.getgid()
    )


def test_a_process_takes_the_order_and_its_file_is_found(process: Process, tmp_path: Path) -> None:
    said: list[str] = []
    path = ask_for_trace(_who(tmp_path), Ask(log_file=f"{tmp_path}/t.json", steps=3), said.append, QUICK)
    assert json.loads(path.read_text()) == {"traceEvents": []}
    assert path.name == f"t_{os.getpid()}.json"
    assert len(process.orders) == 1
    assert not (tmp_path / "dynolog").exists()


def test_without_steps_time_is_asked_for(process: Process, tmp_path: Path) -> None:
    process.obeys_steps = False
    said: list[str] = []
    path = ask_for_trace(_who(tmp_path), Ask(log_file=f"{tmp_path}/t.json", steps=3), said.append, QUICK)
    assert path.exists()
    assert ["ACTIVITIES_ITERATIONS=3" in order for order in process.orders] == [True, False]
    assert any("no step came in 0.5 s" in line for line in said)


def test_a_process_that_writes_nothing(process: Process, tmp_path: Path) -> None:
    process.writes = False
    ask = Ask(log_file=f"{tmp_path}/t.json", seconds=0.1)
    with pytest.raises(TraceError, match="wrote no trace") as caught:
        ask_for_trace(_who(tmp_path), ask, lambda _: None, Patience(poll_s=1.0, write_s=0.5))
    assert "standard error" in caught.value.fix


def test_a_process_that_never_asks(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="did not ask for orders") as caught:
        ask_for_trace(
            _who(tmp_path), Ask(log_file=f"{tmp_path}/t.json"), lambda _: None, Patience(poll_s=0.3)
        )
    assert "KINETO_USE_DAEMON=1" in caught.value.fix


def test_another_process_gets_no_order(process: Process, tmp_path: Path) -> None:
    """The kernel says who sent a message; what it says of itself does not count."""
    other = Target(pid=os.getppid(), inner_pid=os.getpid(), socket_dir=str(tmp_path))
    with pytest.raises(TraceError, match="did not ask"):
        ask_for_trace(other, Ask(log_file=f"{tmp_path}/t.json"), lambda _: None, Patience(poll_s=0.6))
    assert process.orders == []


def test_a_socket_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "dynolog"))
        with pytest.raises(TraceError, match="serves the profiler's socket already") as caught:
            ask_for_trace(_who(tmp_path), Ask(log_file="x"), lambda _: None, QUICK)
    assert "dyno gputrace" in caught.value.fix
    assert (tmp_path / "dynolog").exists()


def test_no_such_process() -> None:
    with pytest.raises(TraceError, match="no process has the id"):
        fetch_trace(Wanted(pid=2**22 + 1), lambda _: None)


def test_a_process_that_does_not_listen_is_told_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        try:
            with pytest.raises(TraceError, match="started without KINETO_USE_DAEMON") as caught:
                target(started.pid)
        finally:
            started.kill()
    assert "start it with KINETO_USE_DAEMON=1" in caught.value.fix


def test_a_process_that_ends_while_it_is_asked(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    who = Target(pid=ended.pid, inner_pid=ended.pid, socket_dir=str(tmp_path))
    with pytest.raises(TraceError, match="ended before it wrote a trace"):
        ask_for_trace(who, Ask(log_file="x"), lambda _: None, QUICK)


def test_a_real_pytorch_process_writes_the_steps_asked_for(tmp_path: Path) -> None:
    # The path of a socket is 107 characters at most, and the profiler's own name takes 53 of them.
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as sockets,
        _training(sockets) as started,
    ):
        try:
            _stepped(started)
            wanted = Wanted(pid=started.pid, steps=4, save=tmp_path / "kept.json")
            path = fetch_trace(wanted, lambda _: None, Patience(poll_s=40.0))
        finally:
            started.kill()
    events = json.loads(path.read_text())["traceEvents"]
    assert sum(e["name"] == "Optimizer.step#SGD.step" for e in events) == 4
    assert any("Input Dims" in e.get("args", {}) for e in events if e["name"] == "aten::addmm")


def _training(sockets: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "KINETO_USE_DAEMON": "1", "KINETO_IPC_SOCKET_DIR": sockets}
    return subprocess.Popen([sys.executable, str(PROFILED), "60"], env=environment, stdout=subprocess.PIPE)


def _stepped(started: subprocess.Popen[bytes]) -> None:
    """Wait for the first steps: before them, the profiler takes an order for steps as one for a time."""
    assert started.stdout is not None
    assert started.stdout.read(3) == b"..."

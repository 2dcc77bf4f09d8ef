"""Asking for a trace: a real PyTorch process once, and processes made up for everything that goes wrong."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from advisor.traces.errors import TraceError
from advisor.traces.ondemand import asking
from advisor.traces.ondemand.asking import Wanted, fetch_trace
from advisor.traces.ondemand.places import Scratch
from advisor.traces.ondemand.protocol import Ask, address, reply
from advisor.traces.ondemand.saving import Kept
from advisor.traces.ondemand.server import Desk, Patience, hand_over
from advisor.traces.ondemand.sockets import Listener
from advisor.traces.ondemand.target import target
from advisor.traces.ondemand.waiting import wait_for_trace
from tests.advisor.traces.ondemand.asked import LISTENS, helper, who_is

PROFILED = Path(__file__).with_name("profiled.py")
QUICK = Patience(busy_s=0.5, poll_s=1.0, steps_s=0.5, step_s=0.1, write_s=1.0, tell_s=0.2)
EMPTY = '{"traceEvents": []}'


def _request(pids: tuple[int, ...], wants: int = 3) -> bytes:
    body = wants.to_bytes(4, "little") + len(pids).to_bytes(4, "little") + bytes(8)
    return reply("req", body + b"".join(pid.to_bytes(4, "little") for pid in pids))


class Process(threading.Thread):
    """A process that asks for orders as PyTorch does, in a thread of this one; `orders` is what it got."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.after_s = folder, 0.0
        self.writes: str | None = EMPTY
        self.orders: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asks:
            asks.bind(str(self.folder / "client"))
            asks.settimeout(0.2)
            while not self.done.is_set():
                try:
                    asks.sendto(b"noise", address(str(self.folder)))
                    asks.sendto(_request((os.getpid(), os.getppid())), address(str(self.folder)))
                    order = asks.recv(65536)[40:].decode()
                except OSError:
                    time.sleep(0.02)
                    continue
                if order:
                    self.orders.append(order)
                    self._obey(order)
                time.sleep(0.05)

    def _obey(self, order: str) -> None:
        said = dict(line.split("=", 1) for line in order.splitlines())
        time.sleep(self.after_s)
        if self.writes is not None:
            path = Path(Ask(log_file=said["ACTIVITIES_LOG_FILE"]).written_by(os.getpid()))
            unfinished = path.with_name(f"{path.name}.tmp")
            unfinished.write_text(self.writes)
            unfinished.rename(path)


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    made = Process(tmp_path)
    monkeypatch.setattr(asking, "target", lambda _: who_is(os.getpid(), tmp_path))
    made.start()
    yield made
    made.done.set()
    made.join()


def _fetched(said: list[str] | None = None, patience: Patience = QUICK, **wanted: object) -> Path:
    words: list[str] = [] if said is None else said
    return fetch_trace(
        msgspec.convert({"pid": os.getpid(), **wanted}, Wanted, dec_hook=_path), words.append, patience
    )


def _path(_: type, text: str) -> Path:
    return Path(text)


def test_a_process_takes_the_order_and_its_file_is_kept(process: Process, tmp_path: Path) -> None:
    path = _fetched(steps=3, save=str(tmp_path / "kept.json"))
    assert path == tmp_path / "kept.json"
    assert path.read_text() == EMPTY
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(process.orders) == 1
    assert "ACTIVITIES_ITERATIONS=3" in process.orders[0]
    said = dict(line.split("=", 1) for line in process.orders[0].splitlines())
    assert not Path(said["ACTIVITIES_LOG_FILE"]).parent.exists()
    assert not (tmp_path / "dynolog").exists()


def test_a_name_that_ends_in_gz_is_compressed(process: Process, tmp_path: Path) -> None:
    path = _fetched(steps=3, save=str(tmp_path / "kept.json.gz"))
    assert gzip.decompress(path.read_bytes()).decode() == EMPTY
    assert process.orders


def test_without_a_place_the_trace_stays_where_it_was_written(process: Process) -> None:
    path = _fetched(seconds=0.1)
    assert path.read_text() == EMPTY
    assert str(path) in process.orders[0].replace(".json", f"_{os.getpid()}.json")
    path.unlink()
    path.parent.rmdir()


def test_steps_that_take_long_are_waited_for_and_told(process: Process, tmp_path: Path) -> None:
    process.after_s = 1.0
    said: list[str] = []
    path = _fetched(
        said, msgspec.structs.replace(QUICK, steps_s=20.0), steps=3, save=str(tmp_path / "k.json")
    )
    assert path.read_text() == EMPTY
    assert len(process.orders) == 1
    assert any("waiting for 3 steps, " in line and "Ctrl-C leaves" in line for line in said)


def test_when_patience_ends_the_folder_stays_and_is_named(process: Process, tmp_path: Path) -> None:
    process.writes = None
    with pytest.raises(TraceError, match=r"wrote no trace of 3 steps in \d s") as caught:
        _fetched(steps=3, save=str(tmp_path / "kept.json"))
    assert "goes on, and writes /tmp/advisor-trace-" in caught.value.fix
    folder = Path(caught.value.fix.split("writes ")[1].split(" when")[0]).parent
    folder.rmdir()
    assert not (tmp_path / "kept.json").exists()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_asked(
    process: Process, tmp_path: Path
) -> None:
    with pytest.raises(TraceError, match="cannot be kept"):
        _fetched(save="/proc/kept.json")
    (tmp_path / "there.json").write_text("mine")
    with pytest.raises(TraceError, match="is there already"):
        _fetched(save=str(tmp_path / "there.json"))
    assert (tmp_path / "there.json").read_text() == "mine"
    assert process.orders == []


def test_a_full_disk_loses_no_trace(process: Process) -> None:
    full = Path("/dev/full")
    kept = Kept.__new__(Kept)
    kept.path, kept._file, kept._inode = full, full.open("wb"), -1
    who = who_is(os.getpid(), process.folder)
    with pytest.raises(TraceError, match="cannot be kept as /dev/full: No space left") as caught:
        asking._fetched(who, Wanted(pid=os.getpid(), seconds=0.1), kept, lambda _: None, QUICK)
    path = Path(caught.value.fix.removeprefix("it lies in ").split(" still")[0])
    assert path.read_text() == EMPTY
    path.unlink()
    path.parent.rmdir()


def test_a_process_that_never_asks_is_told_what_is_known_of_it(tmp_path: Path) -> None:
    quick = Patience(poll_s=0.3)
    with pytest.raises(TraceError, match="did not ask for orders") as caught:
        hand_over(who_is(os.getpid(), tmp_path), Ask(log_file="x"), lambda _: None, quick)
    assert "KINETO_USE_DAEMON=1" in caught.value.fix
    knows = msgspec.structs.replace(who_is(os.getpid(), tmp_path), told=True)
    with pytest.raises(TraceError, match="did not ask for orders") as caught:
        hand_over(knows, Ask(log_file="x"), lambda _: None, quick)
    assert "KINETO_USE_DAEMON" not in caught.value.fix
    assert "imported torch" in caught.value.fix


def test_a_stopped_process_is_told_as_such(tmp_path: Path) -> None:
    with helper("input()", LISTENS) as started:
        started.send_signal(signal.SIGSTOP)
        os.waitpid(started.pid, os.WUNTRACED)
        assert any("it is stopped" in doubt for doubt in target(started.pid).doubts)
        with pytest.raises(TraceError, match="did not ask") as caught:
            hand_over(who_is(started.pid, tmp_path), Ask(log_file="x"), lambda _: None, Patience(poll_s=0.3))
    assert f"kill -CONT {started.pid}" in caught.value.fix


def test_another_process_gets_no_order(process: Process, tmp_path: Path) -> None:
    """The kernel says who sent a message; what it says of itself does not count."""
    with helper("input()") as started:
        other = msgspec.structs.replace(who_is(started.pid, tmp_path), inner_pid=os.getpid())
        with pytest.raises(TraceError, match="did not ask") as caught:
            hand_over(other, Ask(log_file="x"), lambda _: None, Patience(poll_s=0.6))
    assert process.orders == []
    assert f"no profiler's, most from process {os.getpid()}" in caught.value.message


def test_no_such_process() -> None:
    with pytest.raises(TraceError, match="no process has the id"):
        fetch_trace(Wanted(pid=2**22 + 1), lambda _: None)


def test_a_process_that_does_not_listen_is_told_at_once() -> None:
    with helper("input()") as started, pytest.raises(TraceError, match="without KINETO_USE_DAEMON") as caught:
        target(started.pid)
    assert "start it with KINETO_USE_DAEMON=1" in caught.value.fix


def test_a_process_that_listens_is_known_with_its_user_and_folder() -> None:
    with helper("input()", {**LISTENS, "KINETO_IPC_SOCKET_DIR": "/run/x"}) as started:
        found = target(started.pid)
    assert (found.told, found.socket_dir, found.uid) == (True, "/run/x", os.geteuid())
    assert found.born is not None


def test_a_process_that_ends_while_it_is_asked(tmp_path: Path) -> None:
    patience = Patience(poll_s=20.0)
    # It stays a zombie until it is waited for.
    with helper("") as ended, pytest.raises(TraceError, match="ended before it asked"):
        hand_over(who_is(ended.pid, tmp_path), Ask(log_file="x"), lambda _: None, patience)


@pytest.mark.parametrize(("name", "text"), [("t.json", '{"traceEv'), ("t.json.tmp", '{"tr'), ("t.json", "")])
def test_what_a_process_wrote_before_its_end_is_used_at_once(tmp_path: Path, name: str, text: str) -> None:
    with helper("") as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        who = who_is(ended.pid, tmp_path)
        scratch = Scratch(who)
        ask = Ask(log_file=f"{scratch.inside}/t.json", steps=5)
        place = Path(ask.written_by(ended.pid))
        place.with_name(name.replace("t.", f"t_{ended.pid}.")).write_text(text)
        began, said = time.monotonic(), list[str]()
        try:
            if text:
                assert wait_for_trace(who, ask, scratch, said.append, Patience()) == place.name
                assert place.read_text() == text
            else:
                with pytest.raises(TraceError, match="ended before it wrote"):
                    wait_for_trace(who, ask, scratch, said.append, Patience())
                assert not scratch.outside.exists()
        finally:
            scratch.remove()
            scratch.close()
    assert time.monotonic() - began < 60  # patience is 600 s


def test_who_asks_without_reading_its_answers_holds_nobody_up(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        Listener(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        listener.bind(str(tmp_path / "dynolog"))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        deaf.bind(str(tmp_path / "deaf"))
        with helper("input()") as other:
            desk = Desk(listener, who_is(other.pid, tmp_path), Ask(log_file="x"))
            began = time.monotonic()
            for _ in range(600):
                deaf.sendto(_request((other.pid,)), str(tmp_path / "dynolog"))
                assert not desk.serve()
        assert time.monotonic() - began < 60  # 0.2 s for each would be 120
        assert "600 messages came in" in desk.noise()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
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

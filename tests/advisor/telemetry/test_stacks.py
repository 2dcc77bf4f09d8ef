"""The real py-spy on real small programs: what each spends its time on is found, from outside."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from advisor.telemetry.stacks import look
from advisor.telemetry.stacks_pyspy import find_tool
from rules.stacks import Stacks

READY = "import sys; print('ready', flush=True)\n"
LOADER = """
class _BaseDataLoaderIter:
    def __next__(self):
        return self._next_data()
    def _next_data(self):
        return self._get_data()
    def _get_data(self):
        return self.queue.get()
"""


@contextmanager
def program(code: str, folder: Path) -> Iterator[int]:
    """A Python program that has said it is ready; its pid."""
    script = folder / "train.py"
    script.write_text(READY + code)
    child = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        yield child.pid
    finally:
        child.kill()
        child.communicate()


@functools.cache
def why_not_here() -> str | None:
    """Why py-spy cannot look at a child here: containers of CI may forbid it."""
    if find_tool() is None:
        return "py-spy is not installed"
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=-1
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        seen = look(child.pid, 1.0)
        return None if seen.groups else seen.missing
    finally:
        child.kill()
        child.communicate()


def looked(code: str, folder: Path, *, native: bool = False) -> Stacks:
    if why_not_here():
        pytest.skip(str(why_not_here()))
    with program(code, folder) as pid:
        seen = look(pid, 1.0, native=native)
        assert seen.pid == pid
        assert (Path("/proc") / str(pid) / "stat").read_text().split(") ")[1][0] not in "tT"
    return seen


def test_a_wait_in_the_data_loader(tmp_path: Path) -> None:
    package = tmp_path / "torch" / "utils" / "data"
    package.mkdir(parents=True)
    (package / "dataloader.py").write_text(LOADER)
    code = f"""
sys.path.insert(0, {str(package)!r})
import dataloader, queue, threading, time
loader = dataloader._BaseDataLoaderIter(); loader.queue = queue.Queue()
def work():
    while True:
        time.sleep(0.05); loader.queue.put(1)
threading.Thread(target=work, daemon=True).start()
while True:
    loader.__next__()
"""
    seen = looked(code, tmp_path)
    assert seen.frac("loader-wait") > 0.8
    group = seen.leading(("loader-wait",))
    assert group is not None and "torch/utils/data/dataloader.py" in group.frame
    assert seen.tool.startswith("py-spy 0") and seen.samples >= 50 and not seen.native


def test_a_lock_and_who_works_meanwhile(tmp_path: Path) -> None:
    code = """
import threading
gate = threading.Event()
def busy():
    while True: sum(range(1000))
threading.Thread(target=busy, daemon=True, name="busy").start()
print(threading.current_thread().name)
gate.wait()
"""
    seen = looked(code, tmp_path)
    threads = {(g.thread, g.activity): g.frac for g in seen.groups}
    assert threads["MainThread", "lock"] > 0.9
    assert threads["busy", "compute"] > 0.9
    assert {g.thread for g in seen.groups if g.main} == {"busy"}


def test_each_wait_is_told_from_work_and_from_storage(tmp_path: Path) -> None:
    """None of these threads uses a core; each stands in another kind of wait."""
    code = """
import queue, socket, subprocess, threading, time
door, server, pipe = threading.Lock(), socket.socket(), socket.socketpair()
server.bind(("127.0.0.1", 0)); server.listen()
door.acquire()
def take_requests(): server.accept()
def ask_peer(): pipe[0].recv(1)
def run_tool(): subprocess.Popen(["cat"], stdin=-1, stdout=-3).wait()
def next_batch(): queue.Queue().get()
for work in (take_requests, ask_peer, run_tool, next_batch):
    threading.Thread(target=work, daemon=True, name=work.__name__).start()
threading.Thread(target=time.sleep, args=(20,), daemon=True, name="plain").start()
def train_step():
    with door: pass
train_step()
"""
    groups = {g.thread: g for g in looked(code, tmp_path).groups if g.frac > 0.8}
    assert {name: g.activity for name, g in groups.items()} == {
        "MainThread": "lock", "take_requests": "idle", "ask_peer": "network", "run_tool": "child",
        "next_batch": "queue-wait", "plain": "blocked",
    }  # fmt: skip
    assert groups["MainThread"].main
    frames = {name: g.frame.split(" (")[0] for name, g in groups.items()}
    assert frames["MainThread"] == "train_step"
    assert frames["take_requests"] == "take_requests calling socket.accept"
    assert frames["next_batch"] == "next_batch calling Queue.get"
    assert all(str(tmp_path / "train.py") in g.frame for name, g in groups.items() if name != "plain")


def test_json_and_pickle_are_serialisation(tmp_path: Path) -> None:
    code = """
import json, pickle
data = {str(i): i for i in range(50000)}
while True:
    json.dumps(data)
    pickle.dumps(data)
"""
    assert looked(code, tmp_path).frac("serialise") > 0.8


def test_a_source_line_tells_what_a_call_without_a_frame_does(tmp_path: Path) -> None:
    code = """
import functools, time, types
loss = types.SimpleNamespace(item=functools.partial(time.sleep, 0.02))
while True:
    loss.item()
"""
    assert looked(code, tmp_path).frac("synchronise") > 0.8


def test_threads_that_take_turns_at_the_gil(tmp_path: Path) -> None:
    code = """
import threading
def spin():
    n = 0
    while True:
        n += 1
for _ in range(3):
    threading.Thread(target=spin, daemon=True).start()
spin()
"""
    seen = looked(code, tmp_path)
    assert seen.frac("gil") > 0.3
    assert seen.frac("gil") + seen.frac("compute") > 0.9


def test_a_busy_loop_and_native_frames(tmp_path: Path) -> None:
    seen = looked("while True: sum(range(1000))", tmp_path, native=True)
    assert seen.frac("compute") > 0.9
    assert seen.native or seen.missing is not None


def test_a_process_that_ends_leaves_what_was_seen(tmp_path: Path) -> None:
    code = "import time\nend = time.monotonic() + 0.8\nwhile time.monotonic() < end: sum(range(1000))"
    if why_not_here():
        pytest.skip(str(why_not_here()))
    with program(code, tmp_path) as pid:
        seen = look(pid, 5.0)
    assert seen.groups or "ended" in (seen.missing or "")


def test_what_is_no_python_process_says_so() -> None:
    if why_not_here():
        pytest.skip(str(why_not_here()))
    child = subprocess.Popen(["sleep", "60"])
    try:
        seen = look(child.pid, 1.0)
    finally:
        child.kill()
        child.wait()
    assert seen.groups == ()
    assert "no Python process" in (seen.missing or "")


def test_a_pid_that_is_not_here_and_advisor_itself() -> None:
    assert "PID namespace" in (look(2**22 + 1).missing or "")
    assert look(os.getpid()).missing is not None

"""Engines found on this node and asked beside a feed: ports, owners, devices, and nothing delayed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from advisor.serving.discover import Listener, candidates, devices_of, listening, owner
from advisor.serving.fetch import Target
from advisor.serving.scrape import Scraper
from advisor.serving.watch import EngineWatch, ServingFeed
from advisor.telemetry.records import End, EngineLook, Frame, Hello, Message, ProcessSample
from tests.advisor.serving import pages, server
from tests.advisor.streams import hello

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = "00000000:00000000 00:00000000 00000000     0        0"


def row(address: str, port: int, inode: int, state: str = "0A") -> str:
    return f"   0: {address}:{port:04X} 00000000:0000 {state} {REST} {inode} 1 0000 100 0 0 10 0\n"


class Proc:
    """A made-up /proc: listening sockets, and processes that own some of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "net").mkdir()

    def table(self, *rows: str, name: str = "tcp") -> None:
        (self.folder / "net" / name).write_text(HEAD + "".join(rows))

    def process(self, pid: int, *argv: str, comm: str = "python", sockets: tuple[int, ...] = ()) -> None:
        home = self.folder / str(pid)
        (home / "fd").mkdir(parents=True)
        (home / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
        (home / "comm").write_text(comm + "\n")
        for number, inode in enumerate(sockets):
            (home / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_ports_that_loopback_reaches(proc: Proc) -> None:
    proc.table(
        row("0100007F", 8001, 11),
        row("00000000", 8002, 12),
        row("0A00000A", 8003, 13),
        row("0100007F", 8004, 14, state="01"),
        "garbage\n",
        "  1: nonsense:zz 0 0A\n",
    )
    proc.table(row("0" * 32, 8002, 22), row("00000000000000000000000001000000", 9000, 23), name="tcp6")
    found = {(one.host, one.port, one.inode) for one in listening(proc.folder)}
    assert found == {("127.0.0.1", 8001, 11), ("127.0.0.1", 8002, 12), ("::1", 9000, 23)}


def test_servers_are_asked_at_any_port_they_name_and_others_at_usual_ones(proc: Proc) -> None:
    proc.table(*(row("00000000", port, port) for port in (5555, 29500, 8000, 4444, 18431)))
    proc.process(
        10, "python", "-m", "vllm.entrypoints.openai.api_server", "--port", "5555", sockets=(5555, 29500)
    )
    proc.process(11, "/usr/bin/llama-server", "-m", "x.gguf", sockets=(18431,), comm="llama-server")
    proc.process(12, "python", "web.py", sockets=(4444, 8000))
    found = {one.port: one.pid for one in candidates(proc.folder)}
    assert found == {5555: 10, 18431: 11, 8000: None}
    assert owner(8000, proc.folder) == 12


def test_a_proc_that_cannot_be_read_has_no_engines(tmp_path: Path) -> None:
    assert candidates(tmp_path / "missing") == ()
    assert owner(5, tmp_path / "missing") is None


@pytest.fixture
def child() -> Iterator[int]:
    """A process of this one."""
    done = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield done.pid
    done.communicate(b"\n", timeout=10)


def test_an_engine_holds_the_devices_of_its_family(child: int) -> None:
    me = os.getpid()
    assert devices_of(me, {"A": {child}, "B": {1}, "C": {me}}) == ("A", "C")
    assert devices_of(child, {"A": {me}, "B": {999_999_999}}) == ("A",)


class Quiet:
    """A feed that sends one frame."""

    def __init__(self, *processes: ProcessSample) -> None:
        self._frames: list[Message] = [Frame(seq=1, t_s=1.0, processes=processes)]
        self.closed = False

    def start(self, timeout_s: float = 10.0) -> Hello:
        del timeout_s
        return hello()

    def poll(self, timeout_s: float) -> list[Message]:
        time.sleep(min(timeout_s, 0.01))
        taken, self._frames = self._frames, []
        return taken

    def close(self) -> None:
        self.closed = True


def until(feed: ServingFeed, enough: int, seconds: float = 20.0) -> list[EngineLook]:
    """Looks that came out of a feed, so many or those of so many seconds."""
    looks: list[EngineLook] = []
    end_s = time.monotonic() + seconds
    while len(looks) < enough and time.monotonic() < end_s:
        looks += [m for m in feed.poll(0.02) if isinstance(m, EngineLook)]
    return looks


def test_looks_come_out_of_the_feed_with_the_devices_of_their_engine() -> None:
    feed = Quiet(ProcessSample(key="GPU-1", pid=os.getpid(), name="x"))
    with server.serving(server.page(pages.vllm_v1(1), pages.vllm_v1(2))) as port:
        found = [Listener(host="127.0.0.1", port=port, inode=1, pid=os.getpid())]
        serving = ServingFeed(feed, EngineWatch(every_s=0.05, find=lambda: found))
        serving.start()
        looks = until(serving, 3)
        serving.close()
    assert feed.closed
    assert [look.engine for look in looks[:3]] == ["vllm"] * 3
    assert looks[-1].keys == ("GPU-1",)


def test_what_is_no_engine_is_asked_twice_and_then_left_alone() -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        server.send(handler, b"<html>", 200)

    with server.serving(answer) as port:
        watch = EngineWatch(find=lambda: [Listener(host="127.0.0.1", port=port, inode=7)])
        for _ in range(5):
            watch.once()
        assert watch.taken() == []
        assert len(asked) == 2 * 2


def test_a_known_server_that_refuses_is_told_and_one_that_stops_is_too() -> None:
    pid = os.getpid()
    with server.serving(lambda handler: server.send(handler, b"off", 501)) as port:
        watch = EngineWatch(find=lambda: [Listener(host="127.0.0.1", port=port, inode=7, pid=pid)])
        watch.once()
        assert "--metrics" in watch.taken()[0].problem
    with server.serving(server.page(pages.llamacpp())) as port:
        watch = EngineWatch(find=lambda: [Listener(host="127.0.0.1", port=port, inode=7)])
        watch.once()
        assert watch.taken()[0].engine == "llama.cpp"
    for _ in range(4):
        watch.once()
    assert ["nothing listens" in look.problem for look in watch.taken()] == [True] * 4


def test_the_owner_of_a_named_endpoint_is_found_by_its_socket() -> None:
    with server.serving(server.page(pages.vllm_v1())) as port:
        scraper = Scraper(Target(scheme="http", host="localhost", port=port))
        assert scraper.owner(None, owner) == os.getpid()
        assert Scraper(Target(scheme="http", host="192.0.2.1", port=port)).owner(None, owner) is None


def test_an_endpoint_that_hangs_delays_no_frame() -> None:
    with server.serving(server.silent) as port:
        target = Target(scheme="http", host="127.0.0.1", port=port)
        serving = ServingFeed(Quiet(), EngineWatch([target], every_s=0.05))
        serving.start()
        begun_s = time.monotonic()
        messages = [m for _ in range(5) for m in serving.poll(0.01)]
        assert time.monotonic() - begun_s < 2.0
        assert any(isinstance(m, Frame) for m in messages)
        assert not any(isinstance(m, End) for m in messages)
        serving.close()

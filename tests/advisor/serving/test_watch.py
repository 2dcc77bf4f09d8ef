"""Engines found on this node and asked beside a feed: ports, owners, devices, and nothing delayed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from advisor.serving.discover import Listener, candidates, devices_of, listening, owner, unreached
from advisor.serving.fetch import DEADLINE_S, Target
from advisor.serving.scrape import Scraper
from advisor.serving.watch import EngineWatch, ServingFeed
from advisor.telemetry.records import EngineLook, Frame, Hello, Message, ProcessSample
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


def free_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def test_a_known_server_that_does_not_answer_is_told_with_its_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.serving.watch.program", lambda _: "vllm")
    found = [Listener(host="127.0.0.1", port=free_port(), inode=7, pid=os.getpid())]
    watch = EngineWatch(find=lambda: found)
    watch.once()
    (look,) = watch.taken()
    assert look.problem == f"nothing listens there (vllm, pid {os.getpid()})"


def test_a_port_of_its_own_of_a_server_that_answers_is_not_told() -> None:
    pid = os.getpid()
    with server.serving(server.page(pages.vllm_v1())) as port:
        found = [Listener(host="127.0.0.1", port=p, inode=p, pid=pid) for p in (free_port(), port)]
        watch = EngineWatch(find=lambda: found)
        for _ in range(3):
            watch.once()
    assert [look.engine for look in watch.taken()] == ["vllm"] * 3


def test_a_server_that_listens_nowhere_is_named_once_with_the_reason(proc: Proc) -> None:
    proc.table(row("0100007F", 8080, 11), row("0A00000A", 9000, 12))
    proc.process(10, "/usr/bin/llama-server", "--port", "8080", sockets=(11,), comm="llama-server")
    proc.process(20, "python", "-m", "vllm.entrypoints.openai.api_server", sockets=(12,))
    proc.process(21, "VLLM::EngineCore", comm="VLLM::EngineCore")
    proc.process(30, comm="llama-server")
    (proc.folder / "21" / "stat").write_text("21 (VLLM::EngineCore) S 20 21 21 0 -1 0" + " 0" * 44)
    (said,) = unreached(proc.folder)
    assert said.startswith("vllm, pid 20: it listens on no port that loopback reaches")


def test_asking_what_was_never_an_engine_is_in_vain_after_two_rounds() -> None:
    def watch(answer: server.Answer) -> bool:
        with server.serving(answer) as port:
            made = EngineWatch(
                [Target(scheme="http", host="127.0.0.1", port=port, path="/metrics")], every_s=0.01
            )
            assert not made.is_in_vain
            made.start()
            end_s = time.monotonic() + 20.0
            while made.rounds < 2 and time.monotonic() < end_s:
                time.sleep(0.01)
            made.close()
        return made.is_in_vain

    assert watch(lambda handler: server.send(handler, b"<html>"))
    assert not watch(loading(99))
    assert not watch(server.page("no metrics", pages.vllm_v1()))


def loading(rounds: int) -> server.Answer:
    """A server that loads its model while it is asked so often."""
    left = iter(range(rounds))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if next(left, None) is None:
            server.send(handler, pages.llamacpp().encode())
        else:
            server.send(handler, b'{"error":"Loading model"}', 503)

    return answer


@pytest.mark.parametrize("pid", [None, os.getpid()], ids=["unknown", "ours"])
def test_an_engine_that_loads_is_read_once_it_has(pid: int | None) -> None:
    with server.serving(loading(12)) as port:
        watch = EngineWatch(find=lambda: [Listener(host="127.0.0.1", port=port, inode=7, pid=pid)])
        for _ in range(8):
            watch.once()
    looks = watch.taken()
    assert looks[-1].engine == "llama.cpp"
    told = [look.problem for look in looks if look.problem]
    assert told == [] if pid is None else all("is not ready" in problem for problem in told)


def test_a_known_server_without_metrics_is_asked_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        server.send(handler, b"no", 404)

    with server.serving(answer) as port:
        found = [Listener(host="127.0.0.1", port=port, inode=7, pid=os.getpid())]
        watch = EngineWatch(find=lambda: found)
        for _ in range(4):
            watch.once()
        assert len(asked) == 2 * 2
        monkeypatch.setattr("advisor.serving.watch.DISCOVER_S", 0.0)
        watch = EngineWatch(find=lambda: found)
        for _ in range(4):
            watch.once()
        assert len(asked) == 2 * 2 + 4 * 2


def test_what_goes_wrong_in_a_round_ends_neither_it_nor_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with server.serving(server.page(pages.vllm_v1())) as port:
        found = [Listener(host="127.0.0.1", port=port, inode=n, pid=n) for n in (1, os.getpid())]
        searches = [0]

        def find() -> list[Listener]:
            searches[0] += 1
            if searches[0] % 2:
                raise RuntimeError("no /proc")
            return found

        def devices(pid: int, holders: object) -> tuple[str, ...]:
            if pid == 1:
                raise OSError("gone")
            return ("GPU-1",)

        monkeypatch.setattr("advisor.serving.watch.DISCOVER_S", 0.0)
        monkeypatch.setattr("advisor.serving.watch.devices_of", devices)
        watch = EngineWatch(find=find)
        watch.note_processes([ProcessSample(key="GPU-1", pid=1, name="x")])
        problems = []
        for _ in range(4):
            watch.once()
            problems.append(watch.problem)
    assert problems[0] == "RuntimeError: no /proc"
    assert "OSError: gone" in problems[1:]
    assert [look.keys for look in watch.taken()] == [("GPU-1",)] * 3


def test_a_watch_goes_on_after_a_round_that_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = EngineWatch(every_s=0.01, find=list)
    monkeypatch.setattr(watch, "_endpoints", lambda: 1 / 0)
    watch.start()
    end_s = time.monotonic() + 20.0
    while watch.rounds < 3 and time.monotonic() < end_s:
        time.sleep(0.01)
    watch.close()
    assert watch.rounds >= 3
    assert "ZeroDivisionError" in watch.problem


def test_a_page_made_to_break_the_parser_is_a_problem_and_the_next_is_read() -> None:
    bad = "vllm:num_requests_running 1 " + "9" * 400
    with server.serving(server.page(bad, bad, pages.vllm_v1())) as port:
        watch = EngineWatch([Target(scheme="http", host="127.0.0.1", port=port, path="/metrics")])
        for _ in range(3):
            watch.once()
    assert [look.engine for look in watch.taken()] == ["", "", "vllm"]


def test_the_owner_of_a_named_endpoint_is_found_by_its_socket() -> None:
    with server.serving(server.page(pages.vllm_v1())) as port:
        assert Scraper(Target(scheme="http", host="localhost", port=port)).owner() == os.getpid()
        assert Scraper(Target(scheme="http", host="192.0.2.1", port=port)).owner() is None


def test_an_engine_asked_before_it_listened_has_its_devices() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    watch = EngineWatch([Target(scheme="http", host="127.0.0.1", port=port)])
    watch.note_processes([ProcessSample(key="GPU-1", pid=os.getpid(), name="x")])
    watch.once()
    with server.serving(server.page(pages.vllm_v1()), port):
        watch.once()
    before, after = watch.taken()
    assert (before.keys, after.keys) == ((), ("GPU-1",))


def test_an_endpoint_that_hangs_holds_up_neither_frames_nor_other_engines() -> None:
    held = server.Held()
    with server.serving(held) as stuck, server.serving(server.page(pages.vllm_v1())) as well:
        targets = [Target(scheme="http", host="127.0.0.1", port=port) for port in (stuck, well)]
        serving = ServingFeed(Quiet(), EngineWatch(targets, every_s=0.05))
        serving.start()
        assert held.asked.wait(20)
        begun_s = time.monotonic()
        messages = serving.poll(0.01)
        assert time.monotonic() - begun_s < DEADLINE_S / 3
        assert any(isinstance(m, Frame) for m in messages)
        looks = [m for m in messages if isinstance(m, EngineLook)] or until(serving, 1)
        assert looks[0].engine == "vllm"
        serving.close()
        assert "advisor-engines" not in {thread.name for thread in threading.enumerate()}
        held.let_go()


def test_a_watch_that_is_closed_as_it_starts_ends() -> None:
    watch = EngineWatch(every_s=600.0, find=list)
    watch.start()
    watch.close()
    assert not watch.is_running

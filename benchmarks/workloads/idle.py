"""Idle: nothing there, memory held for nothing, and a server that nobody asks."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import socket
import time
from collections.abc import Mapping

from benchmarks.workloads.hostwork import Program, end_at_sigterm, forking, products, tie_to_parent
from benchmarks.workloads.spec import Bench, Step, Workload

# Seconds between requests, at least and at most: always less than what counts as idle-held (5 s).
PAUSE_S = (0.3, 0.9)
REQUEST = b"one answer, please\n"


def _held(bench: Bench) -> Step:
    """4 GiB of device memory, and nothing done with them."""
    memory = bench.torch.ones(bench.of(1 << 30, 1 << 10), device=bench.device)
    bench.sync()

    def step() -> Mapping[str, float]:
        time.sleep(0.2 if not bench.small else 0.002)
        return {}

    # The step keeps the memory alive through `close`.
    return Program(step, lambda: memory.resize_(0))


def _ask(port: int, seed: int, pause_s: tuple[float, float]) -> None:
    """Client process: one request at a time, with pauses, until the server is gone."""
    end_at_sigterm()
    tie_to_parent()
    choice = random.Random(seed)
    with contextlib.suppress(OSError):
        while True:
            time.sleep(choice.uniform(*pause_s))
            with socket.create_connection(("127.0.0.1", port), timeout=120) as asked:
                asked.sendall(REQUEST)
                asked.recv(64)


def _server(bench: Bench) -> Step:
    """Answers each request with about 30 ms on the device; requests come every 0.6 s or so."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(30)
    port: int = listening.getsockname()[1]
    pause_s = PAUSE_S if not bench.small else (0.002, 0.005)
    client = multiprocessing.get_context("fork").Process(
        target=_ask, args=(port, bench.seed, pause_s), daemon=True
    )
    with forking():
        client.start()  # before CUDA starts, whose context does not survive a fork
    work = products(bench, 0.03 if not bench.small else 1e-4)

    def step() -> Mapping[str, float]:
        begin = time.perf_counter()
        asked, _ = listening.accept()
        with asked:
            asked.recv(64)
            host_s = time.perf_counter() - begin
            done = work.counted()
            asked.sendall(b"done\n")
        return {"host_s": host_s, "requests": 1.0, **done}

    def end() -> None:
        client.terminate()
        client.join(5)
        listening.close()

    return Program(step, end)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="free",
        family="idle",
        label="idle",
        cause="free",
        truth="pure",
        about="No process of ours is on the device.",
        process=False,
    ),
    Workload(
        name="idle_held",
        family="idle",
        label="idle",
        cause="idle-held",
        truth="pure",
        about="A process holds 4 GiB of device memory and sleeps.",
        setup=_held,
    ),
    Workload(
        name="server_no_demand",
        family="idle",
        label="host",
        cause="no-demand",
        truth="sections",
        beneath="compute",
        about="A server that needs 30 ms for an answer is asked less than twice a second.",
        setup=_server,
    ),
)

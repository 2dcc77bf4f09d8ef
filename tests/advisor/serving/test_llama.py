"""A real engine, read live: llama.cpp's server with a model of random weights, on the CPU.

Runs where `llama-server` is on PATH or ADVISOR_LLAMA_SERVER names it, and gguf and numpy are there to make
the model (ADVISOR_TINY_GGUF names one that is made already).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from advisor.serving.document import ServingReport
from advisor.serving.fetch import Target
from advisor.serving.scrape import Scraper
from rules.serving_figures import EngineFacts, figures
from tests.advisor.cli.harness import advisor, without_driver
from tests.advisor.serving import tiny_gguf

SERVER = os.environ.get("ADVISOR_LLAMA_SERVER") or shutil.which("llama-server")
MADE = os.environ.get("ADVISOR_TINY_GGUF")
pytestmark = [
    pytest.mark.skipif(SERVER is None, reason="no llama-server"),
    pytest.mark.skipif(MADE is None and importlib.util.find_spec("gguf") is None, reason="no gguf"),
]
ASKED, TOKENS = 6, 32


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A llama-server that answers at this port."""
    folder = tmp_path_factory.mktemp("llama")
    model = MADE or str(folder / "tiny.gguf")
    if MADE is None:
        tiny_gguf.write(model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen: int = free.getsockname()[1]
    where = ("--host", "127.0.0.1", "--port", str(chosen))
    command = [SERVER or "", "--metrics", "-m", model, "-c", "2048", "-np", "2", *where]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as running:
        try:
            _until_ready(chosen)
            yield chosen
        finally:
            running.terminate()


def _until_ready(port: int) -> None:
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("llama-server did not start")


def complete(port: int, prompt: str) -> dict[str, float]:
    """Ask for TOKENS tokens; what the server says of this one request."""
    body = {"prompt": prompt, "n_predict": TOKENS, "ignore_eos": True}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found: dict[str, float] = json.load(answer)["timings"]
        return found


def test_what_is_read_is_what_the_requests_were_told(port: int) -> None:
    scraper = Scraper(Target(scheme="http", host="127.0.0.1", port=port))
    before = scraper.look()
    told = [complete(port, f"once upon a time {i}") for i in range(ASKED)]
    after = scraper.look()
    assert (before.problem, after.problem, after.engine) == ("", "", "llama.cpp")
    made = figures(EngineFacts(endpoint="h:1", engine="llama.cpp"), [*before.readings, *after.readings])
    seconds = made.t_end_s - made.t_start_s
    assert made.generation_tok_s == pytest.approx(ASKED * TOKENS / seconds)
    assert made.prompt_tok_s == pytest.approx(sum(each["prompt_n"] for each in told) / seconds)
    assert made.prefill_time_frac is not None and 0.0 < made.prefill_time_frac < 1.0
    assert made.batch_requests == pytest.approx(1.0)


def test_the_command_finds_it_on_this_node(port: int, tmp_path: Path) -> None:
    env = without_driver(tmp_path, ADVISOR_SERVING="true")
    done = advisor("serving", "--duration", "1s", "--interval", "300ms", "--json", env=env)
    report = msgspec.json.decode(done.stdout, type=ServingReport)
    assert f"127.0.0.1:{port}" in [made.endpoint for made in report.engines]

"""`advisor serving` as a person runs it, against a real HTTP server."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path

import msgspec
import pytest

from advisor.cli.diagnostics import CliError
from advisor.cli.serving import TOKEN, Asked, serve
from advisor.reports.redact import host_hash
from advisor.schema import json_schema
from advisor.serving.document import ServingReport
from advisor.telemetry.records import End, Gap, Hello, Message
from tests.advisor.cli.harness import advisor, on_simulated, without_driver
from tests.advisor.serving import pages, server
from tests.advisor.streams import frames, hello
from tests.conftest import NvmlStub

QUICK = ("--duration", "600ms", "--interval", "250ms")
# As many pages as looks could ask for: each says ten more of everything.
GROWING = [pages.vllm_v1(10.0 * n) for n in range(1, 40)]


def test_a_named_engine_without_any_gpu(tmp_path: Path) -> None:
    env = without_driver(tmp_path, COLUMNS="80")
    with server.serving(server.page(*GROWING)) as port:
        url = f"http://me:hunter2@127.0.0.1:{port}"
        done = advisor("serving", url, *QUICK, "--price", "2", "--gpus", "4", "--slo", "ttft=100ms", env=env)
    assert done.returncode == 0, done.stderr
    assert f"vLLM at 127.0.0.1:{port}, model meta-llama/Llama-3.1-8B-Instruct" in done.stdout
    assert "$8.00/h (--price 2 for 4 GPUs)" in done.stdout
    assert "ttft=100ms: met by 60 %" in done.stdout
    assert "GPUs were not watched" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_json_is_valid_by_the_schema(tmp_path: Path) -> None:
    env = without_driver(tmp_path)
    with server.serving(server.page(*GROWING)) as port:
        done = advisor("serving", f"localhost:{port}", "127.0.0.1:1", *QUICK, "--json", env=env)
    document = msgspec.json.decode(done.stdout)
    importlib.import_module("jsonschema").validate(document, json_schema("serving"))
    report = msgspec.convert(document, ServingReport)
    assert report.engines[0].generation_tok_s is not None
    assert [one.reason for one in report.unread] == ["nothing listens there"]


def test_json_of_a_model_with_other_letters_is_json_in_ascii(tmp_path: Path) -> None:
    env = without_driver(tmp_path, PYTHONIOENCODING="ascii")
    named = [page.replace("meta-llama/Llama-3.1-8B-Instruct", "modèle😀") for page in GROWING]
    with server.serving(server.page(*named)) as port:
        done = advisor("serving", f"localhost:{port}", *QUICK, "--json", env=env)
    (made,) = msgspec.json.decode(done.stdout, type=ServingReport).engines
    assert done.stdout.isascii() and made.model == "modèle😀"


def test_the_price_and_energy_of_the_gpus_it_runs_on(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    """The simulated GPU is held by this process, which is the server's."""
    env = on_simulated(nvml_stub, "memory", tmp_path, ADVISOR_NVML_PID=str(os.getpid()))
    with server.serving(server.page(*GROWING)) as port:
        args = ("--duration", "3s", "--interval", "1s", "--json", "--price", "3")
        done = advisor("serving", f"127.0.0.1:{port}", *args, env=env)
    (made,) = msgspec.json.decode(done.stdout, type=ServingReport).engines
    assert len(made.keys) == 1
    assert made.usd_h == 3.0
    assert made.tok_j is not None and made.tok_j > 0.0


def test_watching_prints_one_document_after_the_other(tmp_path: Path) -> None:
    import signal
    import subprocess

    from tests.advisor.cli.harness import ADVISOR

    env = without_driver(tmp_path)
    with server.serving(server.page(*GROWING)) as port:
        command = [*ADVISOR, "serving", f"127.0.0.1:{port}", "--watch", "--interval", "300ms", "--json"]
        running = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(3)]
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
    reports = [msgspec.json.decode(line, type=ServingReport) for line in lines]
    assert reports[-1].engines[0].scrapes >= 2
    assert running.returncode == 130


def test_blocks_have_their_time_and_say_once_what_stays(tmp_path: Path) -> None:
    import re
    import signal
    import subprocess

    from tests.advisor.cli.harness import ADVISOR

    env = without_driver(tmp_path)
    command = [*ADVISOR, "serving", "--watch", "--interval", "300ms"]
    with server.serving(server.page(*GROWING)) as port:
        running = subprocess.Popen(
            [*command, f"127.0.0.1:{port}"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stdout is not None
        lines: list[str] = []
        while sum(line.startswith("vLLM") for line in lines) < 4:
            lines.append(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
    blocks = "".join(lines)
    assert len(re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$", blocks, re.MULTILINE)) == 4
    assert blocks.count("GPUs were not watched") == 1


def test_a_reader_that_goes_away_ends_the_watching(tmp_path: Path) -> None:
    import subprocess

    from tests.advisor.cli.harness import ADVISOR

    with server.serving(server.page(*GROWING)) as port:
        command = [*ADVISOR, "serving", f"127.0.0.1:{port}", "--watch", "--interval", "200ms"]
        running = subprocess.Popen(command, env=without_driver(tmp_path), stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        assert any("vLLM" in line for line in running.stdout)
        running.stdout.close()
        assert running.wait(timeout=60) == 0


def test_addresses_that_never_answer_are_given_up_after_two_looks(tmp_path: Path) -> None:
    env = without_driver(tmp_path)
    begun_s = time.monotonic()
    args = ("--duration", "10m", "--interval", "300ms")
    done = advisor("serving", "127.0.0.1:1", "node7.corp.invalid:8000", *args, env=env)
    assert done.returncode == 3 and time.monotonic() - begun_s < 300.0
    assert "127.0.0.1:1: nothing listens there" in done.stderr
    assert "node7.corp.invalid:8000: " in done.stderr


def test_no_byte_of_json_or_a_file_holds_the_name_of_another_host(tmp_path: Path) -> None:
    env = without_driver(tmp_path)
    path = tmp_path / "r.txt"
    with server.serving(server.page(*GROWING)) as port:
        urls = (f"127.0.0.1:{port}", "node7.corp.invalid:8000")
        printed = advisor("serving", *urls, *QUICK, "--json", env=env)
        written = advisor("serving", *urls, *QUICK, "-o", str(path), env=env)
    assert (printed.returncode, written.returncode) == (0, 0)
    for text in (printed.stdout, path.read_text()):
        assert "node7" not in text and f"127.0.0.1:{port}" in text
        assert f"{host_hash('node7.corp.invalid')}:8000" in text


def test_a_token_that_no_header_carries_is_refused(tmp_path: Path) -> None:
    env = {**without_driver(tmp_path), TOKEN: "two words"}
    done = advisor("serving", "127.0.0.1:1", *QUICK, env=env)
    assert done.returncode == 2
    assert "ADVISOR_SERVING_TOKEN" in done.stderr and "two words" not in done.stderr


class Failing:
    """A sampler whose driver gives these messages and no more."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)

    def __call__(self, **_: object) -> Failing:
        return self

    def start(self, timeout_s: float = 10.0) -> Hello:
        del timeout_s
        return hello()

    def poll(self, timeout_s: float) -> list[Message]:
        time.sleep(min(timeout_s, 0.01))
        return [self._messages.pop(0)] if self._messages else []

    def close(self) -> None:
        """Nothing is open."""


GONE = End(t_s=1.0, reason="the driver was unloaded", error=True, fix="load it")


def test_a_watch_whose_gpus_are_gone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.telemetry.sampler.LiveFeed", Failing(*frames({}, 1), GONE))
    with server.serving(server.page(*GROWING)) as port:
        asked = Asked(urls=(f"127.0.0.1:{port}",), interval_s=0.2, watch=True)
        with pytest.raises(CliError, match="the driver was unloaded") as found:
            serve(asked)
    assert (found.value.code, found.value.fix) == (3, "load it")


def test_engines_are_told_where_the_driver_gives_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = Gap(t_s=1.0, kind="silent", reason="driver not answering")
    monkeypatch.setattr("advisor.telemetry.sampler.LiveFeed", Failing(silent))
    with server.serving(server.page(*GROWING)) as port:
        asked = Asked(urls=(f"127.0.0.1:{port}",), interval_s=0.2, duration_s=0.5)
        assert serve(asked) == 0
    said = capsys.readouterr().out
    assert "vLLM at" in said and "GPUs were not watched: driver not answering" in said


def test_what_cannot_be_read_ends_with_3_and_what_is_wrong_with_2(tmp_path: Path) -> None:
    env = without_driver(tmp_path)
    dead = advisor("serving", "127.0.0.1:1", *QUICK, env=env)
    assert dead.returncode == 3
    assert "nothing listens there" in dead.stderr and "fix:" in dead.stderr
    for args in (
        ("ftp://x",),
        ("h:1", "--slo", "ttft=200"),
        ("h:1", "--duration", "1s"),
        ("h:1", "--gpus", "2"),
        ("h:1", "--watch", "-o", str(tmp_path / "x.json")),
    ):
        wrong = advisor("serving", *args, env=env)
        assert (wrong.returncode, wrong.stdout) == (2, ""), args


def test_an_objective_in_the_environment_is_checked_like_a_flag(tmp_path: Path) -> None:
    wrong = advisor("serving", "h:1", env=without_driver(tmp_path, ADVISOR_SLO="ttft=200"))
    assert wrong.returncode == 2
    assert "ADVISOR_SLO" in wrong.stderr and "ttft=200ms" in wrong.stderr

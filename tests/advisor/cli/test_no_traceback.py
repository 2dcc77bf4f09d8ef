"""Bad figures, full disks, closed and narrow streams: one sentence and the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.cli import running
from advisor.cli.delivery import Delivery
from advisor.cli.diagnostics import CliError
from advisor.cli.inputs import load_config_for
from advisor.cli.session import Look
from advisor.config import Config
from tests.advisor.cli.harness import ADVISOR, DEADLINE_S, advisor, clean_env, on_simulated, without_driver
from tests.conftest import NvmlStub

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def said(error: str) -> str:
    """What was said on stderr, which must be sentences."""
    assert "Traceback" not in error
    assert "Exception ignored" not in error
    return error


def into_full(*args: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run with a stdout that takes nothing."""
    with FULL.open("w") as full:
        return subprocess.run(
            [*ADVISOR, *args], env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )


@pytest.mark.parametrize(
    "args",
    [
        ("diagnose", "--price", "nan"),
        ("diagnose", "--price", "inf"),
        ("diagnose", "--price", "0"),
        ("run", "--price", "nan", "--", "true"),
        ("--price", "nan"),
        ("replay", "--speed", "nan", "file"),
        ("replay", "--speed", "inf", "file"),
        ("diagnose", "--fail-on", "zz"),
        ("diagnose", "--duration", "1s", "--interval", "5s"),
        ("--once", "--duration", "1s", "--interval", "5s"),
    ],
)
def test_a_wrong_value_is_refused_in_words(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = advisor(*args, env=without_driver(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "fix:" in said(done.stderr)


@pytest.mark.parametrize("text", ["nan", "inf", "0", "x"])
def test_a_wrong_price_of_the_environment_is_refused(tmp_path: Path, text: str) -> None:
    done = advisor("demo", env=without_driver(tmp_path, ADVISOR_PRICE=text))
    assert done.returncode == 2
    assert "ADVISOR_PRICE" in said(done.stderr)


@pytest.mark.parametrize(
    "line", ["price_usd_h = nan", "price_usd_h = 0", 'fail_on = "zz"', "[prices]\nA = 0"]
)
def test_the_file_is_held_to_the_rules_of_the_flags(tmp_path: Path, line: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(line)
    done = advisor("config", "validate", str(file), env=clean_env(tmp_path))
    assert done.returncode == 2
    assert str(file) in done.stdout
    assert said(done.stderr) == ""


@needs_full
@pytest.mark.parametrize(
    "args", [("demo", "--once"), ("rules",), ("--help",), ("schema",), ("demo", "--json")]
)
def test_a_full_disk_under_stdout(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = into_full(*args, env=without_driver(tmp_path))
    assert done.returncode == 2
    assert "the report could not be written: No space left on device" in said(done.stderr)


def test_a_closed_stdout(tmp_path: Path) -> None:
    line = " ".join([*ADVISOR, "demo", "--once", ">&-"])
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env=without_driver(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 2
    assert "stdout is closed" in said(done.stderr)


@needs_full
def test_a_report_that_cannot_be_written_leaves_the_command_its_code(
    nvml_stub: NvmlStub, tmp_path: Path
) -> None:
    env = on_simulated(nvml_stub, "compute", tmp_path)
    done = into_full("run", "-o", "-", "--", "sh", "-c", "sleep 2; exit 3", env=env)
    assert done.returncode == 3
    assert "the report could not be written" in said(done.stderr)


@pytest.mark.parametrize("broken", ["deliver", "make_monitor", "collect"])
def test_a_defect_of_the_report_leaves_the_command_its_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], nvml_stub: NvmlStub, broken: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    for name, value in nvml_stub.env("compute").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(running, broken, fails)
    argv = [sys.executable, "-c", "import sys, time; time.sleep(1.5); sys.exit(9)"]
    assert running.run_observed(argv, Look(source="run"), Config(), Delivery(form="text")) == 9
    assert "planted" in said(capfd.readouterr().err)


def test_a_command_without_a_gpu_is_not_credited_with_those_of_others(
    nvml_stub: NvmlStub, tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    env = on_simulated(nvml_stub, "compute", tmp_path)
    done = advisor("run", "-o", str(out), "--", "sleep", "2", env=env)
    assert done.returncode == 0
    flags = {flag["code"]: flag["message"] for flag in json.loads(out.read_text())["flags"]}
    assert "every visible GPU" in flags["not-attributed"]


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
]


@pytest.mark.parametrize("narrow", ASCII)
@pytest.mark.parametrize("form", ["text", "md", "json"])
def test_a_stream_of_ascii_gets_ascii(tmp_path: Path, narrow: dict[str, str], form: str) -> None:
    done = subprocess.run(
        [*ADVISOR, "demo", "--format", form],
        env=without_driver(tmp_path, **narrow),
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0
    text = done.stdout.decode("ascii")
    said(done.stderr.decode("ascii"))
    if form == "json":
        assert json.loads(text)["verdicts"]
    if form == "text":
        assert "##" in text and "?" not in text.replace("\\?", "")


@pytest.mark.parametrize("command", ["whatif", "compare"])
def test_json_of_a_document_with_other_letters_is_json_in_ascii(tmp_path: Path, command: str) -> None:
    saved = tmp_path / "d.json"
    env = without_driver(tmp_path, PYTHONIOENCODING="ascii")
    done = advisor("demo", "--json", "-o", str(saved), env=env)
    assert done.returncode == 0, done.stderr
    saved.write_text(saved.read_text().replace("GPU 0", "GPU 0 modèle😀"))
    files = [str(saved)] * (2 if command == "compare" else 1)
    done = advisor(command, *files, "--json", env=env)
    assert "modèle😀" in str(json.loads(done.stdout)), done.stderr
    said(done.stderr)


def test_a_path_that_is_no_text_is_json_all_the_same(tmp_path: Path) -> None:
    env = without_driver(tmp_path, ADVISOR_STATE_DIR=f"{tmp_path}/st\udcff")
    done = advisor("history", "path", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"].split("/")[-2] == "st?"


def test_an_interval_that_nobody_chose_fits_the_duration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("ADVISOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config_for(30.0, None).interval_s == 1.0
    assert load_config_for(1.0, None).interval_s == 0.5
    assert load_config_for(10.0, 5.0).interval_s == 5.0
    for duration_s, interval_s in ((9.9, 5.0), (0.1, None)):
        with pytest.raises(CliError, match="two intervals"):
            load_config_for(duration_s, interval_s)

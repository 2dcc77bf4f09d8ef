"""The command line as a whole: help, usage errors, outcomes as exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from advisor import __version__
from advisor.cli import app
from advisor.cli.app import COMMANDS, run_cli
from tests.advisor.cli.harness import ADVISOR, advisor, clean_env, without_driver


@pytest.mark.parametrize("args", [("--version",), ("-V",), ("--version", "diagnose")])
def test_version(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = advisor(*args, env=clean_env(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"advisor {__version__}\n", "")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("config", "init")])
def test_help_of_every_command(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    assert run_cli([*command, "--help"]) == 0
    said = capsys.readouterr()
    assert "Usage: advisor" in said.out
    assert said.err == ""


def test_help_lists_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run_cli(["-h"])
    said = capsys.readouterr().out
    assert [name for name in COMMANDS if f"│ {name} " not in said] == []
    assert max(len(line) for line in said.splitlines()) <= 80


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["diagnos"], "did you mean diagnose?"),
        (["zzz"], "there is no command 'zzz'"),
        (["--nope"], "--nope"),
        (["diagnose", "--duration", "soon"], "is not a duration"),
        (["diagnose", "--format", "pdf"], "'pdf' is not one of"),
        (["diagnose", "--price", "-1"], "--price"),
        (["diagnose", "--json", "--format", "md"], "contradict"),
        (["diagnose", "--pid", "4194305"], "there is no process 4194305"),
        (["diagnose", "--fail-on", "hugh"], "hugh"),
        (["diagnose", "-o", "/nowhere/at/all.json"], "/nowhere/at"),
        (["--gpu", "0", "diagnose"], "--gpu goes after the command"),
        (["run"], "Missing argument"),
        (["explain", "NOPE9"], "NOPE9"),
        (["replay", "/nowhere.jsonl"], "/nowhere.jsonl"),
        (["export", "/nowhere.json"], "/nowhere.json"),
        (["schema", "nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert run_cli(args) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert said in streams.err
    assert "Traceback" not in streams.err


def test_without_a_driver_diagnose_says_so_and_exits_3(tmp_path: Path) -> None:
    done = advisor("diagnose", "--duration", "1s", env=without_driver(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    first, fix = done.stderr.splitlines()
    assert first.startswith("advisor: no NVIDIA driver found")
    assert fix.startswith("  fix: ")


def test_without_a_driver_nothing_is_recorded(tmp_path: Path) -> None:
    target = tmp_path / "stream.jsonl"
    assert advisor("record", str(target), env=without_driver(tmp_path)).returncode == 3
    assert not target.exists()


def test_an_existing_recording_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "stream.jsonl"
    target.write_text("precious")
    done = advisor("record", str(target), env=without_driver(tmp_path))
    assert done.returncode == 2
    assert target.read_text() == "precious"


def test_without_a_driver_a_pipe_gets_the_demo_with_the_reason_on_stderr(tmp_path: Path) -> None:
    done = advisor(env=without_driver(tmp_path))
    assert done.returncode == 0
    assert "GPU" in done.stdout
    assert "REPLAY" in done.stderr
    assert "no NVIDIA driver found" in done.stderr


def test_the_demo_can_be_switched_off(tmp_path: Path) -> None:
    done = advisor(env=without_driver(tmp_path, ADVISOR_DEMO="0"))
    assert (done.returncode, done.stdout) == (3, "")


def test_demo_as_json_is_one_document(tmp_path: Path) -> None:
    done = advisor("demo", "--json", env=without_driver(tmp_path))
    assert done.returncode == 0, done.stderr
    document = msgspec.json.decode(done.stdout)
    assert document["provenance"]["source"] == "demo"
    assert document["verdicts"]


def test_a_pipe_that_closes_early(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m advisor rules | head -1; exit 0"],
        env=clean_env(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_defect_is_not_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(app.root, "main", broken)
    assert run_cli(["rules"]) == 70
    assert "RuntimeError: boom" in capsys.readouterr().err


def test_sigterm_unwinds(tmp_path: Path) -> None:
    """A command that waits is ended by SIGTERM with the shell's code and leaves nothing on stdout."""
    script = (
        "import time; from advisor.cli import app\n"
        "def wait(**_): print('ready', flush=True); time.sleep(60)\n"
        "app.root.main = wait\nraise SystemExit(app.run_cli([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=clean_env(tmp_path)
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    process.stdout.close()


def test_ctrl_c_is_130_and_quiet(tmp_path: Path) -> None:
    script = (
        "import time; from advisor.cli import app\n"
        "def wait(**_): print('ready', flush=True); time.sleep(60)\n"
        "app.root.main = wait\nraise SystemExit(app.run_cli([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_env(tmp_path),
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "")


def test_module_and_script_are_the_same() -> None:
    assert ADVISOR[1:] == ["-m", "advisor"]
    from advisor.__main__ import main

    assert callable(main)


@pytest.mark.parametrize(
    ("line", "said", "fix"),
    [
        (["whatif", "d.json", "--fix"], "requires an argument", "advisor whatif --help"),
        (["history", "show", "abc"], "'abc' is no whole number from 1 on", "advisor history show --help"),
        (["history", "--limit", "0"], "'0' is no whole number from 1 to 1000000", "advisor history --help"),
        (["cost", "tokens", "--tok-s"], "requires an argument", "advisor cost tokens --help"),
    ],
)
def test_a_wrong_line_names_the_help_of_its_own_command(
    line: list[str], said: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(line) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert said in first
    assert second == f"  fix: {fix}"

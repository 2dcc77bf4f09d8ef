"""What a command imports: checked in processes of their own, where nothing else has imported anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.advisor.cli.harness import advisor, clean_env, on_simulated, without_driver
from tests.conftest import NvmlStub

# Runs the program as its script does, then names everything that was imported on stderr's last line.
PROBE = """
import sys
from advisor.__main__ import main
sys.argv[1:] = {args!r}
try:
    main()
except SystemExit as end:
    code = end.code
print(code or 0, *sorted(name.partition(".")[0] for name in sys.modules), file=sys.stderr)
"""
NEVER = {"textual", "torch", "cupy"}
# Each is for one thing: charts, pages, metrics of engines.
LATE = {"matplotlib", "numpy", "jinja2", "prometheus_client"}
MEASURING = {"pynvml", "psutil", "asyncio"}


def imported(*args: str, env: dict[str, str]) -> tuple[int, set[str]]:
    """Exit code of a command line, and the top-level packages it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(args=list(args))],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    code, *names = done.stderr.splitlines()[-1].split()
    return int(code), set(names)


def test_the_probe_sees_imports(tmp_path: Path) -> None:
    code, names = imported("rules", env=clean_env(tmp_path))
    assert code == 0
    assert {"advisor", "rules", "click"} <= names


def test_version_imports_nothing_heavy(tmp_path: Path) -> None:
    code, names = imported("--version", env=clean_env(tmp_path))
    assert code == 0
    heavy = {"click", "rich_click", "rich", "msgspec", "psutil", "pynvml", "platformdirs", "asyncio"}
    assert names & (heavy | NEVER) == set()


def test_help_imports_no_measuring(tmp_path: Path) -> None:
    code, names = imported("diagnose", "--help", env=clean_env(tmp_path))
    assert code == 0
    assert names & ({"msgspec", "psutil", "pynvml", "asyncio", "subprocess"} | NEVER) == set()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("diagnose", "--duration", "1s"), 3),
        (("run", "--", "true"), 0),
        (("record", "/nowhere/x.jsonl"), 3),
        (("doctor",), 3),
        (("demo", "--once"), 0),
        (("demo", "--format", "md"), 0),
        ((), 0),
        (("explain", "HOST001"), 0),
        (("config", "print"), 0),
        (("schema",), 0),
        (("schema", "probe"), 0),
        (("prices", "--gpu", "H100"), 0),
        (("probe",), 3),
        (("probe", "--list"), 0),
        (("probe", "host", "--device", "cpu", "--quick"), 0),
    ],
)
def test_without_a_driver_no_command_imports_the_screens_or_cuda(
    tmp_path: Path, args: tuple[str, ...], expected: int
) -> None:
    code, names = imported(*args, env=without_driver(tmp_path))
    assert code == expected
    assert names & (NEVER | LATE) == set()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A diagnosis of the bundled recording."""
    folder = tmp_path_factory.mktemp("saved")
    assert advisor("demo", "--json", "-o", str(folder / "d.json"), env=clean_env(folder)).returncode == 0
    return str(folder / "d.json")


@pytest.mark.parametrize(
    "args",
    [
        ("report", "FILE"),
        ("report", "FILE", "--format", "csv"),
        ("whatif", "FILE", "--json"),
        ("compare", "FILE", "FILE"),
        ("cost", "tokens", "--model", "L40S", "--tok-s", "9"),
        ("history",),
    ],
)
def test_reading_imports_nothing_that_draws_or_measures(
    tmp_path: Path, saved: str, args: tuple[str, ...]
) -> None:
    given = [saved if word == "FILE" else word for word in args]
    code, names = imported(*given, env=clean_env(tmp_path))
    assert code == 0
    assert names & (NEVER | LATE | MEASURING) == set()


def test_asking_engines_imports_nothing_that_draws(tmp_path: Path) -> None:
    args = ("serving", "127.0.0.1:1", "--duration", "500ms", "--interval", "200ms")
    code, names = imported(*args, env=without_driver(tmp_path))
    assert code == 3
    assert names & (NEVER | LATE) <= {"prometheus_client"}


def test_diagnosing_imports_neither_the_screens_nor_cuda(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "memory", tmp_path)
    code, names = imported("diagnose", "--duration", "1500ms", "--format", "md", env=env)
    assert code == 0
    assert names & (NEVER | LATE) == set()
    assert "pynvml" not in names, "the driver is touched by the sampler process alone"


def test_the_sampler_process_imports_neither_the_screens_nor_cuda(
    nvml_stub: NvmlStub, tmp_path: Path
) -> None:
    script = (
        "import sys, advisor.telemetry.worker, advisor.cli.checks.nvml_look\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    env = {**os.environ, **on_simulated(nvml_stub, "memory", tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & (NEVER | {"click", "rich"}) == set()

"""The whole program in a process of its own, as a person or a script runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.document import Diagnosis
from advisor.reports.json import decode
from tests.conftest import NvmlStub

ADVISOR = [sys.executable, "-m", "advisor"]
DEADLINE_S = 90.0


def clean_env(home: Path, **more: str) -> dict[str, str]:
    """This process's environment without anything that would change what the program does.

    Engines that happen to listen on this machine are left alone.
    """
    dropped = ("ADVISOR_", "XDG_", "COV_", "PYTEST_")
    unset = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped) and k not in unset}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "TERM": "xterm-256color",
        "ADVISOR_SERVING": "false",
        **more,
    }


def without_driver(home: Path, **more: str) -> dict[str, str]:
    """An environment in which no NVML can be loaded, also where there is a driver."""
    folder = home / "broken-nvml"
    folder.mkdir(exist_ok=True)
    (folder / "libnvidia-ml.so.1").touch()
    return clean_env(home, LD_LIBRARY_PATH=str(folder), **more)


def advisor(*args: str, env: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*ADVISOR, *args],
        env=dict(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def on_simulated(stub: NvmlStub, scenario: dict[str, Any] | str, home: Path, **more: str) -> dict[str, str]:
    """An environment in which the simulated library plays a scenario."""
    played = stub.env(scenario)
    names = ("LD_LIBRARY_PATH", "ADVISOR_NVML_SCENARIO")
    return {**clean_env(home), **{name: played[name] for name in names}, **more}


def diagnosed(
    stub: NvmlStub, scenario: dict[str, Any] | str, home: Path, *args: str, duration: str = "3s"
) -> Diagnosis:
    """What `advisor diagnose` says of a scenario, through the whole program and its JSON."""
    env = on_simulated(stub, scenario, home)
    done = advisor("diagnose", "--duration", duration, "--format", "json", *args, env=env)
    assert done.stdout, done.stderr
    return decode(done.stdout)

"""The whole program in a process of its own, as a person or a script runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ADVISOR = [sys.executable, "-m", "advisor"]
DEADLINE_S = 90.0


def clean_env(home: Path, **more: str) -> dict[str, str]:
    """This process's environment without anything that would change what the program does."""
    dropped = ("ADVISOR_", "XDG_", "COV_", "PYTEST_")
    unset = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped) and k not in unset}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "TERM": "xterm-256color",
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

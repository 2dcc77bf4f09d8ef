"""A workload in a process of its own: what it says, why it failed, and that it never stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.workloads import child as module
from benchmarks.workloads.child import Child, ChildError, Where

WHERE = Where(device="cpu", small=True)

# A stand-in for the runner: told by its name what to do.
RUNNER = """
import json, os, signal, subprocess, sys, time
name, account = sys.argv[1], sys.argv[sys.argv.index("--accounting") + 1]
done = []
signal.signal(signal.SIGUSR1, lambda *_: done.append(1))
print("noise {", flush=True)
if name == "dies":
    sys.exit("first line\\nout of luck")
if name == "tells":
    open(account, "w").write(json.dumps({"error": "no such card"}))
    sys.exit(3)
if name == "leaves":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
if name in ("deaf", "leaves"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if name != "silent":
    print(json.dumps({"started": True, "pid": os.getpid()}), flush=True)
while not done or name == "deaf":
    time.sleep(0.01)
open(account, "w").write(json.dumps({"wall_s": 1.0, "steps": 3, "counts": {"bytes": 2.0}}))
"""


@pytest.fixture(autouse=True)
def _runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / "benchmarks" / "workloads"
    package.mkdir(parents=True)
    for init in (package, package.parent):
        (init / "__init__.py").touch()
    (package / "run.py").write_text(RUNNER)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "_ENDS_S", 0.3)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def test_it_starts_is_told_enough_and_accounts() -> None:
    with Child("fine", "base", 60.0, WHERE) as child:
        assert child.started(20)["started"] is True
        child.enough()
        account = child.finish(20)
    assert (account.steps, account.counts) == (3, {"bytes": 2.0})


def test_what_it_says_itself_is_why() -> None:
    with Child("tells", "base", 60.0, WHERE) as child, pytest.raises(ChildError, match=r"^no such card$"):
        child.started(20)


def test_the_last_line_of_stderr_is_why() -> None:
    with Child("dies", "base", 60.0, WHERE) as child, pytest.raises(ChildError) as error:
        child.started(20)
    assert str(error.value) == "it ended with code 1: out of luck"


def test_one_that_does_not_start_is_given_up() -> None:
    with Child("silent", "base", 60.0, WHERE) as child, pytest.raises(ChildError, match="did not start"):
        child.started(0.3)


def test_one_that_hangs_is_killed() -> None:
    with Child("deaf", "base", 60.0, WHERE) as child:
        pid = child.started(20)["pid"]
        child.enough()
        with pytest.raises(ChildError, match="did not end"):
            child.finish(0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_it_started_ends_with_it() -> None:
    with Child("leaves", "base", 60.0, WHERE) as child:
        pid = child.started(20)["pid"]
        started = psutil.Process(pid).children()
    assert len(started) == 1
    end = time.monotonic() + 10
    while started[0].is_running() and started[0].status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_sees_one_gpu() -> None:
    where = Where(device="cuda", small=False, gpu="GPU-made-up")
    assert where.environment()["CUDA_VISIBLE_DEVICES"] == "GPU-made-up"
    assert where.environment()["PYTHONUNBUFFERED"] == "1"

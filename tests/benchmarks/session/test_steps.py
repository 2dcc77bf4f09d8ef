"""Steps: what they say, how long they may take, and that nothing of them stays."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.session import steps as module
from benchmarks.session.clock import RESERVE_S, Clock
from benchmarks.session.steps import Steps

FOREVER = ("timeit", "-n", "1", "-r", "1", "print('begun'); import time; time.sleep(60)")


@pytest.fixture
def saved() -> list[int]:
    return []


@pytest.fixture
def steps(tmp_path: Path, saved: list[int]) -> Steps:
    return Steps(tmp_path / "log", lambda: saved.append(1))


def _running() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]


def test_what_a_step_says_is_logged(steps: Steps, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = steps.run(("timeit", "-n", "1", "-r", "1", "print('moved')"), 60.0)
    assert (found["rc"], found["command"][0]) == (0, "timeit")
    assert (tmp_path / "log").read_text() == capsys.readouterr().out
    assert "moved" in (tmp_path / "log").read_text().splitlines()


def test_a_step_that_fails_gives_its_code(steps: Steps) -> None:
    assert steps.run(("timeit", "-n", "1", "raise SystemExit(7)"), 60.0)["rc"] != 0


def test_a_step_that_takes_too_long_is_ended(steps: Steps) -> None:
    found = steps.run(FOREVER, 0.3)
    assert found["error"] == "took over 0 s"
    assert "rc" not in found
    assert not _running()


def test_what_there_is_so_far_is_saved_meanwhile(
    steps: Steps, saved: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_S", 0.1)
    steps.run(FOREVER, 1.3)
    assert saved


def test_an_interrupted_step_is_saved_and_ended(
    steps: Steps, saved: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> bool:
        assert len(_running()) == 1
        raise SystemExit(143)

    monkeypatch.setattr(steps, "_wait", interrupted)
    with pytest.raises(SystemExit):
        steps.run(FOREVER, 60.0)
    assert saved
    assert not _running()


def test_one_that_is_deaf_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDS_S", 0.2)
    process = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.05; done"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    module._end(process)
    process.stdout.close()
    assert process.returncode == -9


def test_the_clock_keeps_time_for_packing() -> None:
    clock = Clock.of(RESERVE_S + 100.0)
    assert 99.0 < clock.left_s() <= 100.0
    assert Clock.of(1.0).left_s() < 0.0

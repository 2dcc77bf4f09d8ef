"""A py-spy that hangs, floods, lies or is refused costs a bounded time and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.telemetry import stacks, stacks_pyspy
from advisor.telemetry.stacks import look
from advisor.telemetry.stacks_reasons import why_not

OUT = 'while [ "$1" != "--output" ]; do shift; done; out="$2"\n'
REFUSED = (
    "echo \"Permission Denied: Try running again with elevated permissions by going 'sudo'\" >&2; exit 1\n"
)


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process to look at."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield child.pid
    child.kill()
    child.wait()


def fake(folder: Path, body: str, version: str = "py-spy 9.9.9") -> str:
    """A py-spy that says its version and does `body` when it is to record."""
    path = folder / "py-spy"
    path.write_text(f'#!/bin/sh\n[ "$1" = "--version" ] && {{ echo "{version}"; exit 0; }}\n{body}')
    path.chmod(0o755)
    return str(path)


def test_it_is_found_on_path_and_beside_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "none"))
    assert stacks_pyspy.find_tool() is None
    (tmp_path / "bin").mkdir()
    beside = fake(tmp_path / "bin", "")
    assert stacks_pyspy.find_tool() == beside
    assert stacks_pyspy.find_tool() != (first := fake(tmp_path, "")) == stacks_pyspy.find_tool()
    assert first


def test_without_it_the_reason_says_how_to_get_it(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "find_tool", lambda: None)
    assert "pip install py-spy" in (look(sleeper).missing or "")


def test_folded_lines_become_activities(sleeper: int, tmp_path: Path) -> None:
    lines = (
        f"thread ({sleeper}): M;f (/w/train.py:3);_next_data (/x/torch/utils/data/dataloader.py:9) 60\n"
        f"thread ({sleeper}): M;f (/w/train.py:4);dumps (/usr/lib/python3/json/__init__.py:2) 40\n"
    )
    (tmp_path / "lines").write_text(lines)
    seen = look(sleeper, 1.0, tool=fake(tmp_path, OUT + f'cp {tmp_path}/lines "$out"\n'))
    assert (seen.tool, seen.samples, seen.missing) == ("py-spy 9.9.9", 100, None)
    assert seen.frac("loader-wait") == 0.6
    assert seen.frac("serialise") == 0.4


def test_one_that_hangs_is_ended_with_its_children(
    sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks_pyspy, "START_S", 0.2)
    monkeypatch.setattr(stacks_pyspy, "LEAVE_S", 0.2)
    note = f">> {tmp_path}/pids"
    body = f"trap '' INT TERM; echo $$ {note}; sleep 60 & echo $! {note}; wait; sleep 60\n"
    seen = look(sleeper, 0.1, tool=fake(tmp_path, body))
    assert "did not finish" in (seen.missing or "")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_that_hangs_when_asked_for_its_version_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks_pyspy, "VERSION_S", 0.3)
    monkeypatch.setattr(stacks_pyspy, "LEAVE_S", 0.2)
    tool = tmp_path / "py-spy"
    tool.write_text(f"#!/bin/sh\nsleep 60 & echo $$ $! > {tmp_path}/pids\nwait\n")
    tool.chmod(0o755)
    assert stacks_pyspy.tool_name(str(tool)) == "py-spy"
    deadline = time.monotonic() + 10
    while any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_process_that_a_killed_sampler_left_stopped_goes_on(
    sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks_pyspy, "START_S", 0.2)
    monkeypatch.setattr(stacks_pyspy, "LEAVE_S", 0.2)
    tool = fake(tmp_path, f"trap '' INT; kill -STOP {sleeper}; sleep 60\n")
    assert look(sleeper, 0.1, native=True, tool=tool).missing
    deadline = time.monotonic() + 10
    while Path(f"/proc/{sleeper}/stat").read_text().rpartition(")")[2].split()[0] == "T":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_flood_is_cut(sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks_pyspy, "OUTPUT_LIMIT_BYTES", 1 << 20)
    monkeypatch.setattr(stacks_pyspy, "LEAVE_S", 0.2)
    seen = look(sleeper, 5.0, tool=fake(tmp_path, "exec yes flood >&2\n"))
    assert "wrote more" in (seen.missing or "")


def test_stop_ends_it(sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks_pyspy, "LEAVE_S", 0.2)
    seen = look(sleeper, 60.0, tool=fake(tmp_path, "exec sleep 60\n"), stop=lambda: True)
    assert seen.missing == "stopped"


def test_garbage_is_a_reason_and_not_an_error(sleeper: int, tmp_path: Path) -> None:
    seen = look(sleeper, 1.0, tool=fake(tmp_path, OUT + 'head -c 100000 /dev/urandom > "$out"; exit 3\n'))
    assert seen.groups == ()
    assert (seen.missing or "").startswith("py-spy failed and said: ")
    said = look(sleeper, 1.0, tool=fake(tmp_path, "printf 'boom \\033[2J\\n' >&2; exit 3\n")).missing or ""
    assert "boom" in said and "\x1b" not in said


def test_what_cannot_be_started_is_said(sleeper: int, tmp_path: Path) -> None:
    assert "cannot be started" in (look(sleeper, 1.0, tool=str(tmp_path / "none")).missing or "")


def test_each_refusal_says_what_would_allow_it(
    sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(sleeper, 1.0, tool=fake(tmp_path, REFUSED)).missing is not None
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    proc = tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    said = "Permission Denied: Try running again"
    assert "use sudo" in why_not(7, said, proc)
    (tmp_path / ".dockerenv").touch()
    assert "--cap-add SYS_PTRACE" in why_not(7, said, proc)
    scope = proc / "sys" / "kernel" / "yama"
    scope.mkdir(parents=True)
    for value, words in (("1", "sysctl kernel.yama.ptrace_scope=0"), ("2", "only root"), ("3", "reboot")):
        (scope / "ptrace_scope").write_text(f"{value}\n")
        assert words in why_not(7, said, proc)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert "another user" in why_not(7, said, proc)
    assert "has ended" in why_not(8, said, proc)
    assert "no Python process" in why_not(7, "Error: Failed to find python version from target process", proc)


@pytest.mark.parametrize(
    "body", ["sleep 60 >/dev/null 2>&1 & exit 0\n", "trap '' INT; sleep 60 & wait; sleep 60\n"]
)
def test_the_group_is_signalled_while_its_number_is_its_own(
    sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(stacks_pyspy, "START_S", 0.2)
    monkeypatch.setattr(stacks_pyspy, "LEAVE_S", 0.1)
    signalled: list[tuple[int, int]] = []
    real = os.killpg

    def unreaped(group: int, number: int) -> None:
        os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        signalled.append((group, number))
        real(group, number)

    monkeypatch.setattr(os, "killpg", unreaped)
    ran = stacks_pyspy.record(fake(tmp_path, body), sleeper, 0.1, (), stacks_pyspy.never)
    assert [number for _, number in signalled][-1] == signal.SIGKILL
    assert ran.code is not None
    for group, _ in signalled:
        with pytest.raises(ChildProcessError):
            os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def test_a_group_whose_leader_somebody_else_reaped_gets_no_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = subprocess.Popen(["true"], start_new_session=True)
    os.waitid(os.P_PID, child.pid, os.WEXITED)
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("a recycled group"))
    stacks_pyspy._end(child)

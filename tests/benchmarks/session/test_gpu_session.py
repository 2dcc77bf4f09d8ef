"""The command itself: what it needs, refuses, and leaves when it is ended and goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import gpu_session
from tests.conftest import NvmlStub

SCRIPT = Path(gpu_session.__file__)


def test_what_is_missing_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_session, "NEEDED", {"os": "os", "no_such_module": "no-such-thing"})
    assert gpu_session.main(["--out", str(tmp_path / "out")]) == 3
    assert f"{sys.executable} has no no-such-thing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_archive_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gpu-session.tar.gz").touch()
    if gpu_session.missing():
        pytest.skip("no torch")
    assert gpu_session.main(["--out", str(tmp_path)]) == 2
    assert f"add to it with --resume {tmp_path}" in capsys.readouterr().err
    assert gpu_session.main(["--out", str(tmp_path / "new"), "--only", "nothing"]) == 2


@pytest.mark.parametrize("arguments", [["--budget", "0"], ["--seconds", "nan"], ["--part", "some"]])
def test_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_session.main(["--out", str(tmp_path), *arguments])
    assert ended.value.code == 2


def _command(*arguments: str) -> list[str]:
    more = ["--dry", "--part", "loads", "--only", "free,copy", "--seconds", "1.2", "--budget", "90"]
    return [sys.executable, str(SCRIPT), *more, *arguments]


@pytest.mark.skipif(find_spec("torch") is None, reason="no torch")
def test_a_dry_call_that_is_ended_and_gone_on_with(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    """SIGTERM after the first recording; the next call adds the rest to what its archive holds."""
    env = nvml_stub.env("memory", ADVISOR_STATE_DIR=str(tmp_path / "state"), TMPDIR=str(tmp_path))
    first = subprocess.Popen(
        _command("--out", str(tmp_path / "a")), env=env, stdout=subprocess.PIPE, text=True, cwd="/"
    )
    assert first.stdout is not None
    for line in first.stdout:
        if " verdict " in line:
            first.send_signal(signal.SIGTERM)
            break
    first.communicate(timeout=60)
    assert first.returncode == 143
    with tarfile.open(tmp_path / "a" / "gpu-session.tar.gz") as tar:
        before = set(tar.getnames())
    assert {"gpu-session/probes.json", "gpu-session/workloads/session.json"} <= before
    assert sum(name.endswith(".truth.json") for name in before) == 1
    assert not list(tmp_path.glob("gpu-session-*"))
    again = subprocess.run(
        _command("--out", str(tmp_path / "b"), "--resume", str(tmp_path / "a")),
        env=env, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "gpu-session.tar.gz",
        "gpu-session.log",
        "summary.json",
    }
    with tarfile.open(tmp_path / "b" / "gpu-session.tar.gz") as tar:
        after = set(tar.getnames())
    assert before < after
    assert sum(name.endswith(".truth.json") for name in after) == 2
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert summary["measured"] is False
    assert [list(c["steps"]) for c in summary["calls"]] == [["ceilings", "loads"], ["loads"]]

"""`advisor diagnose --stacks` on the simulated NVML library and a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from advisor.reports.json import decode
from advisor.telemetry.stacks import look
from tests.advisor.cli.harness import advisor, on_simulated
from tests.conftest import NvmlStub

PACKS = """
import json
data = {str(i): i for i in range(50000)}
print("ready", flush=True)
while True:
    json.dumps(data)
"""


def test_what_the_stacks_show_names_the_gap(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", PACKS], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        tried = look(child.pid, 1.0)
        if not tried.groups:
            pytest.skip(str(tried.missing))
        env = on_simulated(nvml_stub, "host", tmp_path, ADVISOR_NVML_PID=str(child.pid))
        done = advisor("diagnose", "--stacks", "--duration", "4s", "--json", env=env)
    finally:
        child.kill()
        child.communicate()
    diagnosis = decode(done.stdout)
    (verdict,) = diagnosis.verdicts
    if verdict.cause == "cpu-contention":
        pytest.skip("other work takes this machine's cores, and the verdict says so")
    assert (verdict.class_, verdict.cause) == ("host", "serialisation"), done.stderr
    found = next(f for f in diagnosis.findings if f.code == "HOST013")
    assert found.role == "primary"
    assert any(item.source.startswith("py-spy") for item in found.evidence)
    assert any("encoder.py" in str(item.value) or "<string>" in str(item.value) for item in found.evidence)


def test_without_py_spy_the_report_is_made_and_the_reason_said(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    broken = tmp_path / "bin" / "py-spy"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'Permission Denied: Try running again' >&2; exit 1\n")
    broken.chmod(0o755)
    try:
        env = on_simulated(nvml_stub, "host", tmp_path, ADVISOR_NVML_PID=str(child.pid))
        env["PATH"] = f"{broken.parent}:{env.get('PATH', '/usr/bin:/bin')}"
        done = advisor("diagnose", "--stacks", "--duration", "2s", "--json", env=env)
    finally:
        child.kill()
        child.wait()
    assert done.returncode == 0
    assert "stacks of GPU 0: " in done.stderr
    assert decode(done.stdout).verdicts[0].class_ == "host"

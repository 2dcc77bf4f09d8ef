"""`python -m probes` from its command line to its exit code, and what is left when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from probes.record import ProbeRun
from tests.conftest import NvmlStub
from tests.probes.faulty import PIDS
from tests.probes.test_suite import gone, noted

PROBES = [sys.executable, "-m", "probes"]
# The program with probes of the tests' own; its parts are the real ones.
WITH_PROBES = """
import sys
import probes.registry
from tests.probes.faulty import probe
probes.registry.PROBES = tuple(probe(name) for name in {names!r})
from probes.__main__ import main
sys.exit(main({args!r}))
"""


def call(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROBES, *args],
        env=env or dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def with_probes(*args: str, names: tuple[str, ...], pids: Path | None = None) -> subprocess.Popen[str]:
    env = {**os.environ, **({PIDS: str(pids)} if pids else {})}
    return subprocess.Popen(
        [sys.executable, "-c", WITH_PROBES.format(names=names, args=list(args))],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path) -> list[int]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and len(noted(path)) == 2:
            return noted(path)
        time.sleep(0.02)
    raise AssertionError("the probe did not start")


def test_the_cpu_end_to_end_as_json() -> None:
    done = call("bandwidth", "--device", "cpu", "--quick", "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    run = msgspec.json.decode(done.stdout, type=ProbeRun)
    (report,) = run.reports
    assert report.device.kind == "cpu"
    assert report.mode == "quick"
    assert report.refused is None
    found = {m.metric: m for m in report.measurements}
    assert {"host_read", "host_copy", "host_copy_1"} <= set(found)
    for m in found.values():
        assert m.valid in ("valid", "degraded", "unsupported"), m
    copy = found["host_copy"]
    assert copy.median is not None
    assert copy.p10 is not None
    assert copy.p90 is not None
    assert 1e8 < copy.p10 <= copy.median <= copy.p90 < 1e14
    assert copy.conditions.seed == 7
    assert copy.conditions.windows > 1
    assert report.versions["python"]


def test_a_table_goes_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    process = with_probes("--device", "cpu", "-o", str(path), names=("good", "raising"))
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said) == (0, "", "")
    text = path.read_text()
    assert "memory copy, all cores  1.00 GB/s" in text
    assert "failed: RuntimeError: first line" in text


def test_a_file_that_cannot_be_written_is_bad_usage_before_anything_is_measured() -> None:
    process = with_probes("--device", "cpu", "-o", "/nowhere/x.json", "--json", names=("good",))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "cannot write to /nowhere" in said


def test_nothing_measured_is_exit_code_3() -> None:
    process = with_probes("--device", "cpu", "--json", names=("quits",))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert json.loads(out)["reports"][0]["measurements"][0]["valid"] == "failed"


def test_ctrl_c_ends_it_within_seconds_and_leaves_no_process(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    process = with_probes("--device", "cpu", "--json", names=("good", "hang", "never"), pids=pids)
    workers = wait_for(pids)
    time.sleep(0.3)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert time.monotonic() - begin < 15
    assert said == "probes: interrupted\n"
    assert all(gone(pid) for pid in workers)
    (report,) = msgspec.json.decode(out, type=ProbeRun).reports
    assert report.interrupted
    assert any(m.metric == "host_copy" for m in report.measurements)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_dies_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    pids = tmp_path / "pids"
    process = with_probes("--device", "cpu", names=("hang",), pids=pids)
    worker, child = wait_for(pids)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert gone(worker)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("warp",), "is called 'warp'; there are host"),
        (("--quick", "--full"), "not allowed with"),
        (("--sustained", "soon"), "no time between"),
        (("--sustained", "0"), "no time between"),
        (("--seed", "x"), "invalid int"),
    ],
)
def test_wrong_usage_is_exit_code_2(args: tuple[str, ...], said: str) -> None:
    done = call(*args)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_probe_of_the_other_kind_is_wrong_usage() -> None:
    done = call("launch", "--device", "cpu")
    assert done.returncode == 2
    assert "no probe of a cpu device is called 'launch'" in done.stderr


def test_without_a_driver_it_is_exit_code_3_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").touch()
    done = call("--json", env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
    assert done.returncode == 3
    assert done.stdout == ""
    assert "no NVIDIA driver found" in done.stderr
    assert "--device cpu" in done.stderr


def test_a_busy_gpu_is_exit_code_3_and_says_who_uses_it(nvml_stub: NvmlStub) -> None:
    other = {"pid": 4242, "name": "trainer", "memory_mib": 900, "type": "compute"}
    done = call("bandwidth", "--json", env=nvml_stub.env({"gpus": [{"processes": [other]}]}))
    assert done.returncode == 3
    assert "process 4242 (trainer)" in done.stderr
    (report,) = msgspec.json.decode(done.stdout, type=ProbeRun).reports
    assert "--force" in (report.refused or "")


def test_the_list_names_every_probe_and_metric() -> None:
    done = call("--list")
    assert done.returncode == 0
    for word in ("bandwidth", "dram_read", "membw", "host_triad", "fp8_e4m3"):
        assert word in done.stdout


def test_a_reader_that_stops_reading_is_no_error() -> None:
    command = f"{sys.executable} -m probes --list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")

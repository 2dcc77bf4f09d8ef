"""`advisor diagnose` on the simulated NVML library says what each scenario planted."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from advisor.document import Diagnosis
from advisor.reports.json import decode
from rules.verdict import SHARES
from tests.advisor.cli.harness import advisor, diagnosed, on_simulated
from tests.conftest import NvmlStub
from tests.nvml_stub.scenarios import crash, lost

# scenario -> (class, cause, tier, a finding that must be among those made)
PLANTED = {
    "free": ("idle", "free", "counters", "IDLE001"),
    "idle_held": ("idle", "idle-held", "counters", "IDLE002"),
    "host": ("host", "unattributed", "counters", "HOST001"),
    "memory": ("memory", "dram-bandwidth", "counters", None),
    "compute": ("compute", "tensor-cores", "counters", "COMP001"),
    "low_occupancy": ("device", "small-grid", "counters", "DEV007"),
    "throttled": ("compute", "tensor-cores", "counters", "DEV003"),
    "power_capped": ("compute", "tensor-cores", "counters", "DEV002"),
    "pcie_degraded": ("host", "transfer", "counters", "DEV004"),
    "no_gpm": ("memory", "dram-bandwidth", "nvml", None),
    "old_abi": ("memory", "dram-bandwidth", "counters", None),
    "clocks_pinned": ("compute", "tensor-cores", "counters", "DEV010"),
    "garbage_names": ("memory", "dram-bandwidth", "counters", None),
}


@contextmanager
def process_that(code: str) -> Iterator[int]:
    """A real Python process that runs `code`; its pid."""
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def sums_hold(d: Diagnosis) -> None:
    """What must be true of every document."""
    for verdict in d.verdicts:
        assert set(verdict.shares) == set(SHARES)
        assert abs(math.fsum(verdict.shares.values()) - 1.0) < 1e-9
    for row in d.ladder:
        assert row.terms is not None and row.price_usd_h is not None
        assert math.fsum(row.terms.values()) == pytest.approx(row.price_usd_h, abs=1e-9)


@pytest.mark.parametrize("name", PLANTED)
def test_planted(name: str, nvml_stub: NvmlStub, tmp_path: Path) -> None:
    class_, cause, tier, code = PLANTED[name]
    d = diagnosed(nvml_stub, name, tmp_path, duration="3s")
    sums_hold(d)
    (verdict,) = d.verdicts
    assert (verdict.class_, verdict.cause, verdict.tier) == (class_, cause, tier)
    assert verdict.confidence >= 0.5
    assert code is None or code in {f.code for f in d.findings}
    assert "synthetic" in {flag.code for flag in d.flags}


def test_heat_is_its_own_share_and_secondary_cause(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    (verdict,) = diagnosed(nvml_stub, "throttled", tmp_path).verdicts
    assert verdict.shares["throttle"] > 0.3
    assert verdict.secondary_cause == "thermal"


def test_a_lost_gpu_leaves_the_other(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    d = diagnosed(nvml_stub, lost(calls=60), tmp_path, duration="4s")
    sums_hold(d)
    assert [(v.class_, v.cause) for v in d.verdicts] == [("compute", "tensor-cores"), ("unknown", "gpu-lost")]
    assert ("DEV005", 1) in {(f.code, f.gpu) for f in d.findings}


def test_a_node_with_failing_parts_names_each_on_its_own_gpu(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    # Growth is seen between two looks at the slow tier, 5 s apart.
    d = diagnosed(nvml_stub, "failing", tmp_path, duration="6.5s")
    found = {(f.code, f.gpu) for f in d.findings if f.code.startswith(("DEV01", "DEV02", "SW"))}
    assert found >= {
        ("DEV012", 1), ("DEV019", 2), ("DEV014", 3), ("DEV013", 4), ("DEV020", 5), ("DEV011", 7), ("SW001", 0)
    }  # fmt: skip
    assert {f.gpu for f in d.findings if f.code in ("DEV012", "DEV019", "SW001")} == {0, 1, 2}


def test_mig_instances_and_a_bill_that_sums_to_the_whole_gpu(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    d = diagnosed(nvml_stub, "mig", tmp_path, "--price", "7")
    sums_hold(d)
    assert [(v.mig, v.class_) for v in d.verdicts] == [
        ("3g.40gb/1", "memory"),
        ("2g.20gb/3", "compute"),
        ("1g.10gb/9", "idle"),
    ]
    assert d.totals.price_usd_h == pytest.approx(7.0)


def test_a_hung_driver_is_unknown_and_critical(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    d = diagnosed(nvml_stub, "hung", tmp_path, duration="5s")
    assert [(v.class_, v.cause) for v in d.verdicts] == [("unknown", "driver-silent")]
    assert "DEV005" in {f.code for f in d.findings}


def test_a_crashed_sampler_is_restarted_and_the_gap_is_said(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, crash(2, 3), tmp_path)
    env["ADVISOR_NVML_SCENARIO"] = nvml_stub.env(crash(2, 3), anchor=True)["ADVISOR_NVML_SCENARIO"]
    done = advisor("diagnose", "--duration", "8s", "--json", env=env)
    d = decode(done.stdout)
    assert [v.class_ for v in d.verdicts] == ["compute"]
    assert "gap" in {flag.code for flag in d.flags}


def test_a_pegged_thread_with_small_kernels_is_launch_bound(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    with process_that("while True: pass") as pid:
        env = on_simulated(nvml_stub, "launch_bound", tmp_path, ADVISOR_NVML_PID=str(pid))
        d = decode(advisor("diagnose", "--duration", "8s", "--json", env=env).stdout)
    (verdict,) = d.verdicts
    if verdict.cause == "cpu-contention":
        pytest.skip("other work takes this machine's cores, and the verdict says so")
    assert (verdict.class_, verdict.cause) == ("host", "launch-rate")
    assert "HOST002" in {f.code for f in d.findings}


LOADER = """
import subprocess, sys, time
workers = [subprocess.Popen([sys.executable, "-c", "while True: pass"])]
time.sleep(60)
"""


def test_busy_workers_and_a_waiting_parent_are_an_input_pipeline(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    code = f"import os; os.setsid()\n{LOADER}"
    with process_that(code) as pid:
        try:
            env = on_simulated(nvml_stub, "host", tmp_path, ADVISOR_NVML_PID=str(pid))
            d = decode(advisor("diagnose", "--duration", "8s", "--json", env=env).stdout)
        finally:
            os.killpg(pid, signal.SIGKILL)
    (verdict,) = d.verdicts
    if verdict.cause == "cpu-contention":
        pytest.skip("other work takes this machine's cores, and the verdict says so")
    assert (verdict.class_, verdict.cause) == ("host", "input-pipeline")
    assert "HOST003" in {f.code for f in d.findings}


def test_a_process_that_sleeps_has_no_demand(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    with process_that("import time; time.sleep(60)") as pid:
        env = on_simulated(nvml_stub, "host", tmp_path, ADVISOR_NVML_PID=str(pid))
        d = decode(advisor("diagnose", "--duration", "8s", "--json", env=env).stdout)
    assert d.verdicts[0].cause == "no-demand"

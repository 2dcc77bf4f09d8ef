"""The whole program on the simulated NVML library, as a person uses it."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import msgspec

from advisor.reports.json import decode
from advisor.schema import json_schema
from advisor.store import Store
from tests.advisor.cli.harness import ADVISOR, advisor, diagnosed, on_simulated, without_driver
from tests.conftest import NvmlStub
from tests.probes import reports


def wait_for_samples(calls: Path, samples: int = 11) -> None:
    """Until the simulated driver has given this many GPM samples (five a second)."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            counts = msgspec.json.decode(calls.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            continue
        if counts.get("nvmlGpmSampleGet", 0) >= samples:
            return
    raise AssertionError("the sampler took no samples")


def test_json_is_valid_by_the_schema(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "mixed", tmp_path)
    done = advisor("diagnose", "--duration", "2s", "--json", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    validator = importlib.import_module("jsonschema")  # it has no types of its own
    validator.validate(msgspec.json.decode(done.stdout), json_schema("diagnosis"))


def test_one_gpu_of_several_by_option_and_by_cuda_visible_devices(
    nvml_stub: NvmlStub, tmp_path: Path
) -> None:
    by_option = diagnosed(nvml_stub, "eight_gpus", tmp_path, "--gpu", "5,2", duration="1500ms")
    assert {v.gpu for v in by_option.verdicts} == {2, 5}
    env = on_simulated(nvml_stub, "eight_gpus", tmp_path, CUDA_VISIBLE_DEVICES="3")
    done = advisor("diagnose", "--duration", "1500ms", "--json", env=env)
    assert {v.gpu for v in decode(done.stdout).verdicts} == {3}


def test_price_and_fail_on(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "free", tmp_path)
    args = ("diagnose", "--duration", "1500ms", "--json", "--price", "4")
    failed = advisor(*args, "--fail-on", "usd:3.5", env=env)
    assert failed.returncode == 1
    assert "at or over $3.50/h" in failed.stderr
    assert decode(failed.stdout).totals.price_usd_h == 4.0
    passed = advisor(*args, "--fail-on", "usd:4.5", env=env)
    assert passed.returncode == 0


def test_a_hung_driver_ends_on_time_as_unknown(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    begin = time.monotonic()
    found = diagnosed(nvml_stub, "hung", tmp_path, duration="4s")
    assert time.monotonic() - begin < 30
    assert {v.class_ for v in found.verdicts} == {"unknown"}
    assert any("not answer" in reason for v in found.verdicts for reason in v.unknown_because)


def test_ctrl_c_prints_what_was_seen(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    calls = tmp_path / "calls.json"
    process = subprocess.Popen(
        [*ADVISOR, "diagnose", "--duration", "60s", "--json"],
        env=on_simulated(nvml_stub, "memory", tmp_path, ADVISOR_NVML_CALLS=str(calls)),
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_samples(calls)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert [v.class_ for v in decode(out).verdicts] == ["memory"]


def test_run_keeps_stdout_clean_and_passes_the_code(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    env = on_simulated(nvml_stub, "compute", tmp_path)
    script = "import time; time.sleep(2.5); print('result'); raise SystemExit(7)"
    done = advisor("run", "-o", str(report), "--", sys.executable, "-c", script, env=env)
    assert (done.returncode, done.stdout) == (7, "result\n")
    found = decode(report.read_text())
    assert found.provenance.source == "run"
    assert [v.class_ for v in found.verdicts] == ["compute"]


def test_recorded_then_replayed_gives_the_same_verdict(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "memory", tmp_path)
    file = tmp_path / "stream.jsonl"
    assert advisor("record", str(file), "--duration", "3s", env=env).returncode == 0
    done = advisor("replay", str(file), "--json", env=env)
    assert done.returncode == 0, done.stderr
    found = decode(done.stdout)
    assert found.provenance.source == "replay"
    assert [v.class_ for v in found.verdicts] == ["memory"]
    assert advisor("record", str(file), env=env).returncode == 2


def test_ctrl_c_is_the_normal_end_of_a_recording(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    file = tmp_path / "stream.jsonl.gz"
    calls = tmp_path / "calls.json"
    process = subprocess.Popen(
        [*ADVISOR, "record", str(file)],
        env=on_simulated(nvml_stub, "memory", tmp_path, ADVISOR_NVML_CALLS=str(calls)),
        stderr=PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_samples(calls)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "advisor replay" in said
    assert file.read_bytes()[:2] == b"\x1f\x8b"


def test_doctor_sees_the_gpus(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    done = advisor("doctor", "--json", env=on_simulated(nvml_stub, "mig", tmp_path))
    checks = {check["id"]: check for check in msgspec.json.decode(done.stdout)["checks"]}
    assert done.returncode == 0
    assert checks["nvidia.driver"]["status"] == "warn"
    assert "SIMULATED" in checks["nvidia.driver"]["detail"]
    assert "3 instances" in checks["nvidia.mig"]["detail"]


def test_a_report_off_a_terminal_without_a_command(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    done = advisor("--duration", "2s", "--json", env=on_simulated(nvml_stub, "host", tmp_path))
    assert done.returncode == 0
    assert [v.class_ for v in decode(done.stdout).verdicts] == ["host"]


def test_nothing_is_left_running(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = on_simulated(nvml_stub, "hung", tmp_path)
    marker = f"ADVISOR_TEST_MARKER={tmp_path.name}"
    advisor("diagnose", "--duration", "3s", env={**env, "ADVISOR_TEST_MARKER": tmp_path.name})
    left = [p.parent.name for p in Path("/proc").glob("[0-9]*/environ") if marker.encode() in _environ(p)]
    assert left == []


def _environ(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def probed(env: dict[str, str], **changes: object) -> None:
    """Store a probe run of the scenario's GPU 0 where this environment's advisor looks."""
    listed = decode(advisor("diagnose", "--duration", "1500ms", "--json", env=env).stdout)
    row, driver = listed.provenance.devices[0], listed.provenance.driver_version
    facts = reports.facts(key=row.key, power_limit_w=row.power_limit_w, ecc_enabled=row.ecc_enabled)
    report = reports.full(device=facts, versions={"driver": driver or ""}, t_s=time.time() - 7200.0)
    Store(Path(env["ADVISOR_STATE_DIR"]) / "ceilings").add(msgspec.structs.replace(report, **changes))


def test_measured_ceilings_are_used_carried_and_can_be_turned_off(
    nvml_stub: NvmlStub, tmp_path: Path
) -> None:
    env = on_simulated(nvml_stub, "memory", tmp_path, ADVISOR_STATE_DIR=str(tmp_path / "state"))
    probed(env)
    row = decode(advisor("diagnose", "--duration", "2s", "--json", env=env).stdout).provenance.devices[0]
    assert (row.ceilings_label, row.ceilings_stale) == ("measured", None)
    assert row.ceilings_measured is not None
    file = str(tmp_path / "x.jsonl")
    assert advisor("record", file, "--duration", "2s", env=env).returncode == 0
    elsewhere = without_driver(tmp_path)
    again = decode(advisor("replay", file, "--json", env=elsewhere).stdout).provenance.devices[0]
    assert (again.ceilings_label, again.ceilings_measured) == ("measured", row.ceilings_measured)
    off = {**env, "ADVISOR_USE_STORED_CEILINGS": "no"}
    plain = decode(advisor("diagnose", "--duration", "1500ms", "--json", env=off).stdout)
    assert plain.provenance.devices[0].ceilings_label == "assumed"


def test_a_damaged_store_is_a_warning_on_stderr(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    state = tmp_path / "state"
    env = on_simulated(nvml_stub, "memory", tmp_path, ADVISOR_STATE_DIR=str(state))
    probed(env, versions={"driver": "1.0"})
    stale = advisor("diagnose", "--duration", "2s", "--format", "text", env=env).stdout
    assert "measured under driver 1.0" in " ".join(stale.split())
    for path in (state / "ceilings").iterdir():
        path.write_bytes(b"\x1b[2J not JSON\n")
    done = advisor("diagnose", "--duration", "1500ms", "--json", env=env)
    assert done.returncode == 0
    assert "warning: measured ceilings" in done.stderr
    assert "cannot be read" in done.stderr
    assert decode(done.stdout).provenance.devices[0].ceilings_label == "assumed"

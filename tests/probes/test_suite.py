"""Whatever a probe does to its worker, the run goes on, says why, and leaves no process behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from probes.events import ASKING, Event, ProbeDone, Progress, Refused, Result, Started
from probes.limits import Limits
from probes.record import DeviceFacts, Measurement, Plan, ProbeReport
from probes.registry import PROBES, Probe
from probes.suite import run_device, run_devices
from tests.probes.faulty import PIDS, probe

CPU = DeviceFacts(kind="cpu", key="cpu:0", name="A CPU", cores=2)
PLAN = Plan(device="cpu", mode="default")
# Patient with what ends by itself, for the machine may be slow.
PATIENT = Limits(start_s=60, factor=1, extra_s=60)
SHORT = Limits(start_s=60, factor=1, extra_s=0.5)


def run(
    *names: str, limits: Limits = PATIENT, plan: Plan = PLAN, facts: DeviceFacts = CPU
) -> tuple[ProbeReport, list[Event]]:
    events: list[Event] = []
    todo = [probe(name) for name in names]
    return run_device(plan, facts, events.append, probes=todo, limits=limits), events


def told(report: ProbeReport, name: str) -> Measurement:
    """The one record that stands for a whole probe."""
    (found,) = [m for m in report.measurements if m.metric == name]
    return found


def good_figures(report: ProbeReport) -> int:
    return sum(m.metric == "host_copy" and m.valid == "valid" for m in report.measurements)


def gone(pid: int, within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pids"
    monkeypatch.setenv(PIDS, str(path))
    return path


def noted(pids: Path) -> list[int]:
    return [int(line) for line in pids.read_text().split()] if pids.exists() else []


def test_a_run_tells_events_in_order_and_reports_what_they_said() -> None:
    report, events = run("good", "good-again")
    kinds = [type(event) for event in events]
    assert kinds == [Started, *[Progress, Progress, Result, ProbeDone] * 2]
    assert good_figures(report) == 2
    assert report.refused is None
    assert not report.interrupted
    assert report.versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert report.device == CPU
    assert report.wall_s > 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "killed",
            "by the kernel where host memory runs out, else by somebody: about to need a lot",
        ),
        ("exit137", "host memory runs out"),
        ("segfault", "killed by SIGSEGV"),
        ("memory", "out of host memory"),
        ("raising", "RuntimeError: first line"),
        ("garbage", "no event"),
        ("endless", "a line of more than 1 MiB"),
        ("quits", "ended before it was done"),
        ("lost", "the device was lost to the worker: RuntimeError: CUDA error: an illegal memory access"),
        ("nowhere", "has no attribute 'nowhere'"),
    ],
)
def test_a_probe_that_breaks_becomes_a_record_and_the_rest_goes_on(name: str, reason: str) -> None:
    report, events = run(name, "good-after")
    record = told(report, name)
    assert record.valid == "failed"
    assert record.reason is not None
    assert reason in record.reason
    assert record.reason.isprintable()
    assert good_figures(report) == 1 + (name in ("killed", "raising", "garbage"))
    assert Result(measurement=record) in events
    assert report.refused is None


def test_a_module_that_cannot_be_imported_costs_its_probe_only() -> None:
    absent = msgspec.structs.replace(probe("good"), name="absent", target="tests.probes.not_there:absent")
    report = run_device(PLAN, CPU, lambda _e: None, probes=[absent, probe("good")], limits=PATIENT)
    assert "ModuleNotFoundError" in (told(report, "absent").reason or "")
    assert good_figures(report) == 1


def test_a_hung_probe_is_killed_with_its_children(pids: Path) -> None:
    report, _ = run("hang", "good-after", limits=SHORT)
    reason = told(report, "hang").reason
    assert reason == "hung at 'waiting for the driver': no end after 2 s"
    assert good_figures(report) == 2, "what it gave before is kept"
    assert len(noted(pids)) == 2
    assert all(gone(pid) for pid in noted(pids))


def test_a_worker_that_has_told_all_and_does_not_end_is_ended(pids: Path) -> None:
    report, _ = run("lingers", limits=msgspec.structs.replace(PATIENT, end_s=0.3))
    assert [m.valid for m in report.measurements] == ["valid"]
    assert report.wall_s < 40
    assert all(gone(pid) for pid in noted(pids))


def test_a_child_that_holds_the_pipe_open_does_not_hide_a_crash(pids: Path) -> None:
    report, _ = run("orphaning", "good-after")
    assert "SIGABRT" in (told(report, "orphaning").reason or "")
    assert good_figures(report) == 1
    assert all(gone(pid) for pid in noted(pids))


def test_what_is_no_finite_figure_is_a_failed_record() -> None:
    report, _ = run("infinite")
    assert [m.reason for m in report.measurements] == ["the figure is not a finite number"] * 2


def test_what_a_probe_does_not_support_is_no_failure() -> None:
    report, _ = run("unsupported")
    record = told(report, "unsupported")
    assert record.valid == "unsupported"
    assert record.reason == "unsupported: needs a card with wings"


def test_the_whole_run_has_a_limit(pids: Path) -> None:
    limits = Limits(start_s=60, factor=0, extra_s=60, whole_extra_s=-56)
    report, _ = run("hang", "never", limits=limits)
    assert "the whole run took longer than 4 s" in (told(report, "hang").reason or "")
    assert "the whole run took longer than 4 s" in (told(report, "never").reason or "")
    assert all(gone(pid) for pid in noted(pids))


def test_a_run_that_is_late_leaves_out_what_is_still_to_come() -> None:
    limits = msgspec.structs.replace(PATIENT, slack=0.0, slack_s=0.5)
    report, events = run("slow", "never", "never-again", limits=limits)
    assert [m.valid for m in report.measurements] == ["valid", "failed", "failed"]
    assert (told(report, "never").reason or "").startswith("no time left")
    assert sum(isinstance(e, ProbeDone) for e in events) == 3
    assert sum(isinstance(e, Started) for e in events) == 1


def test_a_run_that_is_late_gives_each_its_share_of_what_is_left() -> None:
    limits = msgspec.structs.replace(PATIENT, slack=0.0, slack_s=3.0)
    report, _ = run("slow", "good", "good-again", limits=limits)
    told_s = report.measurements[0].median
    assert told_s is not None
    assert told_s - 100 <= 1.0 - 0.6, "a third of three seconds, less what it slept"


def test_time_lost_to_a_worker_that_broke_is_not_given_again() -> None:
    limits = msgspec.structs.replace(SHORT, slack=0.0, slack_s=1.0)
    report, _ = run("hang", "never", limits=limits)
    assert (told(report, "never").reason or "").startswith("no time left")


def test_restarts_are_limited() -> None:
    limits = msgspec.structs.replace(PATIENT, restarts=1)
    report, _ = run("quits", "quits-again", "never", limits=limits)
    assert "ended before it was done" in (told(report, "quits-again").reason or "")
    assert (told(report, "never").reason or "").startswith("not run: the worker broke down 2 times")


def test_a_worker_that_never_starts_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such\\x1b luck')"]
    monkeypatch.setattr("probes.link.start_command", lambda: command)
    report, events = run("good")
    assert report.refused is not None
    assert report.refused.startswith("the worker does not start: the worker failed with exit code 1: no such")
    assert report.refused.isprintable()
    assert report.measurements == ()
    assert events == []


def test_a_worker_that_does_not_answer_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr("probes.link.start_command", lambda: command)
    report, _ = run("good", limits=Limits(start_s=0.5))
    assert (report.refused or "").startswith("the device did not open within 0 s")


def test_a_driver_that_does_not_say_who_uses_the_device_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    event = msgspec.json.encode(Progress(probe="", text=ASKING, frac=0.0)).decode()
    code = (
        "import json, os, sys, time\n"
        "job = json.load(sys.stdin)\n"
        f"os.write(job['events_fd'], {event!r}.encode() + b'\\n')\n"
        "time.sleep(60)"
    )
    monkeypatch.setattr("probes.link.start_command", lambda: [sys.executable, "-c", code])
    report, _ = run("good", limits=Limits(driver_s=0.3))
    assert (report.refused or "").startswith("the driver did not say within 0 s who uses the device")


def test_a_worker_that_cannot_be_started_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.link.start_command", lambda: ["/nowhere/python"])
    report, _ = run("good")
    assert (report.refused or "").startswith("the worker cannot be started: ")


def test_cancelling_keeps_what_was_measured_and_kills_the_worker(pids: Path) -> None:
    seen = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, Result):
            seen.set()

    todo = [probe("hang"), probe("never")]
    report = run_device(PLAN, CPU, hear, cancelled=seen.is_set, probes=todo, limits=PATIENT)
    assert report.interrupted
    assert good_figures(report) == 1
    assert all(gone(pid) for pid in noted(pids))


def test_an_interrupt_while_an_event_is_heard_leaves_nothing_behind(pids: Path) -> None:
    def hear(event: Event) -> None:
        if isinstance(event, Result):
            raise KeyboardInterrupt

    report = run_device(PLAN, CPU, hear, probes=[probe("hang")], limits=PATIENT)
    assert report.interrupted
    assert all(gone(pid) for pid in noted(pids))


def test_a_listener_that_breaks_leaves_no_worker_behind(pids: Path) -> None:
    def hear(event: Event) -> None:
        if isinstance(event, Result):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_device(PLAN, CPU, hear, probes=[probe("hang")], limits=PATIENT)
    assert all(gone(pid) for pid in noted(pids))


def test_without_torch_what_needs_it_is_unsupported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('none here', name='torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report, _ = run("torchless", "good")
    record = told(report, "torchless")
    assert record.valid == "unsupported"
    assert (record.reason or "").startswith("unsupported: torch is not installed; install")
    assert good_figures(report) == 1


def test_a_device_that_cannot_be_probed_is_refused_without_a_worker() -> None:
    facts = DeviceFacts(kind="cuda", key="index 3", name="GPU 3", index=3, missing={"device": "it fell off"})
    report, events = run("never", facts=facts)
    assert report.refused == "it fell off"
    assert events == []


def test_devices_run_in_turn_and_an_interrupt_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.registry.PROBES", (probe("good"), probe("good-again")))
    other = msgspec.structs.replace(CPU, key="cpu:1")
    heard: list[str] = []

    def hear(facts: DeviceFacts, event: Event) -> None:
        heard.append(facts.key)
        if facts is other and isinstance(event, Result):
            raise KeyboardInterrupt

    whole = run_devices(PLAN, [CPU, other, CPU], hear, limits=PATIENT)
    assert [r.interrupted for r in whole.reports] == [False, True]
    assert [good_figures(r) for r in whole.reports] == [2, 1]
    assert sorted(set(heard)) == ["cpu:0", "cpu:1"]
    assert whole.outliers == ()


def test_a_name_that_is_no_probe_is_an_error_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="no probe of a cpu device is called 'warp'"):
        run_devices(Plan(names=("warp",)), [CPU], lambda _f, _e: None)


@pytest.mark.parametrize("mode", ["quick", "default", "full"])
def test_limits_leave_room_beyond_the_budget(mode: str) -> None:
    scale = {"quick": 0.2, "default": 1.0, "full": 4.0}[mode]
    plan = Plan(mode=mode)  # type: ignore[arg-type]
    limits = Limits()
    for known in PROBES:
        assert limits.probe_s(known, plan) >= 2 * known.budget_s * scale + 30
    cuda = [p for p in PROBES if p.kind == "cuda"]
    planned_s = sum(p.budget_s for p in cuda) * scale
    assert 1.25 * planned_s < limits.measuring_s(cuda, plan) < 1.5 * planned_s + 5
    assert limits.whole_s(cuda, plan) > limits.start_s + 2 * sum(p.budget_s for p in cuda) * scale


def test_limits_grow_with_a_longer_sustained_load() -> None:
    (tensor,) = [p for p in PROBES if p.name == "tensor"]
    longer = Limits().probe_s(tensor, Plan(sustained_s=120.0)) - Limits().probe_s(tensor, Plan())
    assert longer >= 120.0 * 8


@pytest.mark.parametrize("module", ["probes.suite", "probes.devices", "probes.__main__", "probes.worker"])
def test_nothing_heavy_is_imported_by_the_parent(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert set(done.stdout.split()) & {"torch", "cupy", "pynvml", "psutil", "numpy", "rich", "click"} == set()


def test_refused_events_reach_the_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that nobody can open: no library answers, whatever machine this runs on."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    facts = DeviceFacts(kind="cuda", key="GPU-0", name="a GPU", index=0)
    events: list[Event] = []
    todo: list[Probe] = [probe("never", kind="cuda")]
    report = run_device(Plan(), facts, events.append, probes=todo, limits=PATIENT)
    *_, event = events
    assert isinstance(event, Refused)
    assert report.refused == f"{event.reason}. {event.fix}"
    assert report.measurements == ()

"""`advisor probe`: what is asked for, measured, stored, printed, and how it ends."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor import __version__
from advisor.cli import diagnostics, probing
from advisor.cli.app import run_cli
from advisor.schema import json_schema
from advisor.store import Store, StoreError
from probes import devices, suite
from probes.events import ProbeDone, Progress, Refused
from probes.limits import Limits
from probes.record import DeviceFacts, Plan, ProbeReport, ProbeRun
from probes.registry import chosen
from tests.advisor.cli.harness import ADVISOR, advisor, clean_env, on_simulated, without_driver
from tests.conftest import NvmlStub
from tests.probes.reports import DAY_S, T0_S, facts, full, key, report, take

jsonschema: Any = importlib.import_module("jsonschema")
SCHEMA = jsonschema.Draft202012Validator(json_schema("probe"))


class FakeSuite:
    """Stands in for workers: gives a report a device, tells a few events, remembers what was asked."""

    def __init__(self) -> None:
        self.devices = [facts()]
        self.reports: dict[str, ProbeReport] = {key(0): full()}
        self.plans: list[Plan] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def list_devices(self, wanted: str, _env: object, _timeout_s: float) -> list[DeviceFacts]:
        if wanted == "99":
            raise devices.NoDeviceError("there is no device '99'", "There is 0.")
        return self.devices

    def run_device(
        self,
        plan: Plan,
        device: DeviceFacts,
        on_event: suite.OnEvent,
        *,
        cancelled: Callable[[], bool],
        advisor_version: str,
        limits: Limits,
    ) -> ProbeReport:
        self.plans.append(plan)
        on_event(Progress(probe="bandwidth", text="memory \x1b[31mcopy", frac=0.5))
        on_event(ProbeDone(probe="bandwidth", wall_s=7.9))
        self.meanwhile()
        found = self.reports[device.key]
        if found.refused is not None:
            on_event(Refused(reason=found.refused))
        interrupted = found.interrupted or cancelled()
        return msgspec.structs.replace(found, advisor_version=advisor_version, interrupted=interrupted)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSuite:
    """A node with one GPU, and an empty store."""
    made = FakeSuite()
    monkeypatch.setattr(devices, "list_devices", made.list_devices)
    monkeypatch.setattr(suite, "run_device", made.run_device)
    monkeypatch.setenv("ADVISOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ADVISOR_CONFIG", str(_empty(tmp_path)))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return made


def _empty(folder: Path) -> Path:
    path = folder / "config.toml"
    path.write_text("")
    return path


def document(text: str) -> ProbeRun:
    """A printed run, valid by its schema."""
    SCHEMA.validate(json.loads(text))
    return msgspec.json.decode(text, type=ProbeRun)


def test_a_run_is_printed_and_stored(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["probe"]) == 0
    said = capsys.readouterr()
    assert "dram_copy           3.00 TB/s" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert said.err == f"advisor: GPU 0 bandwidth: 7.9s\nadvisor: stored in {Store().path(key(0))}\n"
    (stored,) = Store().history(key(0))
    assert stored.advisor_version == __version__
    assert fake.plans == [Plan(device=key(0))]


def test_the_second_run_says_what_changed(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    Store().add(full(0.99, t_s=T0_S - DAY_S))
    run_cli(["probe"])
    assert "+1.0 %" in capsys.readouterr().out


def test_nothing_is_stored_when_not_wanted(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["probe", "--no-store"]) == 0
    assert Store().keys() == ()


@pytest.mark.parametrize(
    ("args", "plan"),
    [
        (["--quick"], Plan(device=key(0), mode="quick")),
        (["--full", "--force"], Plan(device=key(0), mode="full", force=True)),
        (["--sustained", "120s"], Plan(device=key(0), sustained_s=120.0)),
        (["tensor", "bandwidth"], Plan(device=key(0), names=("tensor", "bandwidth"))),
        (["gemm"], Plan(device=key(0), names=("gemm",))),
    ],
)
def test_options_make_the_plan(fake: FakeSuite, args: list[str], plan: Plan) -> None:
    assert run_cli(["probe", *args]) == 0
    assert fake.plans == [plan]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nonsense"], "no probe of a cuda device is called 'nonsense'"),
        (["latency", "--device", "cpu"], "no probe of a cpu device is called 'latency'"),
        (["cores", "--device", "0,cpu"], "no probe of a cuda device is called 'cores'"),
        (["--quick", "--full"], "contradict"),
        (["--sustained", "2h"], "longer than an hour"),
        (["--sustained", "soon"], "is not a duration"),
        (["--json", "--format", "md"], "contradict"),
        (["-o", "/nowhere/at/all.md"], "/nowhere/at"),
        (["--history"], "no probe run is stored"),
        (["--history", "--device", "0"], "no probe run of '0' is stored"),
    ],
)
def test_bad_input_is_said_before_anything_is_measured(
    fake: FakeSuite, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert run_cli(["probe", *args]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert said in streams.err
    assert fake.plans == []


def test_no_device_is_exit_code_3(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["probe", "--device", "99"]) == 3
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == "advisor: there is no device '99'\n  fix: There is 0.\n"


def test_json_is_valid_and_alone(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["probe", "--json"]) == 0
    streams = capsys.readouterr()
    assert document(streams.out).reports[0].device.key == key(0)
    assert streams.err == "", "no progress beside JSON in a pipe"


@pytest.mark.parametrize(("name", "head"), [("run.json", "{"), ("run.md", "## GPU 0"), ("run.txt", "GPU 0")])
def test_a_file_has_the_shape_of_its_suffix(
    fake: FakeSuite, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, head: str
) -> None:
    path = tmp_path / name
    assert run_cli(["probe", "-o", str(path)]) == 0
    assert path.read_text().startswith(head)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    streams = capsys.readouterr()
    assert streams.out == ""
    assert f"wrote {path}" in streams.err


def busy(index: int = 0) -> ProbeReport:
    return report(refused="python (pid 7) uses it. Wait until it is free.", device=facts(index))


def test_a_busy_gpu_is_exit_code_3(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    fake.reports = {key(0): busy()}
    assert run_cli(["probe"]) == 3
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "GPU 0 NVIDIA H100 80GB HBM3: python (pid 7) uses it. Wait until it is free." in streams.err
    assert Store().keys() == ()
    assert run_cli(["probe", "--json"]) == 3
    assert document(capsys.readouterr().out).reports[0].refused


def test_nothing_but_failures_is_exit_code_3(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    fake.reports = {key(0): report(take("tensor", None, valid="failed", reason="torch is not installed"))}
    assert run_cli(["probe"]) == 3
    assert "torch is not installed" in capsys.readouterr().err


def test_a_node_names_its_outlier_and_who_was_not_measured(
    fake: FakeSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.devices = [facts(i) for i in range(5)]
    fake.reports = {
        key(i): report(take("bf16", 720e12 if i == 3 else 800e12), device=facts(i)) for i in range(4)
    }
    fake.reports[key(4)] = busy(4)
    assert run_cli(["probe", "--device", "all"]) == 0
    streams = capsys.readouterr()
    assert "GPU 3 reaches 90 % of its siblings' bf16" in streams.out
    assert "warning: GPU 4 NVIDIA H100 80GB HBM3 was not measured: python (pid 7)" in streams.err
    assert [plan.device for plan in fake.plans] == [key(i) for i in range(5)]
    assert Store().keys() == tuple(key(i) for i in range(4))
    run_cli(["probe", "--device", "all", "--json"])
    assert {o.index for o in document(capsys.readouterr().out).outliers} == {3}


def test_contended_figures_are_shown_and_are_no_ceilings(
    fake: FakeSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.reports = {key(0): full(contended="python (pid 7) uses it")}
    assert run_cli(["probe", "--force"]) == 0
    assert "CONTENDED: python (pid 7) uses it" in capsys.readouterr().out
    assert len(Store().history(key(0))) == 1
    assert Store().latest(key(0)) is None


def test_ctrl_c_prints_what_was_measured(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    fake.devices = [facts(0), facts(1)]
    fake.meanwhile = lambda: os.kill(os.getpid(), signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    assert run_cli(["probe", "--device", "all"]) == 130
    streams = capsys.readouterr()
    assert "INTERRUPTED" in streams.out
    assert "3.00 TB/s" in streams.out
    assert "interrupted: this is what was measured so far" in streams.err
    assert len(fake.plans) == 1, "the next device is not begun"
    assert signal.getsignal(signal.SIGINT) is before
    assert Store().latest(key(0)) is not None, "valid figures are kept"


def test_ctrl_c_before_anything_is_quiet(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    fake.reports = {key(0): report(interrupted=True)}
    assert run_cli(["probe"]) == 130
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "interrupted before anything was measured" in streams.err


def test_a_second_ctrl_c_ends_at_once(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    fake.meanwhile = twice
    assert run_cli(["probe"]) == 130
    assert capsys.readouterr().out == ""


def test_a_store_that_fails_loses_no_result(
    fake: FakeSuite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_self: Store, _report: ProbeReport) -> Path:
        raise StoreError("the run was not stored in X: No space left on device", "free some space there")

    monkeypatch.setattr(Store, "add", full_disk)
    assert run_cli(["probe"]) == 0
    streams = capsys.readouterr()
    assert "3.00 TB/s" in streams.out
    assert "warning: the run was not stored in X: No space left on device; free some" in streams.err


def test_a_damaged_store_is_said_once(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    path = Store().add(full())
    path.write_bytes(path.read_bytes() + b"garbage\n")
    assert run_cli(["probe"]) == 0
    assert capsys.readouterr().err.count("cannot be read and is skipped") == 1


def test_history_needs_no_driver(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    for day, scale in ((0, 0.9), (1, 0.99), (2, 1.0)):
        Store().add(full(scale, t_s=T0_S + day * DAY_S))
    Store().add(full(device=facts(1)))
    assert run_cli(["probe", "--history"]) == 0
    text = capsys.readouterr().out
    assert "3 stored runs, the newest " in text
    assert "1 stored run, the newest" in text
    assert "+1.0 %" in text
    assert run_cli(["probe", "--history", "--device", key(1), "--json"]) == 0
    assert [r.device.index for r in document(capsys.readouterr().out).reports] == [1]
    assert run_cli(["probe", "--history", "--device", "0", "--format", "md"]) == 0
    assert "| memory copy |" in capsys.readouterr().out
    assert fake.plans == []


def test_the_list_of_probes(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["probe", "--list"]) == 0
    text = capsys.readouterr().out
    assert "bandwidth  gpu" in text
    assert "membw      cpu" in text
    assert run_cli(["probe", "--list", "--json"]) == 0
    assert {p["kind"] for p in json.loads(capsys.readouterr().out)["probes"]} == {"cuda", "cpu"}


def test_secrets_stay_out_unless_asked(fake: FakeSuite, capsys: pytest.CaptureFixture[str]) -> None:
    made = take("int8", None, valid="failed", reason="OSError: /home/alice/lib.so")
    fake.reports = {key(0): report(take("bf16"), made)}
    run_cli(["probe", "--json", "--no-store"])
    assert "alice" not in capsys.readouterr().out
    run_cli(["probe", "--json", "--no-store", "--no-redact"])
    assert "alice" in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_bar_fits_and_obeys_nobody(
    fake: FakeSuite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setattr(diagnostics, "is_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    assert run_cli(["probe", "--no-store"]) == 0
    drawn = [line for line in capsys.readouterr().err.split("\r") if line.strip()]
    assert re.match(r"GPU 0 █+░+ +\d+ % ", drawn[0])
    assert len(drawn[0]) < int(columns)
    assert "\x1b[31m" not in drawn[0]
    assert "advisor: GPU 0 bandwidth" not in "".join(drawn), "a bar needs no lines beside it"


def test_progress_counts_probes_by_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(diagnostics.Progress, "show", lambda _self, text: shown.append(text))
    narrator = probing.Narrator(probing.Wanted(), facts(), Plan(names=("latency", "bandwidth")))
    for event in (
        Progress(probe="latency", text="a", frac=0.5),
        ProbeDone(probe="latency", wall_s=1),
        Progress(probe="bandwidth", text="b", frac=0.0),
        Progress(probe="bandwidth", text="c", frac=7.0),
        Progress(probe="stranger", text="d", frac=1.0),
    ):
        narrator(event)
    latency, bandwidth = (p.budget_s for p in chosen("cuda", ("latency", "bandwidth")))
    first = latency / (latency + bandwidth) * 100
    expected = [f"{percent:.0f}" for percent in (first / 2, first, 100, first)]
    assert [line.split("%")[0].split()[-1] for line in shown] == expected


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home directory for the whole program."""
    yield tmp_path_factory.mktemp("home")


def test_the_cpu_end_to_end(home: Path) -> None:
    env = clean_env(home)
    done = advisor("probe", "host", "--device", "cpu", "--quick", "--json", env=env)
    assert done.returncode == 0, done.stderr
    (found,) = document(done.stdout).reports
    assert {m.metric for m in found.measurements} == {"python_thread", "python_contended", "cpu_share"}
    assert all(m.value for m in found.measurements)
    assert (found.mode, found.advisor_version) == ("quick", __version__)
    (stored,) = (home / ".local" / "state" / "advisor" / "ceilings").iterdir()
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    again = advisor("probe", "--history", "--device", "cpu", "--json", env=env)
    assert document(again.stdout).reports == (found,)


def test_ctrl_c_end_to_end(home: Path) -> None:
    """A terminal sends it to the whole foreground group; the program prints and leaves nobody behind."""
    process = subprocess.Popen(
        [*ADVISOR, "probe", "host", "gemm", "--device", "cpu", "--no-store"],
        env=clean_env(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("advisor: CPU host:")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "INTERRUPTED" in out
    assert "Python on one thread" in out
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_without_a_driver_it_says_what_to_do(tmp_path: Path) -> None:
    done = advisor("probe", env=without_driver(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "no NVIDIA driver" in done.stderr
    assert "--device cpu" in done.stderr


def test_a_gpu_without_cuda_is_refused_with_a_reason(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    """The simulated driver lists GPUs, and there is no CUDA to open them with."""
    done = advisor("probe", "--quick", "--json", env=on_simulated(nvml_stub, "free", tmp_path))
    assert done.returncode == 3, done.stdout
    (found,) = document(done.stdout).reports
    assert found.refused or all(m.valid != "valid" for m in found.measurements)
    assert "Traceback" not in done.stderr

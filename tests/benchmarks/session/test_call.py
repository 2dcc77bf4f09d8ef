"""A call: which parts run, with which ceilings, and what is left when it ends."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.telemetry.records import DeviceInfo, Hello, HostInfo
from benchmarks import gpu_session
from benchmarks.session import call as module
from benchmarks.session.call import Call
from benchmarks.session.clock import Clock
from benchmarks.workloads import filing
from benchmarks.workloads.filing import FilingError
from probes.record import ProbeRun
from tests.benchmarks.session.test_archive import recorded
from tests.probes.reports import VERSIONS, facts, full, key

CARD = "NVIDIA H100 80GB HBM3"


class Steps:
    """Notes what is run; probes leave a report of the card `probed`, and `stops` ends the call."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.limits: list[float] = []
        self.probed, self.stops = key(0), ""

    def say(self, line: str) -> None: ...

    def run(self, arguments: Sequence[str], limit_s: float) -> dict[str, Any]:
        self.ran.append(list(arguments))
        self.limits.append(limit_s)
        if arguments[0] == self.stops:
            raise SystemExit(143)
        if arguments[0] == "probes":
            report = full(t_s=time.time(), device=facts(key=self.probed))
            file = Path(arguments[arguments.index("-o") + 1])
            file.write_bytes(msgspec.json.encode(ProbeRun(reports=(report,))))
        return {"command": list(arguments), "rc": 0}


Make = Callable[..., Call]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A call on a made-up machine whose steps are noted and not run."""
    monkeypatch.setattr(module, "facts", lambda _: {"driver": "-"})
    monkeypatch.setenv("ADVISOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def made(*arguments: str, gpu: str = key(0), name: str = CARD, resume: Path | None = None) -> Call:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        more = ["--resume", str(resume)] if resume else []
        args = gpu_session._arguments(["--out", str(out), *arguments, *more])
        info = DeviceInfo(
            key=gpu,
            index=0,
            name=name,
            uuid=gpu,
            memory_total_bytes=85_520_809_984,
            power_limit_w=700.0,
            power_limit_max_w=700.0,
        )
        host = HostInfo(host="h")
        hello = Hello(
            t_s=0.0, advisor_version="0", host=host, devices=(info,), driver_version=VERSIONS["driver"]
        )
        out.mkdir()
        (out / "work").mkdir()
        call = Call(args, hello, info, out / "work", Clock.of(args.budget))
        call.steps = Steps()  # type: ignore[assignment]
        return call

    return made


def _steps(call: Call) -> Steps:
    assert isinstance(call.steps, Steps)
    return call.steps


def _names(call: Call) -> list[str]:
    return [arguments[0].removeprefix("benchmarks.") for arguments in _steps(call).ran]


def _run(call: Call) -> int:
    call.begin()
    try:
        return call.run()
    finally:
        call.save()


def _archive(call: Call) -> Path:
    found: Path = call.args.out / "gpu-session.tar.gz"
    return found


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("probes", ["probes", "peers.gpu"]),
        ("peers", ["peers.gpu"]),
        ("loads", ["probes", "workloads.record"]),
        ("all", ["probes", "workloads.record", "peers.gpu"]),
    ],
)
def test_a_part_is_its_steps(make: Make, part: str, names: list[str]) -> None:
    call = make("--part", part)
    assert _run(call) == 0
    assert _names(call) == names
    assert all(limit <= min(module.STEP_S, 545.0) or "record" in name for limit, name in
               zip(_steps(call).limits, names, strict=True))  # fmt: skip


def test_the_next_call_records_with_the_probes_of_the_first(make: Make) -> None:
    first = make("--part", "probes")
    _run(first)
    second = make("--part", "loads", resume=_archive(first))
    _run(second)
    assert _names(second) == ["workloads.record"]
    (command,) = _steps(second).ran
    given = Path(command[command.index("--probes") + 1])
    assert [report.device.key for report in filing.probe_run(given).reports] == [key(0)]
    assert "--resume" not in command
    with tarfile.open(_archive(second)) as tar:
        assert "gpu-session/probes.json" in tar.getnames()
    assert len(json.loads((second.args.out / "summary.json").read_text())["calls"]) == 2


def test_another_card_of_the_model_is_probed_briefly(make: Make) -> None:
    first = make("--part", "probes")
    _run(first)
    second = make("--part", "loads", gpu=key(5), resume=first.args.out)
    _steps(second).probed = key(5)
    _run(second)
    assert _names(second) == ["probes", "workloads.record"]
    assert _steps(second).ran[0][:6] == ["probes", "bandwidth", "tensor", "--device", "0", "--quick"]
    reports = filing.probe_run(second.work / "probes.json").reports
    assert [report.device.key for report in reports] == [key(0), key(5)]


def test_recordings_go_on(make: Make) -> None:
    call = make("--part", "loads")
    recorded(call.work, "copy", device=CARD, synthetic=False)
    (call.work / "summary.json").unlink()
    _run(call)
    command = _steps(call).ran[-1]
    assert command[command.index("--resume") + 1] == str(call.work)
    assert float(command[command.index("--budget") + 1]) <= 545.0
    assert (command[command.index("--seconds") + 1], command[command.index("--fix-seconds") + 1]) == (
        "8.0",
        "3.0",
    )


def test_what_no_longer_fits_is_skipped_and_said_so(make: Make) -> None:
    call = make("--part", "all", "--budget", "60")
    assert _run(call) == 0
    assert _names(call) == ["probes", "workloads.record"]
    assert "s were left" in call.summary["calls"][-1]["steps"]["peers"]["skipped"]


@pytest.mark.parametrize(("budget", "rounds"), [("560", "2"), ("250", "1")])
def test_peers_have_the_rounds_that_fit(make: Make, budget: str, rounds: str) -> None:
    call = make("--part", "peers", "--budget", budget)
    _run(call)
    command = _steps(call).ran[0]
    assert command[command.index("--rounds") + 1] == rounds


def test_a_step_that_failed_is_told_by_the_exit_code(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    call = make("--part", "probes")
    monkeypatch.setattr(call.steps, "run", lambda *_: {"rc": 3})
    assert _run(call) == 1
    assert "holds no probe run" in call.summary["calls"][-1]["steps"]["probes"]["error"]
    assert not (call.work / "probes.json").exists()


def test_an_interrupted_call_leaves_what_it_has(make: Make) -> None:
    call = make("--part", "probes")
    _steps(call).stops = "benchmarks.peers.gpu"
    with pytest.raises(SystemExit):
        _run(call)
    with tarfile.open(_archive(call)) as tar:
        assert "gpu-session/probes.json" in tar.getnames()
    assert call.summary["calls"][-1]["steps"]["peers"] == {"error": "interrupted"}


@pytest.mark.parametrize("with_recordings", [False, True])
@pytest.mark.parametrize(
    ("arguments", "name", "words"), [((), "NVIDIA X", "was recorded on"), (("--dry",), CARD, "never mixed")]
)
def test_another_model_and_dry_runs_are_not_mixed_in(
    make: Make, arguments: tuple[str, ...], name: str, words: str, with_recordings: bool
) -> None:
    first = make("--part", "probes")
    _run(first)
    if with_recordings:
        recorded(first.work, "copy", device=CARD, synthetic=False)
        (first.work / "summary.json").unlink()
        first.args.out.joinpath("gpu-session.tar.gz").unlink()
        source = first.work
    else:
        source = first.args.out
    with pytest.raises(FilingError, match=words):
        make(*arguments, name=name, resume=source).begin()


def test_a_call_without_time_still_leaves_an_archive(make: Make) -> None:
    call = make("--part", "loads")
    call.clock = Clock.of(1.0)
    assert _run(call) == 0
    assert not _steps(call).ran
    assert _archive(call).exists()

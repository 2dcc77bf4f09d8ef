"""A recording session: what it files, skips and says; and once end to end against the simulated library."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from advisor.reports.files import write_atomic
from advisor.store import Store
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.recording import read_recording
from advisor.telemetry.records import DeviceInfo, End, Frame, Hello, HostInfo, Message, ProcessSample, Sample
from benchmarks.workloads import filing, record
from benchmarks.workloads import watch as watching_module
from benchmarks.workloads.child import ChildError, Where
from benchmarks.workloads.spec import Account, Session
from benchmarks.workloads.watch import DRY_NOTE, Watched, WatchError, Watching, watch
from probes.ceilings import Ceiling, Ceilings
from probes.record import ProbeRun
from tests.conftest import NvmlStub
from tests.probes.reports import facts, full

KEY, OTHER = "GPU-1", "GPU-2"
STUB_KEY = "GPU-51a7c0de-0000-4000-8000-000000000000"
CARD = Ceilings(
    model="made-up card",
    label="measured",
    ceilings=(Ceiling(metric="dram_copy", value=10.0, unit="bytes_s", label="measured", source="planted"),),
)


def _hello(**changes: Any) -> Hello:
    devices = tuple(
        DeviceInfo(key=k, index=i, name="made-up card", uuid=k) for i, k in enumerate((KEY, OTHER))
    )
    given = {"t_s": 0.0, "advisor_version": "0", "host": HostInfo(host="h"), "devices": devices}
    return Hello(**{**given, "ceilings": {KEY: CARD, OTHER: CARD}, **changes})


class Script:
    """A feed that gives these messages, one a poll."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.closed = False

    def start(self, timeout_s: float = 10.0) -> Hello:
        return _hello()

    def poll(self, timeout_s: float) -> list[Message]:
        if not self._messages:
            time.sleep(timeout_s)
        return [self._messages.pop(0)] if self._messages else []

    def close(self) -> None:
        self.closed = True


def _frame(*keys: str) -> Frame:
    return Frame(
        seq=1,
        t_s=1.0,
        samples=tuple(Sample(key=key, t_s=1.0) for key in keys),
        processes=tuple(ProcessSample(key=key, pid=1, name="p") for key in keys),
    )


def _watching(dry: bool = True) -> Watching:
    return Watching(KEY, 0.2, Store(Path("/nonexistent")), dry)


def test_a_recording_holds_one_device_and_says_that_it_is_dry(tmp_path: Path) -> None:
    feed, path = Script(_frame(KEY, OTHER), _frame(OTHER)), tmp_path / "r.jsonl.gz"
    watched = watch(feed, _watching(), 0.05, path)
    with read_recording(path) as reader:
        frames = [message for message in reader if isinstance(message, Frame)]
        hello = reader.hello
    assert feed.closed
    assert watched.samples == 1
    assert (hello.synthetic, hello.note) == (True, DRY_NOTE)
    assert [info.key for info in hello.devices] == list(hello.ceilings) == [KEY]
    assert [[s.key for s in frame.samples] for frame in frames] == [[KEY], []]
    assert [[p.key for p in frame.processes or ()] for frame in frames] == [[KEY], []]


def test_a_real_recording_is_not_called_synthetic(tmp_path: Path) -> None:
    assert watch(Script(_frame(KEY)), _watching(dry=False), 0.02, None).hello.synthetic is False


def test_a_device_that_gave_nothing_is_no_recording(tmp_path: Path) -> None:
    feed = Script(_frame(OTHER))
    with pytest.raises(WatchError, match="answered 0 times"):
        watch(feed, _watching(), 0.02, None)
    assert feed.closed


def test_a_lost_device_is_no_recording() -> None:
    lost = msgspec.structs.replace(_frame(KEY).samples[0], state="lost")
    with pytest.raises(WatchError, match="answered 0 times"):
        watch(Script(msgspec.structs.replace(_frame(KEY), samples=(lost,))), _watching(), 0.02, None)


def test_a_mostly_silent_device_is_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching_module, "INTERVAL_S", 0.01)
    with pytest.raises(WatchError, match="answered 4 times"):
        watch(Script(*[_frame(KEY)] * 4), _watching(), 0.1, None)


def test_a_feed_that_ends_is_not_waited_for() -> None:
    feed = Script(_frame(KEY), End(t_s=1.0, reason="gone"))
    with pytest.raises(WatchError, match="the feed ended: gone"):
        watch(feed, _watching(), 100.0, None)
    assert feed.closed


class FakeChild:
    """Children by name: what they account for, or why they fail."""

    accounts: ClassVar[dict[tuple[str, str], Account | ChildError]] = {}

    def __init__(self, name: str, variant: str, seconds: float, where: Where) -> None:
        self._account = self.accounts[name, variant]

    def __enter__(self) -> FakeChild:
        return self

    def __exit__(self, *_: object) -> None: ...

    def started(self, timeout_s: float) -> dict[str, Any]:
        if isinstance(self._account, ChildError):
            raise self._account
        return {"torch": "2.x", "cupy": None}

    def enough(self) -> None: ...

    def finish(self, timeout_s: float) -> Account:
        assert isinstance(self._account, Account)
        return self._account


Start = Callable[..., record.Recording]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Makes a session over children by name, in which nothing is watched for long."""

    def watched(_: object, watching: Watching, seconds: float, path: Path) -> Watched:
        return watch(Script(_frame(KEY)), watching, 0.02, path)

    monkeypatch.setattr(record, "Child", FakeChild)
    monkeypatch.setattr(record, "watch", watched)
    session = Session(
        device="made-up card",
        date="2026-11-21",
        driver=None,
        torch=None,
        cupy=None,
        synthetic=True,
        seconds=1.0,
        command="-",
    )

    def make(*names: str, budget_s: float = 500.0, **accounts: Account | ChildError) -> record.Recording:
        FakeChild.accounts = {(k.removesuffix("_fix"), "fix" if k.endswith("_fix") else "base"): v
                              for k, v in accounts.items()}  # fmt: skip
        plan = record.Plan(names, 1.0, 1.0, budget_s, time.monotonic())
        return record.Recording(plan, session, tmp_path, _watching(), Where(device="cpu", small=True))

    return make


def _read_session(folder: Path) -> Session:
    return msgspec.json.decode((folder / "session.json").read_bytes(), type=Session)


def test_a_session_files_recordings_truths_and_what_it_skipped(start: Start, tmp_path: Path) -> None:
    ran = Account(wall_s=10.0, steps=10, counts={"bytes": 90.0})
    start("copy", "triad", "free", copy=ran, triad=ChildError("it hung")).run()
    truths = filing.filed(tmp_path)
    assert list(truths) == ["copy", "free"]
    assert truths["copy"].of_ceiling == pytest.approx(0.9)
    assert truths["copy"].confirmed
    assert truths["free"].base.pid is None
    session = _read_session(tmp_path)
    assert session.skipped == {"triad": "it hung"}
    assert session.torch == "2.x"
    assert not (tmp_path / "triad.jsonl.gz").exists()


@pytest.mark.parametrize("dry", [True, False])
def test_a_device_that_somebody_uses_is_not_free(start: Start, tmp_path: Path, dry: bool) -> None:
    """The simulated driver always shows somebody, and then the recording claims nothing anyway."""
    recording = start("free")
    recording.watching = _watching(dry)
    recording.run()
    assert ("free" in filing.filed(tmp_path)) is dry
    assert ("free" in _read_session(tmp_path).skipped) is not dry


def test_a_fix_that_fails_is_part_of_the_truth(start: Start, tmp_path: Path) -> None:
    ran = Account(wall_s=1.0, steps=10)
    start("item_every_step", item_every_step=ran, item_every_step_fix=ChildError("no graph")).run()
    truth = filing.filed(tmp_path)["item_every_step"]
    assert truth.fixed == Account(error="no graph")
    assert (truth.speedup, truth.confirmed) == (None, False)


def test_what_is_recorded_already_is_left_alone(start: Start, tmp_path: Path) -> None:
    ran = Account(wall_s=10.0, steps=10, counts={"bytes": 90.0})
    start("copy", copy=ran).run()
    before = (tmp_path / "copy.truth.json").stat().st_mtime_ns
    start("copy").run()
    assert (tmp_path / "copy.truth.json").stat().st_mtime_ns == before


def test_without_time_left_everything_is_skipped_and_said_so(start: Start, tmp_path: Path) -> None:
    start("copy", "free", budget_s=12.0).run()
    session = _read_session(tmp_path)
    assert list(session.skipped) == ["copy"]
    assert "no time was left of 12 s: it takes about 21 s" in session.skipped["copy"]
    assert list(filing.filed(tmp_path)) == ["free"]


def test_an_end_in_the_middle_leaves_no_half_recording(start: Start, tmp_path: Path) -> None:
    recording = start("copy", copy=Account(wall_s=1.0, steps=1))
    FakeChild.accounts["copy", "base"] = Account()

    def interrupted(*_: object) -> Any:
        (tmp_path / "copy.jsonl.gz").write_bytes(b"half")
        raise SystemExit(143)

    recording._base = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(SystemExit):
        recording.run()
    assert not (tmp_path / "copy.jsonl.gz").exists()


def test_names_and_devices_that_are_not_there() -> None:
    with pytest.raises(record.UsageError, match="no workload called nothing"):
        record.chosen("copy,nothing")
    assert record.chosen(" sort, copy") == ("copy", "sort")
    with pytest.raises(record.UsageError, match=r"no GPU 7 here; the driver lists 0, 1"):
        record.device_of(_hello(), 7)
    mig = msgspec.structs.replace(_hello().devices[0], mig_enabled=True)
    with pytest.raises(record.CannotMeasureError, match="divided by MIG"):
        record.device_of(_hello(devices=(mig,)), 0)


def test_a_file_that_is_no_probe_run(tmp_path: Path) -> None:
    write_atomic(tmp_path / "p.json", b"[1]")
    with pytest.raises(filing.FilingError, match="holds no probe run"):
        record.store_of(tmp_path / "p.json", _hello().devices[0], tmp_path / "kept")


def test_ceilings_are_a_cards_own(tmp_path: Path) -> None:
    """Of a file of probes, those of this UUID; where it has none, the user's own store is asked."""
    probed = full(t_s=time.time(), device=facts(key=KEY))
    filing.add_probes(tmp_path / "p.json", ProbeRun(reports=(probed,)))
    kept = tmp_path / "kept"
    mine, other = _hello().devices
    assert record.store_of(tmp_path / "p.json", mine, kept).folder == kept
    assert record.store_of(tmp_path / "p.json", other, kept).folder != kept
    assert record.store_of(tmp_path / "none.json", mine, kept).folder != kept


def _record(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.workloads.record", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def test_without_a_driver_it_says_so_in_a_sentence(tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a driver")
    done = _record({**os.environ, "LD_LIBRARY_PATH": ""}, "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert done.stderr.startswith("record: no NVIDIA driver found")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("torch") is None, reason="no torch")
def test_a_dry_session_end_to_end(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    """Simulated driver, a tiny workload on the CPU: everything it writes says that it is synthetic."""
    env = nvml_stub.env("memory", ADVISOR_STATE_DIR=str(tmp_path / "state"))
    arguments = ("--out", str(tmp_path), "--dry", "--seconds", "1.5", "--only", "copy,one_block")
    probed = full(t_s=time.time(), device=facts(key=STUB_KEY))
    (tmp_path / "probes.json").write_bytes(msgspec.json.encode(ProbeRun(reports=(probed,))))
    done = _record(env, *arguments, "--probes", str(tmp_path / "probes.json"))
    assert done.returncode == 0, done.stderr
    truths = filing.filed(tmp_path / "workloads")
    assert set(truths) == {"copy"}
    assert all(truth.synthetic for truth in truths.values())
    assert truths["copy"].base.steps > 0
    rate = truths["copy"].base.counts["bytes"] / truths["copy"].base.wall_s
    assert truths["copy"].of_ceiling == pytest.approx(rate / 3.0e12)
    assert not truths["copy"].confirmed
    assert _read_session(tmp_path / "workloads").skipped == {"one_block": "cupy needs a GPU"}
    with read_recording(tmp_path / "workloads" / "copy.jsonl.gz") as reader:
        assert reader.hello.synthetic
        assert list(reader.hello.ceilings) == [STUB_KEY]
        assert any(isinstance(m, Frame) and m.samples for m in reader)
    with tarfile.open(tmp_path / "workloads.tar.gz") as tar:
        assert len(tar.getnames()) == 4
    packed = str(tmp_path / "workloads.tar.gz")
    again = _record(env, "--out", str(tmp_path / "new"), "--dry", "--only", "copy", "--resume", packed)
    assert again.returncode == 0, again.stderr
    assert "was not probed" not in again.stdout
    session = _read_session(tmp_path / "new" / "workloads")
    assert session.gpus == (STUB_KEY,)


def test_a_dry_session_names_no_real_card_and_says_what_it_needs() -> None:
    (info, *_) = _hello().devices
    args = record._arguments(["--out", "somewhere", "--dry"])
    assert record.session_of(args, _hello(), info).device == f"simulated {info.name}"
    error = NoFeedError("no NVIDIA driver found", "Install it.")
    said = record._cannot(error, dry=True)
    assert "tests.nvml_stub.build" in said and "Install" not in said
    assert record._cannot(error, dry=False).endswith("Install it.")

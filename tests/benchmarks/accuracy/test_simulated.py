"""Simulated recordings: the same each time, valid streams, truths that follow from what ran."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from advisor.document import Diagnosis
from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.recording import read_recording
from advisor.telemetry.records import End, Frame, Gap, Gpm, Hello, Message, Sample
from benchmarks.accuracy.simulated import make, programs
from benchmarks.accuracy.simulated.__main__ import main
from benchmarks.accuracy.simulated.corpus import Made, made
from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.spec import LABELS, Session, Truth

SECONDS = 12.0
NAMES = sorted(programs())
SILENT, HIDDEN = "layer_norm_softmax", "conv_net"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All recordings of one seed."""
    folder = tmp_path_factory.mktemp("simulated")
    make(folder, seed=3, seconds=SECONDS)
    return folder


def truth_of(folder: Path, name: str) -> Truth:
    return msgspec.json.decode((folder / f"{name}.truth.json").read_bytes(), type=Truth)


def stream_of(folder: Path, name: str) -> list[Message]:
    reader = read_recording(folder / f"{name}.jsonl.gz")
    messages: list[Message] = [reader.hello, *reader]
    assert reader.warnings == []
    return messages


def diagnosed(messages: list[Message]) -> Diagnosis:
    monitor = Monitor(MonitorOptions(env={}))
    for message in messages:
        monitor.feed(message)
    return monitor.diagnosis()


def samples_of(messages: list[Message]) -> list[Sample]:
    return [sample for m in messages if isinstance(m, Frame) for sample in m.samples]


def windows_of(messages: list[Message]) -> list[Gpm]:
    return [window for sample in samples_of(messages) for window in sample.gpm]


def simulated(name: str, seed: int = 3) -> tuple[Made, list[Message]]:
    one = made(name, seed, SECONDS)
    return one, list(one.messages)


def test_every_workload_is_simulated_and_nothing_else() -> None:
    assert set(programs()) == set(WORKLOADS)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    names = ["copy", "loader_slow_worker", "server_no_demand"]
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(tmp_path / folder, seed, names, seconds=5.0)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 2 * len(names) + 1
    for name in files:
        first, again, other = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert first == again, name
        assert first != other, name


def test_an_unknown_name_and_a_senseless_length_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "x"), "nothing"]) == 2
    assert main(["--out", str(tmp_path / "x"), "--seconds", "nan"]) == 2
    assert "nothing" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert main(["--out", str(tmp_path / "x"), "--seconds", "2", "free"]) == 0
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "free.jsonl.gz",
        "free.truth.json",
        "session.json",
    ]


def test_everything_says_that_it_is_synthetic(corpus: Path) -> None:
    session = msgspec.json.decode((corpus / "session.json").read_bytes(), type=Session)
    assert session.synthetic and "SIMULATED" in session.device
    for name in NAMES:
        truth = truth_of(corpus, name)
        hello = read_recording(corpus / truth.recording).hello
        assert truth.synthetic and "SIMULATED" in truth.device, name
        assert hello.synthetic and "synthetic" in hello.note, name


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shares_sum_to_one_and_the_label_is_borne_out(seed: int) -> None:
    for name in NAMES:
        truth = made(name, seed, SECONDS).truth
        assert set(truth.shares) <= set(LABELS), name
        assert math.isclose(math.fsum(truth.shares.values()), 1.0, abs_tol=1e-9), name
        largest = max(truth.shares, key=truth.shares.__getitem__)
        named_first = truth.label == "host" and truth.shares["host"] >= 0.3
        assert largest == truth.label or named_first, (name, truth.shares)


def test_the_truth_is_of_what_the_program_counted() -> None:
    one, _ = simulated("host_compute_60_40")
    counts, wall_s = one.truth.base.counts, one.truth.base.wall_s
    assert wall_s == SECONDS
    assert counts["host_s"] + counts["compute_s"] == pytest.approx(wall_s, abs=1e-6)
    assert one.truth.shares["host"] == pytest.approx(0.6, abs=0.03)
    tiny, _ = simulated("eager_tiny_kernels")
    assert tiny.truth.speedup is not None
    assert tiny.truth.shares["host"] == pytest.approx(1.0 - 1.0 / tiny.truth.speedup, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_whole_and_the_product_reads_it(corpus: Path, name: str) -> None:
    messages = stream_of(corpus, name)
    assert isinstance(messages[0], Hello) and isinstance(messages[-1], End)
    assert sum(isinstance(m, Gap) for m in messages) == (name == SILENT)
    windows = windows_of(messages)
    holes = [b.t_s - b.duration_s - a.t_s for a, b in pairwise(windows)]
    assert sum(hole > 1e-4 for hole in holes) == (name == SILENT)
    assert min(holes) > -1e-4
    verdict = diagnosed(messages).verdicts[0]
    assert verdict.tier == "counters"
    assert (verdict.shares["unknown"] > 0.01) == (name == SILENT)


def test_a_silent_driver_leaves_three_seconds_out(corpus: Path) -> None:
    messages = stream_of(corpus, SILENT)
    place = next(i for i, m in enumerate(messages) if isinstance(m, Gap))
    assert messages[place + 1].t_s - messages[place].t_s == pytest.approx(4.0)
    energies = [s.energy_j for s in samples_of(messages) if s.energy_j is not None]
    steps = [after - before for before, after in pairwise(energies)]
    assert max(steps) == pytest.approx(4.0 * sorted(steps)[len(steps) // 2], rel=0.1), "energy was still used"


def test_three_counters_are_missing_and_say_why(corpus: Path) -> None:
    hidden = programs()[HIDDEN].hidden
    assert len(hidden) == 3
    messages = stream_of(corpus, HIDDEN)
    assert all(getattr(window, name) is None for window in windows_of(messages) for name in hidden)
    assert {f"gpm.{name}" for name in hidden} <= set(samples_of(messages)[-1].missing)


def test_processes_are_looked_at_every_five_seconds(corpus: Path) -> None:
    messages = stream_of(corpus, "loader_slow_worker")
    looks = [m for m in messages if isinstance(m, Frame) and m.processes is not None]
    assert [m.seq for m in looks] == [0, 5, 10]
    first, later = (look.processes[0] for look in looks[:2] if look.processes)
    assert first.cpu_frac is None and "cpu_frac" in first.missing
    assert later.children == 4 and later.children_busy == 1
    assert later.busiest_thread_frac is not None and later.busiest_thread_frac < 0.5
    free = [
        m.processes for m in stream_of(corpus, "free") if isinstance(m, Frame) and m.processes is not None
    ]
    assert free == [(), (), ()]


def test_a_program_on_one_core_fills_that_one(corpus: Path) -> None:
    frames = [m for m in stream_of(corpus, "one_core_shared") if isinstance(m, Frame)]
    busiest = {max(range(104), key=m.host.cpu_fracs.__getitem__) for m in frames if m.host is not None}
    assert len(busiest) == 1
    for frame in frames:
        assert frame.host is not None
        assert sorted(frame.host.cpu_fracs)[-1] > 0.85
        assert sorted(frame.host.cpu_fracs)[-2] < 0.2

"""The host's, idle and mixed workloads on the CPU, shrunk: each variant steps, accounts, leaves nothing."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import msgspec
import pytest

from benchmarks.workloads import (
    host_input,
    host_launch,
    host_limits,
    host_sync,
    host_transfer,
    hostwork,
    idle,
    mixes,
)
from benchmarks.workloads.host_input import ColdFile
from benchmarks.workloads.host_limits import Quota
from benchmarks.workloads.hostwork import close, decode
from benchmarks.workloads.spec import Bench, Step, UnavailableError
from tests.benchmarks.workloads.bench import variants

FAMILIES = (host_launch, host_sync, host_input, host_limits, host_transfer, idle, mixes)
SETUPS = {
    name: setup
    for family in FAMILIES
    for name, setup in variants(w for w in family.WORKLOADS if w.process).items()
}
# These start processes, which takes most of their time; two of them are run.
MANY_PROCESSES = {
    "loader_workers0 (fix)",
    "loader_python_decode (fix)",
    "loader_slow_worker",
    "loader_slow_worker (fix)",
    "tokenizer_each_step (fix)",
    "cgroup_cpu_limit",
}


@pytest.fixture(scope="module")
def bench(plain_bench: Bench) -> Iterator[Bench]:
    """On one thread, so that tiny steps do not wait for a pool of them."""
    before = plain_bench.torch.get_num_threads()
    plain_bench.torch.set_num_threads(1)
    yield plain_bench
    plain_bench.torch.set_num_threads(before)


def _run(step: Step, steps: int = 3) -> tuple[dict[str, float], float]:
    counts: dict[str, float] = {}
    begin = time.perf_counter()
    for _ in range(steps):
        for name, value in step().items():
            counts[name] = counts.get(name, 0.0) + value
    return counts, time.perf_counter() - begin


@pytest.mark.parametrize("name", sorted(set(SETUPS) - MANY_PROCESSES))
def test_a_variant_steps_and_accounts_for_no_more_than_its_time(name: str, bench: Bench) -> None:
    before = os.sched_getaffinity(0)
    if name == "one_core_shared" and len(before) < 2:
        pytest.skip("one core")
    step = SETUPS[name](bench)
    try:
        counts, wall_s = _run(step)
    finally:
        close(step)
    assert all(math.isfinite(value) and value >= 0 for value in counts.values())
    assert sum(value for key, value in counts.items() if key.endswith("_s")) <= wall_s
    assert multiprocessing.active_children() == []
    assert os.sched_getaffinity(0) == before


def test_both_variants_of_input_get_the_same_samples(bench: Bench) -> None:
    size = 100
    coded, decoded = host_input.Coded(bench, size), host_input.Decoded(bench, size)
    assert (
        bytes(coded[3].tolist()) == bytes(decoded[0].tolist()) == decode(hostwork.payload(bench.seed, size))
    )


def test_workers_of_a_loader_end_with_it(bench: Bench) -> None:
    batches = hostwork.Batches(bench, host_input.Decoded(bench, 16), 2, 1)
    assert batches.next().shape == (2, 16)
    assert len(multiprocessing.active_children()) == 1
    batches.close()
    assert multiprocessing.active_children() == []


def test_a_tokeniser_cuts_the_whole_text(bench: Bench) -> None:
    texts = host_input.Tokenised(bench)
    pieces = {number: piece for piece, number in texts._ids.items()}
    assert "".join(pieces[token] for token in texts.tokens(0)) == texts._text


def test_a_cold_file_gives_its_blocks(tmp_path: Path) -> None:
    cold = ColdFile(tmp_path / "f", 8, seed=3)
    whole = (tmp_path / "f").read_bytes()
    blocks = {whole[at : at + 4096] for at in range(0, len(whole), 4096)}
    found = cold.read(3)
    cold.close()
    assert len(found) == 3 * 4096
    assert {found[at : at + 4096] for at in range(0, len(found), 4096)} <= blocks


def test_a_disk_that_is_too_fast_is_paced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_input, "SLOW_BYTES_S", 0.0)
    cold = ColdFile(tmp_path / "f", 8, seed=3)
    begin = time.perf_counter()
    cold.read(50)
    took_s = time.perf_counter() - begin
    cold.close()
    assert cold.is_paced
    assert took_s >= 50 * 4096 / host_input.PACE_BYTES_S


def test_a_quota_is_a_cgroup_of_its_own(tmp_path: Path) -> None:
    """Against a folder that looks like one, as the real one belongs to the node."""
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "cgroup.controllers").write_text("cpu")
    (tmp_path / "own").write_text("1:name=systemd:/other\n0::/job\n")
    quota = Quota(tmp_path, tmp_path / "own")
    made = tmp_path / "job" / f"workload-{os.getpid()}"
    assert (made / "cpu.max").read_text() == "30000 100000"
    assert (made / "cgroup.procs").read_text() == str(os.getpid())
    quota.close()
    assert (tmp_path / "job" / "cgroup.procs").read_text() == str(os.getpid())


@pytest.mark.parametrize("mounted", ["cpu,cpuacct/job", "cpu/job", "cpu,cpuacct"])
def test_a_quota_of_the_older_cgroups(tmp_path: Path, mounted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the hierarchy's own name or `cpu`; in a container the group's own folder is the root."""
    parent = tmp_path / mounted
    parent.mkdir(parents=True)
    (parent / "cpu.cfs_quota_us").write_text("-1")
    (tmp_path / "own").write_text("not a line\n5:memory:/job\n4:cpu,cpuacct:/job\n0::/job\n")
    quota = Quota(tmp_path, tmp_path / "own")
    made = parent / f"workload-{os.getpid()}"
    assert (made / "cpu.cfs_quota_us").read_text() == "30000"
    assert (made / "cpu.cfs_period_us").read_text() == "100000"
    assert (made / "cgroup.procs").read_text() == str(os.getpid())
    quota.close()
    assert (parent / "cgroup.procs").read_text() == str(os.getpid())


def test_without_cgroups_there_is_no_quota(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("1:name=systemd:/other\n0::/job\n")
    with pytest.raises(UnavailableError, match="no cgroup with a CPU controller"):
        Quota(tmp_path, tmp_path / "own")
    with pytest.raises(UnavailableError, match="cannot be read"):
        Quota(tmp_path, tmp_path / "nothing")


def test_device_work_lasts_as_long_as_asked(bench: Bench) -> None:
    """The same work, repeated: twice the time is about twice the calls; and its amount follows."""
    short, long = hostwork.products(bench, 1e-4), hostwork.products(bench, 1e-2)
    assert long.count > short.count >= 1
    assert long.amount / long.count == short.amount / short.count == 2.0 * 64**3


class FakeEvent:
    """A CUDA event; asked: how each was asked for."""

    asked: ClassVar[list[bool]] = []

    def __init__(self, *, enable_timing: bool, blocking: bool) -> None:
        self.asked.append(blocking)

    def record(self) -> None:
        """Nothing to do."""

    synchronize = record

    def elapsed_time(self, _: FakeEvent) -> float:
        """Milliseconds."""
        return 4.0


@pytest.mark.parametrize("blocking", [True, False])
def test_device_work_warms_up_and_waits_as_it_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(Event=FakeEvent))
    monkeypatch.setattr(FakeEvent, "asked", [])
    monkeypatch.setattr(hostwork, "WARM_S", 0.02)
    called: list[float] = []
    begin = time.perf_counter()
    work = hostwork.DeviceWork(
        msgspec.structs.replace(bench, torch=torch, device="cuda"),
        lambda: called.append(time.perf_counter() - begin),
        2.0,
        0.012,
        section="memory_s",
        blocking=blocking,
    )
    assert called[-1] >= 0.02, "clocks had no time to settle"
    assert set(FakeEvent.asked) == {blocking}
    assert work.counted() == {"memory_s": 0.004, "bytes": 6.0, "device_calls": 3.0}


def test_workers_are_forked_before_the_device_works(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA context does not survive a fork. Only where all share one core is the device timed first."""
    seen: list[int] = []

    def products(bench: Bench, seconds: float, **_: bool) -> hostwork.DeviceWork:
        seen.append(len(multiprocessing.active_children()))
        return hostwork.products(bench, seconds)

    for module in (host_input, host_limits, idle):
        monkeypatch.setattr(module, "products", products)
    monkeypatch.setattr(Bench, "of", lambda _self, _full, little: max(1, little))
    for name in ("loader_slow_disk", "gil_thread_pool (fix)", "server_no_demand"):
        close(SETUPS[name](bench))
    assert len(seen) == 3 and min(seen) >= 1


def _ended_while_it_starts() -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # as a parent that is done before its child has begun
    hostwork.start_worker()
    time.sleep(60)


def test_a_worker_ended_while_it_starts_runs_no_handler_of_its_parent() -> None:
    """A handler that raises would unwind the parent's own stack in the child."""
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
    try:
        with hostwork.forking():
            worker = multiprocessing.get_context("fork").Process(target=_ended_while_it_starts, daemon=True)
            worker.start()
        worker.join(60)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert worker.exitcode == -signal.SIGTERM
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_closing_twice_closes_once() -> None:
    closed: list[int] = []
    program = hostwork.Program(dict, lambda: closed.append(1))
    close(program)
    close(program)
    close(dict)
    assert closed == [1]


def test_the_host_part_of_a_mix_is_as_long_as_it_says(bench: Bench) -> None:
    """Shrunk by 1000: 15 us of Python a step, and whole products."""
    counts, _ = _run(SETUPS["host_compute_60_40"](bench), 50)
    assert counts["host_s"] >= 50 * 15e-6
    assert counts["compute_s"] > 0
    assert counts["flops"] % (2.0 * 64**3) == 0

"""GPU processes over a made-up /proc, and over real processes that burn a core, wait and fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from advisor.telemetry.processes import (
    FIRST_LOOK,
    GONE,
    NO_IO,
    OTHER_NAMESPACE,
    TOO_SOON,
    GpuProcess,
    ProcessReader,
)
from advisor.telemetry.procfs import Stat
from advisor.telemetry.proctable import THREADS_READ, Table
from advisor.telemetry.records import ProcessSample
from advisor.telemetry.users import UserNames

HZ = os.sysconf("SC_CLK_TCK")


class Proc:
    """A made-up /proc, and a clock that only moves when told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 10.0

    def reader(self, confirm_pids: bool = True) -> ProcessReader:
        users = UserNames(lambda uid: {1000: "alice"}[uid], patience_s=5)
        return ProcessReader(self.root, clock=lambda: self.now, users=users, confirm_pids=confirm_pids)

    def put(self, path: str, text: str) -> None:
        target = self.root / "proc" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def stat(self, pid: int, cpu: tuple[float, float] = (0, 0), **more: object) -> str:
        fields = {"comm": "python", "state": "S", "parent": 1, "threads": 1, "start": 500, "flags": 0, **more}
        user, system = (round(seconds * HZ) for seconds in cpu)
        return (
            f"{pid} ({fields['comm']}) {fields['state']} {fields['parent']} 1 1 0 -1 {fields['flags']} "
            f"0 0 0 0 {user} {system} 0 0 20 0 {fields['threads']} 0 {fields['start']} 0\n"
        )

    def process(
        self,
        pid: int,
        cpu: tuple[float, float] = (0, 0),
        threads: dict[int, tuple[float, float]] | None = None,
        cmdline: str = "python\0train.py\0",
        switches: int = 0,
        **more: object,
    ) -> None:
        self.put(f"{pid}/stat", self.stat(pid, cpu, threads=len(threads or {1: 0}), **more))
        for tid, used in (threads or {pid: cpu}).items():
            self.put(f"{pid}/task/{tid}/stat", self.stat(tid, used, **more))
        self.put(f"{pid}/cmdline", cmdline)
        self.put(
            f"{pid}/status",
            f"Name:\tx\nUid:\t1000\t0\t0\t0\nCpus_allowed_list:\t0-7\nvoluntary_ctxt_switches:\t{switches}\n",
        )
        self.put(f"{pid}/cgroup", "0::/system.slice/slurmstepd.scope/job_77/step_0\n")


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def entry(pid: int = 42, key: str = "GPU-0", name: str | None = None) -> GpuProcess:
    return GpuProcess(key=key, pid=pid, mem_used_bytes=1 << 30, driver_name=name)


def test_a_first_look_says_who_and_no_rates(proc: Proc) -> None:
    proc.process(42, (1, 0), cmdline="python\0/home/alice/train.py\0--lr\0" + "0.1\0")
    (sample,) = proc.reader().look([entry()])
    assert (sample.key, sample.pid, sample.mem_used_bytes) == ("GPU-0", 42, 1 << 30)
    assert (sample.name, sample.command) == ("train.py", "python train.py --lr 0.1")
    assert (sample.user, sample.job, sample.state) == ("alice", "slurm:77", "sleeping")
    assert (sample.threads, sample.children, sample.children_busy) == (1, 0, 0)
    rates = ("cpu_frac", "busiest_thread_frac", "busiest_thread_system_frac", "voluntary_switches_s")
    assert all(getattr(sample, name) is None and sample.missing[name] == FIRST_LOOK for name in rates)
    assert sample.missing["io_read_bytes_s"] == NO_IO


def test_a_job_s_partition_comes_from_its_environment_and_nothing_else_does(proc: Proc) -> None:
    proc.process(42)
    proc.put("42/environ", "HF_TOKEN=hf_secret\0SLURM_JOB_PARTITION=h100-a\0")
    (sample,) = proc.reader().look([entry()])
    assert (sample.partition, "partition" in sample.missing) == ("h100-a", False)
    assert "hf_secret" not in repr(sample)


def test_every_missing_figure_has_its_reason(proc: Proc) -> None:
    proc.process(42)
    for sample in proc.reader().look([entry(), entry(pid=99999)]):
        empty = {name for name in sample.__struct_fields__ if getattr(sample, name) is None}
        assert empty == set(sample.missing)


def test_waits_for_a_core_count_as_demand(proc: Proc) -> None:
    """Two workers that share a core are both busy, though neither uses more than half of it."""
    reader = proc.reader()

    def tree(used_s: float, waited_s: float) -> None:
        proc.process(42, (used_s, 0), {42: (used_s, 0), 43: (0, 0)})
        proc.put("42/task/42/schedstat", f"{int(used_s * 1e9)} {int(waited_s * 1e9)} 7\n")
        proc.process(50, (used_s, 0), parent=42)
        proc.put("50/schedstat", f"{int(used_s * 1e9)} {int(waited_s * 1e9)} 7\n")

    tree(1, 1)
    reader.look([entry()])
    proc.now += 2
    tree(2, 1.96)
    (sample,) = reader.look([entry()])
    assert sample.busiest_thread_frac == pytest.approx(0.5)
    assert sample.busiest_thread_wait_frac == pytest.approx(0.48)
    assert (sample.children, sample.children_busy) == (1, 1)
    assert sample.children_cpu_frac == pytest.approx(0.5)


def test_rates_are_between_two_looks(proc: Proc) -> None:
    reader = proc.reader()
    proc.process(42, (10, 5), {42: (8, 4), 43: (2, 1)}, switches=100)
    reader.look([entry()])
    proc.now += 2
    proc.process(42, (12, 6), {42: (8.5, 4), 43: (3, 1.6)}, switches=150)
    (sample,) = reader.look([entry()])
    assert sample.cpu_frac == pytest.approx(1.5)
    assert sample.busiest_thread_frac == pytest.approx(0.8)
    assert sample.busiest_thread_system_frac == pytest.approx(0.6 / 1.6)
    assert sample.voluntary_switches_s == pytest.approx(25)


def test_an_idle_thread_has_no_system_part(proc: Proc) -> None:
    reader = proc.reader()
    proc.process(42, (1, 1))
    reader.look([entry()])
    proc.now += 2
    (sample,) = reader.look([entry()])
    assert sample.busiest_thread_frac == 0
    assert sample.busiest_thread_system_frac is None
    assert "no CPU" in sample.missing["busiest_thread_system_frac"]


def test_a_pid_used_again_starts_anew(proc: Proc) -> None:
    reader = proc.reader()
    proc.process(42, (100, 0), start=500)
    reader.look([entry()])
    proc.now += 2
    proc.process(42, (1, 0), start=900)
    (sample,) = reader.look([entry()])
    assert sample.cpu_frac is None
    assert sample.missing["cpu_frac"] == FIRST_LOOK


def test_looks_too_close_together_give_no_rates_and_keep_the_baseline(proc: Proc) -> None:
    reader = proc.reader()
    proc.process(42, (1, 0))
    reader.look([entry()])
    proc.now += 0.01
    assert reader.look([entry()])[0].missing["cpu_frac"] == TOO_SOON
    proc.now += 0.99
    proc.process(42, (1.5, 0))
    assert reader.look([entry()])[0].cpu_frac == pytest.approx(0.5)


def test_after_a_look_at_nothing_rates_start_anew(proc: Proc) -> None:
    reader = proc.reader()
    proc.process(42)
    reader.look([entry()])
    assert reader.look([]) == ()
    proc.now += 2
    assert reader.look([entry()])[0].missing["cpu_frac"] == FIRST_LOOK


def test_children_are_counted_down_the_tree(proc: Proc) -> None:
    reader = proc.reader()

    def tree(busy_s: float, slow_s: float) -> None:
        proc.process(42)
        proc.process(50, (busy_s, 0), parent=42)
        proc.process(51, (slow_s, 0), parent=50, state="D")
        proc.process(60, (99, 0), parent=1)

    tree(0, 0)
    reader.look([entry()])
    proc.now += 2
    tree(1.9, 0.5)
    (sample,) = reader.look([entry()])
    assert (sample.children, sample.children_busy, sample.children_dstate) == (2, 1, 1)
    assert sample.children_cpu_frac == pytest.approx(0.95 + 0.25)


def test_children_that_use_a_gpu_are_no_workers(proc: Proc) -> None:
    """Rank 0 (42) started rank 1 (50), which has a loader (51); 52 is rank 0's own loader."""
    reader = proc.reader()

    def tree(used_s: float, read_bytes: int) -> None:
        for pid, parent in ((42, 1), (50, 42), (51, 50), (52, 42)):
            proc.process(pid, (used_s, 0), parent=parent)
            proc.put(f"{pid}/io", f"read_bytes: {read_bytes}\nwrite_bytes: 0\n")

    ranks = [entry(), entry(pid=50, key="GPU-1")]
    tree(0, 0)
    reader.look(ranks)
    proc.now += 2
    tree(2, 200)
    for sample in reader.look(ranks):
        assert (sample.children, sample.children_busy) == (1, 1)
        assert sample.children_cpu_frac == pytest.approx(1.0)
        assert sample.io_read_bytes_s == pytest.approx(200), "its own and its loader's"


def test_a_child_with_the_number_of_a_host_s_process_stays_a_child(proc: Proc) -> None:
    container(proc)
    proc.process(42)
    (proc.root / "proc/42/fd").mkdir()
    (proc.root / "proc/42/fd/3").symlink_to("/dev/nvidia0")
    proc.process(50, parent=42)
    assert proc.reader().look([entry(), entry(pid=50)])[0].children == 1


def test_a_tree_with_a_cycle_ends() -> None:
    def stat(pid: int, parent: int) -> Stat:
        return Stat(pid, "x", "running", parent, False, 0, 0, 1, 1)

    table = Table({1: stat(1, 2), 2: stat(2, 1), 3: stat(3, 2)})
    assert {one.pid for one in table.descendants(1)} == {2, 3}


def test_io_is_of_the_process_and_its_children(proc: Proc) -> None:
    reader = proc.reader()
    for pid, parent in ((42, 1), (50, 42)):
        proc.process(pid, parent=parent)
        proc.put(f"{pid}/io", "rchar: 9\nread_bytes: 1000\nwrite_bytes: 0\n")
    reader.look([entry()])
    proc.now += 2
    proc.put("42/io", "read_bytes: 1100\nwrite_bytes: 10\n")
    proc.put("50/io", "read_bytes: 3000\nwrite_bytes: 0\n")
    (sample,) = reader.look([entry()])
    assert sample.io_read_bytes_s == pytest.approx(1050)
    assert sample.io_write_bytes_s == pytest.approx(5)


def test_remote_numa_share_is_by_device(proc: Proc) -> None:
    proc.process(42)
    near = {"GPU-0": frozenset(range(2)), "GPU-1": frozenset(range(8))}
    samples = proc.reader().look([entry(key=f"GPU-{gpu}") for gpu in range(3)], near)
    assert [sample.remote_numa_frac for sample in samples] == [0.75, 0.0, None]
    assert samples[0].cpus_allowed == 8
    assert "not known" in samples[2].missing["remote_numa_frac"]


def test_throttling_and_quota_are_the_process_s_own(proc: Proc) -> None:
    def group(throttled_us: int) -> None:
        folder = proc.root / "sys/fs/cgroup/system.slice/slurmstepd.scope/job_77/step_0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text("400000 100000\n")
        (folder / "cpu.stat").write_text(
            f"nr_throttled {throttled_us // 10000}\nthrottled_usec {throttled_us}\n"
        )

    reader = proc.reader()
    proc.process(42)
    group(0)
    reader.look([entry()])
    proc.now += 2
    group(500_000)
    (sample,) = reader.look([entry()])
    assert sample.cpu_quota_cores == 4
    assert sample.throttled_frac == pytest.approx(0.25)


def test_only_so_many_threads_are_read_and_it_is_said(proc: Proc) -> None:
    reader = proc.reader()
    threads = {42 + offset: (0.0, 0.0) for offset in range(THREADS_READ + 3)}
    proc.process(42, (0, 0), threads)
    reader.look([entry()])
    proc.now += 1
    (sample,) = reader.look([entry()])
    assert sample.threads == THREADS_READ + 3
    assert "512 of 515" in sample.missing["busiest_thread_frac"]


def test_kernel_threads_are_read_once_in_a_while(proc: Proc) -> None:
    reader = proc.reader()
    proc.process(2, comm="kthreadd", flags=0x00200000)
    proc.process(42)
    reader.look([entry()])
    proc.process(2, comm="python", parent=42)
    proc.now += 1
    assert reader.look([entry()])[0].children == 0
    for _ in range(20):
        proc.now += 1
        last = reader.look([entry()])[0]
    assert last.children == 1


def test_a_spawned_worker_is_called_after_its_parent(proc: Proc) -> None:
    spawn = "python\0-c\0from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)\0--x\0"
    proc.process(42)
    proc.process(50, parent=42, cmdline=spawn)
    proc.process(51, parent=50, cmdline=spawn)
    assert proc.reader().look([entry(pid=51)])[0].name == "train.py"


def test_hostile_names_and_arguments_are_harmless(proc: Proc) -> None:
    proc.process(
        42, cmdline="python\0tra\x1b[31min\n.py\0--token\0hf_secretsecretsecret\0", comm="a) R 1 1 (b"
    )
    (sample,) = proc.reader().look([entry()])
    assert sample.name == "tra\ufffd[31min .py"
    assert sample.command is not None
    assert sample.command.endswith("--token REDACTED")
    assert (sample.pid, sample.state) == (42, "sleeping")


def test_a_process_that_is_gone_keeps_what_the_driver_said(proc: Proc) -> None:
    (sample,) = proc.reader().look([entry(name="/usr/bin/bad\x1bname")])
    assert (sample.name, sample.mem_used_bytes) == ("bad\ufffdname", 1 << 30)
    assert sample.missing["cpu_frac"] == sample.missing["user"] == GONE


def container(proc: Proc) -> None:
    (proc.root / "proc/self/ns").mkdir(parents=True)
    (proc.root / "proc/self/ns/pid").symlink_to("pid:[4026532999]")


def test_pids_of_the_host_are_not_seen_in_a_container(proc: Proc) -> None:
    container(proc)
    (sample,) = proc.reader().look([entry()])
    assert sample.missing["cpu_frac"] == OTHER_NAMESPACE
    assert sample.name == "pid 42"


def test_in_a_container_a_pid_is_trusted_when_it_has_a_gpu_open(proc: Proc) -> None:
    container(proc)
    proc.process(42)
    assert proc.reader().look([entry()])[0].missing["cpu_frac"] == OTHER_NAMESPACE
    assert proc.reader(confirm_pids=False).look([entry()])[0].name == "train.py"
    (proc.root / "proc/42/fd").mkdir()
    (proc.root / "proc/42/fd/3").symlink_to("/dev/nvidia0")
    assert proc.reader().look([entry()])[0].name == "train.py"


def test_the_initial_namespace_needs_no_proof(proc: Proc) -> None:
    (proc.root / "proc/self/ns").mkdir(parents=True)
    (proc.root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
    proc.process(42)
    assert proc.reader().look([entry()])[0].name == "train.py"


@contextmanager
def running(program: str) -> Iterator[int]:
    """A real Python process, after it said it is ready."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


PATIENCE_S = 20.0


class Counted(NamedTuple):
    """What the kernel has counted of a process and its children so far."""

    cpu_s: float
    children_cpu_s: float
    switches: float


def counted(family: list[psutil.Process]) -> Counted:
    own, *children = (sum(one.cpu_times()[:2]) for one in family)
    return Counted(own, sum(children), family[0].num_ctx_switches().voluntary)


class Watched(NamedTuple):
    """A sample, and the rates it must lie between: counters were read outside and inside of its looks."""

    sample: ProcessSample
    least: Counted
    most: Counted


def watch(pid: int, enough: Callable[[Counted], object]) -> Watched:
    """Two looks at a real process, the second once it has done enough, however slow the machine is."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    reader = ProcessReader(confirm_pids=False)
    start_s, outside = time.monotonic(), counted(family)
    reader.look([GpuProcess(key="GPU-0", pid=pid)])
    inside, inner_s = counted(family), time.monotonic()
    deadline = inner_s + PATIENCE_S
    while not enough(_rates(inside, counted(family), 1.0)):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    inner_s, inside_end = time.monotonic() - inner_s, counted(family)
    (sample,) = reader.look([GpuProcess(key="GPU-0", pid=pid)])
    outside_end, outer_s = counted(family), time.monotonic() - start_s
    return Watched(sample, _rates(inside, inside_end, outer_s), _rates(outside, outside_end, inner_s))


def _rates(before: Counted, after: Counted, seconds: float) -> Counted:
    return Counted(*((new - old) / seconds for old, new in zip(before, after, strict=True)))


def between(least: float, value: float | None, most: float) -> bool:
    return value is not None and least - 1e-6 <= value <= most + 1e-6


def test_a_real_process_that_burns_a_core() -> None:
    with running("print('ready', flush=True)\nwhile True: pass") as pid:
        sample, least, most = watch(pid, lambda done: done.cpu_s > 0.3)
    assert least.cpu_s > 0
    assert between(least.cpu_s, sample.cpu_frac, most.cpu_s)
    assert between(least.cpu_s, sample.busiest_thread_frac, most.cpu_s), "it has one thread"
    assert sample.state == "running"
    assert sample.cpus_allowed == len(os.sched_getaffinity(0))


def test_a_real_process_that_waits_with_a_child_that_works() -> None:
    program = """
        import os, signal, time
        if os.fork() == 0:
            signal.alarm(60)
            while os.getppid() != 1:
                pass
            os._exit(0)
        print("ready", flush=True)
        while True:
            time.sleep(0.01)
    """
    with running(program) as pid:
        sample, least, most = watch(pid, lambda done: done.children_cpu_s > 0.3 and done.switches > 5)
    assert sample.children == 1
    assert least.children_cpu_s > 0 and least.switches > 0
    assert between(least.cpu_s, sample.cpu_frac, most.cpu_s)
    assert between(least.children_cpu_s, sample.children_cpu_frac, most.children_cpu_s)
    assert between(least.switches, sample.voluntary_switches_s, most.switches)


@pytest.mark.parametrize(
    ("parent", "own", "server"),
    [
        ("python3\0/usr/local/bin/vllm\0serve\0m\0", "python3\0-c\0from multiprocessing.spawn", "vllm"),
        ("bash\0", "python3\0-m\0sglang.launch_server\0", "sglang"),
        ("bash\0", "python3\0-c\0from vllm import LLM\0", "vllm"),
        ("python\0train.py\0--rollout\0vllm\0", "python\0train.py\0--rollout\0vllm\0", None),
    ],
)
def test_a_server_is_found_in_command_lines(proc: Proc, parent: str, own: str, server: str | None) -> None:
    proc.process(40, cmdline=parent)
    proc.process(42, cmdline=own, parent=40)
    (sample,) = proc.reader().look([entry()])
    assert sample.server == server

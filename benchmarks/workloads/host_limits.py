"""Host: too little CPU, the interpreter's lock, or a checkpoint stands between the program and the device."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.workloads import hostwork
from benchmarks.workloads.host_input import Coded, batches_of, decode_s
from benchmarks.workloads.hostwork import DeviceWork, Program, decode, fed, payload, products, took
from benchmarks.workloads.spec import Bench, Step, UnavailableError, Workload

# The quota of `cgroup_cpu_limit`: 0.3 of a core.
QUOTA_US, PERIOD_US = 30_000, 100_000
DECODERS = 8


def _decoding(bench: Bench) -> Program:
    """Three workers decode for a thread that sleeps while it waits for the device, and leaves them its core.

    Workers start after the device work was timed: on one core they would hold its launches up.
    """
    work = products(bench, decode_s(bench) * 0.3, blocking=True)
    batches = batches_of(bench, Coded(bench, bench.of(64 * 1024, 512)), bench.of(3, 0))
    return Program(fed(bench, batches.next, work), batches.close)


def _one_core(bench: Bench) -> Step:
    """The program and its three workers may run on one core; the affinity is put back at the end."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        raise UnavailableError("there is one core in all, so that the fix has none to add")
    os.sched_setaffinity(0, {min(before)})
    program = _decoding(bench)

    def end() -> None:
        program.close()
        os.sched_setaffinity(0, before)

    return Program(program, end)


class Quota:
    """A cgroup below this process's own with a CPU quota, with this process in it until `close`.

    By cgroup v2, or v1's `cpu` hierarchy where that holds the CPU controller. Raises UnavailableError where
    neither is there, it cannot be written, or v2 hands down no CPU controller.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> None:
        self._parent = _own_cgroup(root, own)
        self._folder = self._parent / f"workload-{os.getpid()}"
        try:
            self._folder.mkdir()
        except OSError as error:
            raise UnavailableError(f"no cgroup can be made in {self._parent}: {error.strerror}") from error
        try:
            self._enter()
        except OSError as error:
            self.close()
            raise UnavailableError(f"no CPU quota can be set in {self._parent}: {error.strerror}") from error

    def _enter(self) -> None:
        if (self._parent / "cgroup.controllers").exists():
            self._limit()
        else:
            (self._folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self._folder / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    def _limit(self) -> None:
        limit = self._folder / "cpu.max"
        if not limit.exists():
            (self._parent / "cgroup.subtree_control").write_text("+cpu")
        limit.write_text(f"{QUOTA_US} {PERIOD_US}")

    def close(self) -> None:
        """Leave it and remove it."""
        with contextlib.suppress(OSError):
            (self._parent / "cgroup.procs").write_text(str(os.getpid()))
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def _own_cgroup(root: Path, own: Path) -> Path:
    try:
        lines = own.read_text().splitlines()
    except OSError as error:
        raise UnavailableError(f"{own} cannot be read: {error.strerror}") from error
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        for folder in _folders(root, controllers, path):
            if (folder / "cpu.cfs_quota_us").exists() or "cpu" in _handed_down(folder):
                return folder
    raise UnavailableError(f"there is no cgroup with a CPU controller at {root}")


def _folders(root: Path, controllers: str, path: str) -> list[Path]:
    """Where a line of /proc/self/cgroup may be mounted; in a container v1's own folder is the root's."""
    inside = path.lstrip("/")
    if not controllers:
        return [root / inside]
    names = controllers.split(",")
    roots = [root / controllers, root / "cpu"] if "cpu" in names else []
    return [folder for mounted in roots for folder in (mounted / inside, mounted)]


def _handed_down(folder: Path) -> list[str]:
    """Controllers that a group of cgroup v2 may use; none where it is no such group."""
    try:
        return (folder / "cgroup.controllers").read_text().split()
    except OSError:
        return []


# What the program does in a cycle under the quota, and so without it: CPU seconds, then device seconds, for
# which its thread waits by spinning, as far as the quota lets it.
_QUOTA_WORK = (0.04, 0.04)


def _prepared(bench: Bench) -> Step:
    """Python prepares each batch in the thread that launches."""
    host_s, device_s = _QUOTA_WORK
    sample = payload(bench.seed, 1024)
    rounds = max(1, round(bench.of(1, 0) * host_s / took(lambda: decode(sample))))
    batch = bench.torch.zeros(1024, dtype=bench.torch.uint8)

    def prepare() -> Any:
        for _ in range(rounds):
            decode(sample)
        return batch

    return fed(bench, prepare, products(bench, bench.of(1, 0) * device_s))


def _quota(bench: Bench) -> Step:
    step = _prepared(bench)
    quota = Quota()
    return Program(step, quota.close)


def _pooled(bench: Bench, submit: Callable[[bytes, int], Callable[[], Any]], end: Callable[[], None]) -> Step:
    """The next batch is decoded by a pool while the device works on this one."""
    sample = payload(bench.seed, bench.of(64 * 1024, 512))
    work = products(bench, took(lambda: decode(sample)) * DECODERS * 0.35)
    batch, waiting = bench.torch.zeros(1024, dtype=bench.torch.uint8), [submit(sample, DECODERS)]

    def get() -> Any:
        waiting.pop()()
        waiting.append(submit(sample, DECODERS))
        return batch

    return Program(fed(bench, get, work), end)


def _threads(bench: Bench) -> Step:
    pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")

    def submit(sample: bytes, count: int) -> Callable[[], Any]:
        futures = [pool.submit(decode, sample) for _ in range(count)]
        return lambda: [future.result() for future in futures]

    return _pooled(bench, submit, lambda: pool.shutdown(cancel_futures=True))


def _processes(bench: Bench) -> Step:
    count = max(1, min(bench.of(DECODERS, 1), len(os.sched_getaffinity(0)) - 1))
    with hostwork.forking():
        pool = multiprocessing.get_context("fork").Pool(count, hostwork.start_worker)

    def submit(sample: bytes, count: int) -> Callable[[], Any]:
        return pool.map_async(decode, [sample] * count, chunksize=1).get

    def end() -> None:
        pool.terminate()
        pool.join()

    return _pooled(bench, submit, end)


class Trained:
    """Weights on the device, and training that lasts 0.7 times as long as writing them takes."""

    def __init__(self, bench: Bench) -> None:
        self.bench, torch = bench, bench.torch
        count, size = bench.of(16, 2), bench.of(1 << 22, 1 << 8)
        self.weights = {f"layer{i}": torch.randn(size, device=bench.device) for i in range(count)}
        self.path = Path(bench.scratch) / "checkpoint.pt"
        self.write(self.weights)
        self.work: DeviceWork = products(bench, 0.7 * took(lambda: self.write(self.weights)))

    def write(self, weights: Mapping[str, Any]) -> None:
        """Save weights and wait until they are on the disk."""
        with self.path.open("wb") as file:
            self.bench.torch.save(dict(weights), file)
            file.flush()
            os.fsync(file.fileno())

    def bytes(self) -> float:
        """Bytes of the weights."""
        return float(sum(w.numel() * w.element_size() for w in self.weights.values()))


def _blocking(bench: Bench) -> Step:
    trained = Trained(bench)

    def step() -> Mapping[str, float]:
        done = trained.work.counted()
        begin = time.perf_counter()
        trained.write(trained.weights)
        host_s = time.perf_counter() - begin
        return {"host_s": host_s, **done}

    return step


def _asynchronous(bench: Bench) -> Step:
    """Weights are copied to pinned memory at once, and a thread writes them while training goes on."""
    trained, pool = Trained(bench), ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
    pinned = {
        name: bench.torch.empty(w.shape, dtype=w.dtype, pin_memory=bench.device == "cuda")
        for name, w in trained.weights.items()
    }
    waiting: list[Any] = []

    def step() -> Mapping[str, float]:
        done = trained.work.counted()
        begin = time.perf_counter()
        if waiting:
            waiting.pop().result()
        for name, weight in trained.weights.items():
            pinned[name].copy_(weight, non_blocking=True)
        bench.sync()
        waiting.append(pool.submit(trained.write, pinned))
        host_s = time.perf_counter() - begin
        return {"host_s": host_s, **done}

    return Program(step, pool.shutdown)


def _workload(name: str, cause: str, about: str, **more: Any) -> Workload:
    return Workload(
        name=name,
        family="host_limits",
        label="host",
        cause=cause,
        truth="sections",
        beneath="compute",
        about=about,
        **more,
    )


WORKLOADS: tuple[Workload, ...] = (
    _workload(
        "one_core_shared",
        "cpu-contention",
        "The thread that launches and three decoding workers share one core.",
        causes=("input-pipeline", "main-thread"),
        setup=_one_core,
        fixed=_decoding,
        fix="all cores",
    ),
    _workload(
        "cgroup_cpu_limit",
        "cpu-throttled",
        f"A cgroup gives the program {QUOTA_US / PERIOD_US:g} of a core, and it wants a whole one.",
        setup=_quota,
        fixed=_prepared,
        fix="no CPU limit",
    ),
    _workload(
        "gil_thread_pool",
        "gil",
        "Eight threads decode in Python, one at a time, and the thread that launches waits for them.",
        causes=("main-thread", "input-pipeline"),
        setup=_threads,
        fixed=_processes,
        fix="processes in place of threads",
    ),
    _workload(
        "blocking_checkpoint",
        "checkpoint",
        "Training stops while 256 MiB of weights is written and synchronised to disk.",
        causes=("storage", "main-thread"),
        setup=_blocking,
        fixed=_asynchronous,
        fix="weights copied to pinned memory and written by a thread",
    ),
)

"""What the host's workloads are made of: device work of a chosen length, Python decoding, processes that end.

Device work is timed by events, host work by the program's own clock after a synchronisation. Waiting for the
device takes the waiting thread's core, as it does in most programs: CUDA's events spin unless told to block.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.workloads.spec import Bench, Step

# A launcher that is held up (by a quota, by the interpreter's lock) leaves gaps between the two events. So
# device time counts as at most this multiple of the same work queued alone; clocks fall by less.
GAP_FREE = 1.25
# A card that was idle takes about this long to reach the clock it works at, and loads kernels meanwhile.
WARM_S = 0.3
_PR_SET_PDEATHSIG = 1


class Program:
    """A step that has something to give back: processes, files, an affinity. `close` may be called twice."""

    def __init__(self, step: Callable[[], Mapping[str, float]], close: Callable[[], None]) -> None:
        self._step = step
        self._close: Callable[[], None] | None = close

    def __call__(self) -> Mapping[str, float]:
        return self._step()

    def close(self) -> None:
        """Give it back."""
        close, self._close = self._close, None
        if close is not None:
            close()


def close(step: object) -> None:
    """Close a step, where it has anything to close."""
    closing = getattr(step, "close", None)
    if closing is not None:
        closing()


class DeviceWork:
    """The same device work again and again. Calling it runs and waits for it, and gives its seconds.

    count: calls of `call` each time, so that it lasts about `seconds`. amount: bytes or FLOPs each time.
    blocking: the thread sleeps while it waits, and leaves its core to others.
    """

    def __init__(
        self,
        bench: Bench,
        call: Callable[[], Any],
        amount: float,
        seconds: float,
        *,
        section: str,
        blocking: bool = False,
    ) -> None:
        """section: where its seconds count, `compute_s` (amount: FLOPs) or `memory_s` (amount: bytes)."""
        self._bench = bench
        self._call = call
        self._section, self._unit = section, "flops" if section == "compute_s" else "bytes"
        self._blocking = blocking
        self.count = 1
        self._warm()
        alone_s = min(self._timed() for _ in range(3))
        self.count = max(1, round(seconds / alone_s))
        self._alone_s = min(self._timed() for _ in range(2))
        self.amount = amount * self.count

    def __call__(self) -> float:
        """Seconds the device was at it."""
        seconds = self._timed()
        return seconds if self._bench.device == "cpu" else min(seconds, GAP_FREE * self._alone_s)

    def counted(self) -> dict[str, float]:
        """Run it, and account for it. device_calls: how many calls it made, which its calibration chose."""
        return {self._section: self(), self._unit: self.amount, "device_calls": float(self.count)}

    def _warm(self) -> None:
        """The first call, and on a GPU as many as it takes until clocks have settled."""
        begin = time.perf_counter()
        self._timed()
        while self._bench.device != "cpu" and time.perf_counter() - begin < WARM_S:
            self._timed()

    def _timed(self) -> float:
        if self._bench.device == "cpu":
            begin = time.perf_counter()
            self._queue()
            return max(1e-7, time.perf_counter() - begin)
        cuda = self._bench.torch.cuda
        begins, ends = (cuda.Event(enable_timing=True, blocking=self._blocking) for _ in range(2))
        begins.record()
        self._queue()
        ends.record()
        ends.synchronize()
        return max(1e-7, float(begins.elapsed_time(ends)) / 1e3)

    def _queue(self) -> None:
        for _ in range(self.count):
            self._call()


def products(bench: Bench, seconds: float, *, blocking: bool = False) -> DeviceWork:
    """bf16 matrix products for about `seconds`: work at the tensor cores' limit. amount: FLOPs."""
    torch, n = bench.torch, bench.of(8192, 64)
    a, b = (torch.randn(n, n, device=bench.device).to(torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)
    return DeviceWork(
        bench,
        lambda: torch.mm(a, b, out=c),
        2.0 * n**3,
        seconds,
        section="compute_s",
        blocking=blocking,
    )


def copies(bench: Bench, seconds: float) -> DeviceWork:
    """Copies within device memory for about `seconds`: work at the memory's limit. amount: bytes.

    By a kernel, as in `copy` of memory_stream.
    """
    torch, n = bench.torch, bench.of(1 << 28, 1 << 12)
    x = torch.randn(n, device=bench.device)
    y = torch.empty_like(x)
    return DeviceWork(bench, lambda: torch.mul(x, 1.0, out=y), 8.0 * n, seconds, section="memory_s")


def products_by_vector(bench: Bench, seconds: float) -> DeviceWork:
    """bf16 weights times one vector for about `seconds`, as in decoding for one user. amount: bytes."""
    torch, n = bench.torch, bench.of(16384, 64)
    w = torch.randn(n, n, device=bench.device, dtype=torch.bfloat16)
    x = torch.randn(n, device=bench.device, dtype=torch.bfloat16)
    return DeviceWork(bench, lambda: torch.mv(w, x), 2.0 * n * n, seconds, section="memory_s")


def decode(payload: bytes) -> bytes:
    """Undo a differential code, byte by byte in Python: about 100 ns a byte."""
    value, out = 0, bytearray()
    for byte in payload:
        value = (value * 5 + byte + 1) & 0xFF
        out.append(value)
    return bytes(out)


def payload(seed: int, size: int) -> bytes:
    """`size` seeded random bytes."""
    import random

    return random.Random(seed).randbytes(size)


def burn(seconds: float) -> float:
    """Python that works for at least `seconds`; gives how long it took."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        decode(b"\x01" * 64)
    return time.perf_counter() - begin


def took(work: Callable[[], Any]) -> float:
    """Seconds one call takes, of two calls the shorter; more than 0."""

    def once() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return max(1e-6, min(once(), once()))


def tie_to_parent(*_: object) -> None:
    """Ask the kernel to end this process with its parent, whatever ends that. Only on Linux."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return


def start_worker(*_: object) -> None:
    """What a worker process does first: it ends with its parent, and leaves signals to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    end_at_sigterm()
    tie_to_parent()


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """Hold SIGTERM back while processes are forked, which must call `end_at_sigterm`.

    One that reaches a child before it has dropped its parent's handler would run that in the child, as if the
    parent's own program went on there.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_at_sigterm() -> None:
    """In a process that was forked: SIGTERM ends it, one that was held back at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class Batches:
    """Batches of a real DataLoader with worker processes (none: workers 0), endless and in order."""

    def __init__(self, bench: Bench, dataset: Any, batch: int, workers: int) -> None:
        loader = bench.torch.utils.data.DataLoader(
            dataset,
            batch_size=batch,
            num_workers=workers,
            worker_init_fn=start_worker if workers else None,
            multiprocessing_context="fork" if workers else None,
            prefetch_factor=2 if workers else None,
        )
        with forking():
            self._batches: Iterator[Any] | None = iter(loader)

    def next(self) -> Any:
        """The next batch; waits for it."""
        assert self._batches is not None, "closed"
        return next(self._batches)

    def close(self) -> None:
        """End the workers and wait for them."""
        batches, self._batches = self._batches, None
        end = getattr(batches, "_shutdown_workers", None)
        if end is not None:
            end()


def fed(bench: Bench, get: Callable[[], Any], work: DeviceWork) -> Step:
    """A step that gets a batch on the host with the device idle, hands it over, and then runs the device."""

    def step() -> Mapping[str, float]:
        begin = time.perf_counter()
        batch = get()
        batch.to(bench.device, copy=True)
        bench.sync()
        host_s = time.perf_counter() - begin
        return {"host_s": host_s, **work.counted()}

    return step

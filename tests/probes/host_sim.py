"""A simulated CUDA device under torch's names: one clock, streams that are busy until some time, a queue that
fills up. What a probe of the host's side measures of it must be what it was built with.

Tensors are real ones on the CPU, so that copies really move bytes; only their time is simulated.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec


class Clock:
    """The host's clock; nothing but the simulation moves it. Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def perf_counter(self) -> float:
        return self.now_s

    monotonic = perf_counter

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulated machine is like; seconds and bytes a second. pin_bytes_s: pinning, on top of pin_s;
    host_bytes_s: what the host fills or reads of its own memory."""

    call_s: float = 3e-6
    op_call_s: float = 6e-6
    kernel_s: float = 2e-6
    sync_s: float = 1e-6
    replay_call_s: float = 8e-6
    graph_start_s: float = 4e-6
    node_s: float = 1e-6
    cycles_s: float = 1.5e9
    queue: int = 1024
    h2d_bytes_s: float = 50e9
    d2h_bytes_s: float = 40e9
    copy_start_s: float = 2e-6
    pageable_bytes_s: float = 8e9
    malloc_s: float = 300e-6
    cached_s: float = 1e-6
    pin_s: float = 20e-3
    pin_bytes_s: float = float("inf")
    host_bytes_s: float = float("inf")
    release_s: float = 100e-6
    blocking: bool = False


class SimStream:
    """Work in order: busy until `until_s`; `ends` are the ends of what is queued."""

    def __init__(self, device: SimCuda) -> None:
        self._device = device
        self.until_s = 0.0
        self.ends: deque[float] = deque()

    def add(self, host_s: float, device_s: float) -> None:
        """Queue work; a full queue blocks the host until its first piece is done."""
        clock = self._device.clock
        clock.now_s += host_s
        while self.ends and self.ends[0] <= clock.now_s:
            self.ends.popleft()
        self._device.deepest = max(self._device.deepest, len(self.ends))
        if len(self.ends) >= self._device.costs.queue:
            clock.now_s = self.ends.popleft()
        self.until_s = max(clock.now_s, self.until_s) + device_s
        self.ends.append(self.until_s)
        if self._device.costs.blocking:
            clock.now_s = self.until_s

    def wait_stream(self, other: SimStream) -> None:
        self.until_s = max(self.until_s, other.until_s)

    def wait_event(self, event: SimEvent) -> None:
        self.until_s = max(self.until_s, event.at_s)

    def synchronize(self) -> None:
        self._device.wait(self.until_s)


class SimEvent:
    def __init__(self, device: SimCuda) -> None:
        self._device = device
        self.at_s = 0.0

    def record(self) -> None:
        self.at_s = max(self._device.clock.now_s, self._device.current.until_s)

    def query(self) -> bool:
        return self._device.clock.now_s >= self.at_s

    def elapsed_time(self, other: SimEvent) -> float:
        return (other.at_s - self.at_s) * 1e3


class SimGraph:
    def __init__(self, device: SimCuda) -> None:
        self._device = device
        self.nodes = 0

    def replay(self) -> None:
        costs = self._device.costs
        self._device.current.add(costs.replay_call_s, costs.graph_start_s + self.nodes * costs.node_s)


class SimCuda:
    """torch.cuda of one device. deepest: the most that was ever queued on one stream."""

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self.clock = Clock()
        self.default = SimStream(self)
        self.streams = [self.default]
        self.current = self.default
        self.capturing: SimGraph | None = None
        self.deepest = 0
        self.warm_on_side = 0
        self.free = 8 << 30
        self.has_block: set[int] = set()
        self.done_copies: set[tuple[int, int, int]] = set()

    def Event(self, enable_timing: bool = False) -> SimEvent:  # noqa: N802
        assert enable_timing
        return SimEvent(self)

    def Stream(self) -> SimStream:  # noqa: N802
        self.streams.append(SimStream(self))
        return self.streams[-1]

    def CUDAGraph(self) -> SimGraph:  # noqa: N802
        return SimGraph(self)

    @contextlib.contextmanager
    def stream(self, stream: SimStream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def graph(self, graph: SimGraph, stream: SimStream) -> Iterator[None]:
        self.capturing = graph
        try:
            with self.stream(stream):
                yield
        finally:
            self.capturing = None

    def current_stream(self) -> SimStream:
        return self.current

    def launch(self, host_s: float, device_s: float) -> None:
        """A kernel: captured, or queued on the current stream."""
        if self.capturing is not None:
            assert self.current is not self.default, "the default stream cannot be captured"
            self.capturing.nodes += 1
            return
        self.warm_on_side += self.current is not self.default
        self.current.add(host_s, device_s)

    def _sleep(self, cycles: int) -> None:
        self.launch(self.costs.call_s, max(self.costs.kernel_s, cycles / self.costs.cycles_s))

    def synchronize(self) -> None:
        assert self.capturing is None, "a capture forbids synchronisation"
        self.wait(max(s.until_s for s in self.streams))

    def wait(self, until_s: float) -> None:
        self.clock.now_s = max(self.clock.now_s, until_s) + self.costs.sync_s

    def empty_cache(self) -> None:
        self.clock.now_s += self.costs.release_s
        self.has_block.clear()

    def mem_get_info(self) -> tuple[int, int]:
        return self.free, self.free

    def get_device_capability(self) -> tuple[int, int]:
        return 9, 0


class SimTensor:
    """A tensor on the CPU that says where it lies and takes simulated time to copy."""

    def __init__(self, device: SimCuda, real: Any, *, on_device: bool, pinned: bool = False) -> None:
        self._cuda, self.real, self.on_device, self.pinned = device, real, on_device, pinned

    def _like(self, real: Any) -> SimTensor:
        return SimTensor(self._cuda, real, on_device=self.on_device, pinned=self.pinned)

    def __getitem__(self, key: slice) -> SimTensor:
        return self._like(self.real[key])

    def view(self, dtype: Any) -> SimTensor:
        return self._like(self.real.view(dtype))

    def numel(self) -> int:
        return int(self.real.numel())

    def fill_(self, value: int) -> None:
        self._cuda.done_copies.clear()
        self.real.fill_(value)
        self.on_host()

    def on_host(self) -> None:
        """The host goes over all of it, where it is the host's."""
        if not self.on_device:
            self._cuda.clock.now_s += self.numel() * self.real.element_size() / self._cuda.costs.host_bytes_s

    def add_(self, _value: int) -> SimTensor:
        self._cuda.launch(self._cuda.costs.op_call_s, self._cuda.costs.kernel_s)
        return self

    def to(self, _device: str) -> SimTensor:
        self.on_host()
        return SimTensor(self._cuda, self.real.clone(), on_device=True)

    def copy_(self, source: SimTensor, non_blocking: bool = False) -> None:
        self._move(source)
        costs, size = self._cuda.costs, source.numel()
        if not (self.pinned or source.pinned):
            self._cuda.current.add(costs.op_call_s, size / costs.pageable_bytes_s)
            self._cuda.current.synchronize()
            return
        assert non_blocking
        rate = costs.h2d_bytes_s if self.on_device else costs.d2h_bytes_s
        self._cuda.current.add(costs.op_call_s, costs.copy_start_s + size / rate)

    def _move(self, source: SimTensor) -> None:
        """Copy the bytes, unless that was done and neither side was written since."""
        copied = (source.real.data_ptr(), self.real.data_ptr(), self.numel())
        if copied not in self._cuda.done_copies:
            self.real.copy_(source.real)
            self._cuda.done_copies.add(copied)


class SimTorch:
    """torch, as far as the host-side probes use it. pins: sizes that were to be pinned; host_cache: pinned
    sizes that were handed out and not given back since."""

    def __init__(self, real: Any, costs: Costs | None = None) -> None:
        self._real = real
        self.cuda = SimCuda(costs or Costs())
        self.uint8, self.int32 = real.uint8, real.int32
        self.enable_grad, self.no_grad = real.enable_grad, real.no_grad
        self.inference_mode = real.inference_mode
        self.__version__ = "0"
        self._C = SimpleNamespace(_host_emptyCache=self._empty_host_cache)
        self.pins: list[int] = []
        self.pin_limit = 1 << 40
        self.host_cache: set[int] = set()

    def _empty_host_cache(self) -> None:
        self.cuda.clock.now_s += self.cuda.costs.release_s
        self.host_cache.clear()

    def zeros(self, size: int, device: str, requires_grad: bool = False) -> SimTensor:
        return SimTensor(self.cuda, self._real.zeros(size), on_device=True)

    def add(self, _x: SimTensor, _value: int) -> None:
        self.cuda.launch(2 * self.cuda.costs.op_call_s, self.cuda.costs.kernel_s)

    def empty(self, size: int, dtype: Any, device: str = "cpu", pin_memory: bool = False) -> SimTensor:
        on_device, costs = device != "cpu", self.cuda.costs
        if on_device:
            self.cuda.clock.now_s += costs.cached_s if size in self.cuda.has_block else costs.malloc_s
            self.cuda.has_block.add(size)
        if pin_memory:
            self._pin(size)
        real = self._real.empty(size, dtype=dtype)
        return SimTensor(self.cuda, real, on_device=on_device, pinned=pin_memory)

    def _pin(self, size: int) -> None:
        self.pins.append(size)
        if size > self.pin_limit:
            raise RuntimeError("CUDA error: out of memory")
        costs = self.cuda.costs
        pinning_s = costs.pin_s + size / costs.pin_bytes_s
        self.cuda.clock.now_s += costs.cached_s if size in self.host_cache else pinning_s
        self.host_cache.add(size)

    def arange(
        self, count: int, out: SimTensor | None = None, dtype: Any = None, device: str = "cpu"
    ) -> SimTensor:
        if out is not None:
            self.cuda.done_copies.clear()
            self._real.arange(count, out=out.real)
            out.on_host()
            return out
        return SimTensor(self.cuda, self._real.arange(count, dtype=dtype), on_device=device != "cpu")

    def equal(self, a: SimTensor, b: SimTensor) -> bool:
        assert a.on_device and b.on_device
        return bool(self._real.equal(a.real, b.real))

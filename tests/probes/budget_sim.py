"""An H100-class node for every GPU probe but the GEMMs: rates as published, on one invented clock.

Nothing is computed and no memory is held: what is asked of it is what these probes would take on such a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from probes import bandwidth, host, hostmem, latency, transfer
from probes.counting import Stream, stream_bytes
from probes.kernels import Launch, Variant
from probes.lab import Lab
from probes.latency import Chase
from probes.numa import Node
from probes.record import DeviceFacts, Measurement, Mode
from probes.registry import PROBES, Probe
from probes.streams import Take
from tests.probes.host_side import simulated
from tests.probes.host_sim import Clock, Costs, SimTorch

# A host that takes 5 µs to launch and 10 µs to dispatch; pinning takes half a second a GiB.
NODE = Costs(
    call_s=5e-6,
    op_call_s=10e-6,
    sync_s=3e-6,
    h2d_bytes_s=55e9,
    d2h_bytes_s=55e9,
    pageable_bytes_s=6e9,
    malloc_s=1e-3,
    pin_s=2e-3,
    pin_bytes_s=2.0 * (1 << 30),
    host_bytes_s=8e9,
    release_s=2e-3,
)
FACTS = DeviceFacts(
    kind="cuda",
    key="GPU-1",
    name="NVIDIA H100 80GB HBM3",
    l2_bytes=50 << 20,
    pcie_gen_max=5,
    pcie_width_max=16,
    numa_node=0,
)
NODES = tuple(Node(index=i, cpus=frozenset({0}), distances={i: 10, 1 - i: 20}) for i in (0, 1))
IMPORT_S, COMPILE_S = 0.6, 0.2
STEP_S, DRAM_BYTES_S, L2_BYTES_S = 40e-9, 3e12, 7e12
LARGE_BYTES = (2 << 30) - (2 << 20)
# Filling a buffer of 2 GiB and comparing it in parts, or going over it for its sum.
CHECK_S = 10e-3


class Bare:
    """torch's tensors without data."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.uint8, self.int32 = torch.uint8, torch.int32
        self.enable_grad, self.no_grad = torch.enable_grad, torch.no_grad
        self.inference_mode = torch.inference_mode

    def zeros(self, size: int) -> Any:
        return self._torch.zeros(size, device="meta")

    def empty(self, size: int, dtype: Any) -> Any:
        return self._torch.empty(size, dtype=dtype, device="meta")

    def arange(self, count: int, out: Any = None, dtype: Any = None) -> Any:
        return out if out is not None else self._torch.empty(count, dtype=dtype, device="meta")

    def equal(self, _a: Any, _b: Any) -> bool:
        return True


class Cupy:
    """An empty kernel, and a compiler that takes a while."""

    def __init__(self, fake: SimTorch) -> None:
        self._fake = fake
        self.cuda = self.runtime = self
        self.deviceSynchronize = fake.cuda.synchronize

    def RawKernel(self, _source: str, _name: str) -> Callable[..., None]:  # noqa: N802
        self._fake.cuda.clock.sleep(IMPORT_S)
        return lambda *_: self._fake.cuda.launch(NODE.call_s, NODE.kernel_s)

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_all_blocks=lambda: None)


class Kernels:
    """Streams, rings and chases that take the time that their bytes and hops take."""

    def __init__(self, fake: SimTorch) -> None:
        self._fake = fake
        fake.cuda.clock.sleep(COMPILE_S)

    def chase(self, _level: str, _state: int, hops: int) -> Launch:
        hop_s = 40e-9 if self.lines < 1 << 11 else 150e-9 if self.lines < 1 << 18 else 600e-9

        def call() -> None:
            self._fake.cuda.launch(NODE.call_s, hops * hop_s)

        return Launch(call=call, grid=1, block=1, in_flight_bytes=8)

    lines = 0


class State:
    """Where the chase is."""

    def __setitem__(self, _at: object, _value: object) -> None:
        return

    def data_ptr(self) -> int:
        return 0

    def tolist(self) -> tuple[int, int, int]:
        return 0, 10, 10


class Streams:
    """Buffers of 2 GiB."""

    size = LARGE_BYTES

    def __init__(self, fake: SimTorch) -> None:
        self._fake = fake

    def take(self, name: str, work: int, rate: float) -> Take:
        def call() -> None:
            self._fake.cuda.launch(NODE.call_s, work / rate)

        def check() -> None:
            self._fake.cuda.clock.sleep(CHECK_S)

        return Take(name=name, method=name, call=call, check=check, extra={"working_set_bytes": 1.0})

    def by_torch(self, kind: Stream) -> Take:
        return self.take("torch", stream_bytes(kind, self.size), 0.9 * DRAM_BYTES_S)

    def by_kernel(self, _kernels: Kernels, kind: Stream, variant: Variant) -> Take:
        return self.take(variant.label, stream_bytes(kind, self.size), DRAM_BYTES_S)


def ring(_torch: Any, _kernels: Kernels, variant: Variant, streams: Streams, size: int) -> Take:
    work = 512 * size
    made = streams.take(f"{variant.label}, {size}", work, L2_BYTES_S)
    return Take(
        name=made.name, method=made.name, call=made.call, check=made.check, work=work, extra=made.extra
    )


def _patch_memory(monkeypatch: pytest.MonkeyPatch, fake: SimTorch) -> None:
    clock = fake.cuda.clock

    def chase(_lab: Lab) -> Chase:
        memory = SimpleNamespace(numel=lambda: (1 << 30) // 8)
        return Chase(Kernels(fake), memory, State())  # type: ignore[arg-type]

    def laid(_lab: Lab, chase: Any, lines: int) -> None:
        chase.kernels.lines = lines
        clock.sleep(1e-3 + lines * 1e-9)

    def bench(_lab: Lab) -> Any:
        clock.sleep(0.03)
        return bandwidth.Bench(Streams(fake), Kernels(fake), "")  # type: ignore[arg-type]

    monkeypatch.setattr(latency, "_open", chase)
    monkeypatch.setattr(latency, "write_cycle", laid)
    monkeypatch.setattr(latency, "fault", lambda *_: clock.sleep(2e-3))
    monkeypatch.setattr(bandwidth, "_open", bench)
    monkeypatch.setattr(bandwidth, "ring_take", ring)
    monkeypatch.setattr(bandwidth, "time", clock)


def _patch_host(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    slow = [1.0]

    @contextmanager
    def busy() -> Iterator[None]:
        slow[0] = 2.0
        yield
        slow[0] = 1.0

    def share(seconds: float) -> tuple[float, float]:
        clock.sleep(seconds)
        return seconds, 1.0

    monkeypatch.setattr(host, "loop", lambda steps: clock.sleep(steps * STEP_S * slow[0]))
    monkeypatch.setattr(host, "busy_thread", busy)
    monkeypatch.setattr(host, "_share", share)
    monkeypatch.setattr(host, "time", clock)


def node(
    monkeypatch: pytest.MonkeyPatch, torch: Any, mode: Mode, names: tuple[str, ...] = ()
) -> tuple[Lab, SimTorch]:
    """A lab on the node, with the mode's own policy, and its clock."""
    lab, fake = simulated(monkeypatch, Bare(torch), NODE, mode=mode, known=FACTS, names=names)
    fake.cuda.free = 79 << 30
    lab.__dict__["cupy"] = Cupy(fake)
    _patch_host(monkeypatch, fake.cuda.clock)
    _patch_memory(monkeypatch, fake)
    monkeypatch.setattr(transfer, "nodes", lambda: NODES)
    for module in (transfer, hostmem):
        monkeypatch.setattr(module, "may_pin_bytes", lambda: 64 << 30)
    return lab, fake


def probe(name: str) -> Probe:
    return next(p for p in PROBES if p.kind == "cuda" and p.name == name)


def ran(lab: Lab, fake: SimTorch, name: str, most_s: float = math.inf) -> tuple[list[Measurement], float]:
    """A probe's records, and the seconds that it took of the node's time."""
    begin_s = fake.cuda.clock.now_s
    lab.begin(probe(name).budget_s, most_s)
    return list(probe(name).load()(lab)), fake.cuda.clock.now_s - begin_s

"""Mixes: phases of different classes with shares that the program itself measures."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.workloads.hostwork import DeviceWork, burn, copies, products, products_by_vector
from benchmarks.workloads.spec import Bench, Step, Workload


def _seconds(bench: Bench, seconds: float) -> float:
    return 1e-3 * seconds if bench.small else seconds


def _prefill_decode(bench: Bench) -> Step:
    """Prefill for 0.9 s and decoding for 0.6 s, by turns: each longer than a sub-window of counters."""
    prefill = products(bench, _seconds(bench, 0.9))
    decode = products_by_vector(bench, _seconds(bench, 0.6))

    def step() -> Mapping[str, float]:
        first, then = prefill.counted(), decode.counted()
        calls = first["device_calls"] + then["device_calls"]
        return {**first, **then, "device_calls": calls}

    return step


def _with_host(work: DeviceWork, host_s: float) -> Step:
    def step() -> Mapping[str, float]:
        done = work.counted()
        begin = time.perf_counter()
        burn(host_s)
        return {**done, "host_s": time.perf_counter() - begin}

    return step


def _host_compute(bench: Bench) -> Step:
    """Python for 15 ms with the device idle, then matrix products for 10 ms."""
    work = products(bench, _seconds(bench, 0.010))
    return _with_host(work, _seconds(bench, 0.015))


def _host_memory(bench: Bench) -> Step:
    """Python for 10 ms with the device idle, then copies in device memory for 15 ms."""
    work = copies(bench, _seconds(bench, 0.015))
    return _with_host(work, _seconds(bench, 0.010))


def _compute_alone(bench: Bench) -> Step:
    return products(bench, _seconds(bench, 0.010)).counted


def _memory_alone(bench: Bench) -> Step:
    return copies(bench, _seconds(bench, 0.015)).counted


def _sustained(bench: Bench) -> Step:
    """bf16 products without a pause: on a large card the board's power limit sets their clock."""
    torch, n = bench.torch, bench.of(8192, 64)
    a, b = (torch.randn(n, n, device=bench.device).to(torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)

    def step() -> Mapping[str, float]:
        for _ in range(10):
            torch.mm(a, b.t(), out=c)
        return {"flops": 20.0 * n**3}

    return step


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="prefill_decode",
        family="mixes",
        label="compute",
        accepted=("memory",),
        cause="tensor-cores",
        causes=("dram-bandwidth",),
        truth="sections",
        about="Matrix products as in prefill and matrix-vector products as in decoding, by turns.",
        setup=_prefill_decode,
        bound=("bf16", "flops"),
        sections=(("bf16", "flops"), ("dram_read", "bytes")),
    ),
    Workload(
        name="host_compute_60_40",
        family="mixes",
        label="host",
        cause="main-thread",
        truth="sections",
        beneath="compute",
        about="Python for 15 ms with the device idle, then matrix products for 10 ms.",
        setup=_host_compute,
        sections=(("bf16", "flops"),),
        fixed=_compute_alone,
        fix="the Python part done elsewhere beforehand",
    ),
    Workload(
        name="host_memory_40_60",
        family="mixes",
        label="host",
        accepted=("memory",),
        cause="main-thread",
        causes=("dram-bandwidth",),
        truth="sections",
        beneath="memory",
        about="Python for 10 ms with the device idle, then copies in device memory for 15 ms.",
        setup=_host_memory,
        sections=(("dram_copy", "bytes"),),
        fixed=_memory_alone,
        fix="the Python part done elsewhere beforehand",
    ),
    Workload(
        name="power_capped_gemm",
        family="mixes",
        label="compute",
        cause="tensor-cores",
        causes=("power-cap",),
        truth="pure",
        about="Large bf16 matrix products without a pause, at the clock that the power limit leaves.",
        setup=_sustained,
        bound=("bf16", "flops"),
    ),
)

"""The peers that the probes are held against on a GPU: each one's own method, written out or called.

Runs in a process of its own, so that nothing of it is on the device while the probes run:

    python -m benchmarks.peers.gpu_peers [--device cuda|cpu] [--small] [--cpus LIST]

prints one JSON object, {metric: {peer: figure}}, in bytes/s, FLOP/s or seconds; a peer that is not there is a
text that says why. `--device cpu --small` exercises the script where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from probes.hostfiles import cpu_list

Figures = dict[str, float | str]
Call = Callable[[], object]
# Median seconds of a call, looked at for at least so long where the harness can be told.
Harness = Callable[[Call, float], float]

FLUSH_BYTES = 256 << 20
# mamf-finder's best shapes on an H100, and the plain one everybody quotes.
SHAPES = {"large": ((8192, 8192, 8192), (2048, 2048, 13312), (1024, 9216, 14336)), "small": ((64, 64, 64),)}
# nvbandwidth: copies of 512 MiB, 4 to warm up, 16 between events, median of 3.
# Long enough for a card to leave its boost; mamf-finder warms up for longer.
WARM_S = 3.0
SPIN_CYCLES = 20_000_000
COPY_BYTES, COPY_WARM, COPY_TIMED, COPY_REPEATS = 512 << 20, 4, 16, 3


class Bench:
    """Sizes and clocks of the device under test."""

    def __init__(self, device: str, small: bool) -> None:
        import torch

        self.torch = torch
        self.device = device
        self.cuda = device == "cuda"
        self.small = small
        self.least_s = 0.02 if small else 0.5
        self.warm_s = 0.0 if small else WARM_S
        self.shapes = SHAPES["small" if small else "large"]
        self.buffer_bytes = (1 << 16) if small else (2 << 30)
        self.flush = torch.empty((1 << 10) if small else FLUSH_BYTES // 4, dtype=torch.int32, device=device)

    def sync(self) -> None:
        """Wait for the device."""
        if self.cuda:
            self.torch.cuda.synchronize()

    def timed(self, calls: int, call: Call, before: Call | None = None, spin: bool = False) -> list[float]:
        """Seconds of each of `calls` calls, all queued at once, an event pair around each; `before` lies
        outside. spin: a kernel holds the stream until all are queued. On the CPU by the host's clock."""
        if not self.cuda:
            return [self._on_host(call, before) for _ in range(calls)]
        cuda = self.torch.cuda
        pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(calls)]
        self.sync()
        if spin:
            cuda._sleep(SPIN_CYCLES)
        for start, end in pairs:
            if before is not None:
                before()
            start.record()
            call()
            end.record()
        self.sync()
        return [float(start.elapsed_time(end)) / 1e3 for start, end in pairs]

    @staticmethod
    def _on_host(call: Call, before: Call | None) -> float:
        if before is not None:
            before()
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    def randn(self, *size: int, dtype: Any) -> Any:
        """N(0, 1) in a dtype."""
        return self.torch.randn(*size, device=self.device, dtype=self.torch.float32).to(dtype)


def gemm_call(bench: Bench, name: str, shape: tuple[int, int, int], fast: bool = False) -> tuple[Call, Any]:
    """A GEMM of a precision, as mamf-finder calls it, and its output (None where it allocates one).

    fast: fp8 with fast accumulation, which mamf-finder leaves off.
    """
    torch = bench.torch
    m, n, k = shape
    if name == "fp8_e4m3":
        a = bench.randn(m, k, dtype=torch.float8_e4m3fn)
        b = bench.randn(n, k, dtype=torch.float8_e4m3fn).t()
        one = torch.ones(1, device=bench.device)
        half = torch.bfloat16
        return partial(torch._scaled_mm, a, b, one, one, out_dtype=half, use_fast_accum=fast), None
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[name]
    a, b = bench.randn(m, k, dtype=dtype), bench.randn(n, k, dtype=dtype).t()
    out = torch.empty(m, n, device=bench.device, dtype=dtype)
    return lambda: torch.mm(a, b, out=out), out


def mamf(bench: Bench, name: str, fast: bool = False) -> float:
    """mamf-finder's method: clear a cache-sized buffer and refresh the output before each call, an event pair
    around the call alone, everything queued; the best shape's mean of 100 after warming up."""
    return max(mamf_shape(bench, name, shape, fast) for shape in bench.shapes)


def mamf_shape(bench: Bench, name: str, shape: tuple[int, int, int], fast: bool) -> float:
    """FLOP/s of one shape."""
    m, n, k = shape
    call, out = gemm_call(bench, name, shape, fast)
    fresh = None if out is None else bench.randn(m, n, dtype=out.dtype)

    def before() -> None:
        bench.flush.zero_()
        if out is not None:
            out.copy_(fresh)

    end = time.perf_counter() + bench.warm_s
    while time.perf_counter() < end:
        bench.timed(10, call, before)
    seconds = bench.timed(3 if bench.small else 100, call, before)
    return 2 * m * n * k / statistics.fmean(seconds)


def with_do_bench(call: Call, _least_s: float) -> float:
    """Median seconds by triton.testing.do_bench."""
    from triton.testing import do_bench

    return float(do_bench(call, warmup=25, rep=100, return_mode="median")) / 1e3


def with_torch_timer(call: Call, least_s: float) -> float:
    """Median seconds by torch.utils.benchmark, which synchronises and counts dispatch."""
    from torch.utils.benchmark import Timer

    found = Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=least_s)
    return float(found.median)


def with_cupyx(call: Call, _least_s: float) -> float:
    """Median seconds on the device by cupyx.profiler.benchmark."""
    from cupyx.profiler import benchmark

    found = benchmark(call, n_repeat=50, n_warmup=10)
    return float(statistics.median(found.gpu_times[0].tolist()))


HARNESSES: dict[str, Harness] = {
    "triton do_bench": with_do_bench,
    "torch.utils.benchmark": with_torch_timer,
    "cupyx.profiler": with_cupyx,
}


def gemm_peers(bench: Bench, name: str) -> Figures:
    """Every harness on the GEMM: the best shape of each, FLOP/s."""
    found: Figures = {"mamf-finder method": tried(lambda: mamf(bench, name))}
    if name.startswith("fp8"):
        found["mamf-finder method, fast accumulation"] = tried(lambda: mamf(bench, name, fast=True))
    for harness, time_it in HARNESSES.items():
        found[harness] = tried(lambda time_it=time_it: best_rate(bench, name, time_it))  # type: ignore[misc]
    return found


def best_rate(bench: Bench, name: str, time_it: Harness) -> float:
    """The best shape's FLOP/s by one harness."""
    return max(
        2 * m * n * k / time_it(gemm_call(bench, name, (m, n, k))[0], bench.least_s)
        for m, n, k in bench.shapes
    )


def copy_peers(bench: Bench) -> Figures:
    """Copies on the device: the driver's memcpy, and torch's under each harness; bytes/s read and written."""
    source = bench.torch.randn(bench.buffer_bytes // 4, device=bench.device)
    target = bench.torch.empty_like(source)
    moved = 2 * bench.buffer_bytes
    found: Figures = {"driver memcpy": tried(lambda: moved / memcpy_s(bench, source, target))}
    for harness, time_it in HARNESSES.items():
        found[harness] = tried(
            lambda time_it=time_it: moved / time_it(lambda: target.copy_(source), bench.least_s)  # type: ignore[misc]
        )
    return found


def memcpy_s(bench: Bench, source: Any, target: Any) -> float:
    """Median seconds of cudaMemcpyAsync between two buffers on the device."""
    import cupy

    stream = cupy.cuda.get_current_stream().ptr
    kind = cupy.cuda.runtime.memcpyDeviceToDevice

    def call() -> None:
        cupy.cuda.runtime.memcpyAsync(target.data_ptr(), source.data_ptr(), bench.buffer_bytes, kind, stream)

    bench.timed(4, call)
    return statistics.median(bench.timed(20, call, spin=True))


def op_peers(bench: Bench, make: Callable[[Bench], tuple[Call, int]]) -> Figures:
    """A memory operation under each harness, bytes/s."""
    call, moved = make(bench)
    return {h: tried(lambda t=t: moved / t(call, bench.least_s)) for h, t in HARNESSES.items()}  # type: ignore[misc]


def triad(bench: Bench) -> tuple[Call, int]:
    """a = b + s·c."""
    torch = bench.torch
    b, c, a = (torch.randn(bench.buffer_bytes // 4, device=bench.device) for _ in range(3))
    return lambda: torch.add(b, c, alpha=0.4, out=a), 3 * bench.buffer_bytes


def read(bench: Bench) -> tuple[Call, int]:
    """A sum."""
    source = bench.torch.randn(bench.buffer_bytes // 4, device=bench.device)
    return lambda: source.sum(), bench.buffer_bytes


def write(bench: Bench) -> tuple[Call, int]:
    """A fill."""
    target = bench.torch.empty(bench.buffer_bytes // 4, device=bench.device)
    return lambda: target.fill_(1.0), bench.buffer_bytes


def link_peers(bench: Bench, to_device: bool) -> Figures:
    """Pinned copies as nvbandwidth times them, bytes/s."""
    return {"nvbandwidth method": tried(lambda: nvbandwidth(bench, to_device))}


def nvbandwidth(bench: Bench, to_device: bool) -> float:
    """A spinning kernel holds the stream until all copies are queued; 16 between events; median of 3."""
    torch = bench.torch
    size = (1 << 12) if bench.small else COPY_BYTES
    host = torch.ones(size, dtype=torch.uint8, pin_memory=bench.cuda)
    there = torch.empty(size, dtype=torch.uint8, device=bench.device)
    target, source = (there, host) if to_device else (host, there)

    def batch() -> None:
        for _ in range(COPY_TIMED):
            target.copy_(source, non_blocking=True)

    for _ in range(COPY_WARM):
        target.copy_(source, non_blocking=True)
    seconds = [bench.timed(1, batch, spin=True)[0] for _ in range(COPY_REPEATS)]
    return COPY_TIMED * size / statistics.median(seconds)


def tried(take: Callable[[], float]) -> float | str:
    """A figure, or why there is none."""
    try:
        return take()
    except Exception as problem:  # a peer that is not there is a finding, not a fault
        return (
            f"{type(problem).__name__}: {str(problem).strip().splitlines()[0][:160] if str(problem) else ''}"
        )


PEERS: dict[str, Callable[[Bench], Figures]] = {
    "dram_copy": copy_peers,
    "dram_triad": lambda b: op_peers(b, triad),
    "dram_read": lambda b: op_peers(b, read),
    "dram_write": lambda b: op_peers(b, write),
    "bf16": lambda b: gemm_peers(b, "bf16"),
    "fp16": lambda b: gemm_peers(b, "fp16"),
    "fp8_e4m3": lambda b: gemm_peers(b, "fp8_e4m3"),
    "h2d_pinned": lambda b: link_peers(b, True),
    "d2h_pinned": lambda b: link_peers(b, False),
}


def measure(device: str, small: bool) -> dict[str, Figures]:
    """Every metric by every peer."""
    bench = Bench(device, small)
    found = {}
    for metric, take in PEERS.items():
        found[metric] = take(bench)
        if bench.cuda:
            bench.torch.cuda.empty_cache()
        print(metric, found[metric], file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--cpus", default="", help="run on these CPUs, such as 0-31: the GPU's NUMA node")
    args = parser.parse_args()
    if args.cpus:
        os.sched_setaffinity(0, cpu_list(args.cpus))
    print(json.dumps(measure(args.device, args.small)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Memory-bound: streams through buffers far larger than any L2.

Bytes are those that each pass must read and write once (STREAM's convention, no write-allocate traffic).
Every pass reads data that no pass changes, so values stay what they were.
"""

from __future__ import annotations

from benchmarks.workloads.device_kernels import DeviceKernels
from benchmarks.workloads.parts import Loop, fitting, generator, normal
from benchmarks.workloads.spec import Bench, Step, Workload

_FLOAT = 4
_TILE = 32
_TRIAD_SCALE = 0.4


def _copy(bench: Bench) -> Step:
    """y = 1·x over 4 GiB of fp32, four times. Bytes: 8 an element, one read and one write.

    A product with 1 and not copy_, which is a cudaMemcpyAsync: whether counters see that as work of the SMs
    is the driver's business, and a kernel of a user's own is what is meant here.
    """
    n = fitting(bench, bench.of(1 << 30, 1 << 12), 2 * _FLOAT)
    x = normal(bench, generator(bench), n)
    y = bench.torch.empty_like(x)
    return Loop(lambda: bench.torch.mul(x, 1.0, out=y), 4, bytes=2.0 * _FLOAT * n)


def _triad(bench: Bench) -> Step:
    """a = b + s·c over 2 GiB each of fp32, four times. Bytes: 12 an element; FLOPs: 2 an element."""
    n = fitting(bench, bench.of(1 << 29, 1 << 12), 3 * _FLOAT)
    source, torch = generator(bench), bench.torch
    b, c = normal(bench, source, n), normal(bench, source, n)
    a = torch.empty_like(b)

    def call() -> object:
        return torch.add(b, c, alpha=_TRIAD_SCALE, out=a)

    return Loop(call, 4, bytes=3.0 * _FLOAT * n, flops=2.0 * n)


def _reduction(bench: Bench) -> Step:
    """Sum of 2 GiB of fp32, ten times. Bytes: 4 an element, the read; FLOPs: one an element."""
    n = fitting(bench, bench.of(1 << 29, 1 << 12), _FLOAT)
    x = normal(bench, generator(bench), n)
    return Loop(x.sum, 10, bytes=float(_FLOAT * n), flops=float(n))


def _transpose(bench: Bench) -> Step:
    """Transpose of an fp32 matrix by tiles in shared memory, four times. Bytes: 8 an element.

    An own kernel: torch's copy of a transposed view uses 4 of every 32 bytes that the L2 sends, so that the
    L2 limits it and not the memory.
    """
    kernels = DeviceKernels(bench)
    side = _TILE * bench.of(625, 3)
    rows = fitting(bench, side, 2.0 * _FLOAT * side, _TILE)
    x = normal(bench, generator(bench), rows, side)
    y = bench.torch.empty((side, rows), device=bench.device)
    grid, shared = (rows // _TILE) * (side // _TILE), _TILE * (_TILE + 1) * _FLOAT

    def call() -> object:
        kernels.launch("transpose", grid, 256, (x, y, rows, side), shared)
        return y

    return Loop(call, 4, bytes=2.0 * _FLOAT * rows * side)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="copy",
        family="memory_stream",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="One read and one write of each element, and no arithmetic to speak of.",
        setup=_copy,
        bound=("dram_copy", "bytes"),
    ),
    Workload(
        name="triad",
        family="memory_stream",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Two reads, one write and one multiply-add an element: 1/6 FLOP a byte.",
        setup=_triad,
        bound=("dram_copy", "bytes"),
    ),
    Workload(
        name="reduction",
        family="memory_stream",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="One read and one addition an element: 1/4 FLOP a byte.",
        setup=_reduction,
        bound=("dram_read", "bytes"),
    ),
    Workload(
        name="transpose",
        family="memory_stream",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="One read and one write of each element, staged in shared memory so that both are coalesced.",
        setup=_transpose,
        bound=("dram_copy", "bytes"),
    ),
)

"""Memory-bound: a few operations an element, on tensors far larger than any L2.

Bytes are what each kernel must read and write once; where a chain of kernels passes through memory, each of
them counts. Inputs are not changed (Adam's parameters drift by its learning rate), so values stay finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.workloads.device_kernels import DeviceKernels
from benchmarks.workloads.parts import Loop, fitting, generator, normal
from benchmarks.workloads.spec import Bench, Step, UnavailableError, Workload

_FLOAT, _HALF = 4, 2
# Tensors that each operation of the chain reads and writes.
_CHAIN_STREAMS = 2 + 2 + 2 + 3 + 2 + 3
_FUSED_STREAMS = 2
_VECTOR, _BLOCK = 4, 256
# Elements of a part that a CPU's cache holds.
_PART = 1 << 12
_COLUMNS = 4096
_LEARNING_RATE = 1e-5


def _chain_operands(bench: Bench) -> tuple[Any, Any]:
    n = fitting(bench, bench.of(1 << 28, 1 << 13), 2 * _FLOAT, _VECTOR * _BLOCK)
    x = normal(bench, generator(bench), n)
    return x, bench.torch.empty_like(x)


def chain(torch: Any, x: Any, y: Any) -> Any:
    """y = clamp(x · tanh(x/2 + 0.1), ±1) + x/10, an operation at a time."""
    torch.mul(x, 0.5, out=y)
    y.add_(0.1)
    y.tanh_()
    y.mul_(x)
    y.clamp_(-1.0, 1.0)
    return y.add_(x, alpha=0.1)


def _elementwise_chain(bench: Bench) -> Step:
    """Six operations over 1 GiB of fp32, twice. Bytes: operands and result of each, 14 streams in all."""
    torch, (x, y) = bench.torch, _chain_operands(bench)
    return Loop(lambda: chain(torch, x, y), 2, bytes=float(_CHAIN_STREAMS * _FLOAT * x.numel()))


def _elementwise_fused(bench: Bench) -> Step:
    """The same in one pass: bytes are one read and one write.

    By an own kernel, where there is cupy; else by torch.compile; on the CPU by parts that stay in the cache.
    """
    x, y = _chain_operands(bench)
    return Loop(fused(bench, x, y), 2, bytes=float(_FUSED_STREAMS * _FLOAT * x.numel()))


def fused(bench: Bench, x: Any, y: Any) -> Callable[[], Any]:
    """The chain over x in one pass, by the best means there are; y may serve as its result."""
    torch = bench.torch
    if bench.device == "cpu":
        return lambda: _by_parts(torch, x, y)
    try:
        return fused_by_kernel(bench, x, y)
    except UnavailableError:
        compiled = torch.compile(lambda a: _out_of_place(torch, a))
        return lambda: compiled(x)


def fused_by_kernel(bench: Bench, x: Any, y: Any) -> Callable[[], Any]:
    """The chain as one launch. Raises UnavailableError without cupy."""
    kernels, vectors = DeviceKernels(bench), x.numel() // _VECTOR

    def call() -> Any:
        kernels.launch("chain", vectors // _BLOCK, _BLOCK, (x, y, vectors))
        return y

    return call


def _by_parts(torch: Any, x: Any, y: Any) -> Any:
    for part, out in zip(x.split(_PART), y.split(_PART), strict=True):
        chain(torch, part, out)
    return y


def _out_of_place(torch: Any, x: Any) -> Any:
    y = torch.tanh(x * 0.5 + 0.1) * x
    return torch.clamp(y, -1.0, 1.0) + 0.1 * x


def _layer_norm_softmax(bench: Bench) -> Step:
    """Layer norm and softmax over rows of 4096 bf16, 1 GiB, four times. Bytes: a read and a write of each."""
    functional = bench.torch.nn.functional
    rows = fitting(bench, bench.of(1 << 17, 64), 4.0 * _HALF * _COLUMNS)
    x = normal(bench, generator(bench), rows, _COLUMNS, dtype="bfloat16")

    def call() -> Any:
        return functional.softmax(functional.layer_norm(x, (_COLUMNS,)), -1)

    return Loop(call, 4, bytes=4.0 * _HALF * rows * _COLUMNS)


def _adam_step(bench: Bench) -> Step:
    """Fused Adam over 2^28 fp32 parameters in 16 tensors, three times.

    Bytes: seven streams of 4 an element: parameter, gradient and two moments are read, and all but the
    gradient written.
    """
    torch, source = bench.torch, generator(bench)
    each = fitting(bench, bench.of(1 << 28, 1 << 12), 4 * _FLOAT, 16) // 16
    parameters = [torch.nn.Parameter(normal(bench, source, each)) for _ in range(16)]
    for parameter in parameters:
        parameter.grad = normal(bench, source, each)
    optimiser = torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)

    def call() -> Any:
        optimiser.step()
        return parameters[-1].detach()

    return Loop(call, 3, bytes=7.0 * _FLOAT * 16 * each)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="elementwise_chain",
        family="memory_pointwise",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Six operations an element, each a kernel that reads and writes the whole tensor.",
        setup=_elementwise_chain,
        fixed=_elementwise_fused,
        fix="fuse the chain into one kernel, as torch.compile does: 2 instead of 14 streams",
        bound=("dram_copy", "bytes"),
    ),
    Workload(
        name="layer_norm_softmax",
        family="memory_pointwise",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Two row-wise kernels with a few operations for each element they read and write.",
        setup=_layer_norm_softmax,
        bound=("dram_copy", "bytes"),
    ),
    Workload(
        name="adam_step",
        family="memory_pointwise",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="An optimiser step, already fused: about a dozen operations for 28 bytes.",
        setup=_adam_step,
        bound=("dram_copy", "bytes"),
    ),
)

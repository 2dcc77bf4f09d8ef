"""Compute-bound without the fast paths: fp32 without TF32, fp64, and a kernel of nothing but fp32 FMAs."""

from __future__ import annotations

from typing import Any

from benchmarks.workloads.compute_gemm import gemm_step
from benchmarks.workloads.device_kernels import DeviceKernels
from benchmarks.workloads.parts import Loop, generator, normal
from benchmarks.workloads.spec import Bench, Step, Workload

_BLOCK = 256
_VALUES = 8
# FMAs that an SM finishes in a cycle, on all cards since Volta but A100-like ones, which do half.
_FMA_CYCLE = 128
_CALL_S = 0.01
# v = scale·v + shift: near enough to 1 that values stay apart, below 1 so that they stay bounded.
_SCALE, _SHIFT = 1.0 - 2.0**-20, 2.0**-20


def _fp32(bench: Bench) -> Step:
    return gemm_step(bench, "fp32", 1)


def _fp32_as_tf32(bench: Bench) -> Step:
    return gemm_step(bench, "tf32", 1)


def _fp64(bench: Bench) -> Step:
    """Products of 4096: on a card with few fp64 units one of 8192 would take seconds."""
    return gemm_step(bench, "fp64", 4, 4096)


def _fma_dense(bench: Bench) -> Step:
    """Eight chains of FMAs a thread, as many threads as the card holds. FLOPs: 2 an FMA.

    The number of rounds follows from the clock, so that a launch takes some 10 ms at full rate.
    """
    kernels = DeviceKernels(bench)
    threads = kernels.sm_count * bench.of(kernels.sm_threads, _BLOCK) // _BLOCK * _BLOCK
    each_s = kernels.sm_threads * _VALUES / _FMA_CYCLE / kernels.clock_hz
    rounds = bench.of(round(_CALL_S / each_s), 32)
    x = normal(bench, generator(bench), threads, _VALUES)
    y = bench.torch.empty_like(x)

    def call() -> Any:
        kernels.launch("fma_dense", threads // _BLOCK, _BLOCK, (x, y, rounds, _SCALE, _SHIFT))
        return y

    return Loop(call, 1, flops=2.0 * threads * _VALUES * rounds)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="gemm_fp32_no_tf32",
        family="compute_plain",
        label="compute",
        cause="fp32-pipe",
        truth="pure",
        about="Products of 8192 in fp32, which the tensor cores may not help with.",
        setup=_fp32,
        fixed=_fp32_as_tf32,
        fix='allow TF32: torch.backends.cuda.matmul.fp32_precision = "tf32"',
        bound=("fp32", "flops"),
    ),
    Workload(
        name="gemm_fp64",
        family="compute_plain",
        label="compute",
        cause="tensor-cores",
        causes=("fp64-pipe",),
        truth="pure",
        about="Products of 4096 in fp64: on tensor cores where they know fp64, else on the fp64 pipe.",
        setup=_fp64,
        bound=("fp64", "flops"),
    ),
    Workload(
        name="fma_dense",
        family="compute_plain",
        label="compute",
        cause="fp32-pipe",
        truth="pure",
        about="A kernel of independent fp32 FMAs in registers, at full occupancy.",
        setup=_fma_dense,
        bound=("fp32", "flops"),
    ),
)

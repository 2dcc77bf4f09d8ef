"""Compute-bound: square GEMMs of 8192 on the tensor cores, with the calls that the probes measure by.

FLOPs are 2·n³ a product, for int8 as well, whose operations are no floating-point ones. Random operands, as
constant ones draw less power and run too fast.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.workloads.parts import Loop, generator
from benchmarks.workloads.spec import Bench, Step, UnavailableError, Workload
from probes.counting import gemm_flops
from probes.flags import gemm_flags
from probes.operands import make, scale
from probes.precisions import PRECISIONS, Gemm, Precision, lacking
from probes.record import DeviceFacts

_PRECISIONS = {precision.metric: precision for precision in PRECISIONS}
_N = 8192


class GemmLoop:
    """A step of GEMMs in one precision; torch's flags are as it needs them within the step alone."""

    def __init__(self, bench: Bench, precision: Precision, times: int, n: int) -> None:
        gemm = _operands(bench, precision, n)
        self._loop = Loop(precision.call(bench.torch, gemm), times, flops=float(gemm_flops(n, n, n)))
        self._torch, self._precision, self.output = bench.torch, precision, gemm.out

    def __call__(self) -> Mapping[str, float]:
        with self._flags():
            return self._loop()

    def _flags(self) -> AbstractContextManager[None]:
        return gemm_flags(self._torch, self._precision.fp32)


def gemm_step(bench: Bench, metric: str, times: int, n: int = _N) -> Step:
    """`times` products a step in the precision of a probe's metric.

    Raises UnavailableError where card or torch do not have it.
    """
    precision = _PRECISIONS[metric]
    why = lacking(precision, bench.torch, _facts(bench), os.environ) if bench.device == "cuda" else None
    if why is not None:
        raise UnavailableError(f"{metric} {why}")
    return GemmLoop(bench, precision, times, bench.of(n, 64))


def _facts(bench: Bench) -> DeviceFacts:
    major, minor = bench.torch.cuda.get_device_capability()
    return DeviceFacts(kind="cuda", key="", name="", compute_capability=f"{major}.{minor}")


def _operands(bench: Bench, precision: Precision, n: int) -> Gemm:
    torch, device, source = bench.torch, bench.device, generator(bench)
    scaling = precision.scaling
    return Gemm(
        a=make(torch, precision.a, n, n, device, source),
        b=make(torch, precision.b, n, n, device, source),
        out=torch.empty((n, n), dtype=getattr(torch, precision.out), device=device),
        scale_a=scale(torch, scaling, n, n, device) if scaling else None,
        scale_b=scale(torch, scaling, n, n, device) if scaling else None,
    )


def _fp16(bench: Bench) -> Step:
    return gemm_step(bench, "fp16", 8)


def _bf16(bench: Bench) -> Step:
    return gemm_step(bench, "bf16", 8)


def _tf32(bench: Bench) -> Step:
    return gemm_step(bench, "tf32", 4)


def _fp8(bench: Bench) -> Step:
    return gemm_step(bench, "fp8_e4m3", 12)


def _int8(bench: Bench) -> Step:
    return gemm_step(bench, "int8", 8)


def _workload(name: str, setup: Any, metric: str, about: str) -> Workload:
    return Workload(
        name=name,
        family="compute_gemm",
        label="compute",
        cause="tensor-cores",
        truth="pure",
        about=about,
        setup=setup,
        bound=(metric, "flops"),
    )


WORKLOADS: tuple[Workload, ...] = (
    _workload("gemm_fp16", _fp16, "fp16", "Products of 8192 in fp16: 2700 FLOP a byte."),
    _workload("gemm_bf16", _bf16, "bf16", "Products of 8192 in bf16: 2700 FLOP a byte."),
    _workload("gemm_tf32", _tf32, "tf32", "Products of 8192 in fp32 with TF32 allowed: 1400 FLOP a byte."),
    _workload("gemm_fp8", _fp8, "fp8_e4m3", "Products of 8192 in fp8 with a bf16 result: 4100 FLOP a byte."),
    _workload(
        "gemm_int8", _int8, "int8", "Products of 8192 in int8 with an int32 result: 2700 operations a byte."
    ),
)

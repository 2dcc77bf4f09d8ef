"""GEMM throughput of the host's CPU, dtype by dtype, through torch on all cores it may use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from probes import cgroups, hostfiles
from probes.flags import cpu_threads, gemm_flags
from probes.lab import Lab
from probes.matmul import Shape, choose, measured, rate
from probes.metrics import METRICS
from probes.precisions import Needs, Precision, int_mm, mm
from probes.record import Measurement

# A rare need: an operator that torch lacks for this dtype on the CPU is not a failure.
_MAY_LACK = Needs(rare=True)
_MM = "torch.mm(a, b.t(), out=c) on the CPU"
CPU_PRECISIONS: tuple[Precision, ...] = (
    Precision(
        metric="cpu_fp32", a="float32", b="float32", out="float32", call=mm, method=_MM, tolerance=3e-5
    ),
    Precision(
        metric="cpu_bf16",
        a="bfloat16",
        b="bfloat16",
        out="bfloat16",
        call=mm,
        method=_MM,
        tolerance=1e-2,
        needs=_MAY_LACK,
    ),
    Precision(
        metric="cpu_fp64", a="float64", b="float64", out="float64", call=mm, method=_MM, tolerance=1e-12
    ),
    Precision(
        metric="cpu_int8",
        a="int8",
        b="int8",
        out="int32",
        call=int_mm,
        method="torch._int_mm(a, b.t(), out=c) on the CPU, int32 out",
        tolerance=0.0,
        needs=_MAY_LACK,
    ),
    Precision(
        metric="cpu_fp16",
        a="float16",
        b="float16",
        out="float16",
        call=mm,
        method=_MM,
        tolerance=1e-2,
        needs=_MAY_LACK,
    ),
)

START = (Shape(512, 512, 512), Shape(256, 256, 256))
# Upwards, until a call takes too long: how fast many cores are shows in large products only.
SHAPES = tuple(Shape(edge, edge, edge) for edge in (768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288))
# Longest call in default mode: twenty windows of it are a second.
LIMIT_S = 0.05
_THREADS_SHAPE = Shape(768, 768, 768)
# Instruction sets that GEMMs use, by torch's name of the question and in words.
_FEATURES = {
    "_is_avx512_supported": "avx512",
    "_is_avx512_bf16_supported": "avx512_bf16",
    "_is_vnni_supported": "avx512_vnni",
    "_is_amx_tile_supported": "amx_tile",
    "_is_amx_fp16_supported": "amx_fp16",
}


def gemm(lab: Lab) -> Iterator[Measurement]:
    """GEMM throughput in every dtype that torch has on the CPU."""
    yield from each(lab, CPU_PRECISIONS)


def each(lab: Lab, precisions: Sequence[Precision]) -> Iterator[Measurement]:
    """One record a dtype; torch's thread count is as before afterwards."""
    threads, tried = best_threads(lab, precisions[0])
    for at, precision in enumerate(precisions):
        lab.say(METRICS[precision.metric].title, at / len(precisions))
        yield from lab.attempt(precision.metric, partial(take, lab, precision, threads, tried))


def take(lab: Lab, precision: Precision, threads: int, tried: dict[int, float]) -> Measurement:
    """All there is to say of one dtype."""
    limit_s = LIMIT_S * lab.scale
    with cpu_threads(lab.torch, threads), gemm_flags(lab.torch):
        choice = choose(lab, precision, START, SHAPES, limit_s)
        found, _, _ = measured(lab, precision, choice)
    return _told(lab, found, threads, tried)


def best_threads(lab: Lab, precision: Precision) -> tuple[int, dict[int, float]]:
    """The thread count that is fastest, and FLOP/s of each that was tried.

    One for every hardware thread that may be used, and one for every core: second threads of cores whose
    vector units are full only add waiting. A CPU quota allows no more than its whole cores.
    """
    allowed = hostfiles.allowed_cores()
    quota = cgroups.cpu_quota().cores
    most = len(allowed) if quota is None else max(1, min(len(allowed), int(quota)))
    counts = {most, min(most, len(hostfiles.one_per_core(allowed)))}
    tried: dict[int, float] = {}
    for count in sorted(counts, reverse=True):
        with cpu_threads(lab.torch, count), gemm_flags(lab.torch):
            tried[count] = rate(lab, precision, _THREADS_SHAPE)
    return max(tried, key=lambda count: tried[count]), tried


def cpu_versions(torch: Any) -> dict[str, str]:
    """Which code paths torch's GEMMs have here: its vector capability, oneDNN, and what the CPU offers."""
    told = {"cpu_capability": str(torch.backends.cpu.get_cpu_capability())}
    found = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    told["onednn"] = found[1] if found and torch.backends.mkldnn.is_available() else "none"
    asked = ((word, getattr(torch.cpu, name, None)) for name, word in _FEATURES.items())
    told["cpu_features"] = " ".join(word for word, ask in asked if ask is not None and ask()) or "none"
    return told


def _told(lab: Lab, found: Measurement, threads: int, tried: dict[int, float]) -> Measurement:
    conditions = found.conditions
    others = {f"{count} threads, {_THREADS_SHAPE} in fp32": flops for count, flops in tried.items()}
    conditions = msgspec.structs.replace(
        conditions,
        versions={**conditions.versions, **cpu_versions(lab.torch)},
        extra={**conditions.extra, "threads": float(threads)},
        tried={**conditions.tried, **(others if len(others) > 1 else {})},
        missing={**conditions.missing, "of_spec": "no data sheet of this CPU is known"},
    )
    return msgspec.structs.replace(found, conditions=conditions)

"""Memory-bound inference: a token's pass reads every weight, or the whole KV cache, for 1 FLOP a byte.

A step of the dense layers makes eight tokens: one after the other, or with the fix as one batch, which reads
the weights once. Weights are scaled by 1/√width, so that activations keep their size from layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.workloads.attention import by_backend
from benchmarks.workloads.parts import Loop, captured, fitting, generator, normal
from benchmarks.workloads.spec import Bench, Step, Workload

_HALF = 2
_TOKENS = 8
_HEADS, _HEAD = 32, 128
_FIX = "decode eight sequences as one batch, so that each weight that is read serves eight tokens"


def layers(bench: Bench) -> list[Any]:
    """60 square bf16 matrices of 8192, 8 GB; fewer where memory is short, yet two at least."""
    width, source = bench.of(8192, 64), generator(bench)
    count = fitting(bench, bench.of(60, 2), float(_HALF * width * width), 2)
    scale = width**-0.5
    return [normal(bench, source, width, width, dtype="bfloat16", scale=scale) for _ in range(count)]


def _dense(bench: Bench, tokens: int) -> tuple[Callable[[], Any], float]:
    """A pass of `tokens` at once through all layers, and the bytes of their weights."""
    torch, weights = bench.torch, layers(bench)
    x = normal(bench, generator(bench), tokens, weights[0].shape[1], dtype="bfloat16")

    def call() -> Any:
        y = x
        for weight in weights:
            y = torch.nn.functional.linear(y, weight)
        return y

    return call, float(sum(_HALF * w.numel() for w in weights))


def _decode(bench: Bench, tokens: int, *, graph: bool) -> Step:
    """Passes of `tokens` at once until eight are made.

    Bytes: the weights once a pass; activations are a ten-thousandth of them. FLOPs: 2 a weight and token.
    """
    call, weight_bytes = _dense(bench, tokens)
    run = captured(bench, call) if graph else call
    return Loop(run, _TOKENS // tokens, bytes=weight_bytes, flops=2.0 * tokens * weight_bytes / _HALF)


def _gemv_eager(bench: Bench) -> Step:
    return _decode(bench, 1, graph=False)


def _gemv_eager_batch(bench: Bench) -> Step:
    return _decode(bench, _TOKENS, graph=False)


def _gemv_graph(bench: Bench) -> Step:
    return _decode(bench, 1, graph=True)


def _gemv_graph_batch(bench: Bench) -> Step:
    return _decode(bench, _TOKENS, graph=True)


def _kv_cache_attention(bench: Bench) -> Step:
    """One query a head against 262144 cached keys and values of 128 bf16, 32 heads, one sequence, six times.

    Bytes: keys and values once, queries and results once. FLOPs: 4 an element of a key. By flash attention,
    which splits a context among SMs where there are clearly fewer heads than those: so one long sequence.
    """
    torch, source = bench.torch, generator(bench)
    context = fitting(bench, bench.of(262144, 32), 4.0 * _HALF * _HEADS * _HEAD, bench.of(1024, 32))
    k, v = (normal(bench, source, 1, _HEADS, context, _HEAD, dtype="bfloat16") for _ in range(2))
    q = normal(bench, source, 1, _HEADS, 1, _HEAD, dtype="bfloat16")
    moved = float(_HALF * (k.numel() + v.numel() + 2 * q.numel()))

    def attend() -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    run, by = by_backend(bench, "FLASH_ATTENTION", attend)
    return Loop(run, 6, bytes=moved, flops=4.0 * k.numel(), **{by: 1.0})


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="decode_gemv_eager",
        family="memory_decode",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="Matrix-vector products read each weight for two operations: 1 FLOP a byte.",
        setup=_gemv_eager,
        fixed=_gemv_eager_batch,
        fix=_FIX,
        bound=("dram_read", "bytes"),
    ),
    Workload(
        name="decode_gemv_graph",
        family="memory_decode",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="The same products replayed as a CUDA graph: without gaps it still waits for weights.",
        setup=_gemv_graph,
        fixed=_gemv_graph_batch,
        fix=_FIX,
        bound=("dram_read", "bytes"),
    ),
    Workload(
        name="kv_cache_attention",
        family="memory_decode",
        label="memory",
        cause="dram-bandwidth",
        truth="pure",
        about="A query reads its head's whole cache: 1 FLOP a byte, and no batch can share it.",
        setup=_kv_cache_attention,
        bound=("dram_read", "bytes"),
    ),
)

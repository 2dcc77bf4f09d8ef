"""Simulated programs that the GPU itself holds up, mixes, and those in which nothing is asked of it.

They do what those of benchmarks/workloads do; shares of what a card reaches are near what such kernels are
publicly seen to reach.
"""

from __future__ import annotations

from msgspec.structs import replace

from benchmarks.accuracy.simulated.card import Card, Kernel
from benchmarks.accuracy.simulated.kernels import gather, product, stream
from benchmarks.accuracy.simulated.program import Host, Phase, Program
from benchmarks.workloads.spec import Label

_MS, _US = 1e-3, 1e-6
_STEP_S = 0.05

# A loop of large kernels: the launch queue is full, so the launching thread spins.
_LOOP = Host(system=0.15, switches_s=8.0)


def programs(card: Card) -> tuple[Program, ...]:
    """All of them."""
    return (*_memory(), *_decode(), *_compute(card), *_nets(card), *_shape(), *_idle(card), *_mixes(card))


def _steady(name: str, kernel: Kernel, belongs: Label, run: float, fixed: float | None = None) -> Program:
    """One kind of kernel throughout. fixed: what remains of a cycle's time with the fix."""
    return Program(
        name=name,
        cycle=(Phase(seconds=_STEP_S, kernel=kernel, run=run, belongs=belongs),),
        fixed_s=None if fixed is None else fixed * _STEP_S,
        host=_LOOP,
    )


def _memory() -> tuple[Program, ...]:
    kernels = {
        "copy": stream(1.0),
        "triad": stream(0.985, writes=0.333),
        "reduction": stream(1.04, writes=0.0, fp32=0.1),
        "transpose": stream(0.8, overfetch=1.06, warps=0.85),
        "adam_step": stream(0.87, writes=0.43, fp32=0.16),
        "embedding_gather": gather(0.78, 1.04, writes=0.5),
        "spmv": gather(0.68, 1.06, fill=0.96, warps=0.7, writes=0.03, fp32=0.05),
        # Scattered writes of short runs, and much integer work between passes.
        "sort": gather(0.57, 1.1, integer=0.38, writes=0.5, warps=0.4),
        "fft_batched": stream(0.84, fp32=0.2, warps=0.3, integer=0.12),
    }
    steady = [_steady(name, kernel, "memory", 0.993) for name, kernel in kernels.items()]
    norm = stream(0.75, fp32=0.24, warps=0.8, length_s=900 * _US)
    return (
        *steady,
        _steady("elementwise_chain", stream(0.9, length_s=720 * _US), "memory", 0.99, fixed=0.15),
        Program(
            name="layer_norm_softmax",
            cycle=(Phase(seconds=_STEP_S, kernel=norm, run=0.99, belongs="memory"),),
            host=_LOOP,
            silent_s=(7.6, 10.9),
        ),
    )


def _decode() -> tuple[Program, ...]:
    products = stream(0.94, writes=0.01, length_s=43 * _US, fp32=0.22, warps=0.5)
    cache = stream(0.7, writes=0.01, fp32=0.2, tensor=0.07, warps=0.25, length_s=1.5 * _MS)
    return (
        _steady("decode_gemv_eager", products, "memory", 0.93, fixed=0.135),
        _steady("decode_gemv_graph", products, "memory", 0.975, fixed=0.13),
        _steady("kv_cache_attention", cache, "memory", 0.985),
    )


def _compute(card: Card) -> tuple[Program, ...]:
    single = Kernel(fp32=card.probe["fp32"] * 0.985, copy=0.09, writes=0.1, warps=0.12, length_s=20 * _MS)
    kernels = {
        "gemm_fp16": product(card, 0.98, "fp16"),
        "gemm_bf16": product(card, 0.985),
        "gemm_tf32": product(card, 0.97, "tf32", copy=0.26),
        "gemm_fp8": product(card, 0.96, "fp8", copy=0.28),
        "gemm_int8": product(card, 0.95, "int8", copy=0.3),
        "gemm_fp64": product(card, 0.97, "fp64", copy=0.06, warps=0.12),
        "fma_dense": Kernel(fp32=0.965, copy=0.002, warps=0.95, integer=0.02, length_s=5 * _MS),
    }
    steady = [_steady(name, kernel, "compute", 0.996) for name, kernel in kernels.items()]
    return (*steady, _steady("gemm_fp32_no_tf32", single, "compute", 0.996, fixed=0.16))


def _nets(card: Card) -> tuple[Program, ...]:
    convolution = product(card, 0.71, copy=0.17, warps=0.2, length_s=3.6 * _MS)
    between = stream(0.85, length_s=140 * _US)
    attention = product(card, 0.7, copy=0.05, fp32=0.19, integer=0.08, length_s=9 * _MS)
    layer = (
        Phase(seconds=4.3 * _MS, kernel=product(card, 0.93, length_s=1 * _MS), run=0.995, belongs="compute"),
        Phase(seconds=2.0 * _MS, kernel=stream(0.82, length_s=200 * _US), run=0.985, belongs="memory"),
    )
    update = Phase(seconds=2 * _MS, kernel=stream(0.87, writes=0.43), belongs="memory")
    return (
        Program(
            name="conv_net",
            cycle=(
                Phase(seconds=21.8 * _MS, kernel=convolution, run=0.99, belongs="compute"),
                Phase(seconds=0.85 * _MS, kernel=between, run=0.98, belongs="memory"),
            ),
            host=_LOOP, hidden=("sm_occupancy", "int_active", "fp16"), memory_gib=4.0,
        ),
        _steady("attention_prefill", attention, "compute", 0.995),
        Program(
            name="transformer_train",
            cycle=(*layer * 13, update, Phase(seconds=0.6 * _MS)),
            host=_LOOP, memory_gib=41.0,
        ),
    )  # fmt: skip


def _shape() -> tuple[Program, ...]:
    # Dependent multiply-adds, four cycles each, by two warps on each quarter of an SM.
    chains = Kernel(warps=0.125, length_s=60 * _MS, copy=0.001, integer=0.01)
    one = replace(chains, fill=1 / 132, fp32=0.5 / 132, integer=0.02 / 132)
    tail = replace(chains, fill=0.504, fp32=0.5 * 0.504)
    # A list followed from memory: warps x 128 bytes a latency of 0.7 µs.
    registers = Kernel(warps=0.125, copy=0.065, writes=0.0, fp32=0.012, integer=0.02, length_s=7 * _MS)
    shared = Kernel(warps=0.062, copy=0.033, writes=0.0, fp32=0.006, integer=0.01, length_s=14 * _MS)
    atomics = Kernel(warps=0.95, copy=0.0025, writes=0.0, integer=0.012, length_s=39 * _MS)
    return (
        _steady("one_block", one, "device", 0.999, fixed=1 / 125),
        _steady("tail_waves", tail, "device", 0.999, fixed=0.51),
        _steady("low_occupancy_registers", registers, "device", 0.995, fixed=0.14),
        _steady("low_occupancy_shared", shared, "device", 0.995, fixed=0.07),
        _steady("atomics_contention", atomics, "device", 0.995, fixed=0.01),
    )


def _idle(card: Card) -> tuple[Program, ...]:
    answer = product(card, 0.97, length_s=1.5 * _MS)
    asleep = (Phase(seconds=1.0, belongs="idle", thread=0.001),)
    return (
        Program(name="free", cycle=asleep, process=False, memory_gib=0.0),
        Program(
            name="idle_held", cycle=asleep, memory_gib=4.4,
            host=Host(other=0.0, system=0.0, switches_s=6.0, threads=22),
        ),
        Program(
            name="server_no_demand",
            cycle=(
                Phase(seconds=0.6, spread=0.5, thread=0.004),
                Phase(seconds=0.03, kernel=answer, run=0.985, belongs="compute"),
            ),
            host=Host(children=1, child=0.002, other=0.01, switches_s=7.0, threads=30), memory_gib=1.2,
        ),
    )  # fmt: skip


def _mixes(card: Card) -> tuple[Program, ...]:
    large = product(card, 0.97, length_s=1.5 * _MS)
    decode = stream(0.93, writes=0.0, length_s=180 * _US, fp32=0.2, warps=0.5)
    host = Host(system=0.05, switches_s=8.0)
    return (
        # Shorter turns than the real program's, so that few windows of 200 ms lie within one of them.
        Program(
            name="prefill_decode",
            cycle=(
                Phase(seconds=0.3, kernel=large, run=0.99, belongs="compute"),
                Phase(seconds=0.2, kernel=decode, run=0.98, belongs="memory", spread=0.1),
            ),
            host=_LOOP, memory_gib=3.0,
        ),
        Program(
            name="host_compute_60_40",
            cycle=(
                Phase(seconds=15 * _MS),
                Phase(seconds=10 * _MS, kernel=large, run=0.99, belongs="compute"),
            ),
            fixed_s=10.1 * _MS, host=host,
        ),
        Program(
            name="host_memory_40_60",
            cycle=(
                Phase(seconds=10 * _MS),
                Phase(seconds=15 * _MS, kernel=stream(0.99), run=0.99, belongs="memory"),
            ),
            fixed_s=15.1 * _MS, host=host,
        ),
        # Somebody lowered the power limit after the probe ran.
        Program(
            name="power_capped_gemm",
            cycle=(Phase(seconds=_STEP_S, kernel=product(card, 0.985), run=0.996, belongs="compute"),),
            power_limit_w=420.0, host=_LOOP,
        ),
    )  # fmt: skip

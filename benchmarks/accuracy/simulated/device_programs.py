"""Simulated programs that the GPU itself holds up, and those in which nobody does."""

from __future__ import annotations

from msgspec.structs import replace

from benchmarks.accuracy.simulated.card import Card, Kernel
from benchmarks.accuracy.simulated.kernels import gather, product, stream
from benchmarks.accuracy.simulated.program import Host, Phase, Program

_MS = 1e-3


def programs(card: Card) -> tuple[Program, ...]:
    """All of them."""
    return (*_streams(), *_decode(), *_compute(card), *_nets(card), *_shape(), *_idle(), *_mixes(card))


def _streams() -> tuple[Program, ...]:
    """The memory-bound ones, with a driver that falls silent for three seconds in one of them."""
    silent = (7.6, 10.9)
    return tuple(replace(p, silent_s=silent) if p.name == "layer_norm_softmax" else p for p in _memory())


# A loop of large kernels: the launch queue is full, so the launching thread spins.
_LOOP = Host(system=0.15, switches_s=8.0)


def _bytes(
    name: str, family: str, about: str, kernel: Kernel, *, run: float = 0.993, fix: str | None = None
) -> Program:
    return Program(
        name=name, family=family, label="memory", cause="dram-bandwidth", about=about, fix=fix,
        cycle=(Phase(seconds=50 * _MS, kernel=kernel, run=run, belongs="memory"),),
        bound=("dram_copy", "bytes"), host=_LOOP,
    )  # fmt: skip


def _memory() -> tuple[Program, ...]:
    return (
        _bytes("copy", "memory_stream", "copies 4 GiB to and fro", stream(1.0)),
        _bytes("triad", "memory_stream", "a + s*b over long arrays", stream(0.985, writes=0.333)),
        _bytes("reduction", "memory_stream", "sums a long array", stream(1.04, writes=0.0, fp32=0.1)),
        _bytes(
            "transpose", "memory_stream", "transposes a large matrix through shared memory",
            stream(0.8, overfetch=1.06, warps=0.85),
        ),
        _bytes(
            "elementwise_chain", "memory_pointwise", "eight operations, each through memory",
            stream(0.9, length_s=260e-6), fix="torch.compile", run=0.985,
        ),
        _bytes(
            "layer_norm_softmax", "memory_pointwise", "rows are read, normalised and written",
            stream(0.75, fp32=0.24, warps=0.8, length_s=180e-6), run=0.98,
        ),
        _bytes("adam_step", "memory_pointwise", "five streams", stream(0.87, writes=0.43, fp32=0.16)),
        _bytes("embedding_gather", "memory_gather", "rows of 256 bytes at random", gather(0.7, 1.12)),
        _bytes(
            "spmv", "memory_gather", "a sparse matrix by a vector, rows of uneven length",
            gather(0.64, 1.08, fill=0.94, warps=0.7, writes=0.05, fp32=0.05),
        ),
        _bytes(
            "sort", "memory_gather", "radix passes: scattered writes and much integer work",
            gather(0.57, 1.1, integer=0.38, writes=0.5, warps=0.4),
        ),
        _bytes(
            "fft_batched", "memory_gather", "about 4 FLOPs a byte, all of it through memory",
            stream(0.73, fp32=0.36, warps=0.3, integer=0.15),
        ),
    )  # fmt: skip


def _decode() -> tuple[Program, ...]:
    return (
        _bytes(
            "decode_gemv_eager", "memory_decode", "one token's products, launched one by one",
            stream(0.9, writes=0.01, length_s=43e-6, fp32=0.22, warps=0.5), run=0.92,
        ),
        _bytes(
            "decode_gemv_graph", "memory_decode", "one token's products in a graph",
            stream(0.95, writes=0.01, length_s=43e-6, fp32=0.22, warps=0.5), run=0.98,
        ),
        _bytes(
            "kv_cache_attention", "memory_decode", "one query over a long cache",
            stream(0.7, writes=0.01, fp32=0.2, tensor=0.07, warps=0.25, length_s=120e-6), run=0.97,
        ),
    )  # fmt: skip


def _flops(
    name: str,
    about: str,
    kernel: Kernel,
    metric: str,
    *,
    cause: str = "tensor-cores",
    causes: tuple[str, ...] = (),
    fix: str | None = None,
    family: str = "compute_gemm",
) -> Program:
    return Program(
        name=name, family=family, label="compute", cause=cause, causes=causes, about=about, fix=fix,
        cycle=(Phase(seconds=50 * _MS, kernel=kernel, run=0.996, belongs="compute"),),
        bound=(metric, "flops"), host=_LOOP,
    )  # fmt: skip


def _compute(card: Card) -> tuple[Program, ...]:
    sgemm = Kernel(
        fp32=card.probe["fp32"] * 0.985, copy=0.09, writes=0.1, warps=0.12, integer=0.08, length_s=20e-3
    )
    dense = Kernel(fp32=0.965, copy=0.002, warps=0.5, integer=0.02, length_s=5e-3)
    return (
        _flops("gemm_fp16", "8192³ in fp16", product(card, 0.98, "fp16"), "fp16"),
        _flops("gemm_bf16", "8192³ in bf16", product(card, 0.985), "bf16"),
        _flops("gemm_tf32", "8192³ in tf32", product(card, 0.97, "tf32", copy=0.26), "tf32"),
        _flops("gemm_fp8", "8192³ in fp8", product(card, 0.96, "fp8", copy=0.28), "fp8_e4m3"),
        _flops("gemm_int8", "8192³ in int8", product(card, 0.95, "int8", copy=0.3), "int8"),
        _flops(
            "gemm_fp32_no_tf32", "8192³ in fp32, TF32 off", sgemm, "fp32", cause="fp32-pipe",
            fix="allow TF32", family="compute_plain",
        ),
        _flops(
            "gemm_fp64", "4096³ in fp64", product(card, 0.97, "fp64", copy=0.06, warps=0.12), "fp64",
            causes=("fp64-pipe",), family="compute_plain",
        ),
        _flops(
            "fma_dense", "one kernel of multiply-adds in registers", dense, "fp32", cause="fp32-pipe",
            family="compute_plain",
        ),
    )  # fmt: skip


def _nets(card: Card) -> tuple[Program, ...]:
    convolution = product(card, 0.69, "fp16", copy=0.42, warps=0.2, length_s=180e-6)
    between = stream(0.82, length_s=90e-6)
    attention = product(card, 0.66, copy=0.07, fp32=0.19, warps=0.19, integer=0.08, length_s=2e-3)
    layer = (
        Phase(seconds=4.3 * _MS, kernel=product(card, 0.93, length_s=700e-6), run=0.995, belongs="compute"),
        Phase(seconds=1.8 * _MS, kernel=between, run=0.98, belongs="memory"),
    )
    update = Phase(seconds=13 * _MS, kernel=stream(0.87, writes=0.43), belongs="memory")
    training = Host(system=0.12, children=4, child=0.12, switches_s=90.0, read_bytes_s=9e6, other=0.3)
    return (
        Program(
            name="conv_net", family="compute_nets", label="compute", cause="tensor-cores",
            about="a deep convolution net, batch 256, channels last",
            cycle=(
                Phase(seconds=7 * _MS, kernel=convolution, run=0.985, belongs="compute"),
                Phase(seconds=1.6 * _MS, kernel=between, run=0.97, belongs="memory"),
            ),
            host=_LOOP, hidden=("sm_occupancy", "int_active", "fp16"), memory_gib=31.0,
        ),
        Program(
            name="attention_prefill", family="compute_nets", label="compute", cause="tensor-cores",
            about="attention over a long prompt",
            cycle=(Phase(seconds=50 * _MS, kernel=attention, run=0.99, belongs="compute"),), host=_LOOP,
        ),
        Program(
            name="transformer_train", family="compute_nets", label="compute", cause="tensor-cores",
            about="training steps at a large batch: products, norms, an optimiser, a short pause",
            cycle=(*layer * 32, update, Phase(seconds=5 * _MS, thread=0.8)), host=training, memory_gib=61.0,
        ),
    )  # fmt: skip


def _shape() -> tuple[Program, ...]:
    def program(name: str, cause: str, causes: tuple[str, ...], about: str, kernel: Kernel) -> Program:
        return Program(
            name=name, family="device_shape", label="device", cause=cause, causes=causes, about=about,
            cycle=(Phase(seconds=50 * _MS, kernel=kernel, run=0.995, belongs="device"),), host=_LOOP,
            memory_gib=2.0,
        )  # fmt: skip

    return (
        program(
            "one_block", "small-grid", (), "one block on one SM, long after long",
            Kernel(fill=1 / 132, warps=0.5, fp32=0.6 / 132, integer=0.1 / 132, length_s=5e-3),
        ),
        program(
            "tail_waves", "latency", ("small-grid", "low-occupancy"),
            "one block more than fits: a second wave of a single block",
            Kernel(fill=0.53, warps=0.25, fp32=0.33, integer=0.05, copy=0.02, length_s=400e-6),
        ),
        program(
            "low_occupancy_registers", "low-occupancy", ("latency",), "dependent operations, few warps fit",
            Kernel(warps=0.062, fp32=0.16, integer=0.05, copy=0.03, length_s=3e-3),
        ),
        program(
            "low_occupancy_shared", "low-occupancy", ("latency",), "one small block an SM by shared memory",
            Kernel(warps=0.031, fp32=0.11, integer=0.07, copy=0.05, length_s=3e-3),
        ),
        program(
            "atomics_contention", "latency", ("low-occupancy",), "every thread adds to one address",
            Kernel(warps=0.88, fp32=0.0, integer=0.03, copy=0.004, length_s=4e-3),
        ),
    )  # fmt: skip


def _idle() -> tuple[Program, ...]:
    asleep = Host(other=0.0, system=0.0, switches_s=1.5, threads=22)
    answer = stream(0.86, writes=0.01, length_s=43e-6, fp32=0.2, warps=0.5)
    return (
        Program(
            name="free", family="idle", label="idle", cause="free", about="nobody uses the card",
            cycle=(Phase(seconds=1.0, belongs="idle", thread=0.0),), process=False, memory_gib=0.0,
        ),
        Program(
            name="idle_held", family="idle", label="idle", cause="idle-held",
            about="a notebook holds memory and sleeps",
            cycle=(Phase(seconds=1.0, belongs="idle", thread=0.0),), host=asleep, memory_gib=17.0,
        ),
        Program(
            name="server_no_demand", family="idle", label="host", cause="no-demand",
            about="a server that answers now and then, and waits",
            cycle=(
                Phase(seconds=2.2, spread=0.75, thread=0.01),
                Phase(seconds=0.25, spread=0.4, kernel=answer, run=0.95, belongs="memory"),
            ),
            host=Host(other=0.05, threads=140, switches_s=25.0), memory_gib=70.0, accepted=("idle",),
        ),
    )  # fmt: skip


def _mixes(card: Card) -> tuple[Program, ...]:
    large = product(card, 0.97)
    decode = stream(0.92, writes=0.01, length_s=43e-6, fp32=0.2, warps=0.5)
    return (
        Program(
            name="prefill_decode", family="mixes", label="compute", cause="tensor-cores",
            causes=("dram-bandwidth",), accepted=("memory",),
            about="prompts and tokens by turns of 0.3 s",
            cycle=(
                Phase(seconds=0.31, kernel=product(card, 0.9, length_s=600e-6), run=0.99, belongs="compute"),
                Phase(seconds=0.27, kernel=decode, run=0.97, belongs="memory", spread=0.1),
            ),
            host=_LOOP, memory_gib=66.0,
        ),
        Program(
            name="host_compute_60_40", family="mixes", label="host", cause="main-thread",
            about="15 ms on the main thread for every 10 ms of products", accepted=(),
            cycle=(
                Phase(seconds=15 * _MS),
                Phase(seconds=10 * _MS, kernel=large, run=0.99, belongs="compute"),
            ),
            host=_LOOP,
        ),
        Program(
            name="host_memory_40_60", family="mixes", label="host", cause="main-thread",
            about="10 ms on the main thread for every 15 ms of copies", accepted=("memory",),
            cycle=(
                Phase(seconds=10 * _MS),
                Phase(seconds=15 * _MS, kernel=stream(0.99), run=0.99, belongs="memory"),
            ),
            host=_LOOP,
        ),
        Program(
            name="power_capped_gemm", family="mixes", label="compute", cause="tensor-cores",
            about="bf16 products under a power limit that somebody lowered", bound=("bf16", "flops"),
            cycle=(Phase(seconds=50 * _MS, kernel=product(card, 0.985), run=0.996, belongs="compute"),),
            power_limit_w=420.0, host=_LOOP,
        ),
    )  # fmt: skip

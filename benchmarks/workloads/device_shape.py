"""Device-inefficient: busy throughout, yet near neither roof, for how a kernel is launched or built.

Every fix does the same useful work a step: the same items through the same number of operations. How much
that is follows from the card's attributes alone, so base and fix agree without timing anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.workloads.device_kernels import DeviceKernels
from benchmarks.workloads.parts import Loop, fitting, generator, normal
from benchmarks.workloads.spec import Bench, Step, Workload

_FLOAT = 4
_BLOCK = 256
_LINE = 32
# Cycles from an FMA to one that needs its result, Volta to Blackwell.
_FMA_CYCLES = 4
_SMALL_ROUNDS = 32
_SCALE, _SHIFT = 1.0 - 2.0**-20, 2.0**-20

_ONE_BLOCK_S, _ONE_BLOCK_WAVES = 0.04, 8
_TAIL_S = 0.02
_FOLLOW_BLOCK = 128
_HOPS_GRAIN = 24
_BINS = 8


def _rounds(bench: Bench, kernels: DeviceKernels, seconds: float, items: int) -> int:
    """FMAs an item, so that a thread gets through `items` of them in some `seconds`."""
    return bench.of(max(1, round(seconds * kernels.clock_hz / (_FMA_CYCLES * items))), _SMALL_ROUNDS)


def _recur(bench: Bench, items: int, rounds: int, grid: int, shared_bytes: int = 0) -> Step:
    """`rounds` dependent FMAs on each item by `grid` blocks. FLOPs: 2 an FMA; bytes: 8 an item."""
    kernels = DeviceKernels(bench)
    x = normal(bench, generator(bench), items)
    y = bench.torch.empty_like(x)

    def call() -> Any:
        kernels.launch("recur", grid, _BLOCK, (x, y, items, rounds, _SCALE, _SHIFT), shared_bytes)
        return y

    return Loop(call, 1, flops=2.0 * items * rounds, bytes=2.0 * _FLOAT * items)


def _blocks_work(bench: Bench) -> tuple[int, int]:
    """Blocks' worth of items, eight for each SM, and rounds an item."""
    kernels = DeviceKernels(bench)
    blocks = kernels.sm_count * _ONE_BLOCK_WAVES
    return blocks, _rounds(bench, kernels, _ONE_BLOCK_S, blocks)


def _one_block(bench: Bench) -> Step:
    """All items by a single block: one SM works, the others wait."""
    blocks, rounds = _blocks_work(bench)
    return _recur(bench, blocks * _BLOCK, rounds, 1)


def _many_blocks(bench: Bench) -> Step:
    """The same items by as many blocks as there are block's worth of them."""
    blocks, rounds = _blocks_work(bench)
    return _recur(bench, blocks * _BLOCK, rounds, blocks)


def _waves(bench: Bench, extra: int) -> Step:
    """SMs x (SMs + 1) items a thread of one block, by SMs + `extra` blocks of which an SM holds one.

    A block claims more than half of an SM's shared memory, as one with large tiles would. With one block too
    many each launch takes two waves, the second with a single block: (SMs + 1) : 2·SMs is the share in use.
    """
    kernels = DeviceKernels(bench)
    sms = kernels.sm_count
    items = sms * (sms + 1) * _BLOCK
    rounds = _rounds(bench, kernels, _TAIL_S, 2 * sms)
    return _recur(bench, items, rounds, sms + extra, _large(kernels))


def _tail_waves(bench: Bench) -> Step:
    return _waves(bench, 1)


def _whole_waves(bench: Bench) -> Step:
    return _waves(bench, 0)


def _large(kernels: DeviceKernels) -> int:
    """All the shared memory that a block may have: an SM then holds one block only."""
    return kernels.shared_bytes_max


def lists(bench: Bench, nodes: int) -> Any:
    """Nodes of 32 random words, but that word 0 is the next node, in a random permutation."""
    torch, source = bench.torch, generator(bench)
    words = torch.randint(
        0, 1 << 30, (nodes, _LINE), generator=source, device=bench.device, dtype=torch.int32
    )
    words[:, 0] = torch.randperm(nodes, generator=source, device=bench.device)
    return words


def _follow(bench: Bench, kernel: str, shared: Callable[[DeviceKernels], int]) -> Step:
    """A list for each warp that the card could hold, followed for thousands of hops through 1 GiB.

    Bytes: 128 a hop, a node; FLOPs: 16 a lane and hop. A launch takes eight to sixteen times the latency of
    memory for each hop where few warps are resident.
    """
    kernels = DeviceKernels(bench)
    hops = bench.of(300 * _HOPS_GRAIN, 2 * _HOPS_GRAIN)
    warps = kernels.sm_count * bench.of(kernels.sm_threads, 2 * _FOLLOW_BLOCK) // _LINE
    nodes = fitting(bench, bench.of(1 << 23, 1 << 10), 2.0 * _FLOAT * _LINE)
    words, asked = lists(bench, nodes), shared(kernels)
    to = bench.torch.empty(warps * _LINE, device=bench.device)

    def call() -> Any:
        kernels.launch(kernel, warps * _LINE // _FOLLOW_BLOCK, _FOLLOW_BLOCK, (words, to, hops), asked)
        return to

    return Loop(call, 1, bytes=float(_FLOAT * _LINE * warps * hops), flops=16.0 * _LINE * warps * hops)


def _none(_kernels: DeviceKernels) -> int:
    return 0


def _many_registers(bench: Bench) -> Step:
    return _follow(bench, "follow_many_sums", _none)


def _few_registers(bench: Bench) -> Step:
    return _follow(bench, "follow_few_sums", _none)


def _much_shared(bench: Bench) -> Step:
    return _follow(bench, "follow_few_sums", _large)


def _histogram(bench: Bench, kernel: str, an_access: int, shared_bytes: int) -> Step:
    """Histogram of 2^26 integers in eight bins. Bytes: 4 an element, read once.

    an_access: elements that a thread takes at once. Atomics on one L2 slice are what limits it.
    """
    kernels, torch = DeviceKernels(bench), bench.torch
    n = fitting(bench, bench.of(1 << 26, 1 << 12), 2.0 * _FLOAT, 4)
    values = torch.randint(
        0, 1 << 30, (n,), generator=generator(bench), device=bench.device, dtype=torch.int32
    )
    bins = torch.zeros(_BINS, dtype=torch.int32, device=bench.device)
    grid = kernels.sm_count * bench.of(kernels.sm_threads, _BLOCK) // _BLOCK

    def call() -> Any:
        bins.zero_()
        kernels.launch(kernel, grid, _BLOCK, (values, bins, n // an_access), shared_bytes)
        return bins

    return Loop(call, 1, bytes=float(_FLOAT * n))


def _atomics_contention(bench: Bench) -> Step:
    return _histogram(bench, "count_contended", 1, 0)


def _block_reduction(bench: Bench) -> Step:
    return _histogram(bench, "count_reduced", 4, _FLOAT * _BINS)


def _workload(
    name: str,
    cause: str,
    causes: tuple[str, ...],
    about: str,
    base: Callable[[Bench], Step],
    fixed: Callable[[Bench], Step],
    fix: str,
) -> Workload:
    return Workload(
        name=name,
        family="device_shape",
        label="device",
        cause=cause,
        causes=causes,
        truth="pure",
        about=about,
        setup=base,
        fixed=fixed,
        fix=fix,
    )


WORKLOADS: tuple[Workload, ...] = (
    _workload(
        "one_block",
        "small-grid",
        (),
        "A single block loops over all items, so that one SM works.",
        _one_block,
        _many_blocks,
        "launch a block for every 256 items",
    ),
    _workload(
        "tail_waves",
        "latency",
        ("small-grid", "low-occupancy"),
        "One block more than SMs: half of the time a single block runs.",
        _tail_waves,
        _whole_waves,
        "a grid that is a multiple of the SMs, with the items shared out over it",
    ),
    _workload(
        "low_occupancy_registers",
        "low-occupancy",
        ("latency",),
        "Above 200 registers a thread leave 8 warps an SM to hide the latency of loads.",
        _many_registers,
        _few_registers,
        "unroll less: eight running sums instead of 192, so that the SM is full",
    ),
    _workload(
        "low_occupancy_shared",
        "low-occupancy",
        ("latency",),
        "Each block claims all of an SM's shared memory, so that 4 warps hide the latency of loads.",
        _much_shared,
        _few_registers,
        "ask for no more shared memory than is used",
    ),
    _workload(
        "atomics_contention",
        "latency",
        ("low-occupancy",),
        "Every element is an atomic addition to one of eight neighbouring words.",
        _atomics_contention,
        _block_reduction,
        "count in registers and shared memory first, then add once a block",
    ),
)

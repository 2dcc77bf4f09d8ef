"""Simulated programs that the host holds up: what those of benchmarks/workloads do, with plausible times.

A thread that waits for the GPU spins, so it takes a core: synchronising and working look alike from outside.
"""

from __future__ import annotations

from msgspec.structs import replace

from benchmarks.accuracy.simulated.card import Card
from benchmarks.accuracy.simulated.kernels import product, stream, tiny
from benchmarks.accuracy.simulated.program import Host, Phase, Program

_MS, _US = 1e-3, 1e-6


def programs(card: Card) -> tuple[Program, ...]:
    """All of them."""
    return (*_launch(), *_sync(card), *_input(card), *_limits(card), *_transfer(card))


def _products(card: Card, seconds: float) -> Phase:
    """Large bf16 products, and the thread waits for their end by spinning."""
    return Phase(seconds=seconds, kernel=product(card, 0.97, length_s=1.5e-3), run=0.985, belongs="compute")


_ONE_THREAD = Host(system=0.08, switches_s=12.0)


def _launch() -> tuple[Program, ...]:
    return (
        # 2 µs on the device, launched every 6.2 µs; a node of a graph takes some 2.5.
        Program(
            name="eager_tiny_kernels",
            cycle=(Phase(seconds=6.2 * _MS, kernel=tiny(2.0, 0.012), run=0.32, belongs="device"),),
            fixed_s=2.5 * _MS, host=_ONE_THREAD, memory_gib=0.5,
        ),
        Program(
            name="small_batch_inference",
            cycle=(
                Phase(
                    seconds=1.0 * _MS, run=0.35, belongs="device",
                    kernel=tiny(2.9, 0.03, copy=0.02, tensor=0.001, warps=0.1),
                ),
            ),
            fixed_s=0.4 * _MS, host=_ONE_THREAD, memory_gib=0.6,
        ),
        # Launches follow so closely that the engine hardly counts as idle, although few SMs ever work.
        Program(
            name="optimizer_unfused",
            cycle=(Phase(seconds=17 * _MS, kernel=tiny(2.2, 0.03), run=0.53, belongs="device"),),
            fixed_s=0.7 * _MS, host=_ONE_THREAD, memory_gib=0.6,
        ),
    )  # fmt: skip


def _sync(card: Card) -> tuple[Program, ...]:
    spinning = Host(system=0.12, switches_s=25.0)
    short = product(card, 0.55, copy=0.3, length_s=45 * _US)
    return (
        # Three kernels of 3 µs, three launches, then the wait for a copy of one number: 30 µs in all.
        # With the fix a graph of four kernels a turn.
        Program(
            name="item_every_step",
            cycle=(
                Phase(
                    seconds=3.0 * _MS, kernel=tiny(3.2, 0.4, warps=0.3), run=0.32, belongs="device",
                    tx_bytes_s=9e6,
                ),
            ),
            fixed_s=1.4 * _MS, host=spinning, memory_gib=0.6,
        ),
        Program(
            name="logging_with_sync",
            cycle=(
                Phase(seconds=1.75 * _MS, kernel=short, run=0.95, belongs="compute"),
                Phase(
                    seconds=0.95 * _MS, kernel=tiny(2.4, 0.02), run=0.16, belongs="device", tx_bytes_s=2e7
                ),
            ),
            fixed_s=1.8 * _MS, host=spinning, memory_gib=1.5,
        ),
    )  # fmt: skip


def _input(card: Card) -> tuple[Program, ...]:
    copied = Phase(seconds=0.1 * _MS, rx_bytes_s=5e9)
    decode = stream(0.93, writes=0.0, length_s=180 * _US, fp32=0.2, warps=0.5)
    return (
        Program(
            name="loader_workers0",
            cycle=(Phase(seconds=52 * _MS, thread=0.995, spread=0.04), copied, _products(card, 26 * _MS)),
            fixed_s=27 * _MS, host=Host(system=0.03, switches_s=15.0),
        ),
        Program(
            name="loader_python_decode",
            cycle=(
                Phase(seconds=17 * _MS, thread=0.03, spread=0.1), copied, _products(card, 9.1 * _MS)
            ),
            fixed_s=9.8 * _MS, host=Host(children=2, child=0.99, switches_s=130.0),
        ),
        Program(
            name="loader_slow_disk",
            cycle=(
                Phase(seconds=22 * _MS, thread=0.02, spread=0.2), copied, _products(card, 20 * _MS)
            ),
            fixed_s=20.6 * _MS,
            host=Host(
                children=1, child=0.13, children_dstate=0.82, read_bytes_s=50e6, psi_io=0.74,
                switches_s=90.0,
            ),
        ),
        # Batches that were ready come at once, then all wait for the slow worker's.
        Program(
            name="loader_slow_worker",
            cycle=(
                *(Phase(seconds=0.8 * _MS, thread=0.3), _products(card, 52 * _MS)) * 4,
                Phase(seconds=415 * _MS, thread=0.005, spread=0.05),
            ),
            fixed_s=215 * _MS, host=Host(children=4, child=0.085, slow=0.99, switches_s=25.0),
        ),
        Program(
            name="tokenizer_each_step",
            cycle=(
                Phase(seconds=18 * _MS, spread=0.03),
                copied,
                Phase(seconds=9 * _MS, kernel=decode, run=0.98, belongs="memory"),
            ),
            fixed_s=9.4 * _MS, host=Host(system=0.03, switches_s=10.0),
        ),
    )  # fmt: skip


def _limits(card: Card) -> tuple[Program, ...]:
    work = _products(card, 15.6 * _MS)
    return (
        Program(
            name="one_core_shared",
            # The thread sleeps while it waits for the device, so that the workers have the core.
            cycle=(Phase(seconds=46 * _MS, thread=0.03, spread=0.2), replace(work, thread=0.03)),
            fixed_s=18 * _MS,
            host=Host(
                children=3, child=0.315, child_wait=0.66, wait=0.03, cpus_allowed=1, psi_cpu=0.9,
                switches_s=60.0, other=0.005,
            ),
        ),
        # 0.3 of a core for what takes 40 ms of preparing and 40 ms of spinning a cycle.
        Program(
            name="cgroup_cpu_limit",
            cycle=(
                Phase(seconds=0.165, thread=0.25, spread=0.15),
                replace(_products(card, 40 * _MS), thread=0.5),
            ),
            fixed_s=81 * _MS,
            host=Host(quota_cores=0.3, throttled=0.69, switches_s=18.0, other=0.002, psi_cpu=0.02),
        ),
        # The pool's threads share the interpreter; the launching one spins without it.
        Program(
            name="gil_thread_pool",
            cycle=(Phase(seconds=34 * _MS, thread=0.02, spread=0.1), _products(card, 18.2 * _MS)),
            fixed_s=19 * _MS,
            host=Host(busiest=0.125, other=0.96, threads=44, switches_s=170.0),
        ),
        Program(
            name="blocking_checkpoint",
            cycle=(
                _products(card, 0.22),
                Phase(seconds=0.045, tx_bytes_s=6e9),
                Phase(seconds=0.27, thread=0.4, spread=0.15),
            ),
            fixed_s=0.33,
            host=Host(system=0.6, dstate=0.3, write_bytes_s=500e6, psi_io=0.42, switches_s=35.0),
            memory_gib=1.5,
        ),
    )  # fmt: skip


def _transfer(card: Card) -> tuple[Program, ...]:
    return (
        Program(
            name="pageable_copies",
            cycle=(Phase(seconds=36 * _MS, rx_bytes_s=7.4e9, spread=0.06), _products(card, 18 * _MS)),
            fixed_s=18.5 * _MS, host=Host(system=0.2, switches_s=15.0),
        ),
        Program(
            name="small_h2d_copies",
            cycle=(Phase(seconds=14 * _MS, rx_bytes_s=2.2e8), _products(card, 7 * _MS)),
            fixed_s=7.6 * _MS, host=Host(system=0.3, switches_s=10.0),
        ),
    )  # fmt: skip

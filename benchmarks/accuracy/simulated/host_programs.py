"""Simulated programs that the host holds up. CPU shares are what such programs show in /proc."""

from __future__ import annotations

from msgspec.structs import replace

from benchmarks.accuracy.simulated.card import Card
from benchmarks.accuracy.simulated.kernels import product, stream, tiny, vision_step
from benchmarks.accuracy.simulated.program import Host, Phase, Program

_MS = 1e-3


def programs(card: Card) -> tuple[Program, ...]:
    """All of them."""
    return (*_launch(), *_sync(), *_input(card), *_limits(card), *_transfer(card))


def _launch() -> tuple[Program, ...]:
    one_thread = Host(system=0.08, switches_s=12.0)
    return (
        Program(
            name="eager_tiny_kernels", family="host_launch", label="host", cause="launch-rate",
            about="2 µs kernels, and the interpreter needs 7.5 µs to launch one", fix="CUDA graph",
            cycle=(Phase(seconds=20 * _MS, kernel=tiny(2.1, 0.03), run=0.28, belongs="device"),),
            fixed_s=20 * _MS * 2.7 / 7.5, host=one_thread, memory_gib=2.0,
        ),
        Program(
            name="small_batch_inference", family="host_launch", label="host", cause="launch-rate",
            about="a small batch through many layers: 6 µs kernels, launched every 14 µs", fix="CUDA graph",
            cycle=(
                Phase(
                    seconds=8 * _MS, run=0.43, belongs="device",
                    kernel=tiny(6.0, 0.27, copy=0.14, tensor=0.03, fp32=0.02, warps=0.12),
                ),
                Phase(seconds=0.3 * _MS),
            ),
            fixed_s=3.9 * _MS, host=one_thread, memory_gib=6.0,
        ),
        # Launches keep the engine busy by its own count although few SMs ever work.
        Program(
            name="optimizer_unfused", family="host_launch", label="host", cause="launch-rate",
            about="thousands of 3.3 µs kernels, one an operation and parameter, every 5.6 µs", fix="foreach",
            cycle=(
                Phase(seconds=30 * _MS, kernel=tiny(3.3, 0.12, copy=0.05), run=0.59, belongs="device"),
            ),
            fixed_s=7.5 * _MS, host=one_thread, memory_gib=12.0,
        ),
    )  # fmt: skip


def _sync() -> tuple[Program, ...]:
    step = tiny(350.0, 0.82, copy=0.34, fp32=0.16, warps=0.4, integer=0.1)
    longer = tiny(800.0, 0.86, copy=0.36, fp32=0.2, warps=0.45, integer=0.1)
    spinning = Host(system=0.12, switches_s=25.0)
    return (
        Program(
            name="item_every_step", family="host_sync", label="host", cause="sync",
            about="reads the loss after every short step, and refills an empty queue each time",
            fix="accumulate on the device", accepted=("device",), causes=("launch-rate",),
            cycle=(Phase(seconds=50 * _MS, kernel=step, run=0.58, belongs="device"),),
            fixed_s=29.8 * _MS, host=spinning, memory_gib=9.0,
        ),
        Program(
            name="logging_with_sync", family="host_sync", label="host", cause="sync",
            about="logs three figures of the device every step", fix="log every 100th step",
            accepted=("device",), causes=("launch-rate", "main-thread"),
            cycle=(Phase(seconds=50 * _MS, kernel=longer, run=0.66, belongs="device"),),
            fixed_s=33.6 * _MS, host=spinning, memory_gib=9.0,
        ),
    )  # fmt: skip


def _input(card: Card) -> tuple[Program, ...]:
    work = vision_step(card, 14 * _MS)
    copied = Phase(seconds=0.9 * _MS, rx_bytes_s=42e9)
    return (
        Program(
            name="loader_workers0", family="host_input", label="host", cause="main-thread",
            causes=("input-pipeline",), about="decodes in the training process itself", fix="4 workers",
            cycle=(Phase(seconds=38 * _MS, thread=0.99, spread=0.1), copied, *work),
            fixed_s=15.6 * _MS, host=Host(system=0.1, read_bytes_s=35e6, switches_s=60.0),
        ),
        Program(
            name="loader_python_decode", family="host_input", label="host", cause="input-pipeline",
            about="four workers decode in Python and cannot keep up", fix="decoded beforehand",
            cycle=(Phase(seconds=31 * _MS, thread=0.03, spread=0.15), copied, *work),
            fixed_s=15.4 * _MS,
            host=Host(children=4, child=0.985, read_bytes_s=55e6, switches_s=150.0),
        ),
        Program(
            name="loader_slow_disk", family="host_input", label="host", cause="storage",
            causes=("input-pipeline", "no-demand"), about="workers wait for reads that a slow disk serves",
            fix="kept in memory",
            cycle=(Phase(seconds=36 * _MS, thread=0.02, spread=0.3), copied, *work),
            fixed_s=15.4 * _MS,
            host=Host(
                children=4, child=0.14, children_dstate=0.75, read_bytes_s=140e6, psi_io=0.55,
                switches_s=220.0,
            ),
        ),
        Program(
            name="loader_slow_worker", family="host_input", label="host", cause="input-pipeline",
            about="one worker of four is slow, and batches are taken in order", fix="without the slow one",
            cycle=(*(Phase(seconds=1.5 * _MS, thread=0.05), copied, *work) * 3,
                   Phase(seconds=95 * _MS, thread=0.02, spread=0.2), copied, *work),
            fixed_s=64 * _MS,
            host=Host(children=4, child=0.28, slow=0.99, read_bytes_s=40e6, switches_s=110.0),
        ),
        Program(
            name="tokenizer_each_step", family="host_input", label="host", cause="main-thread",
            causes=("tokeniser",), about="tokenises on the main thread before every decode step",
            fix="tokenised ahead in another process",
            cycle=(
                Phase(seconds=12.5 * _MS, thread=1.0, spread=0.12),
                Phase(seconds=9 * _MS, kernel=stream(0.88, writes=0.02, length_s=43e-6), run=0.93,
                      belongs="memory"),
            ),
            fixed_s=9.2 * _MS, host=Host(other=0.1, system=0.05, switches_s=30.0),
        ),
    )  # fmt: skip


def _limits(card: Card) -> tuple[Program, ...]:
    work = vision_step(card, 14 * _MS, 0.97)
    starved = tuple(replace(phase, thread=0.4) for phase in work)
    model = product(card, 0.9, length_s=400e-6)
    return (
        Program(
            name="one_core_shared", family="host_limits", label="host", cause="cpu-contention",
            causes=("input-pipeline", "main-thread"),
            about="the launching thread and three workers have one core between them", fix="all cores",
            cycle=(Phase(seconds=46 * _MS, thread=0.27, spread=0.2),
                   *starved),
            fixed_s=16 * _MS,
            host=Host(
                children=3, child=0.225, child_wait=0.7, wait=0.62, cpus_allowed=1, psi_cpu=0.72,
                switches_s=90.0, other=0.01,
            ),
        ),
        Program(
            name="cgroup_cpu_limit", family="host_limits", label="host", cause="cpu-throttled",
            about="a quota of two cores stops the loader for most of each period", fix="no limit",
            cycle=(
                Phase(seconds=58 * _MS, thread=0.02, spread=0.06),
                Phase(seconds=27 * _MS, thread=0.25), *work,
            ),
            fixed_s=21 * _MS,
            host=Host(
                children=6, child=0.3, quota_cores=2.0, throttled=0.57, switches_s=160.0, psi_cpu=0.1,
            ),
        ),
        Program(
            name="gil_thread_pool", family="host_limits", label="host", cause="gil",
            causes=("main-thread", "input-pipeline"),
            about="eight decoding threads of one interpreter take turns", fix="processes",
            cycle=(Phase(seconds=29 * _MS, thread=0.12, spread=0.15), *work),
            fixed_s=15.2 * _MS,
            host=Host(busiest=0.19, other=0.83, threads=58, switches_s=2600.0, read_bytes_s=45e6),
        ),
        Program(
            name="blocking_checkpoint", family="host_limits", label="host", cause="checkpoint",
            causes=("storage", "main-thread"), about="saves its state every few steps and waits for the file",
            fix="asynchronous save",
            cycle=(
                Phase(seconds=2.9, kernel=model, run=0.98, belongs="compute"),
                Phase(seconds=0.22, tx_bytes_s=22e9),
                Phase(seconds=1.65, thread=0.66, spread=0.1),
            ),
            fixed_s=3.0,
            host=Host(
                system=0.5, dstate=0.12, write_bytes_s=900e6, psi_io=0.3, switches_s=70.0,
            ),
            memory_gib=38.0,
        ),
    )  # fmt: skip


def _transfer(card: Card) -> tuple[Program, ...]:
    return (
        Program(
            name="pageable_copies", family="host_transfer", label="host", cause="transfer",
            about="256 MB of ordinary memory a step, staged by the driver", fix="pinned and non_blocking",
            cycle=(
                Phase(seconds=36 * _MS, rx_bytes_s=7.2e9, spread=0.06),
                *vision_step(card, 12 * _MS),
            ),
            fixed_s=12.9 * _MS, host=Host(system=0.55, switches_s=45.0),
        ),
        Program(
            name="small_h2d_copies", family="host_transfer", label="host", cause="transfer",
            causes=("launch-rate", "sync"), about="three hundred copies of 16 KB each step", fix="one copy",
            cycle=(
                Phase(seconds=3.7 * _MS, rx_bytes_s=1.3e9),
                *vision_step(card, 2.1 * _MS),
            ),
            fixed_s=2.35 * _MS, host=Host(system=0.3, switches_s=40.0),
        ),
    )  # fmt: skip

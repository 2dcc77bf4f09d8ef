"""Probe `membw`: bandwidth of the host's memory, as STREAM counts it.

Read, write, copy and triad on every core this process may use, and copy on one. Each is done in several ways
(torch, numpy, the C library), window about; the best counts, the others are in `tried`. Bytes are those the
program asks for: a cache line that is fetched only to be overwritten is not counted (STREAM's convention).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from probes import hostfiles
from probes.cgroups import cpu_quota
from probes.counting import Stream, stream_bytes
from probes.flags import cpu_threads
from probes.hostbuffers import HostBuffers, Kernel
from probes.lab import UnsupportedError, unsteady, values
from probes.record import Conditions
from probes.stats import quantile
from probes.team import Team
from probes.timing import Windows

if TYPE_CHECKING:
    from probes.lab import Lab
    from probes.record import Measurement

METRICS: dict[str, Stream] = {
    "host_read": "read",
    "host_write": "write",
    "host_copy": "copy",
    "host_triad": "triad",
    "host_copy_1": "copy",
}
# STREAM's rule: each array at least four times all last-level caches.
CACHE_MULTIPLE = 4
FREE_SHARE = 0.25
UNKNOWN_CACHE_BYTES = 64 << 20
LEAST_BYTES = 16 << 20
_BUFFERS = 3
_TOO_LITTLE = 1 << 20
# Windows of one way before the next has its turn. A turn's first window is not counted: the threads of the
# way before it may still spin.
_TURN = 5
_LEAST_WINDOWS = 10


def membw(lab: Lab) -> Iterator[Measurement]:
    """Read, write, copy and triad bandwidth of the host's memory on all cores, and copy on one."""
    try:
        size, why_small = buffer_bytes(lab.free_bytes(), hostfiles.cache_bytes(hostfiles.allowed_cores()))
        torch = lab.torch
    except UnsupportedError as error:
        yield from (lab.unsupported(metric, str(error)) for metric in METRICS)
        return
    with Team(cores()) as team, cpu_threads(torch, len(team.cores)):
        buffers = HostBuffers(torch, team, size)
        for at, metric in enumerate(METRICS):
            lab.say(metric.replace("_", " "), at / len(METRICS))
            end_s = lab.time_left_s() * (1 - 1 / (len(METRICS) - at))
            yield from lab.attempt(metric, partial(_take, lab, buffers, metric, end_s, why_small))


def cores() -> tuple[int, ...]:
    """One hardware thread of each physical core this process may use, no more of them than its quota pays."""
    found = hostfiles.one_per_core(hostfiles.allowed_cores())
    quota = cpu_quota().cores
    return found if quota is None else found[: max(1, math.floor(quota))]


def buffer_bytes(free: int, cache: int | None) -> tuple[int, str | None]:
    """Bytes of each buffer, and why that is less than four times the caches, else None.

    All buffers together take at most a quarter of the free memory. Raises UnsupportedError where that is
    next to nothing.
    """
    wanted = max(LEAST_BYTES, CACHE_MULTIPLE * (cache or UNKNOWN_CACHE_BYTES))
    room = int(free * FREE_SHARE) // _BUFFERS
    if room < _TOO_LITTLE:
        raise UnsupportedError(f"needs free memory; {free >> 20} MiB is too little")
    if room >= wanted:
        return wanted, None
    return room, f"buffers of {room >> 20} MiB, for want of memory, are partly served by the caches"


def _take(lab: Lab, buffers: HostBuffers, metric: str, end_s: float, why_small: str | None) -> Measurement:
    if metric != "host_copy_1":
        return _best(lab, buffers, metric, end_s, why_small)
    with cpu_threads(lab.torch, 1):
        return _best(lab, buffers, metric, end_s, why_small)


def _best(lab: Lab, buffers: HostBuffers, metric: str, end_s: float, why_small: str | None) -> Measurement:
    """Time every way that gives the right result, and record the fastest.

    end_s: what may be left of the probe's time when it is over.
    """
    kernels, wrong = checked(buffers, metric)
    taken, seen = lab.metered(lambda: timed_in_turn(lab, kernels, end_s), quiet=True)
    method = fastest(taken)
    rerun = unsteady(taken[method], seen) and lab.time_left_s() > end_s
    if rerun:
        taken, seen = lab.metered(lambda: timed_in_turn(lab, kernels, end_s), quiet=True)
        method = fastest(taken)
    work = stream_bytes(METRICS[metric], buffers.bytes)
    told = _conditions(buffers, metric, taken, wrong)
    told = msgspec.structs.replace(told, method=f"{method}; STREAM's count", rerun=rerun)
    found = lab.record(metric, values(metric, taken[method], work), taken[method], seen, told)
    return _as_far_as_it_goes(found, why_small)


def checked(buffers: HostBuffers, metric: str) -> tuple[list[Kernel], dict[str, str]]:
    """The ways whose result is right, and what was wrong with the others. Raises RuntimeError if none is."""
    right: list[Kernel] = []
    wrong: dict[str, str] = {}
    for kernel in buffers.kernels(metric):
        buffers.spoil()
        if kernel.right(kernel.call()):
            right.append(kernel)
        else:
            wrong[kernel.method] = "wrong result"
    if not right:
        raise RuntimeError(f"wrong results from {', '.join(wrong)}")
    return right, wrong


def timed_in_turn(lab: Lab, kernels: list[Kernel], end_s: float) -> dict[str, Windows]:
    """Windows of every way, a few of each at a time, so that what else happens on the host meets all."""
    policy = lab.policy
    calls = {k.method: _calls(lab, k, policy.window_s) for k in kernels}
    taken: dict[str, list[float]] = {k.method: [] for k in kernels}
    for _ in range(_turns(lab, kernels, calls)):
        if lab.time_left_s() < end_s and all(len(t) >= _LEAST_WINDOWS for t in taken.values()):
            break
        for kernel in kernels:
            batch = calls[kernel.method]
            windows = lab.timer.windows(kernel.call, batch, _TURN + 1)[1:]
            taken[kernel.method] += [window / batch for window in windows]
    return {method: Windows(call_s=tuple(t), calls=calls[method]) for method, t in taken.items()}


def fastest(taken: dict[str, Windows]) -> str:
    """The way with the shortest median."""
    return min(taken, key=lambda method: quantile(taken[method].call_s, 0.5))


def _calls(lab: Lab, kernel: Kernel, window_s: float) -> int:
    once_s = quantile(lab.timer.windows(kernel.call, 1, 3), 0.5)
    return max(1, round(window_s / max(once_s, 1e-9)))


def _turns(lab: Lab, kernels: list[Kernel], calls: dict[str, int]) -> int:
    """Turns that give the policy's windows and its time, no more than 2000 windows."""
    kernel = kernels[0]
    window_s = lab.timer.windows(kernel.call, calls[kernel.method], 1)[0]
    count = max(lab.policy.windows, min(2000, round(lab.policy.total_s / window_s)))
    return math.ceil(count / _TURN)


def _conditions(
    buffers: HostBuffers, metric: str, taken: dict[str, Windows], wrong: dict[str, str]
) -> Conditions:
    work = stream_bytes(METRICS[metric], buffers.bytes)
    threads = 1 if metric == "host_copy_1" else len(buffers.team.cores)
    missing = dict(wrong) if buffers.numpy else {**wrong, "numpy": "numpy is not installed"}
    return Conditions(
        dtype="float64",
        shape=f"{buffers.count} elements, {threads} thread{'' if threads == 1 else 's'}",
        buffer_bytes=buffers.bytes,
        tried={method: quantile(values(metric, w, work), 0.5) for method, w in taken.items()},
        extra={"threads": float(threads)},
        missing={**missing, "of_spec": "no data sheet of this host's memory is known"},
    )


def _as_far_as_it_goes(found: Measurement, why_small: str | None) -> Measurement:
    if why_small is None:
        return found
    return msgspec.structs.replace(found, valid="degraded", reason=why_small)

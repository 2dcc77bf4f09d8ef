"""Copies between host and device: pinned and pageable, each way and both at once, by size and NUMA node.

Pinned copies are cudaMemcpyAsync on copy engines, queued back to back. The bytes that arrive are compared
once with those that were sent, outside the timing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import msgspec

from probes.hostmem import give_pinned_back, may_pin_bytes
from probes.lab import Lab, UnsupportedError, first_line
from probes.links import held_against_link
from probes.meter import Observed
from probes.numa import Node, local_and_remote, nodes, on_cpus
from probes.queued import NotHeldError, Queue
from probes.record import Conditions, Measurement, Mode
from probes.spin import Spin
from probes.stats import quantile
from probes.timing import Call, Policy

LEAST_BYTES = 1 << 20
# What a figure is of. A copy of 64 MiB takes a millisecond and its start some microseconds.
MAIN_BYTES: dict[Mode, int] = {"quick": 64 << 20, "default": 256 << 20, "full": 256 << 20}
# Pinning takes about half a second a GiB.
LARGEST_BYTES: dict[Mode, int] = {"quick": 64 << 20, "default": 1 << 30, "full": 1 << 30}
SWEEP_BYTES = tuple(1 << shift for shift in (12, 16, 18, 20, 22, 24, 26, 28, 30))
QUICK_SWEEP_BYTES = tuple(1 << shift for shift in (12, 16, 20, 24))
# Sizes beyond that of the figure are looked at only where so much time is left.
_LARGE_NEED_S = 3.0
SWEEP_COPIES = (4, 128)
_SWEEP_TOTAL_BYTES = 1 << 30
_SWEEP_REPEATS = 3
COPIES = 20
BOTH_COPIES = 16
BOTH_LEAST = 3
BOTH_WINDOWS: dict[Mode, int] = {"quick": 3, "default": 6, "full": 12}
PAGEABLE_LEAST: dict[Mode, int] = {"quick": 4, "default": 5, "full": 8}
PAGEABLE_S: dict[Mode, float] = {"quick": 0.04, "default": 0.2, "full": 0.75}
_QUICK_S, _QUICK_WARM_S = 0.04, 0.02
# Both directions' copies are queued within this.
_BLOCK_S = 5e-3


def transfer(lab: Lab) -> Iterator[Measurement]:
    """Bytes a second between host and device."""
    bench = Transfer(lab)
    try:
        yield from _parts(lab, bench)
    finally:
        bench.close()


def _parts(lab: Lab, bench: Transfer) -> Iterator[Measurement]:
    lab.say("host to device, pinned", 0.0)
    yield from lab.attempt("h2d_pinned", partial(bench.pinned, "h2d_pinned"))
    lab.say("device to host, pinned", 0.25)
    yield from lab.attempt("d2h_pinned", partial(bench.pinned, "d2h_pinned"))
    lab.say("pageable copies", 0.5)
    yield from lab.unless_late("h2d_pageable", partial(bench.pageable, "h2d_pageable"))
    yield from lab.unless_late("d2h_pageable", partial(bench.pageable, "d2h_pageable"))
    lab.say("both directions at once", 0.7)
    yield from lab.unless_late("bidir_pinned", bench.both)
    lab.say("NUMA nodes", 0.85)
    for metric in ("h2d_numa_local", "h2d_numa_remote"):
        if lab.plan.mode == "quick":
            yield lab.left_out(metric)
        else:
            yield from lab.unless_late(metric, partial(bench.from_node, metric))


class Transfer:
    """Buffers on both sides, and copies between them."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._buffers: tuple[Any, Any] | None = None

    def close(self) -> None:
        """Let go of the buffers; pinned memory goes back to the system where torch can do that."""
        if self._buffers is not None:
            self._buffers = None
            self._release_pinned()

    def _release_pinned(self) -> None:
        try:
            give_pinned_back(self._lab.torch)
        except UnsupportedError:
            return

    @cached_property
    def _queue(self) -> Queue:
        return Queue(self._lab.torch)

    @cached_property
    def _numa(self) -> tuple[Node, Node] | str:
        return local_and_remote(self._lab.facts.numa_node, nodes())

    @property
    def _near_cpus(self) -> frozenset[int] | None:
        return None if isinstance(self._numa, str) else self._numa[0].cpus

    def _pair(self) -> tuple[Any, Any]:
        """A pinned buffer near the GPU and one on the device, of one size, the largest that fits."""
        if self._buffers is None:
            most = LARGEST_BYTES[self._lab.plan.mode]
            size = buffer_bytes(most, may_pin_bytes(), self._lab.free_bytes())
            self._buffers = self._allocated(size)
        return self._buffers

    def _allocated(self, size: int) -> tuple[Any, Any]:
        """Both buffers, halved for as long as memory does not suffice."""
        while True:
            try:
                return self._both_sides(size)
            except RuntimeError as error:
                if size // 2 < LEAST_BYTES or "out of memory" not in str(error).lower():
                    raise
            size //= 2

    def _both_sides(self, size: int) -> tuple[Any, Any]:
        there = self._lab.torch.empty(size, dtype=self._lab.torch.uint8, device=self._lab.device)
        return self._pinned(size, self._near_cpus), there

    def _pinned(self, size: int, cpus: frozenset[int] | None) -> Any:
        """Pinned memory from the node these CPUs are on: never a buffer that was kept for later."""
        self._release_pinned()
        with on_cpus(cpus):
            return self._lab.torch.empty(size, dtype=self._lab.torch.uint8, pin_memory=True)

    def pinned(self, metric: str) -> Measurement:
        """One way between pinned and device memory; other sizes beside it."""
        host, there = self._pair()
        source, target = (host, there) if metric.startswith("h2d") else (there, host)
        size = min(self._main, source.numel())
        tried, missing = self._sweep(source, target)
        told = Conditions(dtype="uint8", buffer_bytes=size, tried=tried, missing=missing)
        return self._one_way(metric, source[:size], target[:size], told, self._where)

    @property
    def _main(self) -> int:
        return MAIN_BYTES[self._lab.plan.mode]

    @property
    def _where(self) -> str:
        return "" if self._near_cpus is None else ", host memory on the GPU's NUMA node"

    def _one_way(self, metric: str, source: Any, target: Any, told: Conditions, where: str) -> Measurement:
        """A record of pinned copies, the bytes compared afterwards."""
        call = partial(target.copy_, source, non_blocking=True)
        prepare(self._lab.torch, source, target)
        m = self._lab.measure(
            metric,
            call,
            work=source.numel(),
            method=f"Tensor.copy_ pinned, non_blocking, back to back, an event after each window{where}",
            conditions=told,
            policy=copy_policy(self._lab),
        )
        check(self._lab, target)
        return held_against_link(m, self._lab.facts, self._lab.spec)

    def _sweep(self, source: Any, target: Any) -> tuple[dict[str, float], dict[str, str]]:
        """Bytes a second by size, as far as the buffers and the time go; and why others are missing."""
        quick = self._lab.plan.mode == "quick"
        sizes = [s for s in (QUICK_SWEEP_BYTES if quick else SWEEP_BYTES) if s <= source.numel()]
        found: dict[str, float] = {}
        try:
            for size in sizes:
                if self._lab.time_left_s() > (_LARGE_NEED_S if size > self._main else 0.0):
                    found[size_name(size)] = self._rate(source[:size], target[:size])
        except NotHeldError as error:
            return found, {"tried": first_line(error)}
        whole = not quick and len(found) == len(sizes)
        return found, {} if whole else {"tried": f"other sizes: {self._lab.no_time}"}

    def _rate(self, source: Any, target: Any) -> float:
        """Median bytes a second of copies queued behind a spin."""
        call = partial(target.copy_, source, non_blocking=True)
        count = sweep_copies(source.numel())
        repeats = _SWEEP_REPEATS if source.numel() < 1 << 24 else 1
        taken = [self._queue.batch(call, count).device_s for _ in range(repeats)]
        return float(source.numel() / quantile(taken, 0.5))

    def pageable(self, metric: str) -> Measurement:
        """One way between ordinary and device memory; the call blocks, so the host's clock times it."""
        torch = self._lab.torch
        _, there = self._pair()
        size = min(self._main, there.numel())
        host = torch.empty(size, dtype=torch.uint8)
        source, target = (host, there[:size]) if metric == "h2d_pageable" else (there[:size], host)
        prepare(torch, source, target)
        taken, seen = self._lab.metered(lambda: self._blocking(partial(target.copy_, source)))
        check(self._lab, target)
        told = Conditions(
            method="Tensor.copy_ pageable, which blocks: wall clock with a synchronisation",
            dtype="uint8",
            buffer_bytes=size,
            calls=1,
            window_s=quantile(taken, 0.5),
        )
        m = self._lab.record(metric, [size / s for s in taken], None, seen, told)
        return held_against_link(m, self._lab.facts, self._lab.spec)

    def _blocking(self, call: Call) -> list[float]:
        """Wall-clock seconds of each call with a synchronisation, for a share of the mode's time."""
        sync = self._lab.torch.cuda.synchronize
        for _ in range(2):
            call()
        sync()
        mode = self._lab.plan.mode
        end_s = time.monotonic() + min(PAGEABLE_S[mode], self._lab.time_left_s())
        taken: list[float] = []
        while len(taken) < PAGEABLE_LEAST[mode] or time.monotonic() < end_s:
            begin = time.perf_counter()
            call()
            sync()
            taken.append(time.perf_counter() - begin)
        return taken

    def both(self) -> Measurement:
        """Both directions at once, bytes of both over the time until both are done."""
        torch = self._lab.torch
        up_from, up_to = self._pair()
        size = min(self._main, up_from.numel())
        down_to = self._pinned(size, self._near_cpus)
        down_from = torch.empty(size, dtype=torch.uint8, device=self._lab.device)
        up = partial(up_to[:size].copy_, up_from[:size], non_blocking=True)
        down = partial(down_to.copy_, down_from, non_blocking=True)
        prepare(torch, up_from[:size], up_to[:size])
        prepare(torch, down_from, down_to)
        ends, seen = self._lab.metered(lambda: self._both_windows(up, down))
        check(self._lab, up_to[:size])
        check(self._lab, down_to)
        return self._both_record(ends, size, seen)

    def _both_windows(self, up: Call, down: Call) -> list[tuple[float, float]]:
        """Seconds until each direction is done, after one to warm up; fewer windows where time is over."""
        torch = self._lab.torch
        spin = Spin(torch.cuda)
        both_ways(torch, spin, up, down)
        ends: list[tuple[float, float]] = []
        most = BOTH_WINDOWS[self._lab.plan.mode]
        while len(ends) < BOTH_LEAST or (len(ends) < most and self._lab.time_left_s() > 0):
            ends.append(both_ways(torch, spin, up, down))
        return ends

    def _both_record(self, ends: list[tuple[float, float]], size: int, seen: Observed) -> Measurement:
        moved = size * BOTH_COPIES
        up, down = (moved / quantile([end[way] for end in ends], 0.5) for way in (0, 1))
        told = Conditions(
            method=f"{BOTH_COPIES} pinned copies each way on two streams, until both are done{self._where}",
            dtype="uint8",
            buffer_bytes=size,
            calls=2 * BOTH_COPIES,
            window_s=quantile([max(end) for end in ends], 0.5),
            extra={"h2d_bytes_s": up, "d2h_bytes_s": down},
        )
        return self._lab.record("bidir_pinned", [2 * moved / max(end) for end in ends], None, seen, told)

    def from_node(self, metric: str) -> Measurement:
        """Host to device from memory on the GPU's NUMA node, or on the one farthest from it."""
        if isinstance(self._numa, str):
            raise UnsupportedError(self._numa)
        node = self._numa[0 if metric == "h2d_numa_local" else 1]
        _, there = self._pair()
        size = min(self._main, there.numel())
        give_pinned_back(self._lab.torch)
        host = self._pinned(size, node.cpus)
        told = Conditions(dtype="uint8", buffer_bytes=size, extra={"numa_node": float(node.index)})
        where = f", host memory first touched on NUMA node {node.index}"
        return self._one_way(metric, host, there[:size], told, where)


def copy_policy(lab: Lab) -> Policy:
    """At least 20 windows, so that no fewer than 16 copies run back to back; half the mode's time, in quick
    mode less: a copy engine has no clock that must settle."""
    policy, quick = lab.policy, lab.plan.mode == "quick"
    return msgspec.structs.replace(
        policy,
        windows=max(COPIES, policy.windows),
        total_s=min(_QUICK_S, policy.total_s) if quick else policy.total_s / 2,
        warm_s=min(_QUICK_WARM_S, policy.warm_s) if quick else policy.warm_s,
    )


def both_ways(torch: Any, spin: Spin, up: Call, down: Call) -> tuple[float, float]:
    """Seconds until the copies of either direction are done, both let go by one event."""
    start, *ends = (torch.cuda.Event(enable_timing=True) for _ in range(3))
    streams = [torch.cuda.Stream() for _ in range(2)]
    torch.cuda.synchronize()
    spin.hold(_BLOCK_S)
    start.record()
    for stream, call, end in zip(streams, (up, down), ends, strict=True):
        stream.wait_event(start)
        with torch.cuda.stream(stream):
            for _ in range(BOTH_COPIES):
                call()
            end.record()
    torch.cuda.synchronize()
    up_s, down_s = (start.elapsed_time(end) / 1e3 for end in ends)
    return up_s, down_s


def buffer_bytes(most: int, may_pin: int, free_device: int) -> int:
    """The largest power of two up to `most` for which two of them fit into what may be pinned, and into a
    quarter of free device memory. Raises UnsupportedError below 1 MiB."""
    size = most
    while size > LEAST_BYTES and 2 * size > min(may_pin, free_device // 4):
        size //= 2
    if 2 * size > min(may_pin, free_device // 4):
        raise UnsupportedError("too little memory is free to copy from or to")
    return size


def sweep_copies(size: int) -> int:
    """How many copies of a size to queue: about a GiB in all, between 4 and 128."""
    low, high = SWEEP_COPIES
    return max(low, min(high, _SWEEP_TOTAL_BYTES // size))


def size_name(size: int) -> str:
    """A power of two as people write it: "4 KiB"."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def prepare(torch: Any, source: Any, target: Any) -> None:
    """Put a pattern into the source, every 4 bytes of it different, and something else into the target, so
    that a copy that does nothing is found."""
    torch.arange(source.numel() // 4, out=source.view(torch.int32))
    target.fill_(0xA5)
    torch.cuda.synchronize()


def check(lab: Lab, target: Any) -> None:
    """Raises RuntimeError where the pattern did not arrive; compared on the device, where that is quick."""
    torch = lab.torch
    torch.cuda.synchronize()
    there = target.to(lab.device).view(torch.int32)
    pattern = torch.arange(there.numel(), dtype=torch.int32, device=lab.device)
    if not torch.equal(there, pattern):
        raise RuntimeError("the bytes that arrived are not those that were sent")

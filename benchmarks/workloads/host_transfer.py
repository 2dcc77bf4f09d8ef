"""Host: copies from the host stand between batches, because they are pageable or because they are many."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from benchmarks.workloads.hostwork import products, took
from benchmarks.workloads.spec import Bench, Step, Workload

# Device seconds to seconds of copying.
DEVICE_PER_COPY = 0.5


def _pageable(bench: Bench) -> Step:
    torch, count = bench.torch, bench.of(1 << 26, 1 << 10)
    here, there = torch.randn(count), torch.empty(count, device=bench.device)

    copy = partial(_copied, bench, there, here)
    work = products(bench, took(copy) * DEVICE_PER_COPY)

    def step() -> Mapping[str, float]:
        begin = time.perf_counter()
        copy()
        host_s = time.perf_counter() - begin
        return {
            "host_s": host_s,
            **work.counted(),
            "h2d_bytes": 4.0 * count,
            "copies": 1.0,
        }

    return step


def _pinned(bench: Bench) -> Step:
    """The next batch comes from pinned memory on a stream of its own while the device works on this one."""
    torch, count, is_cuda = bench.torch, bench.of(1 << 26, 1 << 10), bench.device == "cuda"
    pageable = torch.randn(count)
    here = pageable.pin_memory() if is_cuda else pageable.clone()
    there = torch.empty(count, device=bench.device)
    work = products(bench, took(partial(_copied, bench, there, pageable)) * DEVICE_PER_COPY)
    stream = torch.cuda.Stream() if is_cuda else None

    def step() -> Mapping[str, float]:
        if stream is None:
            there.copy_(here)
        else:
            with torch.cuda.stream(stream):
                there.copy_(here, non_blocking=True)
        done = work.counted()
        begin = time.perf_counter()
        bench.sync()
        host_s = time.perf_counter() - begin
        return {
            "host_s": host_s,
            **done,
            "h2d_bytes": 4.0 * count,
            "copies": 1.0,
        }

    return step


def _copied(bench: Bench, there: object, here: object) -> None:
    there.copy_(here)  # type: ignore[attr-defined]
    bench.sync()


def _small(bench: Bench, *, one_copy: bool) -> Step:
    """2000 arrays of 1 KiB, parts of one block of host memory, copied one by one or as that block."""
    torch, count = bench.torch, bench.of(2000, 8)
    block = torch.randn(count, 256)
    arrays = list(block.unbind())

    def each() -> None:
        for array in arrays:
            array.to(bench.device, copy=True)
        bench.sync()

    def whole() -> None:
        block.to(bench.device, copy=True).unbind()
        bench.sync()

    work = products(bench, took(each) * DEVICE_PER_COPY)
    copy = whole if one_copy else each

    def step() -> Mapping[str, float]:
        begin = time.perf_counter()
        copy()
        host_s = time.perf_counter() - begin
        copied = {"h2d_bytes": 1024.0 * count, "copies": 1.0 if one_copy else float(count)}
        return {"host_s": host_s, **work.counted(), **copied}

    return step


def _each(bench: Bench) -> Step:
    return _small(bench, one_copy=False)


def _whole(bench: Bench) -> Step:
    return _small(bench, one_copy=True)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="pageable_copies",
        family="host_transfer",
        label="host",
        cause="transfer",
        truth="sections",
        beneath="compute",
        about="Each step waits for 256 MiB from pageable memory, then computes for half as long.",
        setup=_pageable,
        fixed=_pinned,
        fix="pinned memory and non_blocking copies on a stream of their own",
    ),
    Workload(
        name="small_h2d_copies",
        family="host_transfer",
        label="host",
        cause="transfer",
        causes=("launch-rate", "sync"),
        truth="sections",
        beneath="compute",
        about="Each step copies 2000 arrays of 1 KiB one by one, then computes for half as long.",
        setup=_each,
        fixed=_whole,
        fix="one copy for all of them",
    ),
)

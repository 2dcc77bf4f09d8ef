"""What memory costs to get: from torch's cache, from the driver, and pinned on the host."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from probes.hostmem import give_pinned_back, may_pin_bytes
from probes.lab import Lab, UnsupportedError
from probes.record import Conditions, Measurement, Mode
from probes.stats import quantile
from probes.timing import CpuTimer

BUFFER_BYTES = 64 << 20
WINDOWS = 20
LEAST_WINDOWS: dict[Mode, int] = {"quick": 3, "default": 5, "full": 5}
LIMIT_S: dict[Mode, float] = {"quick": 0.04, "default": 0.3, "full": 0.75}
_CACHED_CALLS = 500
# Their settings change what an allocation does.
_SETTINGS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")


def allocator(lab: Lab) -> Iterator[Measurement]:
    """Seconds to allocate 64 MiB (less where memory is short)."""
    lab.say("device allocation", 0.0)
    yield from lab.attempt("alloc_cached", partial(cached, lab))
    yield from lab.unless_late("alloc_device", partial(from_driver, lab))
    lab.say("pinned allocation", 0.5)
    yield from lab.unless_late("alloc_pinned", partial(pinned, lab))


def cached(lab: Lab) -> Measurement:
    """torch.empty of a size that was just freed, and giving it back to the cache."""
    torch, size = lab.torch, device_bytes(lab)
    allocate = partial(torch.empty, size, dtype=torch.uint8, device=lab.device)
    allocate()
    torch.cuda.synchronize()
    taken, seen = lab.metered(lambda: CpuTimer().windows(allocate, _CACHED_CALLS, WINDOWS), quiet=True)
    told = Conditions(
        method=f"torch.empty and release to torch's cache{settings()}",
        buffer_bytes=size,
        calls=_CACHED_CALLS,
        window_s=quantile(taken, 0.5),
    )
    return lab.record("alloc_cached", [s / _CACHED_CALLS for s in taken], None, seen, told)


def from_driver(lab: Lab) -> Measurement:
    """torch.empty with an empty cache, so that the driver allocates; giving back is beside it."""
    torch, size = lab.torch, device_bytes(lab)
    allocate = partial(torch.empty, size, dtype=torch.uint8, device=lab.device)
    method = f"torch.empty after torch.cuda.empty_cache (cudaMalloc){settings()}"
    return _fresh(lab, "alloc_device", allocate, torch.cuda.empty_cache, size, method)


def pinned(lab: Lab) -> Measurement:
    """torch.empty of pinned memory that is not in torch's cache."""
    torch = lab.torch
    size = fitting(may_pin_bytes())
    allocate = partial(torch.empty, size, dtype=torch.uint8, pin_memory=True)
    method = f"torch.empty(pin_memory=True) with an empty cache of pinned memory (cudaHostAlloc){settings()}"
    return _fresh(lab, "alloc_pinned", allocate, partial(give_pinned_back, torch), size, method)


def _fresh(
    lab: Lab, metric: str, allocate: Callable[[], Any], give_back: Callable[[], Any], size: int, method: str
) -> Measurement:
    """A record of allocations that no cache can serve; what giving back takes stands beside them."""
    fresh_s(lab, allocate, give_back, 0.0, 1)
    limit_s, least = min(LIMIT_S[lab.plan.mode], lab.time_left_s()), LEAST_WINDOWS[lab.plan.mode]
    (taken, given), seen = lab.metered(lambda: fresh_s(lab, allocate, give_back, limit_s, least), quiet=True)
    told = Conditions(
        method=method,
        buffer_bytes=size,
        calls=1,
        window_s=quantile(taken, 0.5),
        extra={"give_back_s": quantile(given, 0.5)},
    )
    return lab.record(metric, taken, None, seen, told)


def fresh_s(
    lab: Lab,
    allocate: Callable[[], Any],
    give_back: Callable[[], Any],
    limit_s: float,
    least: int,
) -> tuple[list[float], list[float]]:
    """Seconds of each allocation and of giving it back, the device idle before each: at least `least`, and up
    to 20 within the time."""
    taken: list[float] = []
    given: list[float] = []
    give_back()
    end_s = time.monotonic() + limit_s
    while len(taken) < least or (len(taken) < WINDOWS and time.monotonic() < end_s):
        lab.torch.cuda.synchronize()
        begin = time.perf_counter()
        buffer = allocate()
        taken.append(time.perf_counter() - begin)
        del buffer
        begin = time.perf_counter()
        give_back()
        given.append(time.perf_counter() - begin)
    return taken, given


def device_bytes(lab: Lab) -> int:
    """64 MiB, or what a quarter of free device memory holds."""
    return fitting(lab.free_bytes() // 4)


def fitting(limit_bytes: int) -> int:
    """The largest power of two up to 64 MiB within the limit. Raises UnsupportedError below 1 MiB."""
    size = BUFFER_BYTES
    while size > limit_bytes:
        size //= 2
    if size < 1 << 20:
        raise UnsupportedError("too little memory is free")
    return size


def settings() -> str:
    """Settings of torch's allocator that the environment makes, for the method's text."""
    made = [f"{name}={os.environ[name]}" for name in _SETTINGS if os.environ.get(name)]
    return f"; {', '.join(made)}"[:200] if made else ""

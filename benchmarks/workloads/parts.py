"""What workloads are made of: random data, sizes that fit the card, repeated calls, flags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.workloads.spec import Bench

# A workload's own buffers take no more than this of the memory that is free.
MEMORY_FRAC = 0.4


class Loop:
    """A step that makes one call `times` times. output: what the last call gave, so that a test can look."""

    def __init__(self, call: Callable[[], Any], times: int, **each: float) -> None:
        """each: what one call accounts for, by `Account`'s keys."""
        self._call, self._times = call, times
        self._counts = {key: times * value for key, value in each.items()}
        self.output: Any = None

    def __call__(self) -> Mapping[str, float]:
        for _ in range(self._times):
            self.output = self._call()
        return self._counts


def generator(bench: Bench) -> Any:
    """A random generator on the bench's device, from its seed. One a workload: each starts the same."""
    return bench.torch.Generator(device=bench.device).manual_seed(bench.seed)


def normal(bench: Bench, source: Any, *shape: int, dtype: str = "float32", scale: float = 1.0) -> Any:
    """N(0, scale²) in a dtype by torch's name, made in fp32 unless it is fp64."""
    torch = bench.torch
    made = getattr(torch, dtype if dtype in ("float64", "complex64") else "float32")
    data = torch.randn(shape, generator=source, device=bench.device, dtype=made)
    return data.mul_(scale).to(getattr(torch, dtype))


def fitting(bench: Bench, wanted: int, bytes_each: float, grain: int = 1) -> int:
    """As many of `wanted` things of `bytes_each` as MEMORY_FRAC of the free memory holds.

    A whole number of grains, one at least. On the CPU all that are wanted.
    """
    free = _free_bytes(bench)
    count = wanted if free is None else min(wanted, int(MEMORY_FRAC * free / bytes_each))
    return max(grain, count - count % grain)


def _free_bytes(bench: Bench) -> int | None:
    return int(bench.torch.cuda.mem_get_info()[0]) if bench.device == "cuda" else None


@contextmanager
def held(owner: Any, name: str, value: object) -> Iterator[None]:
    """Within: the attribute has this value. Afterwards, also after an exception, the one it had."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def captured(bench: Bench, call: Callable[[], Any]) -> Callable[[], Any]:
    """The call as a CUDA graph's replay, which gives the buffer it writes. On the CPU the call itself.

    Warmed up on a side stream first, as capturing asks for.
    """
    if bench.device == "cpu":
        return call
    torch = bench.torch
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()
    return lambda: (graph.replay(), output)[1]

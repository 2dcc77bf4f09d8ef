"""Labelled loads for `gpu_session.py`. Run in a child process: this module alone imports torch.

A load's truth is its own accounting (bytes, FLOPs, seconds spent on the host), never a counter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Step = Callable[[], Mapping[str, float]]


class Load(NamedTuple):
    """label and cause: what the load is by construction. setup makes a step, which returns its accounting."""

    label: str
    cause: str
    setup: Callable[[Any, Sizes], Step]


class Sizes(NamedTuple):
    """device: "cuda" or "cpu". small: shrink everything, to test the script without a GPU."""

    device: str
    small: bool

    def of(self, full: int, little: int) -> int:
        """The full size, or the little one when small."""
        return little if self.small else full


def _gemm_bf16(torch: Any, s: Sizes) -> Step:
    n = s.of(8192, 64)
    a, b = (torch.randn(n, n, device=s.device).to(torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)

    def step() -> Mapping[str, float]:
        for _ in range(10):
            torch.mm(a, b.t(), out=c)
        return {"flops": 20.0 * n**3}

    return step


def _copy(torch: Any, s: Sizes) -> Step:
    n = s.of(1 << 30, 1 << 16)
    x = torch.randn(n, device=s.device)
    y = torch.empty_like(x)

    def step() -> Mapping[str, float]:
        y.copy_(x)
        return {"bytes": 8.0 * n}

    return step


def _launch_bound(torch: Any, s: Sizes) -> Step:
    x = torch.randn(1024, device=s.device)

    def step() -> Mapping[str, float]:
        for _ in range(1000):
            x.add_(1.0)
        return {"launches": 1000.0}

    return step


def _burn(seconds: float) -> float:
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        pass
    return time.perf_counter() - start


def _starved_loader(torch: Any, s: Sizes) -> Step:
    n = s.of(4096, 64)
    a = torch.randn(n, n, device=s.device).to(torch.bfloat16)

    def step() -> Mapping[str, float]:
        host = _burn(0.02)
        torch.mm(a, a)
        _sync(torch, s)
        return {"host_s": host, "flops": 2.0 * n**3}

    return step


def _idle_held(torch: Any, s: Sizes) -> Step:
    x = torch.randn(s.of(1 << 32, 1 << 10), device=s.device)

    def step() -> Mapping[str, float]:
        time.sleep(0.2)
        return {"host_s": 0.2, "held_bytes": 0.0 * x.numel()}

    return step


def _decode_gemv(torch: Any, s: Sizes) -> Step:
    n, layers = s.of(8192, 128), s.of(60, 2)
    weights = [torch.randn(n, n, device=s.device).to(torch.bfloat16) for _ in range(layers)]
    x = torch.randn(1, n, device=s.device).to(torch.bfloat16) * 0.01

    def step() -> Mapping[str, float]:
        y = x
        for w in weights:
            y = torch.nn.functional.linear(y, w) * 0.01
        return {"bytes": 2.0 * layers * n * n}

    return step


def _mix(torch: Any, s: Sizes) -> Step:
    n = s.of(8192, 64)
    a = torch.randn(n, n, device=s.device).to(torch.bfloat16)

    def step() -> Mapping[str, float]:
        for _ in range(s.of(10, 1)):
            torch.mm(a, a)
        _sync(torch, s)
        return {"host_s": _burn(0.015), "flops": 2.0 * n**3 * s.of(10, 1)}

    return step


def _prefill_decode(torch: Any, s: Sizes) -> Step:
    prefill, decode = _gemm_bf16(torch, s), _decode_gemv(torch, s)

    def step() -> Mapping[str, float]:
        start = time.perf_counter()
        for _ in range(s.of(40, 1)):
            prefill()
        _sync(torch, s)
        middle = time.perf_counter()
        for _ in range(s.of(80, 1)):
            decode()
        _sync(torch, s)
        return {"prefill_s": middle - start, "decode_s": time.perf_counter() - middle}

    return step


def _sync(torch: Any, s: Sizes) -> None:
    if s.device == "cuda":
        torch.cuda.synchronize()


LOADS: dict[str, Load] = {
    "gemm_bf16": Load("compute", "tensor-cores", _gemm_bf16),
    "copy": Load("memory", "dram-bandwidth", _copy),
    "launch_bound": Load("host", "launch-rate", _launch_bound),
    "starved_loader": Load("host", "input-pipeline", _starved_loader),
    "idle_held": Load("idle", "idle-held", _idle_held),
    "decode_gemv": Load("memory", "dram-bandwidth", _decode_gemv),
    "mix_host_compute": Load("compute", "tensor-cores", _mix),
    "prefill_decode": Load("mixed", "compute+memory", _prefill_decode),
}


def serve(pipe: Any, device: str, small: bool) -> None:
    """Child process: run loads by name for as long as asked, and send their accounting back."""
    import torch

    sizes = Sizes(device, small)
    pipe.send({"torch": torch.__version__})
    while (asked := pipe.recv()) is not None:
        name, seconds = asked
        try:
            pipe.send(_run(torch, sizes, pipe, LOADS[name], seconds))
        except Exception as problem:  # one load that fails must not end the rest
            pipe.send({"error": f"{type(problem).__name__}: {problem}"[:400]})
        if device == "cuda":
            torch.cuda.empty_cache()


def _run(torch: Any, sizes: Sizes, pipe: Any, load: Load, seconds: float) -> dict[str, float]:
    step = load.setup(torch, sizes)
    for _ in range(3):
        step()
    _sync(torch, sizes)
    pipe.send("started")
    total: dict[str, float] = {}
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for key, value in step().items():
            total[key] = total.get(key, 0.0) + value
        steps += 1
        if steps % 20 == 0:
            _sync(torch, sizes)
    _sync(torch, sizes)
    return {**total, "wall_s": time.perf_counter() - start, "steps": float(steps)}

"""Host: launches set the pace. Kernels so small that queueing one takes longer than running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.workloads.parts import captured
from benchmarks.workloads.spec import Bench, Step, Workload


def _tiny(bench: Bench) -> tuple[Callable[[], None], int]:
    x = bench.torch.randn(1024, device=bench.device)
    launches = bench.of(1000, 10)

    def work() -> None:
        for _ in range(launches):
            x.mul_(0.5)

    return work, launches


def _tiny_eager(bench: Bench) -> Step:
    work, launches = _tiny(bench)

    def step() -> Mapping[str, float]:
        work()
        return {"launches": float(launches)}

    return step


def _tiny_graph(bench: Bench) -> Step:
    work, launches = _tiny(bench)
    replay = captured(bench, work)

    def step() -> Mapping[str, float]:
        replay()
        return {"launches": 1.0, "graph_nodes": float(launches)}

    return step


def _inference(bench: Bench) -> Callable[[], None]:
    """A deep narrow network over a batch of one."""
    torch = bench.torch
    nn, width, depth = torch.nn, bench.of(256, 16), bench.of(40, 2)
    layers = [
        part for _ in range(depth) for part in (nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
    ]
    model = nn.Sequential(*layers).to(bench.device).eval().requires_grad_(False)
    x = torch.randn(1, width, device=bench.device)
    out = torch.empty_like(x)

    def work() -> None:
        out.copy_(model(x))

    return work


def _inference_eager(bench: Bench) -> Step:
    return _counted(_inference(bench))


def _inference_graph(bench: Bench) -> Step:
    return _counted(captured(bench, _inference(bench)))


def _counted(work: Callable[[], Any]) -> Step:
    def step() -> Mapping[str, float]:
        for _ in range(10):
            work()
        return {"requests": 10.0}

    return step


def _adam(bench: Bench, **how: bool) -> Step:
    torch, count, width = bench.torch, bench.of(400, 4), bench.of(64, 4)
    weights = [torch.randn(width, width, device=bench.device).requires_grad_() for _ in range(count)]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = torch.optim.Adam(weights, lr=1e-4, **how)

    def step() -> Mapping[str, float]:
        optimizer.step()
        return {"weights": float(count)}

    return step


def _adam_each(bench: Bench) -> Step:
    return _adam(bench, foreach=False, fused=False)


def _adam_fused(bench: Bench) -> Step:
    return _adam(bench, fused=True)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="eager_tiny_kernels",
        family="host_launch",
        label="host",
        cause="launch-rate",
        truth="speedup",
        about="A Python loop launches kernels over 1024 numbers, each shorter than its own launch.",
        setup=_tiny_eager,
        fixed=_tiny_graph,
        fix="one CUDA graph of all launches",
    ),
    Workload(
        name="small_batch_inference",
        family="host_launch",
        label="host",
        cause="launch-rate",
        truth="speedup",
        about="A network of 120 narrow layers answers one request at a time, a few launches a layer.",
        setup=_inference_eager,
        fixed=_inference_graph,
        fix="the network captured as a CUDA graph",
    ),
    Workload(
        name="optimizer_unfused",
        family="host_launch",
        label="host",
        cause="launch-rate",
        truth="speedup",
        about="Adam steps through 400 small weights one by one, about ten launches each.",
        setup=_adam_each,
        fixed=_adam_fused,
        fix="Adam(fused=True)",
    ),
)

"""Host: the program waits for the device so often that the device then waits for the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.workloads.hostwork import Program
from benchmarks.workloads.parts import captured
from benchmarks.workloads.spec import Bench, Step, Workload

LOG_EVERY = 100


def _iteration(bench: Bench) -> Callable[[], Any]:
    """One turn of power iteration over a matrix of 32 MiB, which a large L2 keeps; gives the norm.

    On a fast card its three kernels take less time than launching them does.
    """
    torch, n = bench.torch, bench.of(4096, 32)
    matrix = torch.randn(n, n, device=bench.device, dtype=torch.bfloat16) / n**0.5
    x = torch.randn(n, device=bench.device, dtype=torch.bfloat16)

    def turn() -> Any:
        y = torch.mv(matrix, x)
        norm = torch.linalg.vector_norm(y)
        torch.div(y, norm, out=x)
        return norm

    return turn


def _item(bench: Bench) -> Step:
    """Reads the norm back after every turn, to see whether it has converged."""
    turn, turns = _iteration(bench), bench.of(100, 3)

    def step() -> Mapping[str, float]:
        for _ in range(turns):
            if turn().item() < 0:
                raise ArithmeticError("a norm below 0")
        return {"syncs": float(turns)}

    return step


def _accumulated(bench: Bench) -> Step:
    """Keeps the smallest norm on the device and reads it back once a step.

    The turns between two looks are one CUDA graph: without it their launches would set the pace, and the fix
    would show a part only of what waiting costs.
    """
    turn, turns, torch = _iteration(bench), bench.of(100, 3), bench.torch
    least = torch.zeros((), device=bench.device, dtype=torch.bfloat16)

    def all_turns() -> None:
        for _ in range(turns):
            torch.minimum(least, turn(), out=least)

    run = captured(bench, all_turns)

    def step() -> Mapping[str, float]:
        run()
        if least.item() < 0:
            raise ArithmeticError("a norm below 0")
        return {"syncs": 1.0}

    return step


def _training(bench: Bench) -> tuple[Callable[[], Any], Any]:
    """A training step over wide layers, about 0.8 TFLOP; gives the loss."""
    torch = bench.torch
    nn, width, depth, rows = torch.nn, bench.of(2048, 16), bench.of(8, 2), bench.of(4096, 4)
    model = nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())))
    model = model.to(bench.device, torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, foreach=True)
    x = torch.randn(rows, width, device=bench.device, dtype=torch.bfloat16)

    def train() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return train, model


def _logged(bench: Bench, every: int) -> Step:
    """Trains, and in every such step writes loss and each bias's statistics to a log, value by value."""
    train, model = _training(bench)
    log = (Path(bench.scratch) / f"train-{every}.log").open("w")
    done = 0

    def step() -> Mapping[str, float]:
        nonlocal done
        loss, syncs = train(), 0.0
        done += 1
        if done % every == 0:
            syncs = _write(log, loss, model)
        return {"syncs": syncs}

    return Program(step, log.close)


def _write(log: Any, loss: Any, model: Any) -> float:
    values = [("loss", loss.item())]
    biases = [(name, weight) for name, weight in model.named_parameters() if weight.dim() == 1]
    for name, weight in biases:
        for what, tensor in (("weight", weight.detach()), ("gradient", weight.grad)):
            values.append((f"{name} {what} mean", tensor.mean().item()))
            values.append((f"{name} {what} least", tensor.min().item()))
            values.append((f"{name} {what} largest", tensor.max().item()))
            values.append((f"{name} {what} norm", tensor.norm().item()))
    for name, value in values:
        log.write(f"{name} {value:.6g}\n")
        log.flush()
    return float(len(values))


def _log_each(bench: Bench) -> Step:
    return _logged(bench, 1)


def _log_seldom(bench: Bench) -> Step:
    return _logged(bench, LOG_EVERY)


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="item_every_step",
        family="host_sync",
        label="host",
        cause="sync",
        causes=("launch-rate",),
        truth="speedup",
        about="An iterative solver calls .item() after every turn of three short kernels.",
        setup=_item,
        fixed=_accumulated,
        fix="the check kept on the device and read back every 100th turn, the turns as one CUDA graph",
    ),
    Workload(
        name="logging_with_sync",
        family="host_sync",
        label="host",
        cause="sync",
        truth="speedup",
        beneath="compute",
        about="After each training step, 65 small statistics are read back one by one and logged.",
        setup=_log_each,
        fixed=_log_seldom,
        fix=f"logging every {LOG_EVERY}th step",
    ),
)

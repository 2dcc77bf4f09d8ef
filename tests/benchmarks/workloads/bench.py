"""A bench on the CPU, and what is known of the workloads of one family there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.workloads.spec import Bench, Step, UnavailableError, Workload
from tests.benchmarks.workloads.host_kernels import HostCupy
from tests.probes.host_cuda import compiler

Setup = Callable[[Bench], Step]
# Few calls of the host emulation take as long as many of torch.
STEPS = 50


def small_bench(torch: Any, folder: Path, *, seed: int = 7) -> Bench:
    """Everything shrunk; no cupy."""

    def none() -> Any:
        raise UnavailableError("no cupy")

    return Bench(torch=torch, cupy=none, device="cpu", small=True, seed=seed, scratch=str(folder))


def with_kernels(bench: Bench, folder: Path) -> tuple[Bench, HostCupy]:
    """The same with the kernels run on the host. Skips the test where no compiler is."""
    if compiler() is None:
        pytest.skip("no C++ compiler to run the kernels with on the host")
    cupy = HostCupy(folder)
    return msgspec.structs.replace(bench, cupy=lambda: cupy), cupy


def variants(workloads: Iterable[Workload]) -> dict[str, Setup]:
    """Every step that a family can set up, by the workload's name, that of a fix with " (fix)"."""
    found: dict[str, Setup] = {}
    for workload in workloads:
        assert workload.setup is not None
        found[workload.name] = workload.setup
        if workload.fixed is not None:
            found[f"{workload.name} (fix)"] = workload.fixed
    return found


def output(step: Step) -> Any:
    """What the step's last call gave."""
    return step.output  # type: ignore[attr-defined]


def counts(step: Step) -> Mapping[str, float]:
    """What one step accounts for."""
    return step()


def finite_after(torch: Any, step: Step, steps: int = STEPS) -> bool:
    """Whether all values are finite, and not all the same or zero, after so many steps."""
    for _ in range(steps):
        step()
    values = output(step).detach().flatten()
    values = torch.view_as_real(values) if values.is_complex() else values.to(torch.float64)
    return bool(torch.isfinite(values).all()) and bool((values != 0).any())


def same_for_a_seed(bench: Bench, setup: Setup) -> bool:
    """Whether two set-ups give the same result, and one with another seed a different one."""
    torch = bench.torch
    other = msgspec.structs.replace(bench, seed=bench.seed + 1)
    results = []
    for one in (bench, bench, other):
        step = setup(one)
        step()
        results.append(output(step).detach().clone())
    return bool(torch.equal(results[0], results[1])) and not bool(torch.equal(results[0], results[2]))

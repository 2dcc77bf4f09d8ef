"""A small bench on the CPU, without cupy and with the kernels emulated."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.workloads.spec import Bench
from tests.benchmarks.workloads.bench import small_bench, with_kernels
from tests.benchmarks.workloads.host_kernels import HostCupy


@pytest.fixture(scope="session")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def plain_bench(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Without cupy."""
    return small_bench(torch, tmp_path_factory.mktemp("workloads"))


@pytest.fixture(scope="session")
def emulated(plain_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, HostCupy]:
    """The bench with kernels on the host, and what records their launches."""
    return with_kernels(plain_bench, tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def kernel_bench(emulated: tuple[Bench, HostCupy]) -> Bench:
    """The bench with kernels on the host."""
    return emulated[0]


@pytest.fixture
def launches(emulated: tuple[Bench, HostCupy]) -> list[tuple[str, int, int, int]]:
    """(kernel, grid, block, shared bytes) of every launch since the test began."""
    emulated[1].launches.clear()
    return emulated[1].launches

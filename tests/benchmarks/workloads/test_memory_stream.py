"""Streams: what they compute, and that their bytes are what passes through."""

from __future__ import annotations

import pytest

from benchmarks.workloads.memory_stream import WORKLOADS
from benchmarks.workloads.parts import generator, normal
from benchmarks.workloads.spec import Bench, UnavailableError
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)
BY_TORCH = ("copy", "triad", "reduction")


@pytest.mark.parametrize("name", BY_TORCH)
def test_bytes_are_what_torch_moves(plain_bench: Bench, name: str) -> None:
    from tests.benchmarks.workloads.traffic import Traffic

    step = STEPS[name](plain_bench)
    with Traffic() as seen:
        counted = counts(step)
    assert counted["bytes"] == pytest.approx(seen.bytes, rel=1e-3)  # a sum is no element


@pytest.mark.parametrize("name", BY_TORCH)
def test_values_stay_finite_and_follow_the_seed(plain_bench: Bench, name: str) -> None:
    assert finite_after(plain_bench.torch, STEPS[name](plain_bench))
    assert same_for_a_seed(plain_bench, STEPS[name])


def test_triad_is_b_and_a_share_of_c(plain_bench: Bench) -> None:
    step = STEPS["triad"](plain_bench)
    step()
    source, n = generator(plain_bench), output(step).numel()
    b, c = normal(plain_bench, source, n), normal(plain_bench, source, n)
    plain_bench.torch.testing.assert_close(output(step), b + 0.4 * c)


def test_transpose_reads_and_writes_every_element_once(
    kernel_bench: Bench, launches: list[tuple[str, int, int, int]]
) -> None:
    step = STEPS["transpose"](kernel_bench)
    counted, result = counts(step), output(step)
    x = normal(kernel_bench, generator(kernel_bench), *result.t().shape)
    assert kernel_bench.torch.equal(result, x.t())
    assert counted["bytes"] == 2 * x.nbytes * len(launches)
    assert same_for_a_seed(kernel_bench, STEPS["transpose"])


def test_without_cupy_the_transpose_says_so(plain_bench: Bench) -> None:
    with pytest.raises(UnavailableError, match="no cupy"):
        STEPS["transpose"](plain_bench)

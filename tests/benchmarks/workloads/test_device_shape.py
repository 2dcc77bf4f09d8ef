"""Badly shaped kernels: base and fix do the same work, and differ in how they fill the card."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.workloads.device_shape import WORKLOADS, lists
from benchmarks.workloads.parts import generator, normal
from benchmarks.workloads.spec import Bench, UnavailableError
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)
SMS = 3
Launches = list[tuple[str, int, int, int]]


@pytest.mark.parametrize("name", [workload.name for workload in WORKLOADS])
def test_base_and_fix_give_the_same_and_account_for_the_same(kernel_bench: Bench, name: str) -> None:
    base, fixed = STEPS[name](kernel_bench), STEPS[f"{name} (fix)"](kernel_bench)
    assert counts(base) == counts(fixed)
    kernel_bench.torch.testing.assert_close(output(base), output(fixed), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", [workload.name for workload in WORKLOADS])
def test_values_stay_finite_and_follow_the_seed(kernel_bench: Bench, name: str) -> None:
    assert finite_after(kernel_bench.torch, STEPS[name](kernel_bench), 2)
    assert same_for_a_seed(kernel_bench, STEPS[name])


def test_without_cupy_they_say_so(plain_bench: Bench) -> None:
    for setup in STEPS.values():
        with pytest.raises(UnavailableError, match="no cupy"):
            setup(plain_bench)


def launched(bench: Bench, launches: Launches, name: str) -> tuple[str, int, int, int]:
    """The launch of one step."""
    step = STEPS[name](bench)
    launches.clear()
    step()
    (only,) = launches
    return only


def test_one_block_against_one_for_each_256_items(kernel_bench: Bench, launches: Launches) -> None:
    assert launched(kernel_bench, launches, "one_block") == ("recur", 1, 256, 0)
    assert launched(kernel_bench, launches, "one_block (fix)") == ("recur", 8 * SMS, 256, 0)


def test_one_block_too_many_where_an_sm_holds_one(kernel_bench: Bench, launches: Launches) -> None:
    _, grid, _, shared = launched(kernel_bench, launches, "tail_waves")
    assert grid == SMS + 1 and 2 * shared > 228 << 10
    assert launched(kernel_bench, launches, "tail_waves (fix)") == ("recur", SMS, 256, shared)


def test_occupancy_is_taken_by_registers_or_by_shared_memory(kernel_bench: Bench, launches: Launches) -> None:
    grid = launched(kernel_bench, launches, "low_occupancy_registers")[1]
    full = ("follow_few_sums", grid, 128, 0)
    assert launched(kernel_bench, launches, "low_occupancy_registers") == ("follow_many_sums", grid, 128, 0)
    assert launched(kernel_bench, launches, "low_occupancy_shared") == (*full[:3], 227 << 10)
    for fix in ("low_occupancy_registers (fix)", "low_occupancy_shared (fix)"):
        assert launched(kernel_bench, launches, fix) == full


def test_every_item_gets_its_fmas(kernel_bench: Bench) -> None:
    step = STEPS["one_block"](kernel_bench)
    counted, got = counts(step), output(step)
    v = normal(kernel_bench, generator(kernel_bench), got.numel()).double()
    for _ in range(round(counted["flops"] / (2 * v.numel()))):
        v = v * (1 - 2.0**-20) + 2.0**-20
    kernel_bench.torch.testing.assert_close(got.double(), v, atol=1e-5, rtol=1e-5)
    assert counted["bytes"] == 2 * got.nbytes


def followed(words: Any, hops: int, warp: int) -> list[float]:
    """What the lanes of one warp add up, by plain Python."""
    nodes, at, sums = words.tolist(), warp, [0.0] * 32
    for _ in range(hops):
        for lane in range(32):
            sums[lane] += 36.0 * (nodes[at][lane] & 255)  # weights 1 to 8
        at = nodes[at][0]
    return sums


@pytest.mark.parametrize("name", ["low_occupancy_registers", "low_occupancy_shared"])
def test_each_warp_follows_its_own_list(kernel_bench: Bench, name: str) -> None:
    step = STEPS[name](kernel_bench)
    counted, got = counts(step), output(step)
    words, warps = lists(kernel_bench, 1 << 10), got.numel() // 32
    hops = round(counted["bytes"] / (128 * warps))
    assert hops == 48 and counted["flops"] == 16 * got.numel() * hops
    for warp in (0, warps - 1):
        assert got[32 * warp : 32 * (warp + 1)].tolist() == followed(words, hops, warp)


def test_the_lists_have_no_dead_end(kernel_bench: Bench) -> None:
    assert sorted(lists(kernel_bench, 1 << 10)[:, 0].tolist()) == list(range(1 << 10))


@pytest.mark.parametrize("kind", ["", " (fix)"])
def test_the_histogram_counts_each_element(kernel_bench: Bench, kind: str) -> None:
    torch, step = kernel_bench.torch, STEPS[f"atomics_contention{kind}"](kernel_bench)
    for _ in range(2):  # bins start at zero each time
        counted = counts(step)
    n = round(counted["bytes"] / 4)
    values = torch.randint(0, 1 << 30, (n,), generator=generator(kernel_bench), dtype=torch.int32)
    assert output(step).tolist() == torch.bincount(values & 7).tolist()

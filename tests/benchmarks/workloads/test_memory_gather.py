"""Gather, sparse product, sort and FFT: results against plain torch, bytes against the operands' sizes."""

from __future__ import annotations

import math

import pytest

from benchmarks.workloads.memory_gather import WORKLOADS, banded
from benchmarks.workloads.parts import generator, normal
from benchmarks.workloads.spec import Bench
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)


@pytest.mark.parametrize("name", STEPS)
def test_values_stay_finite_and_follow_the_seed(plain_bench: Bench, name: str) -> None:
    assert finite_after(plain_bench.torch, STEPS[name](plain_bench))
    assert same_for_a_seed(plain_bench, STEPS[name])


def test_a_step_gathers_every_row_twice(plain_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = plain_bench.torch
    real, read, moved = torch.nn.functional.embedding, [], []

    def watched(indices: object, table: object) -> object:
        rows = real(indices, table)
        read.extend(indices.tolist())  # type: ignore[attr-defined]
        moved.append(2 * rows.nbytes + indices.nbytes)  # type: ignore[attr-defined]
        return rows

    monkeypatch.setattr(torch.nn.functional, "embedding", watched)
    assert counts(STEPS["embedding_gather"](plain_bench))["bytes"] == sum(moved)
    assert sorted(read) == sorted(2 * list(range(256)))


def test_spmv_reads_the_matrix_once(plain_bench: Bench) -> None:
    torch = plain_bench.torch
    step = STEPS["spmv"](plain_bench)
    counted, y = counts(step), output(step)
    matrix = banded(plain_bench, y.numel())
    stored = matrix.values().nbytes + matrix.col_indices().nbytes + matrix.crow_indices().nbytes
    assert counted["bytes"] == 10 * (stored + 2 * y.nbytes)
    x = normal(plain_bench, generator(plain_bench), y.numel())
    torch.testing.assert_close(y, matrix.to_dense() @ x, atol=1e-4, rtol=1e-4)


def test_a_row_of_the_band_has_32_columns_in_order(plain_bench: Bench) -> None:
    columns = banded(plain_bench, 256).col_indices().view(256, 32)
    assert bool((columns.diff(dim=1) == 1).all())
    assert int(columns.min()) == 0 and int(columns.max()) == 255


def test_the_sort_sorts_and_counts_four_passes_and_its_preparation(plain_bench: Bench) -> None:
    step = STEPS["sort"](plain_bench)
    counted, keys = counts(step), output(step)
    assert bool((keys.diff() >= 0).all())
    digit_pass = keys.numel() * 2 * (4 + 8)
    places = keys.numel() * 8
    assert counted["bytes"] == 4 * digit_pass + keys.nbytes + places


def test_the_fft_keeps_energy_and_counts_each_point_twice(plain_bench: Bench) -> None:
    step = STEPS["fft_batched"](plain_bench)
    counted, y = counts(step), output(step)
    x = normal(plain_bench, generator(plain_bench), *y.shape, dtype="complex64")
    assert float((y.abs() ** 2).sum()) == pytest.approx(1024 * float((x.abs() ** 2).sum()), rel=1e-4)
    assert counted["bytes"] == 6 * (x.nbytes + y.nbytes)
    assert counted["flops"] / counted["bytes"] == pytest.approx(5 * math.log2(1024) / 16)

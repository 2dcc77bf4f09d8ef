"""fp32, fp64 and the FMA kernel: FLOPs, results, and that the fix is TF32 and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workloads.compute_plain import WORKLOADS
from benchmarks.workloads.parts import generator, normal
from benchmarks.workloads.spec import Bench
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)
GEMMS = [name for name in STEPS if name.startswith("gemm")]


@pytest.mark.parametrize("name", GEMMS)
def test_gemms_count_what_torch_counts_and_stay_finite(plain_bench: Bench, name: str) -> None:
    step = STEPS[name](plain_bench)
    with FlopCounterMode(display=False) as seen:
        counted = counts(step)
    assert counted["flops"] == seen.get_total_flops() > 0
    assert finite_after(plain_bench.torch, step)
    assert same_for_a_seed(plain_bench, STEPS[name])


def test_the_fix_is_tf32_and_the_base_is_not(plain_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, seen = plain_bench.torch, []
    real, flags = torch.mm, torch.backends.cuda.matmul

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(flags.fp32_precision)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "mm", watched)
    base, fixed = (STEPS[f"gemm_fp32_no_tf32{kind}"](plain_bench) for kind in ("", " (fix)"))
    assert counts(base) == counts(fixed)
    assert seen == ["ieee", "tf32"]


def test_the_kernel_does_its_fmas_on_every_value(
    kernel_bench: Bench, launches: list[tuple[str, int, int, int]]
) -> None:
    torch, step = kernel_bench.torch, STEPS["fma_dense"](kernel_bench)
    counted, got = counts(step), output(step)
    ((_, grid, block, _),) = launches
    x = normal(kernel_bench, generator(kernel_bench), grid * block, 8)
    v, rounds = x.double(), round(counted["flops"] / (2 * x.numel()))
    for _ in range(rounds):
        v = v * (1 - 2.0**-20) + 2.0**-20
    assert rounds == 32 and not torch.equal(got, x)
    torch.testing.assert_close(got.double(), v, atol=1e-5, rtol=1e-5)


def test_the_kernels_values_stay_finite_and_follow_the_seed(kernel_bench: Bench) -> None:
    assert finite_after(kernel_bench.torch, STEPS["fma_dense"](kernel_bench), 2)
    assert same_for_a_seed(kernel_bench, STEPS["fma_dense"])

"""GEMMs: FLOPs against torch's own counter, flags for the step alone, and cards that lack a precision."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workloads.compute_gemm import WORKLOADS
from benchmarks.workloads.spec import Bench, UnavailableError
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)


@pytest.mark.parametrize("name", STEPS)
def test_values_stay_finite_and_follow_the_seed(plain_bench: Bench, name: str) -> None:
    assert finite_after(plain_bench.torch, STEPS[name](plain_bench))
    assert same_for_a_seed(plain_bench, STEPS[name])


@pytest.mark.parametrize("name", [name for name in STEPS if name != "gemm_int8"])
def test_flops_are_what_torch_counts(plain_bench: Bench, name: str) -> None:
    step = STEPS[name](plain_bench)
    with FlopCounterMode(display=False) as seen:
        counted = counts(step)
    assert counted["flops"] == seen.get_total_flops() > 0


def test_int8_counts_two_operations_a_term(plain_bench: Bench) -> None:
    # torch's counter knows floating-point products only.
    step = STEPS["gemm_int8"](plain_bench)
    assert counts(step)["flops"] == 8 * output(step).numel() * 64 * 2


@pytest.mark.parametrize(
    ("name", "out"), [("gemm_fp16", "float16"), ("gemm_fp8", "bfloat16"), ("gemm_int8", "int32")]
)
def test_results_have_the_precision_of_their_sums(plain_bench: Bench, name: str, out: str) -> None:
    step = STEPS[name](plain_bench)
    step()
    assert output(step).dtype == getattr(plain_bench.torch, out)


def test_tf32_is_allowed_within_the_step_alone(plain_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, seen = plain_bench.torch, []
    real, flags = torch.mm, torch.backends.cuda.matmul

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(flags.fp32_precision)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "mm", watched)
    before = flags.fp32_precision
    STEPS["gemm_tf32"](plain_bench)()
    assert seen == ["tf32"] * 4
    assert flags.fp32_precision == before != "tf32"


def test_a_card_without_fp8_says_so() -> None:
    fake = SimpleNamespace(cuda=SimpleNamespace(get_device_capability=lambda: (8, 0)), __version__="2.11.0")
    bench = Bench(torch=fake, cupy=lambda: None, device="cuda", small=True, seed=0, scratch="")
    with pytest.raises(UnavailableError, match=r"fp8_e4m3 needs compute capability ≥ 8\.9"):
        STEPS["gemm_fp8"](bench)

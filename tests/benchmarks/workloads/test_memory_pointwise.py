"""Pointwise workloads: bytes against what torch's operators move, and the fused chain's result."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from benchmarks.workloads.memory_pointwise import WORKLOADS, chain, fused, fused_by_kernel
from benchmarks.workloads.parts import generator, normal
from benchmarks.workloads.spec import Bench
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)


@pytest.mark.parametrize("name", ["elementwise_chain", "layer_norm_softmax"])
def test_bytes_are_what_torch_moves(plain_bench: Bench, name: str) -> None:
    from tests.benchmarks.workloads.traffic import Traffic

    step = STEPS[name](plain_bench)
    with Traffic() as seen:
        counted = counts(step)
    assert counted["bytes"] == pytest.approx(seen.bytes, rel=2e-3)  # a row's mean and deviation are left out


@pytest.mark.parametrize("name", STEPS)
def test_values_stay_finite_and_follow_the_seed(plain_bench: Bench, name: str) -> None:
    assert finite_after(plain_bench.torch, STEPS[name](plain_bench))
    assert same_for_a_seed(plain_bench, STEPS[name])


def test_the_fix_computes_the_same_with_two_streams(plain_bench: Bench) -> None:
    base, fixed = (STEPS[f"elementwise_chain{kind}"](plain_bench) for kind in ("", " (fix)"))
    moved, less = counts(base)["bytes"], counts(fixed)["bytes"]
    assert plain_bench.torch.equal(output(base), output(fixed))
    assert moved / less == 7.0


def test_the_fused_kernel_computes_the_chain(
    kernel_bench: Bench, launches: list[tuple[str, int, int, int]]
) -> None:
    torch = kernel_bench.torch
    x = normal(kernel_bench, generator(kernel_bench), 4096)
    y, wanted = torch.full_like(x, 9.0), torch.empty_like(x)
    torch.testing.assert_close(fused_by_kernel(kernel_bench, x, y)(), chain(torch, x, wanted))
    assert launches == [("chain", 4, 256, 0)]


def test_without_cupy_torch_compiles_the_chain(plain_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, compiled = plain_bench.torch, []

    def compile_(function: Any) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    x = normal(plain_bench, generator(plain_bench), 4096)
    on_card = msgspec.structs.replace(plain_bench, device="cuda")
    got = fused(on_card, x, torch.empty_like(x))()
    torch.testing.assert_close(got, chain(torch, x, torch.empty_like(x)))
    assert len(compiled) == 1


def test_adam_moves_seven_streams(plain_bench: Bench) -> None:
    step = STEPS["adam_step"](plain_bench)
    counted = counts(step)
    parameters = 16 * output(step).numel()
    assert counted["bytes"] == 3 * 7 * 4 * parameters

"""Networks: FLOPs against torch's own counter (attention's causal half apart), and stable training."""

from __future__ import annotations

from typing import Any

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workloads.compute_nets import WORKLOADS, Transformer, causal_flops
from benchmarks.workloads.parts import generator, normal
from benchmarks.workloads.spec import Bench, Step
from tests.benchmarks.workloads.bench import counts, finite_after, output, same_for_a_seed, variants

STEPS = variants(WORKLOADS)


def seen_flops(step: Step) -> dict[str, float]:
    """By operator, of one step; attention as two products of all pairs."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as seen:
        step()
    return {str(op).removeprefix("aten."): float(n) for op, n in seen.get_flop_counts()["Global"].items()}


@pytest.mark.parametrize("name", STEPS)
def test_values_stay_finite_and_follow_the_seed(plain_bench: Bench, name: str) -> None:
    assert finite_after(plain_bench.torch, STEPS[name](plain_bench))
    assert same_for_a_seed(plain_bench, STEPS[name])


def test_convolutions_count_what_torch_counts(plain_bench: Bench) -> None:
    step = STEPS["conv_net"](plain_bench)
    before = plain_bench.torch.backends.cudnn.benchmark
    assert counts(step)["flops"] == sum(seen_flops(step).values())
    assert plain_bench.torch.backends.cudnn.benchmark == before


def test_attention_counts_the_causal_half_of_what_torch_counts(plain_bench: Bench) -> None:
    step = STEPS["attention_prefill"](plain_bench)
    flops = counts(step)["flops"]
    length = output(step).shape[2]
    assert flops == sum(seen_flops(step).values()) * (length + 1) / (2 * length)
    assert causal_flops(1, 1, 2, 8) == 3 * 4 * 8


def test_training_counts_all_products_and_the_causal_half_of_attention(plain_bench: Bench) -> None:
    step = STEPS["transformer_train"](plain_bench)
    seen, length = seen_flops(step), 16
    attention = sum(n for op, n in seen.items() if op.startswith("bmm"))
    products = sum(seen.values()) - attention
    assert attention > 0
    # The first block's input takes no gradient, so that one product of six a layer is not made.
    unneeded = 2.0 * (2 * length) * 3 * 32 * 32
    counted = counts(step)["flops"]
    assert counted == products + attention * (length + 1) / (2 * length) + unneeded


def test_training_lowers_the_loss(plain_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.workloads.compute_nets._LEARNING_RATE", 1e-2)
    step = STEPS["transformer_train"](plain_bench)
    step()
    first = float(output(step))
    for _ in range(20):
        step()
    assert float(output(step)) < 0.9 * first


def test_a_token_sees_none_after_it(plain_bench: Bench) -> None:
    torch: Any = plain_bench.torch
    model = Transformer(plain_bench, 32, 2, 16)
    x = normal(plain_bench, generator(plain_bench), 1, 8, 32, dtype="bfloat16")
    changed = x.clone()
    changed[:, 5:] += 1.0
    with torch.no_grad():
        assert torch.equal(model(x)[:, :5], model(changed)[:, :5])
        assert not torch.equal(model(x)[:, 5:], model(changed)[:, 5:])

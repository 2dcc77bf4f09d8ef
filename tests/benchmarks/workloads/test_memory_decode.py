"""Decoding: bytes are the weights or the cache, and the fix makes as many tokens of one read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workloads.memory_decode import WORKLOADS, layers
from benchmarks.workloads.parts import captured
from benchmarks.workloads.spec import Bench
from tests.benchmarks.workloads.bench import counts, finite_after, same_for_a_seed, variants

STEPS = variants(WORKLOADS)
DENSE = [name for name in STEPS if name.startswith("decode")]


@pytest.mark.parametrize("name", STEPS)
def test_values_stay_finite_and_follow_the_seed(plain_bench: Bench, name: str) -> None:
    assert finite_after(plain_bench.torch, STEPS[name](plain_bench))
    assert same_for_a_seed(plain_bench, STEPS[name])


@pytest.mark.parametrize("name", DENSE)
def test_a_pass_reads_all_weights_once(plain_bench: Bench, name: str) -> None:
    step = STEPS[name](plain_bench)
    with FlopCounterMode(display=False) as seen:
        counted = counts(step)
    passes = 1 if name.endswith("(fix)") else 8
    assert counted["bytes"] == passes * sum(w.nbytes for w in layers(plain_bench))
    assert counted["flops"] == seen.get_total_flops()


def test_attention_reads_keys_and_values(plain_bench: Bench) -> None:
    from tests.benchmarks.workloads.traffic import Traffic

    step = STEPS["kv_cache_attention"](plain_bench)
    with Traffic() as seen:
        counted = counts(step)
    assert counted["bytes"] == pytest.approx(seen.bytes, rel=1e-3)  # the logarithms of sums are left out


def test_activations_keep_their_size(plain_bench: Bench) -> None:
    torch = plain_bench.torch
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    for weight in 30 * layers(plain_bench):
        x = torch.nn.functional.linear(x, weight)
    assert 1e-2 < float(x.float().std()) < 1e2


class FakeGraphs:
    """As much of torch.cuda as a capture needs. events: what happened, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.cuda = SimpleNamespace(
            Stream=lambda: SimpleNamespace(wait_stream=lambda _: self.events.append("side waits")),
            current_stream=lambda: SimpleNamespace(wait_stream=lambda _: self.events.append("main waits")),
            CUDAGraph=lambda: SimpleNamespace(replay=lambda: self.events.append("replay")),
            stream=lambda _: self._within("side"),
            graph=lambda _: self._within("capture"),
        )

    def _within(self, name: str) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def scope() -> Any:
            self.events.append(f"{name} begins")
            yield
            self.events.append(f"{name} ends")

        return scope()


def test_a_graph_is_captured_after_warm_calls_and_then_replayed() -> None:
    fake = FakeGraphs()

    def call() -> str:
        fake.events.append("call")
        return "buffer"

    bench = Bench(torch=fake, cupy=lambda: None, device="cuda", small=True, seed=0, scratch="")
    replay = captured(bench, call)
    warm = ["side waits", "side begins", "call", "call", "call", "side ends", "main waits"]
    assert fake.events == [*warm, "capture begins", "call", "capture ends"]
    assert replay() == "buffer" and fake.events[-1] == "replay"

"""Compute-bound networks in bf16: convolutions, attention over long prompts, a transformer's training step.

FLOPs are those of the definition: an implementation that recomputes (attention's backward pass) does more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.workloads.attention import by_backend
from benchmarks.workloads.parts import Loop, fitting, generator, held, normal
from benchmarks.workloads.spec import Bench, Step, Workload

_HALF = 2
_HEAD = 128
_LEARNING_RATE = 1e-6


def _conv_net(bench: Bench) -> Step:
    """Six 3x3 convolutions of 1024 channels over 128 images of 28x28, each with a ReLU; inference.

    FLOPs: 2·9·channels² a pixel and layer, as of a direct convolution (padding counts). The ReLUs count none.
    """
    torch, source = bench.torch, generator(bench)
    channels, side, depth = bench.of(1024, 8), bench.of(28, 8), bench.of(6, 2)
    images = fitting(bench, bench.of(128, 2), 4.0 * _HALF * channels * side * side)
    weights = [_kernel(bench, source, channels) for _ in range(depth)]
    x = normal(bench, source, images, channels, side, side, dtype="bfloat16")
    x = x.contiguous(memory_format=torch.channels_last)

    def call() -> Any:
        y = x
        with torch.no_grad(), held(torch.backends.cudnn, "benchmark", True):
            for weight in weights:
                y = torch.relu_(torch.nn.functional.conv2d(y, weight, padding=1))
        return y

    return Loop(call, 1, flops=2.0 * 9 * channels**2 * images * side * side * depth)


def _kernel(bench: Bench, source: Any, channels: int) -> Any:
    """He's initialisation, under which a layer and its ReLU keep the size of what passes through."""
    scale = math.sqrt(2.0 / (9 * channels))
    weight = normal(bench, source, channels, channels, 3, 3, dtype="bfloat16", scale=scale)
    return weight.contiguous(memory_format=bench.torch.channels_last)


def causal_flops(batch: int, heads: int, length: int, head: int) -> float:
    """Of attention's forward pass: 4·head for each pair of a query with a key not after it."""
    return 4.0 * head * batch * heads * length * (length + 1) / 2


def _attention_prefill(bench: Bench) -> Step:
    """Causal attention over prompts of 16384 tokens, 32 heads of 128, two prompts, three times.

    FLOPs: 4·head a pair of tokens, half of all pairs. By cuDNN where it can, which on Hopper comes nearest to
    the tensor cores' ceiling.
    """
    torch, source = bench.torch, generator(bench)
    heads, length = bench.of(32, 2), bench.of(16384, 48)
    batch = fitting(bench, bench.of(2, 1), 5.0 * _HALF * heads * length * _HEAD)
    q, k, v = (normal(bench, source, batch, heads, length, _HEAD, dtype="bfloat16") for _ in range(3))

    def attend() -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    run, by = by_backend(bench, "CUDNN_ATTENTION", attend)
    return Loop(run, 3, flops=causal_flops(batch, heads, length, _HEAD), **{by: 1.0})


class Transformer:
    """Blocks of a decoder, normalised before attention and before the feed-forward layer; weights as tensors.

    width is a multiple of the heads' 128 but in small. A block has 12·width² weights.
    """

    def __init__(self, bench: Bench, width: int, depth: int, head: int) -> None:
        self._torch, self.width, self.head = bench.torch, width, head
        source = generator(bench)
        shapes = ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width))
        self.blocks = [[_weight(bench, source, *shape) for shape in shapes] for _ in range(depth)]

    @property
    def weights(self) -> list[Any]:
        """All of them."""
        return [weight for block in self.blocks for weight in block]

    def __call__(self, x: Any) -> Any:
        """Activations after all blocks; x is batch × length × width."""
        for qkv, out, up, down in self.blocks:
            x = x + self._attention(self._norm(x), qkv, out)
            x = x + self._feed_forward(self._norm(x), up, down)
        return x

    def flops(self, batch: int, length: int) -> float:
        """Of a training step: three times the forward pass, which is 2 a weight and token, and attention."""
        tokens, count = batch * length, sum(w.numel() for w in self.weights)
        heads = self.width // self.head
        attention = len(self.blocks) * causal_flops(batch, heads, length, self.head)
        return 3.0 * (2.0 * float(count) * tokens + attention)

    def _norm(self, x: Any) -> Any:
        return self._torch.nn.functional.layer_norm(x, (self.width,))

    def _attention(self, x: Any, qkv: Any, out: Any) -> Any:
        functional = self._torch.nn.functional
        batch, length, width = x.shape
        split = functional.linear(x, qkv).view(batch, length, 3, width // self.head, self.head)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return functional.linear(y.transpose(1, 2).reshape(batch, length, width), out)

    def _feed_forward(self, x: Any, up: Any, down: Any) -> Any:
        functional = self._torch.nn.functional
        return functional.linear(functional.gelu(functional.linear(x, up), approximate="tanh"), down)


def _weight(bench: Bench, source: Any, rows: int, columns: int) -> Any:
    data = normal(bench, source, rows, columns, dtype="bfloat16", scale=columns**-0.5)
    return bench.torch.nn.Parameter(data)


class TrainingStep:
    """One step of training against random targets. output: the loss."""

    def __init__(self, bench: Bench, model: Transformer, batch: int, length: int) -> None:
        torch, source = bench.torch, generator(bench)
        shape = (batch, length, model.width)
        self._torch, self._model = torch, model
        self._x, self._target = (normal(bench, source, *shape, dtype="bfloat16") for _ in range(2))
        self._optimiser = torch.optim.AdamW(model.weights, lr=_LEARNING_RATE, fused=True)
        self._counts = {"flops": model.flops(batch, length)}
        self.output: Any = None

    def __call__(self) -> Mapping[str, float]:
        loss = self._torch.nn.functional.mse_loss(self._model(self._x), self._target)
        loss.backward()
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.output = loss.detach()
        return self._counts


def _transformer_train(bench: Bench) -> Step:
    """Two blocks of width 4096 over eight sequences of 2048 tokens: forward, backward, fused AdamW.

    FLOPs: 6 a weight and token, and attention's causal half three times; all else counts none.
    Activations take some 40 times the width a token and block.
    """
    width, depth, length = bench.of(4096, 32), bench.of(2, 1), bench.of(2048, 16)
    model = Transformer(bench, width, depth, bench.of(_HEAD, 16))
    batch = fitting(bench, bench.of(8, 2), 40.0 * _HALF * depth * length * width)
    return TrainingStep(bench, model, batch, length)


def _workload(name: str, setup: Callable[[Bench], Step], about: str) -> Workload:
    return Workload(
        name=name,
        family="compute_nets",
        label="compute",
        cause="tensor-cores",
        truth="pure",
        about=about,
        setup=setup,
        bound=("bf16", "flops"),
    )


WORKLOADS: tuple[Workload, ...] = (
    _workload("conv_net", _conv_net, "Wide 3x3 convolutions: some 4600 FLOP for each byte of activations."),
    _workload(
        "attention_prefill", _attention_prefill, "Attention over long prompts: FLOPs grow with the square."
    ),
    _workload(
        "transformer_train", _transformer_train, "Large layers and a large batch: nearly all time is GEMMs."
    ),
)

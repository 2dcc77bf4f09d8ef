"""Published and measured figures that what-ifs and findings rest on, each with its source."""

from __future__ import annotations

import itertools
import math

# ML.ENERGY, one H100, Llama-3.1-8B bf16 under vLLM: requests at once -> tokens a second. 768 gives 9,603.
BATCH_CURVE: tuple[tuple[float, float], ...] = (
    (8, 1070.0),
    (16, 1954.0),
    (32, 3391.0),
    (64, 5147.0),
    (128, 7037.0),
    (256, 9010.0),
    (512, 9806.0),
)
CURVE_SOURCE = "Llama-3.1-8B bf16 on an H100 under vLLM (ML.ENERGY)"
# From 256 to 512 it gains a tenth and a token takes twice as long: nobody goes further.
KNEE = 256.0
# Of the same curve, when the batch doubles from 8 to 16; from 256 to 512 it is 1.09, and beyond a loss.
BATCH_HIGH = 1.83
DOUBLING = f"1.09x (256 to 512) to {BATCH_HIGH:g}x (8 to 16)"
# 16.06 GB of weights over 3.35 TB/s: the part of a step that halving them can halve.
_WEIGHTS_S = 4.79e-3

# ML.ENERGY, Qwen3-235B on 8 H100s, fp8 over bf16: tokens a second at batch 8, and at batch 128.
FP8_LOW = 0.81
FP8_SOURCE = "Qwen3-235B on 8 H100s (ML.ENERGY): 0.81x at batch 8, 1.08x at batch 128"

# CUDA graphs: llama.cpp on an RTX 3090, and 8.4 to 5.1 ms a step of an 8B model on an H100. torch.compile:
# geometric means of inference and of training over 163 models. Means are no maximum: the bound is.
GRAPHS_LOW, COMPILED = 1.03, 2.27
GRAPHS_SOURCE = (
    "CUDA graphs were seen to buy 1.03x (llama.cpp, RTX 3090) to 1.65x (8B model, H100), torch.compile 2.27x "
    "in inference and 1.41x in training (geometric means of 163 models)"
)

# Gao et al., ICSE'24: what pinning the memory of copies alone bought.
PINNED_LOW, PINNED_HIGH = 1.03, 1.15
PINNED_SOURCE = "pinned memory alone bought 1.03x to 1.15x (Gao et al., ICSE'24)"


def curve_tok_s(requests: float) -> float:
    """Tokens a second of the curve at so many requests at once, in proportion below 8, flat above 512."""
    (first, least), (last, most) = BATCH_CURVE[0], BATCH_CURVE[-1]
    if requests <= first:
        return least * max(0.0, requests) / first
    if requests >= last:
        return most
    (low, below), (high, above) = next(
        pair for pair in itertools.pairwise(BATCH_CURVE) if requests <= pair[1][0]
    )
    where: float = math.log(requests / low) / math.log(high / low)
    return below * math.pow(above / below, where)


def curve_requests(tok_s: float) -> float | None:
    """Requests at once at which the curve gives so many tokens a second; None beyond its knee."""
    if not 0.0 <= tok_s <= curve_tok_s(KNEE):
        return None
    low, high = 0.0, KNEE
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (middle, high) if curve_tok_s(middle) < tok_s else (low, middle)
    return high


def curve_step_s(requests: float) -> float:
    """Seconds between a request's tokens on that curve."""
    held = max(1.0, requests)
    return held / curve_tok_s(held)


def weights_part(requests: float) -> float:
    """Part of a decoding step in which weights are read, on that curve: 0.64 at 8 requests, 0.17 at 256."""
    return min(1.0, _WEIGHTS_S / curve_step_s(requests))

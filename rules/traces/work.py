"""Work of an operator from its shapes: floating-point operations, and bytes that must move at least.

Conventions are those of torch.utils.flop_counter: a multiply-add is two operations, and only products of
matrices count (linear layers, convolutions, attention). Bytes are each input read once and each output
written once, as if caches were perfect: no kernel can move fewer, most move more. What shapes do not tell is
None, with the reason.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from rules.traces.work_attention import Attention, attention
from rules.traces.work_bytes import copies, gather, index_select, looks_up, moves, normalises, reads, writes
from rules.traces.work_matrix import (
    Formula,
    Places,
    convolution,
    convolution_backward,
    dot,
    grouped,
    input_gradient,
    linear,
    matmul,
    product,
    vector,
    weight_gradient,
)
from rules.traces.work_shapes import Operands, Work


@lru_cache(maxsize=16384)
def operator_work(
    name: str, dims: tuple[tuple[int, ...], ...], types: tuple[str, ...], concrete: tuple[str, ...]
) -> Work:
    """Work of one call. Arguments as of advisor.traces.timeline.Op; any text may be hostile."""
    formula = _formula(name)
    if formula is None:
        return Work(unknown="no formula for this operator")
    if not any(dims):
        return Work(unknown="the trace holds no shapes (record_shapes=True)")
    given = Operands(dims, types, concrete)
    if any(n < 0 for shape in dims for n in shape):
        return Work(unknown="a size below zero")
    try:
        found = formula(given)
    except (IndexError, ValueError, ZeroDivisionError, OverflowError):
        return Work(unknown="shapes that do not fit the operator")
    return msgspec.structs.replace(found, dtype=given.dtype())


def _formula(name: str) -> Formula | None:
    short = name.rpartition("::")[2]
    return _FORMULAS.get(short) or _FORMULAS.get(short.removesuffix("_"))


_UNARY = (
    "abs neg exp exp2 expm1 log log2 log1p sqrt rsqrt reciprocal sin cos tanh sigmoid relu gelu silu mish "
    "hardtanh hardswish elu leaky_relu softplus clamp clamp_min clamp_max pow square floor ceil round sign "
    "erf logit bitwise_not logical_not nan_to_num isnan isinf clone contiguous cumsum tril triu dropout "
    "bernoulli hardsigmoid log_sigmoid_forward"
)
_BINARY = (
    "add sub rsub mul div true_divide floor_divide remainder fmod atan2 maximum minimum lerp addcmul addcdiv "
    "where masked_fill bitwise_and bitwise_or logical_and logical_or logical_xor threshold_backward "
    "gelu_backward silu_backward sigmoid_backward tanh_backward elu_backward hardtanh_backward threshold "
    "leaky_relu_backward mse_loss_backward native_dropout_backward"
)
_COMPARES = "eq ne lt le gt ge isnan isinf isfinite logical_not logical_and logical_or logical_xor"
_REDUCES = (
    "sum mean amax amin max min argmax argmin prod all any norm linalg_vector_norm std var logsumexp nansum"
)

_CUDNN = Places(padding=2, stride=3, dilation=4)
_GENERAL = Places(padding=4, stride=3, dilation=5, transposed=6)
_FORMULAS: dict[str, Formula] = {
    **dict.fromkeys(_UNARY.split(), moves((0,), 1)),
    **dict.fromkeys(_BINARY.split(), moves(None, 1)),
    **dict.fromkeys(_COMPARES.split(), moves(None, 1, out_bytes=1)),
    **dict.fromkeys(_REDUCES.split(), reads),
    "mm": product(0, batched=False),
    "addmm": product(1, batched=False),
    "_addmm_activation": product(1, batched=False),
    "bmm": product(0, batched=True),
    "baddbmm": product(1, batched=True),
    "_scaled_mm": product(0, batched=False),
    "_int_mm": product(0, batched=False),
    "_grouped_mm": grouped,
    "_scaled_grouped_mm": grouped,
    "linear": linear,
    "matmul": matmul,
    "mv": vector(0),
    "addmv": vector(1),
    "dot": dot,
    "vdot": dot,
    "convolution": convolution(_GENERAL),
    "_convolution": convolution(_GENERAL),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolution(Places(padding=4, stride=3, dilation=5))),
    "cudnn_convolution": convolution(_CUDNN),
    "cudnn_convolution_relu": convolution(Places(padding=4, stride=3, dilation=5)),
    "miopen_convolution": convolution(Places(padding=3, stride=4, dilation=5)),
    "_conv_depthwise2d": convolution(Places(padding=5, stride=4, dilation=6)),
    "cudnn_convolution_transpose": convolution(
        Places(padding=2, stride=4, dilation=5, always_transposed=True)
    ),
    "convolution_backward": convolution_backward,
    "cudnn_convolution_backward_input": input_gradient,
    "cudnn_convolution_backward_weight": weight_gradient,
    "miopen_convolution_backward_input": input_gradient,
    "miopen_convolution_backward_weight": weight_gradient,
    "scaled_dot_product_attention": attention(Attention(0, 5, True, 2)),
    "_scaled_dot_product_flash_attention": attention(Attention(0, 4, True, 2)),
    "_scaled_dot_product_efficient_attention": attention(Attention(0, 6, True, 2)),
    "_scaled_dot_product_cudnn_attention": attention(Attention(0, 6, True, 2)),
    "_flash_attention_forward": attention(Attention(0, 8, False, 2, lengths=3)),
    "_efficient_attention_forward": attention(Attention(0, 9, False, 2, lengths=4, mask_type=True)),
    "_scaled_dot_product_flash_attention_backward": attention(Attention(1, 11, True, 5)),
    "_flash_attention_backward": attention(Attention(1, 11, False, 5, lengths=6)),
    "_scaled_dot_product_efficient_attention_backward": attention(Attention(1, 11, True, 5)),
    "_scaled_dot_product_cudnn_attention_backward": attention(Attention(1, 14, True, 5)),
    "native_layer_norm": normalises(0, (2, 3), 2),
    "layer_norm": normalises(0, (2, 3), 2),
    "native_layer_norm_backward": normalises(0, (5, 6), 3),
    "rms_norm": normalises(0, (2,), 2),
    "_fused_rms_norm": normalises(0, (2,), 2),
    "native_group_norm": normalises(0, (1, 2), 2),
    **dict.fromkeys(
        (
            "cudnn_batch_norm",
            "native_batch_norm",
            "miopen_batch_norm",
            "batch_norm",
            "_native_batch_norm_legit",
        ),
        normalises(0, (), 2),
    ),
    **dict.fromkeys(
        ("cudnn_batch_norm_backward", "native_batch_norm_backward", "miopen_batch_norm_backward"),
        normalises(0, (), 3),
    ),
    "_softmax": moves((0,), 1),
    "_log_softmax": moves((0,), 1),
    "softmax": moves((0,), 1),
    "log_softmax": moves((0,), 1),
    "_softmax_backward_data": moves((0, 1), 1),
    "_log_softmax_backward_data": moves((0, 1), 1),
    "copy": copies,
    "fill": writes,
    "zero": writes,
    "embedding": looks_up(0, 1),
    "index_select": index_select,
    "gather": gather,
}

__all__ = ["Work", "operator_work"]

"""Work from shapes: the same operations as torch counts, and the bytes that a pencil gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.traces.work import Work, operator_work

Shapes = tuple[tuple[int, ...], ...]


def work(name: str, dims: Shapes, dtype: str = "float", concrete: tuple[str, ...] = ()) -> Work:
    return operator_work(name, dims, tuple(dtype for _ in dims), concrete)


def _conv(torch: Any, **how: Any) -> Callable[..., Any]:
    return lambda x, w: torch.nn.functional.conv2d(x, w, **how)


def _conv_text(stride: int, padding: int, dilation: int = 1, groups: int = 1) -> tuple[str, ...]:
    return ("", "", "", f"[{stride}, {stride}]", f"[{padding}, {padding}]", f"[{dilation}, {dilation}]",
            "False", "[0, 0]", str(groups))  # fmt: skip


_AS_TORCH: tuple[tuple[str, Shapes, tuple[str, ...], Callable[[Any], Callable[..., Any]]], ...] = (
    ("aten::mm", ((33, 65), (65, 17)), (), lambda t: t.mm),
    ("aten::addmm", ((17,), (33, 65), (65, 17)), (), lambda t: t.addmm),
    ("aten::bmm", ((4, 33, 65), (4, 65, 17)), (), lambda t: t.bmm),
    ("aten::baddbmm", ((4, 33, 17), (4, 33, 65), (4, 65, 17)), (), lambda t: t.baddbmm),
    ("aten::linear", ((2, 5, 64), (128, 64), (128,)), (), lambda t: t.nn.functional.linear),
    ("aten::matmul", ((2, 3, 5, 64), (64, 7)), (), lambda t: t.matmul),
    ("aten::matmul", ((2, 1, 5, 64), (3, 64, 7)), (), lambda t: t.matmul),
    ("aten::convolution", ((2, 16, 31, 31), (32, 16, 3, 3)), _conv_text(2, 1),
     lambda t: _conv(t, stride=2, padding=1)),
    ("aten::convolution", ((2, 16, 31, 31), (32, 4, 5, 5)), _conv_text(1, 2, 1, 4),
     lambda t: _conv(t, padding=2, groups=4)),
    ("aten::convolution", ((2, 16, 31, 31), (32, 16, 3, 3)), _conv_text(1, 0, 2),
     lambda t: _conv(t, dilation=2)),
    ("aten::cudnn_convolution", ((1, 3, 70, 70), (64, 3, 14, 14)),
     ("", "", "[0, 0]", "[14, 14]", "[1, 1]", "1", "False", "False", "True"), lambda t: _conv(t, stride=14)),
    ("aten::cudnn_convolution_transpose", ((2, 16, 9, 9), (16, 8, 4, 4)), (),
     lambda t: lambda x, w: t.nn.functional.conv_transpose2d(x, w, stride=2)),
    ("aten::scaled_dot_product_attention", ((2, 4, 33, 64),) * 3, ("", "", "", "", "0.", "False"),
     lambda t: t.ops.aten._scaled_dot_product_flash_attention),
)  # fmt: skip


def _named(value: object) -> str:
    """A test's name without addresses: those of functions differ from worker to worker."""
    return "call" if callable(value) else str(value)[:30]


@pytest.mark.parametrize(("name", "dims", "concrete", "call"), _AS_TORCH, ids=_named)
def test_operations_are_those_that_torch_counts(
    name: str, dims: Shapes, concrete: tuple[str, ...], call: Callable[[Any], Callable[..., Any]]
) -> None:
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
    tensors = [torch.empty(shape, device="meta") for shape in dims]
    with counter:
        call(torch)(*tensors)
    assert work(name, dims, concrete=concrete).flops == counter.get_total_flops() > 0


@pytest.mark.parametrize("mask", [(True, True), (False, True), (True, False)])
def test_a_convolutions_gradients_as_torch_counts_them(mask: tuple[bool, bool]) -> None:
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
    dims = ((2, 32, 15, 15), (2, 16, 31, 31), (32, 16, 3, 3))
    grad, x, w = (torch.empty(shape, device="meta") for shape in dims)
    with counter:
        torch.ops.aten.convolution_backward(
            grad, x, w, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1, [*mask, False]
        )
    text = ("", "", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1", str([*mask, False]))
    assert work("aten::convolution_backward", dims, concrete=text).flops == counter.get_total_flops() > 0


def test_attention_backward_recomputes_the_scores() -> None:
    """Five products, as torch.utils.flop_counter counts."""
    shape = (2, 4, 128, 64)
    text = ("",) * 11 + ("False",)
    found = work(
        "aten::_scaled_dot_product_flash_attention_backward", (shape,) * 5 + ((),) * 7, concrete=text
    )
    assert found.flops == 5 * 2 * 2 * 4 * 128 * 128 * 64


def test_causal_attention_computes_what_the_mask_shows() -> None:
    shape = (1, 128, 8, 64)
    dims = (shape, shape, shape, *((),) * 7)
    full = work("aten::_flash_attention_forward", dims, concrete=("",) * 8 + ("False", "False"))
    causal = work("aten::_flash_attention_forward", dims, concrete=("",) * 8 + ("True", "False"))
    untold = work("aten::_flash_attention_forward", dims)
    assert full.flops is not None
    assert causal.flops == pytest.approx(full.flops * 129 / 256)
    assert untold.flops == causal.flops
    assert untold.note.startswith("at least")
    assert full.note == ""


def test_bytes_of_a_product_are_its_operands_and_its_result() -> None:
    found = work("aten::mm", ((128, 64), (64, 256)), "c10::BFloat16")
    assert found.bytes == 2 * (128 * 64 + 64 * 256 + 128 * 256)
    assert found.dtype == "bf16"


def test_a_product_of_fp8_gives_two_bytes() -> None:
    found = work("aten::_scaled_mm", ((128, 64), (64, 256)), "c10::Float8_e4m3fn")
    assert found.bytes == 128 * 64 + 64 * 256 + 2 * 128 * 256
    assert (found.flops, found.dtype) == (2.0 * 128 * 64 * 256, "fp8")


@pytest.mark.parametrize(
    ("name", "dims", "expected"),
    [
        ("aten::mul", ((8, 16), ()), 2 * 4 * 128),
        ("aten::add_", ((8, 16), (16,)), 4 * (128 + 16 + 128)),
        ("aten::eq", ((8, 16), ()), 4 * 128 + 128),
        ("aten::_softmax", ((8, 16), (), ()), 2 * 4 * 128),
        ("aten::sum", ((8, 16),), 4 * 128),
        ("aten::fill_", ((8, 16), ()), 4 * 128),
        ("aten::native_layer_norm", ((8, 16), (), (16,), (16,), ()), 4 * (2 * 128 + 32)),
        ("aten::gather", ((8, 16), (), (8, 4)), 4 * (2 * 32 + 32)),
    ],
)
def test_bytes_that_must_move(name: str, dims: Shapes, expected: int) -> None:
    found = work(name, dims)
    assert found.bytes == expected
    assert found.flops is None
    assert found.unknown


def test_a_copy_reads_one_type_and_writes_another() -> None:
    found = operator_work("aten::copy_", ((8, 16), (8, 16), ()), ("c10::Half", "float", "Scalar"), ())
    assert found.bytes == 128 * 2 + 128 * 4


def test_rows_are_looked_up_by_index() -> None:
    found = operator_work("aten::embedding", ((1000, 64), (32,)), ("c10::BFloat16", "long int"), ())
    assert found.bytes == 2 * 32 * 64 * 2 + 32 * 8


@pytest.mark.parametrize(
    ("name", "dims", "reason"),
    [
        ("aten::cudnn_convolution", ((32, 3, 224, 224), (64, 3, 7, 7)), "stride and padding"),
        ("aten::cudnn_convolution_backward_weight", ((), (32, 64, 7, 7), (32, 64, 7, 7)), "filter's size"),
        ("aten::convolution_backward", ((1, 2, 3, 3),) * 3, "gradients"),
        ("aten::mm", ((3, 4), (5, 6)), "do not fit"),
        ("aten::mm", ((3, 4),), "do not fit"),
        ("aten::mm", ((), ()), "no shapes"),
        ("aten::mm", ((-3, 4), (4, 5)), "below zero"),
        ("aten::_foreach_add_", ((3,),), "no formula"),
        ("aten::index_select", ((3, 4), (), (2,)), "dimension"),
        ("aten::_flash_attention_forward", ((8, 4, 64),) * 3 + ((3,),) * 2, "lengths"),
    ],
)
def test_what_shapes_do_not_tell_is_unknown_with_the_reason(name: str, dims: Shapes, reason: str) -> None:
    found = work(name, dims)
    assert found.flops is None
    assert reason in found.unknown


def test_an_older_gradient_needs_no_stride() -> None:
    found = work("aten::cudnn_convolution_backward_input", ((), (32, 2048, 7, 7), (2048, 512, 1, 1)))
    assert found.flops == 2.0 * 32 * 2048 * 49 * 512


_NAMES = st.sampled_from([row[0] for row in _AS_TORCH] + ["aten::add", "aten::cat", "aten::copy_", "x"])
_SIZES = st.lists(st.integers(-2, 2**53 - 1), max_size=6).map(tuple)


@given(
    name=_NAMES,
    dims=st.lists(_SIZES, max_size=8).map(tuple),
    types=st.lists(st.sampled_from(["float", "c10::Half", "Scalar", "", "\x1b"]), max_size=8).map(tuple),
    concrete=st.lists(st.text(max_size=20), max_size=12).map(tuple),
)
@settings(max_examples=100, deadline=None)
def test_any_arguments_give_figures_or_a_reason(
    name: str, dims: Shapes, types: tuple[str, ...], concrete: tuple[str, ...]
) -> None:
    found = operator_work(name, dims, types, concrete)
    assert found.flops is None or found.flops >= 0.0
    assert found.flops is not None or found.unknown

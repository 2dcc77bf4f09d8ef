"""Shapes are chosen by what fits and what is fast; results are checked against float64."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from probes.counting import gemm_flops
from probes.lab import UnsupportedError
from probes.matmul import (
    Choice,
    Shape,
    Steady,
    build,
    choose,
    error_of,
    fits,
    flaw,
    gemm_bytes,
    look,
    measured,
    rate,
    settle,
)
from probes.operands import ELEMENT_BYTES, exact
from probes.precisions import PRECISIONS, Gemm, Precision, int_mm, mm, scaled_mm, scaled_mm_fast
from tests.probes.labs import CPU, TINY, SteadyTimer, lab

torch = pytest.importorskip("torch")

BY_METRIC = {p.metric: p for p in PRECISIONS}
SMALL, MIDDLE, LARGE = Shape(64, 64, 64), Shape(64, 128, 256), Shape(128, 128, 128)


class ShapeTimer(SteadyTimer):
    """Every shape runs at a rate of its own; `torch.mm` tells which one it is."""

    def __init__(self, flop_s: dict[Shape, float]) -> None:
        super().__init__()
        self.flop_s = flop_s

    def windows(self, call: Any, calls: int, count: int) -> list[float]:
        result = call()
        shape = next(s for s in self.flop_s if (s.m, s.n) == tuple(result.shape))
        return [calls * shape.flops / self.flop_s[shape]] * count


def test_a_shape_counts_its_operations() -> None:
    assert Shape(2048, 2048, 13312).flops == gemm_flops(2048, 2048, 13312) == 2 * 2048 * 2048 * 13312
    assert str(Shape(1, 2, 3)) == "1x2x3"


def test_packed_elements_count_each() -> None:
    fp4 = BY_METRIC["nvfp4"]
    gemm = build(lab(), fp4, LARGE)
    assert gemm.a.shape == (128, 64)
    assert fp4.operand_bytes(128, 128) == gemm.a.numel() == 128 * 128 / 2


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.metric)
def test_memory_counts_operands_result_and_their_making(precision: Precision) -> None:
    shape = Shape(96, 160, 256)
    gemm = build(lab(), precision, shape)
    held = sum(t.numel() * t.element_size() for t in (gemm.a, gemm.b, gemm.out))
    assert gemm_bytes(precision, shape) >= held
    assert gemm_bytes(precision, shape) <= held + 256 * 160 * 16
    assert gemm.out.dtype == getattr(torch, precision.out)
    assert gemm.out.element_size() == ELEMENT_BYTES[precision.out]


def test_the_fastest_shape_is_kept_with_all_that_were_tried() -> None:
    timer = ShapeTimer({SMALL: 1e9, MIDDLE: 3e9, LARGE: 2e9})
    choice = choose(lab(timer=timer), BY_METRIC["fp32"], (SMALL,), (MIDDLE, LARGE), 1.0)
    assert choice.shape == MIDDLE
    assert choice.tried == pytest.approx({str(SMALL): 1e9, str(MIDDLE): 3e9, str(LARGE): 2e9})
    assert choice.missing == {}


def test_shapes_that_take_too_long_are_left_out_with_the_reason() -> None:
    timer = ShapeTimer({SMALL: 1e9, LARGE: 1e9})
    limit = 2 * SMALL.flops / 1e9
    choice = choose(lab(timer=timer), BY_METRIC["fp32"], (SMALL,), (LARGE,), limit)
    assert choice.shape == SMALL
    assert "a call would take more than" in choice.missing[str(LARGE)]


def test_the_best_rate_so_far_says_how_long_a_call_would_take() -> None:
    timer = ShapeTimer({SMALL: 1e9, MIDDLE: 100e9, LARGE: 100e9})
    limit = MIDDLE.flops / 1e9
    choice = choose(lab(timer=timer), BY_METRIC["fp32"], (SMALL,), (MIDDLE, LARGE), limit)
    assert set(choice.tried) == {str(SMALL), str(MIDDLE), str(LARGE)}
    choice = choose(lab(timer=timer), BY_METRIC["fp32"], (SMALL,), (LARGE, MIDDLE), LARGE.flops / 2e9)
    assert choice.shape == SMALL


def test_little_memory_means_smaller_shapes() -> None:
    fp32 = BY_METRIC["fp32"]
    free = 4 * gemm_bytes(fp32, MIDDLE)
    assert fits(fp32, MIDDLE, free)
    assert not fits(fp32, MIDDLE, free - 8)
    small = msgspec.structs.replace(CPU, memory_free_bytes=free - 8)
    huge = Shape(512, 512, 512)
    choice = choose(lab(small), fp32, (MIDDLE, SMALL), (huge,), 1.0)
    assert choice.shape == SMALL
    assert set(choice.missing) == {str(MIDDLE), str(huge)}
    assert "GB" in choice.missing[str(MIDDLE)]
    none = msgspec.structs.replace(CPU, memory_free_bytes=1000)
    with pytest.raises(MemoryError, match="not even 64x64x64 fits"):
        choose(lab(none), fp32, (SMALL,), (), 1.0)


def test_out_of_memory_at_the_first_shape_means_a_smaller_one() -> None:
    error = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    precision = msgspec.structs.replace(BY_METRIC["mxfp8"], call=failing(LARGE, error))
    with pytest.raises(MemoryError, match="not even 128x128x128 fits: CUDA out of memory"):
        choose(lab(), precision, (LARGE,), (), 1.0)
    precision = msgspec.structs.replace(BY_METRIC["fp32"], call=failing(LARGE, error))
    choice = choose(lab(), precision, (LARGE, SMALL), (MIDDLE,), 1.0)
    assert set(choice.tried) == {str(SMALL), str(MIDDLE)}


def test_no_time_left_means_one_large_shape() -> None:
    late = lab(timer=ShapeTimer({SMALL: 1e9, MIDDLE: 2e9, LARGE: 3e9}))
    late.begin(0.0)
    choice = choose(late, BY_METRIC["fp32"], (SMALL,), (MIDDLE, LARGE), 1.0)
    assert (choice.shape, choice.missing) == (MIDDLE, {str(LARGE): "no time left"})
    assert choice.small is None


def test_long_after_the_end_no_larger_shape_is_tried_and_the_figure_is_degraded() -> None:
    late = lab(timer=ShapeTimer({SMALL: 1e9}))
    late.begin(-1e6)
    precision = BY_METRIC["fp32"]
    choice = choose(late, precision, (SMALL,), (MIDDLE, LARGE), 1.0, expected_flop_s=1e15)
    assert (choice.shape, choice.small) == (SMALL, "no time")
    found, _, _ = measured(late, precision, choice)
    assert (found.valid, found.reason) == ("degraded", "degraded: no time for larger shapes")
    assert found.conditions.missing["larger shapes"] == "no time"


def test_time_to_keep_is_kept() -> None:
    timer = ShapeTimer({SMALL: 1e9, MIDDLE: 2e9, LARGE: 3e9})
    here = lab(timer=timer)
    here.begin(5 * 100.0)
    choice = choose(here, BY_METRIC["fp32"], (SMALL,), (MIDDLE, LARGE), 1.0, keep_s=99.0)
    assert set(choice.tried) == {str(SMALL), str(MIDDLE), str(LARGE)}
    choice = choose(here, BY_METRIC["fp32"], (SMALL,), (MIDDLE, LARGE), 1.0, keep_s=101.0)
    assert set(choice.tried) == {str(SMALL), str(MIDDLE)}


def test_a_device_whose_rate_is_known_starts_with_a_large_shape() -> None:
    here = lab(timer=ShapeTimer({SMALL: 1e9, LARGE: 3e9}))
    fp32, limit_s = BY_METRIC["fp32"], 1e-2
    choice = choose(here, fp32, (SMALL,), (LARGE,), limit_s, expected_flop_s=3 * LARGE.flops / limit_s)
    assert set(choice.tried) == {str(LARGE)}
    slow = choose(here, fp32, (SMALL,), (LARGE,), limit_s, expected_flop_s=1.9 * LARGE.flops / limit_s)
    assert set(slow.tried) == {str(SMALL), str(LARGE)}


def test_a_large_shape_that_fails_at_once_leaves_the_small_one() -> None:
    error = RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED")
    rare = msgspec.structs.replace(BY_METRIC["fp32"], needs=BY_METRIC["mxfp8"].needs)
    precision = msgspec.structs.replace(rare, call=failing(LARGE, error))
    choice = choose(lab(), precision, (SMALL,), (LARGE,), 1.0, expected_flop_s=1e15)
    assert (choice.shape, choice.small) == (SMALL, "RuntimeError: CUBLAS_STATUS_NOT_SUPPORTED")
    broken = msgspec.structs.replace(rare, call=failing(SMALL, error))
    with pytest.raises(UnsupportedError, match="NOT_SUPPORTED"):
        choose(lab(), broken, (SMALL,), (SMALL,), 1.0, expected_flop_s=1e15)


def test_a_rate_so_low_that_large_products_take_too_long_shows_in_a_small_one() -> None:
    timer = ShapeTimer({SMALL: 1e9, LARGE: 1e9})
    choice = choose(lab(timer=timer), BY_METRIC["fp32"], (SMALL,), (LARGE,), 2 * SMALL.flops / 1e9)
    assert (choice.shape, choice.small) == (SMALL, None)


class DecayingTimer(SteadyTimer):
    """Each stretch takes longer than the one before, by less each time."""

    def __init__(self, *rates: float) -> None:
        super().__init__()
        self.rates = list(rates)

    def windows(self, call: Any, calls: int, count: int) -> list[float]:
        self.batches.append((calls, count))
        rate = self.rates.pop(0) if len(self.rates) > 1 else self.rates[0]
        return [1e-3 * rate * calls] * count


def test_a_device_has_settled_when_three_stretches_agree() -> None:
    timer = DecayingTimer(1.0, 1.0, 1.1, 1.2, 1.25, 1.255, 1.256, 1.3)
    assert settle(timer, lambda: None, 0.1, 60.0)
    assert timer.rates == [1.3]
    assert timer.batches[1] == (10, 10)
    assert all(0.07 < calls * count * 1e-3 < 0.13 for calls, count in timer.batches[1:])


def test_settling_ends_when_its_time_is_over() -> None:
    timer = DecayingTimer(*(1.02**n for n in range(1000)))
    assert not settle(timer, lambda: None, 0.1, 0.5)
    assert 5 <= len(timer.batches) - 1 <= 6
    assert not settle(DecayingTimer(*(1.02**n for n in range(1000))), lambda: None, 0.1, 0.0)


def test_the_record_says_whether_the_device_had_settled() -> None:
    precision = BY_METRIC["fp32"]
    choice = Choice(shape=SMALL, tried={})
    steady = Steady(0.1, 0.2, TINY)
    found, _, _ = measured(lab(timer=SteadyTimer()), precision, choice, steady=steady)
    assert found.conditions.extra["settled"] == 1.0
    timer = DecayingTimer(*(1.02**n for n in range(1000)))
    found, _, _ = measured(lab(timer=timer), precision, choice, steady=steady)
    assert found.conditions.extra["settled"] == 0.0
    assert "boost clock" in found.conditions.missing["settled"]


def failing(at: Shape, error: Exception) -> Any:
    def make(torch_: Any, g: Gemm) -> Any:
        if tuple(g.out.shape) == at[:2]:
            raise error
        return mm(torch_, g)

    return make


def test_out_of_memory_at_one_shape_leaves_the_others() -> None:
    error = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    precision = msgspec.structs.replace(BY_METRIC["fp32"], call=failing(LARGE, error))
    choice = choose(lab(), precision, (SMALL,), (LARGE, MIDDLE), 1.0)
    assert set(choice.tried) == {str(SMALL), str(MIDDLE)}
    assert choice.missing[str(LARGE)].startswith("RuntimeError: CUDA out of memory")


def test_a_lost_device_is_not_survived() -> None:
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    precision = msgspec.structs.replace(BY_METRIC["fp32"], call=failing(LARGE, error))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        choose(lab(), precision, (SMALL,), (LARGE,), 1.0)


@pytest.mark.parametrize(
    ("metric", "message", "raised"),
    [
        ("mxfp8", "CUBLAS_STATUS_NOT_SUPPORTED", UnsupportedError),
        ("mxfp8", "CUDA error: device-side assert triggered", RuntimeError),
        ("fp32", "CUBLAS_STATUS_EXECUTION_FAILED", RuntimeError),
    ],
)
def test_only_rare_precisions_may_be_unsupported_by_their_first_call(
    metric: str, message: str, raised: type[Exception]
) -> None:
    precision = msgspec.structs.replace(
        BY_METRIC[metric], call=failing(LARGE, RuntimeError(f"{message}\nmore"))
    )
    with pytest.raises(raised, match=message):
        choose(lab(), precision, (LARGE,), (), 1.0)


def test_a_look_warms_up_and_fills_windows() -> None:
    timer = SteadyTimer(call_s=5e-4)
    assert look(timer, lambda: None) == pytest.approx(5e-4)
    assert timer.batches == [(1, 3), (4, 5)]


def test_rate_is_operations_over_time() -> None:
    assert rate(lab(timer=SteadyTimer(1e-3)), BY_METRIC["bf16"], LARGE) == pytest.approx(LARGE.flops / 1e-3)


ON_CPU = ("fp64", "fp32", "bf16", "fp16", "int8", "fp8_e4m3", "fp8_e5m2")


@pytest.mark.parametrize("metric", ON_CPU)
def test_a_right_result_passes_within_the_tolerance(metric: str) -> None:
    precision = BY_METRIC[metric]
    gemm = build(lab(), precision, Shape(160, 96, 512))
    error = error_of(torch, gemm, precision.call(torch, gemm)())
    assert flaw(precision, error) is None


@pytest.mark.parametrize(
    ("metric", "call"),
    [("bf16", mm), ("fp8_e4m3", scaled_mm), ("fp8_e4m3", scaled_mm_fast), ("int8", int_mm)],
)
def test_a_wrong_result_is_rejected(metric: str, call: Any) -> None:
    precision = BY_METRIC[metric]
    gemm = build(lab(), precision, LARGE)
    result = call(torch, gemm)().roll(1, dims=0)
    why = flaw(precision, error_of(torch, gemm, result))
    assert why is not None
    assert why.startswith("wrong result: off by")


def test_not_a_number_is_wrong() -> None:
    assert "wrong result" in str(flaw(BY_METRIC["bf16"], float("nan")))


def test_tf32_and_fp32_are_told_apart_by_their_error() -> None:
    gemm = build(lab(), BY_METRIC["fp32"], Shape(256, 256, 4096))
    rounded = [(x.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32) for x in (gemm.a, gemm.b)]
    as_tf32 = error_of(torch, gemm, rounded[0] @ rounded[1].t())
    as_fp32 = error_of(torch, gemm, gemm.a @ gemm.b.t())
    assert flaw(BY_METRIC["tf32"], as_tf32) is None
    assert flaw(BY_METRIC["fp32"], as_fp32) is None
    assert "wrong result" in str(flaw(BY_METRIC["fp32"], as_tf32))
    assert "a finer arithmetic than tf32 ran" in str(flaw(BY_METRIC["tf32"], as_fp32))


def test_a_float4_product_is_checked_by_its_elements() -> None:
    gemm = build(lab(), BY_METRIC["nvfp4"], LARGE)
    product = (exact(torch, gemm.a) @ exact(torch, gemm.b).t()).to(torch.bfloat16)
    assert flaw(BY_METRIC["nvfp4"], error_of(torch, gemm, product)) is None
    assert flaw(BY_METRIC["nvfp4"], error_of(torch, gemm, product.t())) is not None


def test_the_record_says_how_it_came_about() -> None:
    here = lab()
    precision = BY_METRIC["fp8_e5m2"]
    choice = choose(here, precision, (SMALL,), (LARGE,), 1.0)
    found, gemm, _ = measured(here, precision, choice)
    told = found.conditions
    assert (found.metric, found.unit, found.valid) == ("fp8_e5m2", "flop_s", "valid")
    assert (told.dtype, told.shape) == ("float8_e4m3fn×float8_e5m2", str(choice.shape))
    assert "use_fast_accum=True" in told.method
    assert told.buffer_bytes == gemm.a.numel()
    assert set(told.tried) == {str(SMALL), str(LARGE)}
    assert told.seed == 7


def test_a_wrong_kernel_is_rejected_with_the_reason() -> None:
    def broken(torch_: Any, g: Gemm) -> Any:
        return lambda: g.out.zero_()

    precision = msgspec.structs.replace(BY_METRIC["bf16"], call=broken)
    here = lab()
    found, _, _ = measured(here, precision, choose(here, precision, (SMALL,), (), 1.0))
    assert found.valid == "rejected"
    assert "wrong result: off by 1 of the largest element" in str(found.reason)

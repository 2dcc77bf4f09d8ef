"""Every precision's call is one that torch takes, and says why it is missing where it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from probes.gemm import CPU_PRECISIONS
from probes.matmul import Shape, build
from probes.metrics import METRICS
from probes.precisions import PRECISIONS, Gemm, Precision, lacking, suited
from probes.record import DeviceFacts
from probes.tensor import SHAPES, START
from tests.probes.labs import H100, MetaLab, lab

torch = pytest.importorskip("torch")

BY_METRIC = {p.metric: p for p in PRECISIONS}


def card(capability: str | None) -> DeviceFacts:
    return DeviceFacts(kind="cuda", key="GPU-0", name="NVIDIA card", compute_capability=capability)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Calls that meta tensors cannot make with `out` are made without, and must fit it."""
    seen: list[str] = []
    scaled, blocks = torch._scaled_mm, torch._scaled_mm_v2

    def scaled_mm(*args: Any, out: Any, **kwargs: Any) -> Any:
        seen.append("_scaled_mm")
        inspect_schema("_scaled_mm", "out", *args, out=out, **kwargs)
        return fits(scaled(*args, **kwargs), out)

    def scaled_mm_v2(a: Any, b: Any, scale_a: Any, *rest: Any) -> Any:
        seen.append("_scaled_mm_v2")
        inspect_schema("_scaled_mm_v2", "default", a, b, scale_a, *rest)
        recipe_a, swizzle_a, scale_b, recipe_b, swizzle_b, _bias, dtype = rest[:7]
        scaling, swizzle = torch.nn.functional.ScalingType, torch.nn.functional.SwizzleType
        assert recipe_a == recipe_b == [scaling.BlockWise1x32.value]
        assert swizzle_a == swizzle_b == [swizzle.SWIZZLE_32_4_4.value]
        # The meta kernel of this version counts packed columns and wants half the scales of the CUDA one
        # (pytorch issue 172627); the older entry point counts like CUDA, so the operands go there.
        assert blocks is not None
        return scaled(a, b, scale_a[0], scale_b[0], out_dtype=dtype)

    monkeypatch.setattr(torch, "_scaled_mm", scaled_mm)
    monkeypatch.setattr(torch, "_scaled_mm_v2", scaled_mm_v2)
    yield seen


def inspect_schema(name: str, overload: str, *args: Any, **kwargs: Any) -> None:
    """Raises unless the operator's schema takes arguments of these names and so many of them."""
    schema = getattr(getattr(torch.ops.aten, name), overload)._schema
    names = [argument.name for argument in schema.arguments]
    assert len(args) <= len([a for a in schema.arguments if not a.kwarg_only])
    assert set(kwargs) <= set(names[len(args) :])


def fits(result: Any, out: Any) -> Any:
    assert (result.shape, result.dtype, result.stride()) == (out.shape, out.dtype, out.stride())
    return result


def calls(precision: Precision) -> list[Callable[[Any, Gemm], Any]]:
    return [precision.call, *(variant.call for variant in precision.variants)]


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.metric)
@pytest.mark.parametrize("shape", [*START, *SHAPES], ids=str)
def test_torch_takes_the_call(precision: Precision, shape: Shape, checked: list[str]) -> None:
    gemm = build(lab(H100, kind=MetaLab), precision, shape)
    for call in calls(precision):
        result = call(torch, gemm)()
        assert (tuple(result.shape), result.device.type) == (shape[:2], "meta")
        assert result.dtype == getattr(torch, precision.out)
    assert bool(checked) == (precision.scaling is not None)


@pytest.mark.parametrize("metric", ["fp8_e4m3", "nvfp4", "mxfp8", "mxfp4"])
def test_the_check_would_see_a_wrong_layout(metric: str, checked: list[str]) -> None:
    precision = BY_METRIC[metric]
    gemm = build(lab(H100, kind=MetaLab), precision, START[1])
    row_major = msgspec.structs.replace(gemm, b=gemm.b.t())
    with pytest.raises(RuntimeError, match="col_major"):
        precision.call(torch, row_major)()
    if precision.scaling != "tensor":
        short = msgspec.structs.replace(gemm, scale_a=gemm.scale_a[:-4])
        with pytest.raises(RuntimeError, match="blockwise scaling"):
            precision.call(torch, short)()


def test_the_public_block_call_binds() -> None:
    given = inspect.signature(torch.nn.functional.scaled_mm).parameters
    assert list(given)[:6] == ["mat_a", "mat_b", "scale_a", "scale_recipe_a", "scale_b", "scale_recipe_b"]
    assert {"swizzle_a", "swizzle_b", "output_dtype"} <= set(given)


def test_fast_accumulation_is_the_ceiling_and_the_exact_one_stands_beside() -> None:
    kept: list[bool] = []

    def scaled_mm(*_args: Any, use_fast_accum: bool, **_kwargs: Any) -> None:
        kept.append(use_fast_accum)

    fake = SimpleNamespace(_scaled_mm=scaled_mm)
    gemm = Gemm(a=torch.empty(4, 4), b=torch.empty(4, 4), out=torch.empty(4, 4))
    for metric in ("fp8_e4m3", "fp8_e5m2"):
        for call in calls(BY_METRIC[metric]):
            call(fake, gemm)()
    BY_METRIC["nvfp4"].call(fake, gemm)()
    assert kept == [True, False, True, False, False]


def test_every_gemm_metric_has_one_precision() -> None:
    for probe, precisions in (("tensor", PRECISIONS), ("gemm", CPU_PRECISIONS)):
        metrics = [p.metric for p in precisions]
        assert sorted(metrics) == sorted(m.name for m in METRICS.values() if m.probe == probe)


def test_e5m2_is_never_multiplied_by_itself() -> None:
    for precision in PRECISIONS:
        assert (precision.a, precision.b) != ("float8_e5m2", "float8_e5m2")


@pytest.mark.parametrize(
    ("capability", "missing"),
    [
        ("7.0", {"bf16", "tf32", "int8", "fp8_e4m3", "fp8_e5m2", "nvfp4", "mxfp8", "mxfp4"}),
        ("7.5", {"bf16", "tf32", "fp8_e4m3", "fp8_e5m2", "nvfp4", "mxfp8", "mxfp4"}),
        ("8.0", {"fp8_e4m3", "fp8_e5m2", "nvfp4", "mxfp8", "mxfp4"}),
        ("8.9", {"nvfp4", "mxfp8", "mxfp4"}),
        ("9.0", {"nvfp4", "mxfp8", "mxfp4"}),
        ("10.0", set()),
        ("10.3", set()),
        ("12.0", {"mxfp4"}),
        (None, set()),
    ],
)
def test_what_a_card_lacks(capability: str | None, missing: set[str]) -> None:
    lacks = {p.metric: lacking(p, torch, card(capability), {}) for p in PRECISIONS}
    assert {metric for metric, why in lacks.items() if why} == missing


@pytest.mark.parametrize("metric", ["fp8_e4m3", "fp8_e5m2"])
def test_where_fp32_sums_are_slower_the_figure_is_of_those(metric: str) -> None:
    plain = BY_METRIC[metric]
    geforce = DeviceFacts(kind="cuda", key="GPU-0", name="NVIDIA GeForce RTX 4090", compute_capability="8.9")
    exact = suited(plain, geforce)
    assert suited(plain, card("9.0")) is plain
    assert exact.call is plain.variants[0].call
    assert "use_fast_accum=False" in exact.method
    assert [v.call for v in exact.variants] == [plain.call]
    assert (exact.metric, exact.tolerance, exact.needs) == (plain.metric, plain.tolerance, plain.needs)
    assert suited(BY_METRIC["bf16"], geforce) is BY_METRIC["bf16"]


def test_reasons_say_what_is_needed() -> None:
    assert lacking(BY_METRIC["fp8_e4m3"], torch, card("8.6"), {}) == "needs compute capability ≥ 8.9"
    assert lacking(BY_METRIC["mxfp4"], torch, card("12.0"), {}) == "needs compute capability 10.x"
    other = lacking(BY_METRIC["bf16"], torch, card("gfx942"), {})
    assert other == "needs an NVIDIA GPU, this one's architecture is gfx942"


def test_an_old_torch_is_named() -> None:
    old = SimpleNamespace(__version__="2.6.0+cu124", float8_e4m3fn=1, _scaled_mm=1, nn=SimpleNamespace())
    why = lacking(BY_METRIC["nvfp4"], old, card("10.0"), {})
    assert why == "needs torch ≥ 2.8: 2.6.0+cu124 has no torch.float4_e2m1fn_x2"
    why = lacking(BY_METRIC["mxfp4"], old, card("10.0"), {})
    assert why == "needs torch ≥ 2.10: 2.6.0+cu124 has no torch.nn.functional.scaled_mm"
    assert lacking(BY_METRIC["fp8_e4m3"], old, card("9.0"), {}) is None


@pytest.mark.parametrize(("value", "metric"), [("0", "tf32"), ("1", "fp32")])
def test_an_override_from_outside_is_no_measurement(value: str, metric: str) -> None:
    env = {"NVIDIA_TF32_OVERRIDE": value}
    lacks = {p.metric: lacking(p, torch, card("9.0"), env) for p in PRECISIONS if p.a == "float32"}
    assert [name for name, why in lacks.items() if why] == [metric]
    assert f"NVIDIA_TF32_OVERRIDE={value} is set" in str(lacks[metric])

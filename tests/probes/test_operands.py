"""Operands are random, unsaturated, exact when read back, and their scales as many as cuBLAS wants."""

from __future__ import annotations

from typing import Any

import pytest

from probes.operands import ELEMENT_BYTES, exact, make, making_bytes, scale, scale_count

torch = pytest.importorskip("torch")

FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2")
ROWS, K = 96, 512


def made(dtype: str, seed: int = 3) -> Any:
    return make(torch, dtype, ROWS, K, "cpu", torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_are_normal_and_not_saturated(dtype: str) -> None:
    data = made(dtype)
    values = exact(torch, data)
    assert data.dtype == getattr(torch, dtype)
    assert data.stride() == (data.shape[1], 1)
    assert values.shape == (ROWS, K)
    assert values.dtype == torch.float64
    assert abs(float(values.mean())) < 0.03
    assert 0.97 < float(values.std()) < 1.05
    largest = float(torch.finfo(getattr(torch, dtype)).max) if dtype != "float4_e2m1fn_x2" else 6.0
    assert float((values.abs() == largest).double().mean()) < 1e-3
    assert len(values.unique()) >= 13


@pytest.mark.parametrize("dtype", [*FLOATS, "int8"])
def test_a_seed_gives_the_same_data_and_bytes_are_as_stated(dtype: str) -> None:
    data = made(dtype)
    assert torch.equal(exact(torch, data), exact(torch, made(dtype)))
    assert not torch.equal(exact(torch, data), exact(torch, made(dtype, seed=4)))
    assert data.numel() * data.element_size() == ROWS * K * ELEMENT_BYTES[dtype]
    assert making_bytes(dtype, ROWS, K) >= ROWS * K * ELEMENT_BYTES[dtype]


def test_int8_takes_its_full_range() -> None:
    values = exact(torch, made("int8"))
    assert (float(values.min()), float(values.max())) == (-128, 127)
    assert len(values.unique()) == 256


def test_every_code_of_float4_reads_as_its_value() -> None:
    codes = torch.arange(16, dtype=torch.uint8)
    packed = (codes[::2] + codes[1::2] * 16).reshape(1, 8).view(torch.float4_e2m1fn_x2)
    magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    assert exact(torch, packed).tolist() == [[*magnitudes, *(-m for m in magnitudes)]]


def test_float4_rounds_to_the_nearest_value() -> None:
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(64, 64, generator=generator)
    got = exact(torch, make(torch, "float4_e2m1fn_x2", 64, 64, "cpu", torch.Generator().manual_seed(5)))
    grid = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    nearest = (values.abs().unsqueeze(-1) - grid).abs().min(dim=-1).values
    assert torch.allclose((got - values).abs().float(), nearest, atol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "rows", "k", "count"),
    [
        ("tensor", 300, 300, 1),
        ("block32", 128, 128, 128 * 4),
        ("block32", 129, 160, 256 * 8),
        ("block16", 128, 64, 128 * 4),
        ("block16", 2048, 13312, 2048 * 832),
    ],
)
def test_scales_are_one_each_and_fill_whole_tiles(scaling: Any, rows: int, k: int, count: int) -> None:
    scales = scale(torch, scaling, rows, k, "cpu")
    assert scale_count(scaling, rows, k) == scales.numel() == count
    assert scales.is_contiguous()
    assert bool((scales.to(torch.float32) == 1).all())


def test_dtypes_of_scales() -> None:
    assert scale(torch, "tensor", 8, 32, "cpu").dtype == torch.float32
    assert scale(torch, "block16", 8, 32, "cpu").dtype == torch.float8_e4m3fn
    ones = scale(torch, "block32", 8, 32, "cpu")
    assert ones.dtype == torch.float8_e8m0fnu
    assert set(ones.view(torch.uint8).tolist()) == {127}

"""Operands of GEMMs: random, in every number format, with the block scales that some formats need.

Constant operands toggle few bits, draw less power and read up to 13 % too fast, so all data are drawn from
N(0, 1) and rounded to the format without scaling, which saturates none of them (float4 reaches ±6, fp8 ±448
and more); int8 takes its full range. Block scales are all one: they are a few percent of the bytes, and equal
ones are the same in every order, so that cuBLAS's swizzled layout holds by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

# How values are scaled: once a tensor, or a block of 32 (mx formats) or 16 (nvfp4) along K.
Scaling = Literal["tensor", "block32", "block16"]

ELEMENT_BYTES: dict[str, float] = {
    "float64": 8,
    "float32": 4,
    "int32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int8": 1,
    "float4_e2m1fn_x2": 0.5,
}

# Magnitudes of e2m1 by code, and where one rounds to the next; the sign is the fourth bit.
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E2M1_EDGES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
_SIGN = 8

_BLOCK = {"block32": 32, "block16": 16}
# cuBLAS lays block scales out in tiles of 128 rows by 4 columns.
_TILE_ROWS, _TILE_COLUMNS = 128, 4


def make(torch: Any, dtype: str, rows: int, k: int, device: str, generator: Any) -> Any:
    """A row-major operand of `rows` × `k` random elements; float4 holds two of them in a byte."""
    maker: Callable[..., Any] = _MAKERS.get(dtype, _rounded)
    return maker(torch, dtype, (rows, k), {"device": device, "generator": generator})


def exact(torch: Any, data: Any) -> Any:
    """The elements as float64 in host memory."""
    if data.dtype == getattr(torch, "float4_e2m1fn_x2", None):
        return _unpacked(torch, data.view(torch.uint8).cpu())
    return data.cpu().to(torch.float64)


def scale(torch: Any, scaling: Scaling, rows: int, k: int, device: str) -> Any:
    """Scales of one on the device, as many as the format wants for `rows` × `k` elements."""
    if scaling == "tensor":
        return torch.ones(1, dtype=torch.float32, device=device)
    dtype = torch.float8_e8m0fnu if scaling == "block32" else torch.float8_e4m3fn
    return torch.ones(scale_count(scaling, rows, k), dtype=torch.float32, device=device).to(dtype)


def scale_count(scaling: Scaling, rows: int, k: int) -> int:
    """Number of scales; blocks are padded to whole tiles of 128 × 4 (cuBLAS's block scaling layout)."""
    if scaling == "tensor":
        return 1
    return _up(rows, _TILE_ROWS) * _up(-(-k // _BLOCK[scaling]), _TILE_COLUMNS)


def making_bytes(dtype: str, rows: int, k: int) -> int:
    """Device memory that making such an operand takes at its peak, the operand included."""
    spare = {"float64": 0, "float32": 0, "int8": 0, "float4_e2m1fn_x2": 12.5}.get(dtype, 4)
    return round(rows * k * (ELEMENT_BYTES[dtype] + spare))


def _rounded(torch: Any, dtype: str, size: tuple[int, int], where: dict[str, Any]) -> Any:
    return torch.randn(size, dtype=torch.float32, **where).to(getattr(torch, dtype))


def _double(torch: Any, _dtype: str, size: tuple[int, int], where: dict[str, Any]) -> Any:
    return torch.randn(size, dtype=torch.float64, **where)


def _int8(torch: Any, _dtype: str, size: tuple[int, int], where: dict[str, Any]) -> Any:
    return torch.randint(-128, 128, size, dtype=torch.int8, **where)


def _packed(torch: Any, dtype: str, size: tuple[int, int], where: dict[str, Any]) -> Any:
    values = torch.randn(size, dtype=torch.float32, **where)
    edges = torch.tensor(_E2M1_EDGES, device=where["device"])
    codes = torch.bucketize(values.abs(), edges, out_int32=True).to(torch.uint8)
    codes += (values < 0).to(torch.uint8) * _SIGN
    return (codes[:, ::2] + codes[:, 1::2] * (2 * _SIGN)).view(getattr(torch, dtype))


def _unpacked(torch: Any, pairs: Any) -> Any:
    codes = torch.stack((pairs % (2 * _SIGN), pairs // (2 * _SIGN)), dim=-1).flatten(-2).long()
    values = torch.tensor([*_E2M1, *(-v for v in _E2M1)], dtype=torch.float64)
    return values[codes]


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


_MAKERS: dict[str, Callable[..., Any]] = {"float64": _double, "int8": _int8, "float4_e2m1fn_x2": _packed}

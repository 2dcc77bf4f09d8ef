"""Every precision that GEMMs are measured in: what it needs, its operands, and the call. One entry each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from probes.flags import Fp32
from probes.operands import ELEMENT_BYTES, Scaling
from probes.peaks import halves_fp32_sums
from probes.record import DeviceFacts
from probes.timing import Call


class Gemm(msgspec.Struct, frozen=True, kw_only=True):
    """Operands of one product: a is M×K and b N×K, both row-major, so that b's transpose is column-major."""

    a: Any
    b: Any
    out: Any
    scale_a: Any = None
    scale_b: Any = None


MakeCall = Callable[[Any, Gemm], Call]


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there.

    capability: the least compute capability; major: the only major one. names: attributes of torch (dotted),
    which came with version `torch`. env: a variable and the value of it that makes this impossible.
    rare: few cards and builds have it, so that an error in its first call means it is not there.
    """

    capability: tuple[int, int] | None = None
    major: int | None = None
    names: tuple[str, ...] = ()
    torch: str = ""
    env: tuple[str, str] | None = None
    rare: bool = False


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """Another way to call, whose figure stands beside the ceiling. full: only looked at in full mode."""

    label: str
    call: MakeCall
    fp16_accumulation: bool = False
    full: bool = False


class Exact(msgspec.Struct, frozen=True, kw_only=True):
    """How a precision is called where only sums in fp32 are what data sheets promise."""

    call: MakeCall
    method: str
    variants: tuple[Variant, ...]


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """One precision. a, b, out: torch's names of the dtypes. exact: see `suited`.

    tolerance: largest error of an element that is right, over the largest element; coarser_than: an error
    below it says that a finer arithmetic ran instead. Both lie far from what is right: with rounding
    taken as a random walk, at the longest K fp32 is off by a few 1e-6 and tf32 by a few 1e-4; bf16 rounds its
    result by 2e-3; fast fp8 accumulation keeps 14 bits and was seen 2 % off (DeepSeek-V3 report). A wrong
    product is off by about one.
    """

    metric: str
    a: str
    b: str
    out: str
    call: MakeCall
    method: str
    tolerance: float
    coarser_than: float = 0.0
    fp32: Fp32 = "ieee"
    scaling: Scaling | None = None
    needs: Needs = Needs()
    variants: tuple[Variant, ...] = ()
    exact: Exact | None = None

    @property
    def dtype(self) -> str:
        """The operands' dtypes in words."""
        return self.a if self.a == self.b else f"{self.a}×{self.b}"

    def operand_bytes(self, rows: int, k: int) -> int:
        """Size of operand a."""
        return round(rows * k * ELEMENT_BYTES[self.a])


def mm(torch: Any, g: Gemm) -> Call:
    """`torch.mm` into a buffer."""
    transposed = g.b.t()
    return lambda: torch.mm(g.a, transposed, out=g.out)


def int_mm(torch: Any, g: Gemm) -> Call:
    """`torch._int_mm` into a buffer: int8 operands, int32 sums."""
    transposed = g.b.t()
    return lambda: torch._int_mm(g.a, transposed, out=g.out)


def scaled_mm(torch: Any, g: Gemm) -> Call:
    """`torch._scaled_mm` into a buffer, exact accumulation."""
    return _scaled(torch, g, fast=False)


def scaled_mm_fast(torch: Any, g: Gemm) -> Call:
    """`torch._scaled_mm` into a buffer, fast accumulation: on Hopper sums of 14 bits."""
    return _scaled(torch, g, fast=True)


def _scaled(torch: Any, g: Gemm, *, fast: bool) -> Call:
    transposed = g.b.t()
    return lambda: torch._scaled_mm(
        g.a,
        transposed,
        g.scale_a,
        g.scale_b,
        out_dtype=g.out.dtype,
        use_fast_accum=fast,
        out=g.out,
    )


def scaled_mm_blocks(torch: Any, g: Gemm) -> Call:
    """`torch.nn.functional.scaled_mm` with mx scales; it has no `out`, so torch's cache gives the buffer."""
    functional = torch.nn.functional
    recipe, swizzle = functional.ScalingType.BlockWise1x32, functional.SwizzleType.SWIZZLE_32_4_4
    transposed = g.b.t()
    return lambda: functional.scaled_mm(
        g.a,
        transposed,
        g.scale_a,
        recipe,
        g.scale_b,
        recipe,
        swizzle_a=swizzle,
        swizzle_b=swizzle,
        output_dtype=g.out.dtype,
    )


_FLOAT8 = Needs(capability=(8, 9), names=("_scaled_mm", "float8_e4m3fn"), torch="2.6", rare=True)
_EXACT_ACCUMULATION = Variant(label="use_fast_accum=False", call=scaled_mm)
_FAST_ACCUMULATION = Variant(label="use_fast_accum=True", call=scaled_mm_fast)
_MM = "torch.mm(a, b.t(), out=c)"
_SCALED = "torch._scaled_mm(a, b.t(), scale_a, scale_b, out=c)"
_EXACT_FLOAT8 = Exact(
    call=scaled_mm,
    method=f"{_SCALED}, use_fast_accum=False, one scale a tensor, bf16 out",
    variants=(_FAST_ACCUMULATION,),
)

# In the order in which they are measured: the most used first, since time may run out.
PRECISIONS: tuple[Precision, ...] = (
    Precision(
        metric="bf16",
        a="bfloat16",
        b="bfloat16",
        out="bfloat16",
        call=mm,
        method=_MM,
        tolerance=1e-2,
        needs=Needs(capability=(8, 0)),
    ),
    Precision(
        metric="fp8_e4m3",
        a="float8_e4m3fn",
        b="float8_e4m3fn",
        out="bfloat16",
        call=scaled_mm_fast,
        method=f"{_SCALED}, use_fast_accum=True, one scale a tensor, bf16 out",
        tolerance=0.1,
        scaling="tensor",
        needs=_FLOAT8,
        variants=(_EXACT_ACCUMULATION,),
        exact=_EXACT_FLOAT8,
    ),
    Precision(
        metric="fp16",
        a="float16",
        b="float16",
        out="float16",
        call=mm,
        method=f"{_MM}, fp32 accumulation",
        tolerance=1e-2,
        needs=Needs(capability=(7, 0)),
        variants=(Variant(label="fp16 accumulation", call=mm, fp16_accumulation=True, full=True),),
    ),
    Precision(
        metric="tf32",
        a="float32",
        b="float32",
        out="float32",
        call=mm,
        method=f"{_MM}, TF32 on",
        tolerance=5e-3,
        coarser_than=3e-5,
        fp32="tf32",
        needs=Needs(capability=(8, 0), env=("NVIDIA_TF32_OVERRIDE", "0")),
    ),
    Precision(
        metric="fp32",
        a="float32",
        b="float32",
        out="float32",
        call=mm,
        method=f"{_MM}, TF32 off",
        tolerance=3e-5,
        needs=Needs(env=("NVIDIA_TF32_OVERRIDE", "1")),
    ),
    Precision(
        metric="int8",
        a="int8",
        b="int8",
        out="int32",
        call=int_mm,
        method="torch._int_mm(a, b.t(), out=c), int32 out",
        tolerance=0.0,
        needs=Needs(capability=(7, 5), names=("_int_mm",), torch="2.6", rare=True),
    ),
    Precision(metric="fp64", a="float64", b="float64", out="float64", call=mm, method=_MM, tolerance=1e-12),
    Precision(
        metric="nvfp4",
        a="float4_e2m1fn_x2",
        b="float4_e2m1fn_x2",
        out="bfloat16",
        call=scaled_mm,
        method=f"{_SCALED}, a scale for 16 elements, bf16 out",
        tolerance=1e-2,
        scaling="block16",
        needs=Needs(capability=(10, 0), names=("_scaled_mm", "float4_e2m1fn_x2"), torch="2.8", rare=True),
    ),
    Precision(
        metric="mxfp8",
        a="float8_e4m3fn",
        b="float8_e4m3fn",
        out="bfloat16",
        call=scaled_mm,
        method=f"{_SCALED}, a scale for 32 elements, bf16 out",
        tolerance=1e-2,
        scaling="block32",
        needs=Needs(capability=(10, 0), names=("_scaled_mm", "float8_e8m0fnu"), torch="2.7", rare=True),
    ),
    Precision(
        metric="mxfp4",
        a="float4_e2m1fn_x2",
        b="float4_e2m1fn_x2",
        out="bfloat16",
        call=scaled_mm_blocks,
        method="torch.nn.functional.scaled_mm(a, b.t(), ...), BlockWise1x32 scales, bf16 out",
        tolerance=1e-2,
        scaling="block32",
        needs=Needs(
            major=10,
            names=("nn.functional.scaled_mm", "float4_e2m1fn_x2", "float8_e8m0fnu"),
            torch="2.10",
            rare=True,
        ),
    ),
    Precision(
        metric="fp8_e5m2",
        a="float8_e4m3fn",
        b="float8_e5m2",
        out="bfloat16",
        call=scaled_mm_fast,
        method=f"{_SCALED}, use_fast_accum=True, one scale a tensor, bf16 out",
        tolerance=0.1,
        scaling="tensor",
        needs=_FLOAT8,
        variants=(_EXACT_ACCUMULATION,),
        exact=_EXACT_FLOAT8,
    ),
)


def suited(precision: Precision, facts: DeviceFacts) -> Precision:
    """The precision as it is called on this card.

    GeForce cards and the L40 add up in fp32 at half rate, which is what their data sheets state for fp8; with
    fast accumulation they may run at the other rate, so that one stands among `tried` only.
    """
    exact = precision.exact
    if exact is None or not halves_fp32_sums(facts, precision.metric):
        return precision
    return msgspec.structs.replace(precision, call=exact.call, method=exact.method, variants=exact.variants)


def lacking(precision: Precision, torch: Any, facts: DeviceFacts, env: Mapping[str, str]) -> str | None:
    """Why this device, installation or environment does not have the precision; None when it may.

    An unknown compute capability rules nothing out: the first call then tells.
    """
    needs = precision.needs
    return _card(needs, facts.compute_capability) or _installed(needs, torch) or _environment(needs, env)


def _card(needs: Needs, capability: str | None) -> str | None:
    if capability is None:
        return None
    has = tuple(int(part) for part in capability.split(".") if part.isdigit())
    if len(has) != 2:
        return f"needs an NVIDIA GPU, this one's architecture is {capability}"
    if needs.major is not None and has[0] != needs.major:
        return f"needs compute capability {needs.major}.x"
    if needs.capability is not None and has < needs.capability:
        return f"needs compute capability ≥ {needs.capability[0]}.{needs.capability[1]}"
    return None


def _installed(needs: Needs, torch: Any) -> str | None:
    for name in needs.names:
        found = torch
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            return f"needs torch ≥ {needs.torch}: {torch.__version__} has no torch.{name}"
    return None


def _environment(needs: Needs, env: Mapping[str, str]) -> str | None:
    if needs.env is None or env.get(needs.env[0]) != needs.env[1]:
        return None
    return f"{needs.env[0]}={needs.env[1]} is set, so that cuBLAS computes in another precision"

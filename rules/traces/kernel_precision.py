"""What a kernel's name tells of its arithmetic: the precision of its operands, and use of tensor cores.

Conventions of the libraries, as their kernels are named in traces and in their sources: cuBLAS and CUTLASS
put the matrix instruction's shape before the operation (`s16816gemm`: sums in fp32, 16x8x16 tiles), XMMA
spells operands out (`tf32f32_tf32f32_f32`), nvjet has a letter each for operand, sum and result (h: fp16,
t: bf16, q: fp8 e4m3), Tensile a group of letters (`HHS`, `BBS`, `SB`), C++ templates name the type.
"""

from __future__ import annotations

import re

from rules.traces.kernel_records import Tensor

# Precision -> what says so, in a name in lower case; the first that is found counts. Plain float comes last:
# kernels of every other precision sum in it.
_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("fp8", re.compile(r"fp8|e4m3|e5m2|float8|hfp8|f8f6f4")),
    ("tf32", re.compile(r"tf32|xf32")),
    ("bf16", re.compile(r"bf16|bfloat|df16b")),
    (
        "fp16",
        re.compile(
            r"fp16|half|float16|df16_|_f16|f16_|f16f16|<f16|h884|h1688|h161616|h16816|s884gemm|s884cudnn|hgemm"
        ),
    ),
    ("fp64", re.compile(r"fp64|\bdouble\b|_f64|d884|dgemm|dgemv|dcudnn|f64f64")),
    ("int8", re.compile(r"int8|i8i8|[_i](?:8816|8832|16832|16864)gemm|icudnn|_i8_|igemm_int")),
    (
        "fp32",
        re.compile(r"fp32|\bfloat\b|float[248]\b|_f32|f32_|sgemm|scudnn|sgemv|float32|_s_b_|_sb_|f32f32"),
    ),
)
# In these families the matrix instruction decides, whatever types stand in the parameters.
_MMA_TF32 = re.compile(r"tensorop_s1688(?:gemm|fprop|dgrad|wgrad|bgemm|trmm|syrk)(?:_(?!bf16|f16)|$)")
_NVJET = re.compile(r"nvjet_(?:sm\d+_)?([a-z]+)_")
_NVJET_OPERAND = {"h": "fp16", "t": "bf16", "q": "fp8", "r": "fp8", "d": "fp64", "s": "tf32"}
_TENSILE = re.compile(r"^cijk_[a-z]+_[a-z]+_(\w+)")
_TENSILE_TYPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("fp8", re.compile(r"f8|b8")),
    ("tf32", re.compile(r"s_mx_")),
    ("int8", re.compile(r"(?:4xi)?i?8")),
    ("bf16", re.compile(r"b[bs]")),
    ("fp16", re.compile(r"h")),
    ("fp64", re.compile(r"d")),
    ("fp32", re.compile(r"s")),
)

_USED = re.compile(
    r"tensorop|884|1688|16816|161616|16832|16864|8816|8832|168128|wmma|hmma|imma|dmma|gmma|mfma|xdl|umma|tcgen05"
    r"|_mi(?:4x4|16x16|32x32)|gtcx|nvjet|warpgroup|tf32|sm90_xmma|sm100|tensor_?core|marlin|machete|qmma"
    r"|deep_gemm|tensor\d+x\d+x"
)
# Matrix kernels that are known to run on ordinary cores where nothing above stands in their name.
_PLAIN = re.compile(r"(?:^|_)[sh]gemm|simt_|^cijk_|ampere_s?cgemm|f32f32_f32f32|bgemm_simt")
_FUSED_ATTENTION = re.compile(
    r"flash|fmha|sdpa|unified_attention|flex_attention|_attn_fwd|_attn_bwd|mla|mha_"
)
_ALIGN = re.compile(r"_align(\d{1,2})")
_ELEMENT_BYTES = {"fp64": 8, "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}
_HALF = frozenset({"fp16", "bf16", "fp8"})
_COLLECTIVE = re.compile(r"_(f32|f16|bf16|f64|half|float|double)(?:_|$|\()|<(float|__half|__nv_bfloat16)")
_COLLECTIVE_TYPES = {
    "f32": "fp32", "float": "fp32", "f16": "fp16", "half": "fp16", "__half": "fp16", "bf16": "bf16",
    "__nv_bfloat16": "bf16", "f64": "fp64", "double": "fp64",
}  # fmt: skip


def precision_of(text: str) -> str | None:
    """Precision of the operands that a kernel's name tells; None where it tells none. text: in lower case."""
    library = _tensile(text) or _nvjet(text)
    if library is not None:
        return library
    if _MMA_TF32.search(text):
        return "tf32"
    return next((precision for precision, pattern in _WORDS if pattern.search(text)), None)


def collective_precision(text: str) -> str | None:
    """Type of what a collective adds up; copies of bytes have none."""
    found = _COLLECTIVE.search(text)
    return _COLLECTIVE_TYPES[found[1] or found[2]] if found else None


def tensor_of(text: str, family: str, precision: str | None, vector: bool, helper: bool) -> Tensor:
    """Use of tensor cores by a kernel of a family that multiplies matrices. text: in lower case.

    vector: matrix times vector, which no tensor core runs faster; helper: beside the multiplication. fp32,
    fp16 and bf16 without them are eligible: in TF32 or half precision, or with sizes that are multiples of 8.
    """
    if helper:
        return "not-eligible"
    if family == "attention":
        return _attention_tensor(text, precision, vector)
    if _USED.search(text) or ("xmma" in text and precision in _HALF) or _triton_dot(text, precision):
        return "used"
    if vector or precision == "fp64":
        return "not-eligible"
    plain = family == "convolution" or _PLAIN.search(text) is not None
    return "eligible" if plain and precision is not None else "unknown"


def misaligned_of(text: str, precision: str | None) -> bool | None:
    """Whether CUTLASS picked a kernel for operands that cannot be read 16 bytes at a time ("align1").

    NVIDIA's guide to matrix products: sizes should be multiples of 16 bytes for tensor cores to run well.
    """
    found = _ALIGN.search(text)
    size = _ELEMENT_BYTES.get(precision or "")
    return None if found is None or size is None else int(found[1]) * size < 16


def aligned_multiple(precision: str | None) -> int | None:
    """Of what sizes should be multiples: elements in 16 bytes (8 in fp16 and bf16, 4 in tf32, 16 in fp8)."""
    size = _ELEMENT_BYTES.get(precision or "")
    return None if size is None else 16 // size


def _attention_tensor(text: str, precision: str | None, vector: bool) -> Tensor:
    if _USED.search(text) or (_FUSED_ATTENTION.search(text) and not vector):
        return "eligible" if precision == "fp32" and "sm80" not in text else "used"
    return "unknown"


def _triton_dot(text: str, precision: str | None) -> bool:
    """Kernels in Triton multiply with `tl.dot`, which runs on tensor cores in half precision."""
    return precision in _HALF and ("matmul" in text or "moe" in text) and "::" not in text


def _tensile(text: str) -> str | None:
    found = _TENSILE.match(text)
    if found is None:
        return None
    letters = found[1][:24]
    return next((name for name, pattern in _TENSILE_TYPES if pattern.match(letters)), None)


def _nvjet(text: str) -> str | None:
    found = _NVJET.search(text)
    return None if found is None else _NVJET_OPERAND.get(found[1][0])

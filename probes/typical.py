"""What cards are seen to reach of their data sheets, with who saw it. Stands in until a probe has run.

A pair is (fraction of the dense data-sheet figure, source).
"""

from __future__ import annotations

Typical = tuple[float, str]

_MAMF = "mamf-finder (stas00/ml-engineering)"
_AZURE = "Azure AI benchmarking guide (BabelStream)"
_HPL = "HPL on H100, 55 to 59 of 66.9 TFLOP/s (glennklockwood.com)"
_ZZC = "torch GEMMs on H100 (zzc0721/torch-performance-test-data)"
_GEMM_DEFAULT: Typical = (0.80, "typical of large GEMMs (mamf-finder); not seen on this model")
_PLAIN_DEFAULT: Typical = (0.78, "51.9 of 66.9 TFLOP/s fp32 on an H100 (torch GEMM); not seen on this pipe")

NVLINK: Typical = (0.80, "no public measurement at hand; taken like PCIe")

# Live counter -> the kind of work that drives it to its ceiling.
READINGS: dict[str, str] = {
    "dram_active": "dram",
    "tensor_active": "bf16",
    "hmma": "bf16",
    "imma": "imma",
    "dfma": "fp64_tensor",
    "dmma": "fp64_tensor",
    "fp64": "fp64",
    "fp32": "fp32",
    "fp16": "fp16_plain",
    "int_active": "int_plain",
}

# Copy or triad over the data sheet's bandwidth.
_DRAM: dict[str, Typical] = {
    "A100": (0.83, f"triad 0.83 to 0.87, copy 0.79: {_AZURE}"),
    "H100": (0.89, f"triad 0.887, copy 0.866: {_AZURE}"),
    "H200": (0.87, f"triad 0.871, copy 0.835: {_AZURE}"),
    "B200": (0.93, "triad 7.48 TB/s (arXiv 2512.02189)"),
    "MI300X": (0.78, _AZURE),
}
_DRAM_DEFAULT: Typical = (0.90, "torchao's roofline takes 0.92; copies on Hopper reach 0.87 to 0.90")
_DRAM_READING: Typical = (0.92, "HBM utilisation that Azure reports at full load on GB200")

_RATES: dict[tuple[str, str], Typical] = {
    ("H100", "bf16"): (0.80, f"794 of 989 TFLOP/s: {_MAMF}"),
    ("H100", "fp16"): (0.77, f"760 at 4096: {_ZZC}"),
    ("H100", "tf32"): (0.75, f"sustained; 0.81 at 4096: {_ZZC}, gpu-fryer"),
    ("H100", "fp8"): (0.71, f"1403 of 1979 TFLOP/s: {_MAMF}"),
    ("H100", "fp32"): (0.78, f"51.9 of 66.9 TFLOP/s: {_ZZC}"),
    ("H100", "fp64_tensor"): (0.85, _HPL),
    ("A100", "bf16"): (0.87, f"271 of 312 TFLOP/s: {_MAMF}"),
    ("A100", "fp16"): (0.82, f"256.5 of 312 TFLOP/s after 10,000 warm-ups: {_AZURE}"),
    ("A100", "fp32"): (0.97, "18.9 of 19.5 TFLOP/s (torch GEMM)"),
    ("B200", "bf16"): (0.78, f"1745 of 2250 TFLOP/s: {_MAMF}"),
    ("GB200", "bf16"): (0.73, f"1822 of 2500 TFLOP/s: {_MAMF}"),
    ("GB200", "fp8"): (0.72, f"3616 of 5000 TFLOP/s: {_MAMF}"),
    ("GB200", "fp4"): (0.76, f"7609 of 10000 TFLOP/s at 8192: {_AZURE}"),
    ("GB300", "fp4"): (0.58, f"8640 of 15000 TFLOP/s: {_AZURE}"),
    ("H200", "fp8"): (0.68, f"0.67 to 0.69 of 1979 TFLOP/s: {_AZURE}"),
    ("MI300X", "bf16"): (0.51, f"668 of 1307 TFLOP/s: {_MAMF}"),
}
# Same die, so the same fractions until something better is known.
_LIKE = {"H200": "H100", "GH200": "H100"}

_RATE_DEFAULTS: dict[str, Typical] = {
    "bf16": _GEMM_DEFAULT,
    "fp16": _GEMM_DEFAULT,
    "tf32": (0.75, "typical of sustained tf32 GEMMs; not seen on this model"),
    "fp8": (0.70, "typical of fp8 GEMMs (mamf-finder); not seen on this model"),
    "fp64_tensor": (0.85, f"{_HPL}; not seen on this model"),
    "fp64": _PLAIN_DEFAULT,
    "fp32": _PLAIN_DEFAULT,
}


def dram_frac(gpu: str) -> Typical:
    """Reached share of the data sheet's DRAM bandwidth."""
    return _DRAM.get(gpu, _DRAM.get(_LIKE.get(gpu, ""), _DRAM_DEFAULT))


def rate_frac(gpu: str, dtype: str) -> Typical | None:
    """Reached share of the dense rate; None where no figure can be trusted (int8, most of fp4)."""
    own = _RATES.get((gpu, dtype)) or _RATES.get((_LIKE.get(gpu, ""), dtype))
    return own or _RATE_DEFAULTS.get(dtype)


def counter_frac(gpu: str, kind: str) -> Typical:
    """What a live counter is taken to read at the ceiling of its kind of work."""
    if kind == "dram":
        return _DRAM_READING
    if kind == "imma":
        return _GEMM_DEFAULT
    frac, source = rate_frac(gpu, kind) or _PLAIN_DEFAULT
    return frac, f"taken as the reached share of the data sheet: {source}"

"""What a chip can do in a clock: a denominator that needs no data sheet, only the clock seen meanwhile.

FLOP (or operations) per clock and SM, dense, accumulating in fp32 (int8 in int32). They follow from the data
sheets of `gpu_specs.csv`: rate / (SMs × boost clock), and a test holds the two against each other. The
compute capability alone does not tell: GeForce cards, the A10G and the L40 accumulate in fp32 at half rate.
"""

from __future__ import annotations

from probes.record import DeviceFacts
from probes.specs import bare_name

_FULL: dict[str, dict[str, int]] = {
    "7.0": {"fp64": 64, "fp32": 128, "fp16": 1024},
    "7.5": {"fp64": 4, "fp32": 128, "fp16": 1024, "int8": 2048},
    "8.0": {"fp64": 128, "fp32": 128, "tf32": 1024, "fp16": 2048, "bf16": 2048, "int8": 4096},
    "8.6": {"fp64": 4, "fp32": 256, "tf32": 512, "fp16": 1024, "bf16": 1024, "int8": 2048},
    "8.9": {"fp64": 4, "fp32": 256, "tf32": 512, "fp16": 1024, "bf16": 1024, "fp8": 2048, "int8": 2048},
    "9.0": {"fp64": 256, "fp32": 256, "tf32": 2048, "fp16": 4096, "bf16": 4096, "fp8": 8192, "int8": 8192},
    "10.0": {
        "fp64": 128,
        "fp32": 256,
        "tf32": 4096,
        "fp16": 8192,
        "bf16": 8192,
        "fp8": 16384,
        "int8": 16384,
        "fp4": 32768,
    },
    "12.0": {
        "fp64": 4,
        "fp32": 256,
        "tf32": 512,
        "fp16": 1024,
        "bf16": 1024,
        "fp8": 2048,
        "int8": 2048,
        "fp4": 4096,
    },
}
# What differs on cards that are sold with less. None: not established. int8 accumulates in int32 and fp4 on
# GeForce in full, so neither is halved there; the L40's data sheet halves its int8 too.
_GEFORCE: dict[str, dict[str, int | None]] = {
    "7.5": {"fp16": 512},
    "8.6": {"tf32": 256, "fp16": 512, "bf16": 512},
    "8.9": {"tf32": 256, "fp16": 512, "bf16": 512, "fp8": 1024},
    "12.0": {"tf32": None, "fp16": 512, "bf16": 512, "fp8": 1024, "int8": None},
}
_L40: dict[str, int | None] = {"tf32": 256, "fp16": 512, "bf16": 512, "fp8": 1024, "int8": 1024}
_CUT: dict[str, dict[str, int | None]] = {
    "a10g": {"tf32": 256, "fp16": 512, "bf16": 512, "int8": None},
    "l40": _L40,
    "h800": {"fp64": None},
    "h20": dict.fromkeys(_FULL["9.0"]),
}

# Compute capabilities whose tensor cores do fp64, so that GEMMs have the data sheet's `fp64_tensor` rate.
FP64_TENSOR = frozenset({"8.0", "9.0", "10.0"})

# Metrics that run on the pipe of another.
_PIPE = {
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "mxfp8": "fp8",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
}


def flops_per_clock(facts: DeviceFacts, metric: str) -> int | None:
    """FLOP per clock and SM of a GEMM metric; None where it is not established for this card."""
    pipe = _PIPE.get(metric, metric)
    full = _FULL.get(facts.compute_capability or "", {})
    return {**full, **_differences(facts)}.get(pipe)


def peak_flop_s(facts: DeviceFacts, metric: str, sm_mhz: float | None) -> tuple[float | None, str]:
    """FLOP/s that the device's SMs can do at that clock, or None and why it is not known.

    facts.sm_count counts the SMs of what is measured: in a MIG instance, those of the instance.
    """
    if sm_mhz is None:
        return None, "the SM clock during the run is not known"
    if facts.sm_count is None:
        return None, "the number of SMs is not known"
    rate = flops_per_clock(facts, metric)
    if rate is None:
        capability = facts.compute_capability or "an unknown compute capability"
        return None, f"FLOP per clock of {metric} are not established for this card ({capability})"
    return rate * facts.sm_count * sm_mhz * 1e6, ""


def halves_fp32_sums(facts: DeviceFacts, metric: str) -> bool:
    """Whether the card adds up in fp32 at a lower rate than in less, so that a GEMM that is free to add up
    in less is faster than its data sheet's rate."""
    pipe = _PIPE.get(metric, metric)
    cut, full = _differences(facts).get(pipe), _FULL.get(facts.compute_capability or "", {}).get(pipe)
    return cut is not None and full is not None and cut < full


def _differences(facts: DeviceFacts) -> dict[str, int | None]:
    name, _ = bare_name(facts.name)
    if "geforce" in name:
        return _GEFORCE.get(facts.compute_capability or "", {})
    return next((cut for word, cut in _CUT.items() if word in name.split()), {})

"""Fixes that compute in another precision: fewer bits move fewer bytes and use faster units, or neither."""

from __future__ import annotations

import msgspec

from rules import thresholds as th
from rules.roofs import TENSOR_PIPES
from rules.servers import is_server
from rules.whatif import Lever, WhatIfBasis
from rules.whatifs.case import Case
from rules.whatifs.levers import HALF, eight_bits
from rules.whatifs.registry import Answer, Draft, Refused, fix

_GROUP = "precision"
_ACCURACY = "Accuracy in the new precision is checked on your own evaluation; no speed says anything of it."
# Tensor cores this busy in memory-bound time show matrix work there, whose bytes are of its own precision.
_MATRIX = 0.02
_CAST = '`torch.autocast("cuda", dtype=torch.{0})` for training and inference.'
_TF32 = (
    '`torch.backends.cuda.matmul.fp32_precision = "tf32"` (2.9 on), before that '
    '`torch.set_float32_matmul_precision("high")`.'
)


def _pipe(case: Case) -> str:
    """The pipe that computes: of the verdict, else the tensor cores where they are seen at work."""
    if case.verdict.pipe:
        return case.verdict.pipe
    tensor = case.verdict.class_mean("memory", "tensor_active") or 0.0
    return "tensor_active" if tensor >= _MATRIX else ""


def _on_tensor_cores(case: Case) -> bool:
    return _pipe(case) in TENSOR_PIPES


def _fp32_work(case: Case) -> float:
    """Share of the time that fp32 arithmetic takes: at its roof, or below every roof where COMP006 saw it."""
    at_roof = case.share("compute") if case.verdict.pipe == "fp32" else 0.0
    return at_roof + _below_roofs(case)


def _below_roofs(case: Case) -> float:
    return case.share("device") if case.finding("COMP006") is not None else 0.0


def _label(label: str) -> WhatIfBasis:
    return "measured" if label == "measured" else "assumption"


@fix("tf32", "Allow TF32 for fp32 matrix products", codes=("COMP003", "COMP006"), group=_GROUP)
def tf32(case: Case) -> Answer:
    """fp32 matrix products go through the tensor cores in TF32, as far as the fp32 work is matrix work.

    Other fp32 arithmetic gains nothing, and no counter tells the two apart: the low end is 1.0x.
    """
    if _fp32_work(case) < th.WORTH_A_FIX.value:
        return None
    ratio = case.ratio("tf32", "fp32")
    if ratio is None:
        return Refused("this card's TF32 and fp32 rates are not both known; `advisor probe` measures them")
    return Draft(
        levers=_from_fp32(case, ratio),
        how=f"TF32 over fp32 GEMMs, {ratio[0]:.1f}x ({ratio[1]} ceilings), as far as it is matrix work; 1.0x "
        "where none of it is",
        assumes=("The fp32 work is matrix products, and 10 bits of mantissa are enough for them.",),
        actions=(_TF32,),
    )


def _from_fp32(case: Case, ratio: tuple[float, str], *, bytes_too: bool = False) -> tuple[Lever, ...]:
    """fp32 arithmetic by a ratio of rates where it is matrix work; with half the bytes that wait for DRAM."""
    times, basis = ratio[0], _label(ratio[1])
    low = min(1.0, times)
    names: tuple[str, ...] = ("compute",) if case.verdict.pipe == "fp32" else ()
    names += ("device",) if _below_roofs(case) > 0.0 else ()
    levers = tuple(
        Lever(share=name, low=low, high=max(1.0, times), bound=max(1.0, times), basis=basis) for name in names
    )
    halved = Lever(share="memory", low=1.0, high=HALF, bound=HALF)
    return (*levers, halved) if bytes_too and case.share("memory") > 0.0 else levers


@fix("bf16", "Compute in bf16 instead of fp32", codes=("COMP002",), group=_GROUP)
def bf16(case: Case) -> Answer:
    """Mixed precision: fp32 products on the bf16 tensor cores, and half the bytes where fp32 waits for DRAM.

    Work that runs on 16-bit tensor cores already gains nothing, which is said.
    """
    return _half_precision(case, "bf16", "bfloat16")


@fix("fp16", "Compute in fp16 instead of fp32", group=_GROUP)
def fp16(case: Case) -> Answer:
    """As bf16, for cards without it: fp16 needs loss scaling in training. Said where bf16 is not known."""
    return None if case.rate("bf16") is not None else _half_precision(case, "fp16", "float16")


def _half_precision(case: Case, dtype: str, name: str) -> Answer:
    if _on_tensor_cores(case):
        return None
    if _fp32_work(case) < th.WORTH_A_FIX.value:
        return _half_the_bytes(case, dtype, name)
    ratio = case.ratio(dtype, "fp32")
    if ratio is None:
        return Refused(f"this card's {dtype} and fp32 rates are not both known; `advisor probe` has them")
    return Draft(
        levers=_from_fp32(case, ratio, bytes_too=True),
        how=f"{dtype} over fp32 GEMMs, {ratio[0]:.1f}x ({ratio[1]} ceilings), as far as it is matrix work, "
        "and half the bytes at best; 1.0x where neither holds",
        assumes=("The fp32 work is matrix products, and its tensors are fp32 now.", _ACCURACY),
        actions=(_CAST.format(name),),
    )


def _half_the_bytes(case: Case, dtype: str, name: str) -> Answer:
    """Where only bytes limit, and the tensor cores are seen to be idle."""
    tensor = case.verdict.class_mean("memory", "tensor_active")
    if case.share("memory") < th.SECONDARY.value or tensor is None or tensor >= _MATRIX:
        return None
    return Draft(
        levers=(Lever(share="memory", low=1.0, high=HALF, bound=HALF),),
        how=f"{dtype} has half the bytes of fp32 (2x on memory-bound time); 1.0x where tensors are not fp32",
        assumes=("The tensors are fp32 now.", _ACCURACY),
        actions=(_CAST.format(name),),
    )


@fix("fp8", "Compute in fp8 instead of 16 bits", codes=("COMP005",), group=_GROUP)
def fp8(case: Case) -> Answer:
    """Large linear layers in fp8: faster products where they limit, half the weights where DRAM does.

    On the compute share the card's own ratio of GEMM rates; on the memory share the bytes of weights alone,
    which are most of a small decoding batch and little of a large one. It can be slower: casts and scales
    cost what small batches do not win back, and the low end is the published slowdown of the whole.
    """
    return _eight_bits(case, "fp8", "fp8 for the large linear layers: `--quantization fp8` (vLLM), or "
                       "Transformer Engine `fp8_autocast`.")  # fmt: skip


@fix("int8", "Compute in int8 instead of 16 bits", group=_GROUP)
def int8(case: Case) -> Answer:
    """Weights and activations of inference in int8 (W8A8), as fp8, by the card's own ratio of GEMM rates.

    What no probe has measured is refused: data sheets say little of what int8 products reach.
    """
    answer = _eight_bits(case, "int8", "W8A8 weights (`llm-compressor`), for inference alone.")
    if answer is None or is_server(case.evidence):
        return answer
    return msgspec.structs.replace(answer, if_asked=True)


def _eight_bits(case: Case, dtype: str, action: str) -> Answer:
    compute, memory = _sixteen_bit(case), case.share("memory")
    if compute + memory < th.WORTH_A_FIX.value or not _on_tensor_cores(case):
        return None
    if _pipe(case) in ("imma", "dfma", "dmma"):
        return Refused("the tensor cores run integers or fp64 now, not 16-bit products")
    ratio = case.ratio(dtype, "bf16") or case.ratio(dtype, "fp16")
    if ratio is None:
        return Refused(
            f"this card's {dtype} rate is not known; `advisor probe` measures it where the card has it"
        )
    levers, how = eight_bits(dtype, compute, memory, ratio, _running(case))
    return Draft(
        levers=levers,
        how=how,
        assumes=("The work runs in 16 bits now, in linear layers.", *_as_8b(case), _ACCURACY),
        actions=(action,),
    )


def _sixteen_bit(case: Case) -> float:
    return case.share("compute") if case.verdict.pipe in ("hmma", "tensor_active") else 0.0


def _running(case: Case) -> float | None:
    running = case.serving.running if case.serving is not None else None
    return running if running is not None and running >= 1.0 else None


def _as_8b(case: Case) -> tuple[str, ...]:
    if _running(case) is None:
        return ()
    return ("Your model follows the curve of an 8B one; a larger one reads more weights a step.",)

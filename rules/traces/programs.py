"""What a traced program is, as far as its kernels and operators say: advice must fit it."""

from __future__ import annotations

import re

from rules.traces.kernel_records import KernelRow
from rules.traces.records import DeviceTrace

_TRAINS = re.compile(
    r"backward|\bbwd|_bwd|dgrad|wgrad|optimi[sz]er|multi_tensor_apply|adam|\bsgd", re.IGNORECASE
)
_BATCHED = re.compile(r"\b(?:aten::)?(?:bmm|baddbmm|matmul)\b")
_PHASES = frozenset({"backward", "optimizer"})


def trains(trace: DeviceTrace) -> bool:
    """Whether a backward pass or an optimizer was seen; a trace of inference has neither."""
    steps = trace.steps
    if steps is not None and _PHASES & {phase for phase, us in steps.phases.items() if us > 0.0}:
        return True
    if any(row.family == "optimizer" for row in trace.families):
        return True
    return any(_TRAINS.search(f"{row.name} {row.op or ''}") for row in trace.kernels)


def plain_attention(trace: DeviceTrace) -> tuple[KernelRow, ...]:
    """Kernels of attention that is written out: softmax, and batched products beside it; () without both."""
    softmax = [row for row in trace.kernels if row.family == "softmax"]
    products = [row for row in trace.kernels if row.family == "gemm" and _BATCHED.search(row.op or "")]
    return (*softmax, *products) if softmax and products else ()

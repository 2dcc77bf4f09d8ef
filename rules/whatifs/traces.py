"""Fixes on a traced device: what a trace measures of them, in place of what is published or assumed.

Fixes that a live look knows as well have the same name, and here what the trace says of them. Fixes that a
trace says nothing of (other cards, power, batch) are refused, to whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable

from rules import thresholds as th
from rules.traces.records import DeviceTrace
from rules.whatifs import trace_levers as levers
from rules.whatifs.case import Case
from rules.whatifs.registry import Answer, Draft, Refused, fix, traced
from rules.whatifs.trace_levers import Plan

_ONLY_A_TRACE = "only a profiler's trace tells: `advisor trace FILE`"
_HOST_CODES = ("TRACE001", "TRACE002", "TRACE003", "TRACE004", "TRACE005", "TRACE006", "TRACE007")
_PERTURBED = "The profiler's own influence on the host is small: {} was recorded, which lengthens its time."


def _draft(case: Case, plan: Plan | None, assumes: str, codes: tuple[str, ...]) -> Answer:
    """A plan as a draft; the actions are those of the finding that speaks of it."""
    if plan is None:
        return None
    mine = [f for f in case.findings if f.code in codes]
    found = min(mine, key=lambda f: (f.role != "primary", -(f.recoverable or 0.0)), default=None)
    return Draft(
        levers=plan.levers,
        how=plan.how,
        assumes=(assumes, *_perturbed(case, plan)),
        actions=() if found is None else found.actions[:2],
    )


def _perturbed(case: Case, plan: Plan) -> tuple[str, ...]:
    trace = case.evidence.trace
    touches = any(lever.share == "host" for lever in plan.levers)
    if trace is None or not trace.perturbed or not touches:
        return ()
    return (_PERTURBED.format(", ".join(trace.perturbed)),)


def _of_trace(
    case: Case, made: Callable[[DeviceTrace], Plan | None], assumes: str, codes: tuple[str, ...]
) -> Answer:
    trace = case.evidence.trace
    if trace is None:
        return Refused(_ONLY_A_TRACE, if_asked=True)
    return None if case.unknown else _draft(case, made(trace), assumes, codes)


@traced("input-pipeline", codes=("TRACE001",))
@fix("input-pipeline", "Take the input pipeline off the critical path")
def input_pipeline(case: Case) -> Answer:
    """Batches are ready when the step asks for them: the device's idle time for data falls away.

    The upper end is all of that time, as the trace measured it; the low end half of it.
    """
    return _of_trace(
        case,
        lambda trace: levers.loader(trace, case.verdict.shares),
        "Cores are free for more workers, and storage delivers as much.",
        ("TRACE001",),
    )


@traced("cuda-graphs", codes=("TRACE002", "TRACE015"))
def cuda_graphs(case: Case) -> Answer:
    """Idle time between kernels of chains that a graph would launch at once, kernel by kernel."""
    return _of_trace(
        case,
        lambda trace: levers.graphs(trace, case.verdict.shares),
        "The chains have the same shapes and addresses at each step, and no synchronisation inside.",
        ("TRACE002", "TRACE015"),
    )


@traced("host-code", codes=("TRACE003",))
@fix("host-code", "Take host code off the launching thread")
def host_code(case: Case) -> Answer:
    """Long stretches in which the host launches nothing run beside the device, or every N steps.

    The upper end is all idle time in gaps of 1 ms or more for want of a launch; the low end no gain.
    """
    return _of_trace(
        case,
        lambda trace: levers.host_code(trace, case.verdict.shares),
        "What the host does there is not needed for the next launch.",
        ("TRACE003",),
    )


@traced("fewer-syncs", codes=("TRACE004",))
@fix("fewer-syncs", "Remove synchronisations")
def fewer_syncs(case: Case) -> Answer:
    """The host runs ahead of the device: idle time in and behind synchronisations falls away.

    The upper end is all of that time, as the trace measured it; the low end no gain, where values are needed.
    """
    return _of_trace(
        case,
        lambda trace: levers.syncs(trace, case.verdict.shares),
        "The values read back are not needed at once.",
        ("TRACE004",),
    )


@traced("pin-memory", codes=("TRACE005",))
def pin_memory(case: Case) -> Answer:
    """Copies alone, and idle time in copy calls; pinned over pageable rates where this card's are known."""
    return _of_trace(
        case,
        lambda trace: levers.copies(trace, case.verdict.shares, case.ceilings),
        "The next batch is known while this one computes, and the host has memory to pin.",
        ("TRACE005",),
    )


@traced("keep-memory", codes=("TRACE006",))
@fix("keep-memory", "Allocate no memory in the steps")
def keep_memory(case: Case) -> Answer:
    """Device and pinned memory is kept from step to step: idle time in allocating calls falls away.

    The upper end is all of that time, as the trace measured it; the low end no gain.
    """
    return _of_trace(
        case,
        lambda trace: levers.allocation(trace, case.verdict.shares),
        "The trace is of steps as they usually are, not of the first ones.",
        ("TRACE006",),
    )


@traced("async-checkpoint", codes=("TRACE007",))
@fix("async-checkpoint", "Save checkpoints beside the steps")
def async_checkpoint(case: Case) -> Answer:
    """The state is copied and written while the next steps run.

    The upper end is all idle time in checkpoints and files; the low end no gain.
    """
    return _of_trace(
        case,
        lambda trace: levers.checkpoints(trace, case.verdict.shares),
        "Checkpoints are as frequent in the whole run as in this trace.",
        ("TRACE007",),
    )


@traced("overlap", codes=("TRACE008",))
def overlap(case: Case) -> Answer:
    """Time of collectives alone, as far as there are kernels to hide it behind."""
    return _of_trace(
        case,
        lambda trace: levers.overlap(trace, case.verdict.shares),
        "Nothing else waits for the collectives' results meanwhile.",
        ("TRACE008",),
    )


@traced("balance-ranks", codes=("TRACE009",))
@fix("balance-ranks", "Let ranks arrive together")
def balance_ranks(case: Case) -> Answer:
    """Work is balanced over the ranks: none waits for a later one in its collectives.

    The upper end is all of this rank's exposed wait; the low end no gain.
    """
    return _of_trace(
        case,
        lambda _: levers.balance(case.evidence, case.verdict.shares),
        "The late rank's work can be done by others, or sooner.",
        ("TRACE009",),
    )


@traced("tf32", codes=("TRACE010",))
def tf32(case: Case) -> Answer:
    """Kernels whose names say that they are fp32 matrix work without tensor cores."""
    return _products(case, "tf32", "10 bits of mantissa are enough for these products.")


@traced("bf16", codes=("TRACE010",))
def bf16(case: Case) -> Answer:
    """As tf32, in bf16."""
    return _products(case, "bf16", "Accuracy in bf16 is checked on your own evaluation.")


@traced("fp16", codes=("TRACE010",))
def fp16(case: Case) -> Answer:
    """As tf32, in fp16, for cards without bf16."""
    if case.rate("bf16") is not None:
        return None
    return _products(case, "fp16", "Accuracy in fp16 is checked on your own evaluation, with loss scaling.")


def _products(case: Case, dtype: str, assumes: str) -> Answer:
    return _of_trace(
        case,
        lambda trace: levers.tensor_cores(trace, case.verdict.shares, case.ceilings, dtype),
        assumes,
        ("TRACE010",),
    )


@traced("fuse", codes=("TRACE011",))
def fuse(case: Case) -> Answer:
    """Memory-bound element-wise kernels and reductions, as the trace names them."""
    return _of_trace(
        case,
        lambda trace: levers.fusion(trace, case.verdict.shares),
        "They follow each other over the same tensors.",
        ("TRACE011",),
    )


@traced("host-gap", codes=_HOST_CODES)
def host_gap(case: Case) -> Answer:
    """All that the device waits for its host, whatever the cause: a bound, said to whoever asks."""
    trace, gap = case.evidence.trace, case.share("host")
    if trace is None or gap < th.WORTH_A_FIX.value:
        return None
    made = levers.whole_gap(trace, case.verdict.shares)
    if made is None:
        return None
    assumes = ("The device's own work runs as before once it no longer waits.",)
    return Draft(levers=made.levers, how=made.how, assumes=assumes, if_asked=True)

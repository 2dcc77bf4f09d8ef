"""Fixes that change how much one step does: a larger batch, and kernels that move each byte once."""

from __future__ import annotations

from rules import thresholds as th
from rules.servers import is_server, nothing_waits
from rules.serving import ServingFigures
from rules.whatif import Lever
from rules.whatifs.anchors import BATCH_HIGH, CURVE_SOURCE, DOUBLING, KNEE, curve_step_s, curve_tok_s
from rules.whatifs.case import Case
from rules.whatifs.levers import PER_STEP, doubled, on_share
from rules.whatifs.levers import fewer_bytes as half_the_bytes
from rules.whatifs.registry import Answer, Draft, Refused, fix


@fix("batch", "Raise the batch, up to the knee", codes=("MEM002", "CAP002", "SERVE003"))
def batch(case: Case) -> Answer:
    """More requests or samples a step share the weights that it reads and the launches that it makes.

    For an engine that was asked: from its running requests along the published curve up to its knee, as far
    as requests wait and the KV cache holds them. Else doubling once, where device memory has room. The low
    end is no gain: a queue that does not grow says that all which arrives is done already.
    """
    running = case.serving.running if case.serving is not None else None
    if case.serving is not None and running is not None and running > 0.0:
        return _served(case, case.serving, max(1.0, running))
    if is_server(case.evidence):
        return _server_unasked(case)
    if case.finding("CAP002") is None:
        return _nothing_speaks_for_it(case)
    used = case.memory_used_frac
    return Draft(
        levers=doubled({name: case.share(name) for name in PER_STEP}),
        how=f"doubling the batch once: up to {BATCH_HIGH:g}x on the share that each step pays for once, as "
        f"of {CURVE_SOURCE}; 1.0x where another limit comes first",
        assumes=(
            f"Memory grows with the batch and has room: {100 * (used or 0.0):.0f} % of it is in use.",
            "Training: the learning rate is adapted, and the larger batch converges as well.",
        ),
        actions=("Double the batch until samples a second no longer rise, or memory is at 90 %.",),
    )


def _nothing_speaks_for_it(case: Case) -> Answer:
    """A larger batch that no rule saw room or reason for: unknown where a step may pay for anything once."""
    if sum(case.share(name) for name in PER_STEP) < th.WORTH_A_FIX.value:
        return None
    return Refused(
        "nothing seen says that a larger batch would fit and help: CAP002 says so where at most half of the "
        "memory is in use and at most half of the time useful",
        if_asked=True,
    )


def _server_unasked(case: Case) -> Answer:
    """Doubling, where DRAM limits a server whose metrics nobody read."""
    if case.share("memory") < th.WORTH_A_FIX.value:
        return None
    return Draft(
        levers=doubled({"memory": case.share("memory")}),
        how=f"doubling the batch, on the memory-bound share: {DOUBLING}, {CURVE_SOURCE}; 1.0x where no "
        "request waits",
        assumes=(
            "Enough requests are waiting, and the KV cache holds them; `advisor serving` tells both.",
            "The latency objective allows a longer step.",
        ),
        actions=("Serving: raise `--max-num-seqs`, or merge the traffic of two replicas.",),
    )


def _served(case: Case, serving: ServingFigures, running: float) -> Answer:
    if nothing_waits(serving):
        return Refused("no request waits, so a larger batch has nothing to hold; `replicas` merges traffic")
    target, limit = min(_limits(running, serving))
    if target <= running * 1.05:
        return Refused(f"{running:.0f} requests run at once, which is {limit}")
    high = curve_tok_s(target) / curve_tok_s(running)
    slower = curve_step_s(target) / curve_step_s(running)
    return Draft(
        levers=tuple(
            Lever(share=name, of=of, low=1.0, high=high, bound=target / running, basis="anchor")
            for name, of in (("host", ""), ("memory", "weights"))
            if case.share(name) > 0.0
        ),
        how=f"from {running:.0f} requests at once to {target:.0f}, which is {limit}, along {CURVE_SOURCE}; "
        "1.0x where work done is what arrives already",
        assumes=(
            *_unknown_of(serving),
            f"The objective allows {slower:.1f} times as long between tokens.",
            "Your model follows the curve of an 8B one; a larger one bends earlier.",
        ),
        actions=("Raise `--max-num-seqs` (vLLM), `--max-running-requests` (SGLang).",),
    )


def _limits(running: float, serving: ServingFigures) -> list[tuple[float, str]]:
    """Requests at once that each thing known allows, and what that is."""
    found = [(KNEE, "the knee of the curve")]
    if serving.kv_use_frac:
        held = running * th.KV_FULL.value / serving.kv_use_frac
        found.append((held, "what its KV cache holds"))
    if serving.waiting is not None:
        found.append((running + serving.waiting, "all that run or wait"))
    return found


def _unknown_of(serving: ServingFigures) -> tuple[str, ...]:
    """What has to hold because the engine did not say it."""
    said = (
        (serving.waiting, "Enough requests wait to fill it; the engine did not say how many do."),
        (serving.kv_use_frac, "The KV cache holds them; the engine did not say how full it is."),
    )
    return tuple(text for value, text in said if value is None)


@fix(
    "fewer-bytes",
    "Move fewer bytes for the same work",
    codes=("MEM001", "MEM002"),
    apart=("fuse", "bf16", "fp16", "fp8", "int8"),
)
def fewer_bytes(case: Case) -> Answer:
    """Fused kernels, flash attention or a type of half the bits: less crosses DRAM for the same results.

    Half the bytes at best, for MEM001, and for MEM002 where no batch can be raised (else it is `batch`).
    `fuse`, `bf16` and `fp8` are ways to get there, each with a range of its own. The low end is no gain.
    """
    few_rows = (
        None if is_server(case.evidence) and not nothing_waits(case.serving) else case.finding("MEM002")
    )
    found = case.finding("MEM001") or few_rows
    if found is None or case.share("memory") < th.WORTH_A_FIX.value:
        return None
    levers, how = half_the_bytes(case.share("memory"))
    return Draft(
        levers=levers,
        how=how,
        assumes=("Some of the bytes that cross DRAM need not: a profile of one step tells.",),
        actions=found.actions[:2],
        if_asked=case.finding("MEM004") is not None,
    )


@fix("fuse", "Fuse element-wise kernels", codes=("MEM004",))
def fuse(case: Case) -> Answer:
    """A chain of element-wise kernels becomes one, which moves each byte once.

    Two kernels in one move half the bytes; longer chains win more, work that is one kernel already nothing.
    """
    if case.finding("MEM004") is None or case.share("memory") < th.WORTH_A_FIX.value:
        return None
    return Draft(
        levers=(Lever(share="memory", of="activations", low=1.0, high=2.0),),
        how="two element-wise kernels fused into one move half the bytes (2x on memory-bound time); 1.0x "
        "where nothing can be fused, more where a chain is longer",
        assumes=("What waits for DRAM is a chain of kernels over the same tensors.",),
        actions=("`torch.compile(model)`; for optimisers `torch.optim.AdamW(..., fused=True)`.",),
    )


@fix("fill-gpu", "Give every SM enough work", codes=("DEV001", "DEV007", "DEV008", "DEV009"))
def fill_gpu(case: Case) -> Answer:
    """Time below every roof runs at the nearer one: larger grids, more warps, longer kernels.

    The bound is what a rule says that this time reaches of its roof; the low end is no gain.
    """
    found = next((f for f in case.findings if f.term == "inefficiency" and f.code.startswith("DEV")), None)
    part = case.share("device")
    if found is None or found.effect is None or part < th.WORTH_A_FIX.value:
        return None
    most = found.effect.bound or found.effect.high
    times = on_share(part, most)
    return Draft(
        levers=(Lever(share="device", low=1.0, high=times, bound=times),),
        how=found.effect.basis,
        assumes=("The kernels can be launched with more blocks, or written to use more warps.",),
        actions=found.actions[:2],
    )

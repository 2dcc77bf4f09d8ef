"""Rules for how much of the card is held: too much, too little, or shared. None explains a ladder's term."""

from __future__ import annotations

from collections.abc import Sequence

from rules import thresholds as th
from rules.catalogue.common import at_least, item, memory_used_frac, pct, place, share, watched
from rules.catalogue.memory import has_few_rows
from rules.evidence import Evidence
from rules.finding import Effect, Finding
from rules.host_cause import leading
from rules.observed import mean, reading_note, seconds
from rules.registry import Context, finding, rule
from rules.roofs import PIPES
from rules.servers import is_server, nothing_waits
from rules.verdict import EvidenceItem
from rules.whatifs.anchors import BATCH_HIGH
from rules.whatifs.compose import End, factor
from rules.whatifs.levers import PER_STEP, doubled

# Host causes that a larger batch helps: each step does more work for the same launches and synchronisations.
_PER_STEP = frozenset({"launch-rate", "sync"})
_PERCENTILE = 0.9
# NVIDIA MIG User Guide, supported GPUs, by compute capability: A100 and A30, Hopper, data-centre Blackwell.
_WITH_MIG = frozenset({"8.0", "9.0", "10.0", "10.3"})


def _works(ctx: Context) -> bool:
    """Whether a process is known to work on the device, by a verdict that was reached."""
    known = ctx.evidence.workload is not None and ctx.verdict.class_ not in ("unknown", "idle")
    return known and share(ctx, "free") < th.SECONDARY.value


def _used(ctx: Context) -> float | None:
    """Device memory in use as a share of all; None where it is not known or no process works there."""
    return memory_used_frac(ctx.evidence) if _works(ctx) else None


@rule("CAP001", "Device memory is almost full", "medium", "job", "window")
def memory_full(ctx: Context) -> Finding | None:
    """The next larger batch, sequence or fragment may end in an out-of-memory error.

    **What it detects**
    At least 95 % of the device memory in use while a process works on it.

    **Why it costs**
    A job that runs out of memory loses what it did since its last checkpoint.

    **How to tell it apart**
    PyTorch keeps freed memory in its own cache, and JAX and servers reserve most of it at the start: then the
    driver shows a full card that has room. `torch.cuda.memory_summary()` tells what is allocated. Programs
    known to serve requests, by the command lines of the process or its parents, are left out.

    **What to do**
    Look at the allocator first; then smaller batches, activation checkpointing, bf16, or sharding.

    **Evidence**
    Device memory in use and in all (NVML).

    **Source**
    - PyTorch profiler plug-in: peak memory above 90 % advises checkpointing or mixed precision
    - Gao et al., ICSE'24: insufficient GPU memory is in 3.1 % of low-utilisation problems
    """
    used = _used(ctx)
    if used is None or used < th.MEMORY_FULL.value or is_server(ctx.evidence):
        return None
    return finding(
        ctx,
        memory_full,
        claim=f"{place(ctx)} has {pct(used)} of its memory in use: one larger allocation may fail.",
        share=0.0,
        evidence=(_memory(used, at_least(th.MEMORY_FULL)),),
        actions=(
            "`torch.cuda.memory_summary()`: reserved is what the driver shows, allocated what is needed.",
            "`PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True` against fragments.",
            "`torch.utils.checkpoint`, a smaller batch with gradient accumulation, or FSDP.",
        ),
        confidence=0.5,
        severity="medium" if used >= 0.99 else "low",
    )


def _memory(used: float | None, threshold: str) -> EvidenceItem:
    return item("device memory in use, of all", used, threshold=threshold, source="NVML")


@rule("CAP002", "The batch can grow", "medium", "job", "window")
def batch_can_grow(ctx: Context) -> Finding | None:
    """Half of the memory is free, the card is far from its roofs, and more work a step would use it better.

    **What it detects**
    At most half of the device memory in use and at most half of the time useful, where a larger step helps:
    small kernels, launches or synchronisations that cannot keep up, or matrix work with few rows.

    **Why it costs**
    Each step pays for its launches and for reading the weights once, however few samples it holds.

    **How to tell it apart**
    Where input or storage is short (HOST003, HOST008) or nothing is asked (HOST009) a larger batch only
    waits longer, and this rule is silent. Latency targets may forbid it: then CAP003's slice is the other way
    to pay for less.

    **What to do**
    Double the batch until throughput no longer rises; for training adapt the learning rate.

    **Evidence**
    Device memory (NVML), the ladder's useful share, the verdict's shares.

    **Source**
    - Gao et al., ICSE'24: utilisation and peak memory at most 50 %; batch size is in 25.6 % of problems, and
      BERT ran 4.92x as fast at batch 768 as at 32 (8 V100)
    - ML.ENERGY, one H100, Llama-3.1-8B: doubling the batch bought 1.83x (8 to 16) to 1.09x (256 to
      512)
    """
    used, useful = _used(ctx), ctx.ladder.shares.get("useful", 0.0)
    if used is None or not _can_grow(ctx, used, useful) or nothing_waits(ctx.evidence.serving):
        return None
    return finding(
        ctx,
        batch_can_grow,
        claim=f"{place(ctx)} is used well {pct(useful)} of the time with {pct(used)} of its memory in use: "
        "the batch can grow.",
        share=0.0,
        evidence=(
            _memory(used, f"<= {th.SMALL_MEMORY.value:g}"),
            item("useful share of the time", useful, threshold=f"<= {th.LOW_USE.value:g}"),
        ),
        actions=(
            "Double the batch until samples a second no longer rise, or memory is at 90 %.",
            "Serving: raise `--max-num-seqs`, or send the requests of two replicas to one.",
        ),
        effect=_doubled(ctx),
        confidence=0.6,
        severity="low",
    )


def _doubled(ctx: Context) -> Effect:
    """As the what-if `batch` says it: the batch doubled once, on what each step pays for once."""
    shares = {name: share(ctx, name) for name in PER_STEP}
    levers = doubled(shares)
    ends: tuple[End, ...] = ("low", "high", "bound")
    low, high, bound = (factor(shares, levers, end) for end in ends)
    basis = (
        f"doubling the batch once: up to {BATCH_HIGH:g}x on an H100 with Llama-3.1-8B (ML.ENERGY), on time "
        "that each step pays for once; 1.0x where another limit comes first"
    )
    return Effect(low=low, high=high, bound=bound, basis=basis)


def _can_grow(ctx: Context, used: float, useful: float) -> bool:
    small = used <= th.SMALL_MEMORY.value and useful <= th.LOW_USE.value
    return small and (_waits_per_step(ctx) if _waits(ctx) else _works_small(ctx))


def _waits(ctx: Context) -> bool:
    return share(ctx, "host") >= th.HOST_GAP.value


def _waits_per_step(ctx: Context) -> bool:
    return leading(ctx.evidence, ctx.host_causes).slug in _PER_STEP


def _works_small(ctx: Context) -> bool:
    few_rows = share(ctx, "memory") >= th.SECONDARY.value and has_few_rows(ctx)
    return few_rows or share(ctx, "device") >= th.SECONDARY.value


@rule("CAP003", "A quarter of this card would do", "medium", "fleet", "window")
def smaller_card(ctx: Context) -> Finding | None:
    """Nine tenths of the time, and by every measure, the work fits a smaller card or a MIG slice.

    **What it detects**
    Over a minute or longer, on a card that can be divided (MIG), the 90th percentiles of both roofs, of the
    SMs in use and the memory in use are all at most a fifth of the card.

    **Why it costs**
    The rest of the card is paid for and can serve nobody else.

    **How to tell it apart**
    CAP002: the same process could use more of the card. A window of a minute says little of a job's other
    phases: look at `advisor record` over a day before moving it.

    **What to do**
    A MIG slice of the size that is needed, a smaller model of GPU, or another process beside this one.

    **Evidence**
    dram_active, the pipes, sm_active (GPM) as parts of the whole card, device memory (NVML).

    **Source**
    - NVIDIA MIG User Guide: 2g.20gb of an H100 80GB is 2 of 7 compute and 2 of 8 memory slices
    - Alibaba PAI 2020 trace (affinode.io): 97.9 % of tasks use less GPU than they ask for
    """
    used, useful = _used(ctx), ctx.ladder.shares.get("useful", 0.0)
    if used is None or not _divisible(ctx.evidence) or seconds(ctx.evidence) < th.SUSTAINED_S.value:
        return None
    parts = _parts(ctx)
    worst = max((*parts.values(), used), default=1.0)
    if not parts or worst > th.SMALL_CARD.value or _can_grow(ctx, used, useful):
        return None
    limit = f"<= {th.SMALL_CARD.value:g}"
    return finding(
        ctx,
        smaller_card,
        claim=f"{place(ctx)} is used to {pct(worst)} at most, nine tenths of {watched(ctx.evidence)}: a "
        "quarter of it would do.",
        share=0.0,
        evidence=(
            *(
                item(
                    f"{name}, 90th percentile",
                    value,
                    threshold=limit,
                    source=reading_note(ctx.evidence, name),
                )
                for name, value in parts.items()
            ),
            _memory(used, limit),
        ),
        actions=(
            f"`nvidia-smi mig -i {ctx.evidence.gpu} -lgip` lists this card's MIG profiles (after "
            f"`sudo nvidia-smi -i {ctx.evidence.gpu} -mig 1`, while nothing runs there): take the smallest "
            f"that holds {_gib(ctx.evidence)}.",
            "Or move it to a smaller GPU, or let a second job share this one (CUDA MPS).",
        ),
        confidence=0.6,
        severity="low",
    )


def _divisible(evidence: Evidence) -> bool:
    """Whether this is a whole card that has MIG; where its architecture is unknown, it is not said to."""
    whole = evidence.mig is None
    return whole and evidence.device.compute_capability in _WITH_MIG


def _gib(evidence: Evidence) -> str:
    return f"{(evidence.mem_used_bytes or 0) / 2**30:.0f} GiB"


def _parts(ctx: Context) -> dict[str, float]:
    """Counter -> the part of the whole card that it shows, 90th percentile; empty unless all are known."""
    names = [n for n in ("dram_active", "tensor_active", "fp32", "sm_active") if _values(ctx.evidence, n)]
    if len(names) < 4:
        return {}
    names += [n for n in PIPES if n not in names and _values(ctx.evidence, n)]
    return {name: _p90(_values(ctx.evidence, name)) / _ceiling(ctx, name) for name in names}


def _ceiling(ctx: Context, counter: str) -> float:
    """The counter's reading when the card can do no more; its full scale where none is known."""
    reading = ctx.ceilings.reading(counter) if ctx.ceilings else None
    return 1.0 if reading is None or reading.frac <= 0 else reading.frac


def _values(evidence: Evidence, counter: str) -> list[float]:
    values = [getattr(w, counter) for w in evidence.windows if not w.lost]
    return [value for value in values if value is not None]


def _p90(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(_PERCENTILE * len(values)))]


@rule("CAP004", "Several processes share the GPU", "low", "fleet", "window")
def shared(ctx: Context) -> Finding | None:
    """More than one process works on this GPU, and without MPS they take turns.

    **What it detects**
    Two processes or more hold the device while it works, and no MPS server among them.

    **Why it costs**
    Each gets a part of the time and of the memory; what one is told of its speed depends on the others.

    **How to tell it apart**
    Workers of one program that opened a CUDA context each look the same (`import torch` in a DataLoader
    worker that touches the GPU). Under MPS they run side by side and this rule is silent. Counters are of the
    whole device: what each process contributes cannot be told.

    **What to do**
    If it is meant: MPS, or MIG slices that cannot slow each other down. If not: one job a GPU by the
    scheduler, `CUDA_VISIBLE_DEVICES`, exclusive mode.

    **Evidence**
    NVML's list of processes, gr_active.

    **Source**
    - Gao et al., ICSE'24: GPU over-subscription is in 0.85 % of low-utilisation problems
    - NVIDIA MPS documentation: without MPS, processes are time-sliced
    """
    busy, workload = mean(ctx.evidence, "gr_active"), ctx.evidence.workload
    if not _works(ctx) or workload is None or workload.others < 1 or ctx.evidence.mps:
        return None
    if busy is None or busy < th.LINK_UNDER_LOAD.value:
        return None
    gpu = ctx.evidence.gpu
    return finding(
        ctx,
        shared,
        claim=f"{workload.others + 1} processes hold {place(ctx)} while it works: without MPS they "
        "take turns.",
        share=0.0,
        evidence=(
            item(
                "processes on the device",
                float(workload.others + 1),
                "count",
                threshold=">= 2",
                source="NVML",
            ),
            item("time with anything running", busy, source=reading_note(ctx.evidence, "gr_active")),
        ),
        actions=(
            f"`nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv -i {gpu}` lists them.",
            "Meant: `nvidia-cuda-mps-control -d` before they start, or a MIG slice each.",
            f"Not meant: `sudo nvidia-smi -i {gpu} -c EXCLUSIVE_PROCESS`, or the "
            "scheduler's `--gpus-per-task=1`.",
        ),
        confidence=0.9,
        severity="low",
    )

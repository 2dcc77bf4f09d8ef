"""Rules of traces for a device that waits for calls of its host: synchronisation, copies, memory, files."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.trace_common import (
    TRACE,
    behind,
    calls,
    host_loss,
    lost,
    names_behind,
    per_step,
    said_behind,
    short,
    told,
    waits,
)
from rules.finding import Finding
from rules.registry import Context, rule
from rules.traces.items import item
from rules.traces.kernel_records import CopyRow
from rules.traces.records import DeviceTrace
from rules.traces.shares import frac
from rules.traces.words import percent
from rules.verdict import EvidenceItem
from rules.whatifs import trace_levers as levers


@rule(
    "TRACE004",
    "Synchronisations drain the queue",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("sync",),
    tiers=TRACE,
)
def syncs(ctx: Context) -> Finding | None:
    """The host waits for the device, launches nothing meanwhile, and the device then waits for the host.

    **What it detects**
    At least 5 % of the device's time is idle behind a synchronisation: the queue ran dry while the host
    waited, and it had to catch up.

    **Why it costs**
    A host that runs ahead hides its own time behind kernels. Each synchronisation takes that lead away.

    **How to tell it apart**
    A wait at the end of a step, with the queue full, costs nothing: only idle time counts here. `.item()`,
    `.cpu()`, `nonzero`, boolean masks and `print` of a tensor synchronise; the operators beside the claim say
    which did.

    **What to do**
    Read losses every N steps, keep metrics on the device, avoid data-dependent shapes in the loop.

    **Evidence**
    Idle time of the device by cause, number of synchronising calls, and the operators that made them.

    **Source**
    - PyTorch performance tuning guide: avoid unnecessary synchronisation between CPU and GPU
    - Nsight Systems `cuda_api_sync` lists the same calls
    """
    found = host_loss(ctx, "sync")
    if found is None:
        return None
    trace, us = found
    plan = levers.syncs(trace, ctx.verdict.shares)
    count = calls(trace, "sync")
    return told(
        ctx,
        syncs,
        claim=waits(ctx, trace, us, f"{_where(trace, us)}{said_behind(trace, 'synchronisation', us)}"),
        share=frac(trace, us),
        evidence=(
            lost(trace, "idle in synchronisations and right behind them", us),
            item(trace, "of it while the host waited", frac(trace, trace.causes.get("synchronisation", 0.0))),
            item(trace, "of it until the host had launched again", frac(trace, _drained_us(trace, us))),
            *(() if not count else (item(trace, "synchronising calls", per_step(trace, count), "count"),)),
            *names_behind(trace, "synchronisation"),
        ),
        actions=(
            *_by_name(trace),
            *_launch_first(trace, us),
            "Keep losses and metrics on the device, and read them every N steps (`loss.detach()`).",
            "`torch.cuda.set_sync_debug_mode(1)` warns at each line that synchronises.",
        ),
        fix=plan,
    )


def _drained_us(trace: DeviceTrace, us: float) -> float:
    """Of idle time that synchronisations cost, what came after them: the host had to issue work again."""
    return max(0.0, us - trace.causes.get("synchronisation", 0.0))


def _where(trace: DeviceTrace, us: float) -> str:
    inside, behind_us = trace.causes.get("synchronisation", 0.0), _drained_us(trace, us)
    if behind_us <= 0.0:
        return "in synchronisations"
    if inside <= 0.0:
        return "for a host that launches again after a synchronisation drained its queue"
    parts = f"{percent(frac(trace, inside))} in them, {percent(frac(trace, behind_us))}"
    return f"for synchronisations: {parts} until the host, its queue drained, had launched again"


def _launch_first(trace: DeviceTrace, us: float) -> tuple[str, ...]:
    """Where most of it is the host's own time after the call: code there costs as much as the call."""
    if _drained_us(trace, us) < th.TRACE_MOST.value * us:
        return ()
    return ("Launch the next work before the host reads, logs or prepares anything.",)


_CURES = (
    ("item", "`.item()` reads a value back: keep it as a tensor, or read it every N steps."),
    ("_local_scalar_dense", "`.item()` reads a value back: keep it as a tensor, or read it every N steps."),
    ("nonzero", "`nonzero` and boolean masks wait for a size: use `torch.where` or fixed shapes."),
    ("unique", "`unique` waits for a size: do it on the host, or outside the loop."),
    ("to", "A copy to the host waits: `non_blocking=True` into pinned memory, read later."),
)


def _by_name(trace: DeviceTrace) -> tuple[str, ...]:
    seen = [row.name.rpartition("::")[2].lower() for row in behind(trace, "synchronisation")]
    found = [cure for name in seen for word, cure in _CURES if name == word]
    return tuple(dict.fromkeys(found))


@rule(
    "TRACE005",
    "The device waits for copies",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("transfer",),
    tiers=TRACE,
)
def transfers(ctx: Context) -> Finding | None:
    """Copies between host and device run alone, or the host sits in one, while no kernel runs.

    **What it detects**
    At least 5 % of the device's time is a transfer with no kernel beside it, or idle while the host is in a
    copy call.

    **Why it costs**
    A copy from pageable memory goes through a buffer, at a third to half of the link's rate, and holds the
    host up until it is done; kernels could run beside it.

    **How to tell it apart**
    Copies that run beside kernels cost nothing and are not counted. Pinned copies that are alone need a
    stream of their own, pageable ones need pinning first.

    **What to do**
    `pin_memory=True` in the loader and `.to(device, non_blocking=True)`; prefetch the next batch.

    **Evidence**
    Time of copies alone and idle time in copy calls, copies by direction and kind of host memory.

    **Source**
    - CUDA C++ Best Practices Guide: pinned memory, and overlap of copies with compute
    - Gao et al., ICSE'24: pinned memory alone bought 1.03x to 1.15x
    """
    found = host_loss(ctx, "transfer")
    if found is None:
        return None
    trace, us = found
    plan = levers.copies(trace, ctx.verdict.shares, ctx.ceilings)
    pageable = [row for row in trace.copies if row.memory == "pageable"]
    return told(
        ctx,
        transfers,
        claim=waits(ctx, trace, us, f"for copies{_from_pageable(trace, pageable)}"),
        share=frac(trace, us),
        evidence=(
            lost(trace, "copies alone, and idle in copy calls", us),
            *(_copy_item(trace, row) for row in _largest(trace)),
            *names_behind(trace, "copy_wait"),
        ),
        actions=(
            *(
                ("`DataLoader(..., pin_memory=True)`; own buffers with `tensor.pin_memory()`.",)
                if pageable or not trace.copies
                else ()
            ),
            "`.to(device, non_blocking=True)`, one batch ahead on a stream of its own.",
            "Results: gather them on the device and copy once, not after each step.",
        ),
        fix=plan,
    )


def _largest(trace: DeviceTrace) -> list[CopyRow]:
    host = [row for row in trace.copies if row.kind in ("h2d", "d2h")]
    return sorted(host, key=lambda row: -row.exposed_us)[:3]


def _copy_item(trace: DeviceTrace, row: CopyRow) -> EvidenceItem:
    memory = f", {row.memory}" if row.memory else ""
    rate = "" if row.bytes_s is None else f", {row.bytes_s / 1e9:.1f} GB/s"
    return item(trace, f"{row.kind}{memory} alone ({row.count} copies{rate})", frac(trace, row.exposed_us))


def _from_pageable(trace: DeviceTrace, pageable: list[CopyRow]) -> str:
    whole = sum(row.exposed_us for row in trace.copies if row.kind in ("h2d", "d2h"))
    part = sum(row.exposed_us for row in pageable)
    return (
        f"; {percent(part / whole)} of that copying is from or to pageable memory"
        if part > 0.0 < whole
        else ""
    )


@rule(
    "TRACE006",
    "Memory is allocated in the steps",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("allocator",),
    tiers=TRACE,
)
def allocation(ctx: Context) -> Finding | None:
    """The device is idle while the host allocates or frees device or pinned memory.

    **What it detects**
    At least 5 % of the device's time is idle in `cudaMalloc`, `cudaFree`, `cudaHostAlloc` or their like.

    **Why it costs**
    `cudaFree` waits for the device, and `cudaMalloc` takes 0.1 to 1 ms. A caching allocator that has to give
    memory back and take it again does both in every step.

    **How to tell it apart**
    The first steps of a run always allocate: a trace that holds them shows it once. In every step it comes
    from a cache that is too small or fragmented, from `empty_cache()`, or from shapes that vary.

    **What to do**
    `expandable_segments:True`, no `empty_cache()` in the loop, fewer shapes, a smaller batch where memory is
    full.

    **Evidence**
    Idle time of the device by cause, and the number of allocating calls.

    **Source**
    - PyTorch documentation, CUDA semantics: memory management, `PYTORCH_CUDA_ALLOC_CONF`
    """
    found = host_loss(ctx, "allocator")
    if found is None:
        return None
    trace, us = found
    plan = levers.allocation(trace, ctx.verdict.shares)
    count = calls(trace, "alloc")
    return told(
        ctx,
        allocation,
        claim=waits(
            ctx, trace, us, f"while memory is allocated or freed{said_behind(trace, 'allocator', us)}"
        ),
        share=frac(trace, us),
        evidence=(
            lost(trace, "idle while memory is allocated or freed", us),
            *(() if not count else (item(trace, "allocating calls", per_step(trace, count), "count"),)),
            *names_behind(trace, "allocator"),
        ),
        actions=(
            "`PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`.",
            "No `torch.cuda.empty_cache()` in the loop; pinned buffers once, outside of it.",
            "Record some steps later (`schedule(wait=..., warmup=...)`) if these are the first ones.",
        ),
        fix=plan,
    )


@rule(
    "TRACE007",
    "Checkpoints stop the device",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("checkpoint",),
    tiers=TRACE,
)
def checkpoints(ctx: Context) -> Finding | None:
    """The device is idle while the host writes or reads checkpoints or other files.

    **What it detects**
    At least 5 % of the device's time is idle with its host in serialisation or file access.

    **Why it costs**
    A synchronous save copies the state to the host and writes it while every GPU of the job waits.

    **How to tell it apart**
    A trace is short, so that one checkpoint in it looks larger than it is over hours: weigh it by how often
    one is saved.

    **What to do**
    Save asynchronously, in shards, to a local disk first, and less often.

    **Evidence**
    Idle time of the device by cause, and the host's ranges around it.

    **Source**
    - PyTorch documentation: `torch.distributed.checkpoint.async_save`
    - CheckFreq, FAST'21: snapshots and pipelined writes hide most of a checkpoint
    """
    found = host_loss(ctx, "checkpoint")
    if found is None:
        return None
    trace, us = found
    plan = levers.checkpoints(trace, ctx.verdict.shares)
    rows = behind(trace, "checkpoint_io", 1)
    return told(
        ctx,
        checkpoints,
        claim=waits(
            ctx, trace, us, f"for checkpoints or files{f', in {short(rows[0].name)}' if rows else ''}"
        ),
        share=frac(trace, us),
        evidence=(lost(trace, "idle for checkpoints and files", us), *names_behind(trace, "checkpoint_io")),
        actions=(
            "`torch.distributed.checkpoint.async_save(...)`: the write goes on beside the steps.",
            "Save to a local disk first, and in shards (each rank its own part).",
        ),
        fix=plan,
    )

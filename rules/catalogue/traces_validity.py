"""Rules of traces for how far a trace can be trusted: what it lacks, and what it does to the program."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import place
from rules.catalogue.trace_common import TRACE, matters, traced
from rules.finding import Finding
from rules.registry import Context, finding, rule
from rules.traces.items import item
from rules.traces.natures import perturbed
from rules.traces.records import DeviceTrace
from rules.traces.shares import frac
from rules.traces.words import LOST, NO_KERNELS, PERTURBED_WORDS, idle_settled, percent
from rules.verdict import EvidenceItem


@rule("TRACE018", "Nothing of a GPU in the trace", "high", "job", "fact", tiers=TRACE)
def cpu_only(ctx: Context) -> Finding | None:
    """The trace holds host activity alone, so that nothing can be said of a device.

    **What it detects**
    A file without any kernel, copy or set.

    **Why it costs**
    Nothing; but the trace cannot tell whether a GPU was busy, or waited.

    **How to tell it apart**
    A file that is cut or damaged may have held it all: then severity is high, so that no gate passes it as
    fine, and nothing is wrong with how it was recorded. A program that runs on the CPU alone has such a trace
    as well. With GPU work, the profiler was asked for the CPU alone, CUPTI could not be loaded or was in use,
    or the trace ended before anything ran.

    **What to do**
    Record again with GPU activities; a cut file: copy it again.

    **Evidence**
    Events by category, from the file.

    **Source**
    - PyTorch documentation: torch.profiler, `ProfilerActivity.CUDA`
    """
    if ctx.evidence.trace is not None:
        return None
    lost = ctx.evidence.missing.get(LOST)
    return finding(
        ctx,
        cpu_only,
        claim=f"{_file(ctx)} is cut or damaged, and nothing of a GPU is in what could be read: {lost}."
        if lost
        else f"{_file(ctx)} holds nothing that ran on a GPU.",
        share=0.0,
        evidence=(
            EvidenceItem(
                metric="kernels, copies and sets", value=0.0, unit="count", source=f"trace: {_file(ctx)}"
            ),
        ),
        actions=_whole_file() if lost else _with_gpu(asked=ASKED in ctx.evidence.missing),
        recoverable=0.0,
        severity="high" if lost else "medium",
    )


# Key of Evidence.missing of a trace that was asked of a running process: nobody wrote code for it.
ASKED = "asked"


def _whole_file() -> tuple[str, ...]:
    return (
        "Copy the file again once the profiler has closed it, and compare its size.",
        "Record it again where the recording process was killed or its disk was full.",
    )


def _with_gpu(*, asked: bool) -> tuple[str, ...]:
    """What to record. Of an asked process GPU activity was ordered already."""
    supported = "`torch.profiler.supported_activities()` says what can be recorded there."
    other = "Another profiler may hold CUPTI (`nsys`, `dcgm` profiling, DCGM exporters): stop it meanwhile."
    if asked:
        return (
            "GPU activity was asked for: ask again while the process works on its GPU, or for longer.",
            "`nvidia-smi` lists the processes of each GPU: ask the one that is there (a worker, a rank).",
            f"In its environment, {supported}",
            other,
        )
    return ("`profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])`.", supported, other)


def _file(ctx: Context) -> str:
    return ctx.evidence.missing.get("file", "the trace")


@rule("TRACE019", "The profiler itself is in the way", "medium", "job", "fact", tiers=TRACE)
def overhead(ctx: Context) -> Finding | None:
    """The profiler's own work, or what it was asked to record, is too large a part of the trace.

    **What it detects**
    At least 5 % of the device's time is idle for the profiler; or a host-bound trace that was recorded with
    stacks, shapes or memory, each of which lengthens launches, where launches are a good part of the gap.

    **Why it costs**
    Nothing in production; but the trace shows a program that is slower on its host than the real one.

    **How to tell it apart**
    Compare the step time without a profiler: the difference is the profiler's.

    **What to do**
    Record fewer things at once; let the profiler warm up for a step.

    **Evidence**
    The profiler's overhead events and its options, from the trace.

    **Source**
    - PyTorch documentation: torch.profiler, on the overhead of `with_stack` and `record_shapes`
    """
    trace = traced(ctx)
    if trace is None:
        return None
    us = trace.causes.get("profiler_overhead", 0.0)
    doubtful = ctx.verdict.class_ == "host" and perturbed(trace) >= th.TRACE_OVERHEAD.value
    if not doubtful and frac(trace, us) < th.TRACE_OVERHEAD.value:
        return None
    return finding(
        ctx,
        overhead,
        claim=f"On {place(ctx)} {_said(trace)}.",
        share=0.0,
        evidence=(item(trace, "idle for the profiler", frac(trace, us)),),
        actions=(
            *(f"Without `{name}`: {PERTURBED_WORDS.get(name, 'it costs time')}." for name in trace.perturbed),
            "`schedule(wait=1, warmup=1, active=3)`: the profiler's start is then not in the trace.",
            "Time some steps without a profiler, and compare.",
        ),
        recoverable=0.0,
        severity="medium" if frac(trace, us) >= th.SECONDARY.value else "low",
    )  # fmt: skip


def _said(trace: DeviceTrace) -> str:
    part = frac(trace, trace.causes.get("profiler_overhead", 0.0))
    took = (
        f"the profiler took {percent(part)} of the traced time itself"
        if part >= th.TRACE_OVERHEAD.value
        else ""
    )
    slow = trace.perturbed and perturbed(trace) >= th.TRACE_OVERHEAD.value
    slowed = f"{', '.join(trace.perturbed)} made the host slower than it is" if slow else ""
    return " and ".join(text for text in (took, slowed) if text)


@rule("TRACE020", "GPU work without a launch in the trace", "info", "job", "fact", tiers=TRACE)
def uncorrelated(ctx: Context) -> Finding | None:
    """Kernels ran whose launch calls are not in the trace.

    **What it detects**
    At least 5 % of the device's time in kernels, copies or sets without a launch.

    **Why it costs**
    Nothing; but idle time before such work cannot be ascribed to what the host did.

    **How to tell it apart**
    All of it: the host was not recorded. Some of it: work queued before the profiler started, another thread
    or library that was not traced. It is counted as busy, as it should be.

    **What to do**
    Record the host too, and let a step of warm-up pass first.

    **Evidence**
    Union of GPU intervals without a launch, from the trace.

    **Source**
    - HTA drops such kernels and counts their time as idle; here they are busy
    """
    trace = traced(ctx)
    if trace is None or not matters(trace, trace.uncorrelated_us):
        return None
    part = frac(trace, trace.uncorrelated_us)
    whole = trace.uncorrelated_us >= 0.99 * trace.busy_us
    return finding(
        ctx,
        uncorrelated,
        claim=f"On {place(ctx)} {percent(part)} of the traced time is GPU work with no launch in the trace"
        f"{'; the host was not recorded' if whole else ''}.",
        share=0.0,
        evidence=(item(trace, "GPU work without a launch", part, threshold=f">= {th.TRACE_SHARE.value:g}"),),
        actions=(
            "`activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]`, and `schedule(warmup=1, ...)`.",
        ),
        recoverable=0.0,
        severity="info",
    )


@rule("TRACE023", "Idle that the trace cannot explain", "medium", "job", "fact", term="unknown", tiers=TRACE)
def unexplained(ctx: Context) -> Finding | None:
    """The device is idle for much of the time, and nothing in the trace says what it waits for.

    **What it detects**
    At least 15 % of the device's time is idle without a known cause.

    **Why it costs**
    The device is paid for; whether by a wait or by work that the trace lacks, nobody can say from it.

    **How to tell it apart**
    Either the device really rests while work is queued, because another process has its turn; or it works,
    and records are missing: of kernels inside CUDA graphs, or dropped by a profiler whose buffers were full.
    Without the host's side no idle time has a cause.

    **What to do**
    Record what is missing: the advice names it by what the trace has already.

    **Evidence**
    Idle time of the device without a cause, and why it has none, from the trace.

    **Source**
    - NVIDIA Nsight Systems User Guide: `--cuda-graph-trace` records graphs as a whole or node by node
    - CUPTI documentation: activity records are dropped where no buffer is free
    """
    trace = traced(ctx)
    us = 0.0 if trace is None else trace.causes.get("unknown", 0.0)
    if trace is None or frac(trace, us) < th.TRACE_UNEXPLAINED.value:
        return None
    why = trace.unknown.get("causes", "").rstrip(".")
    rests = "is not seen to run anything" if NO_KERNELS in ctx.evidence.missing else "is idle"
    return finding(
        ctx,
        unexplained,
        claim=f"{place(ctx)} {rests} {percent(frac(trace, us))} of the traced time and the trace does not "
        f"say why{f', {why}' if why else ''}.",
        share=frac(trace, us),
        evidence=(
            item(trace, "idle without a known cause", frac(trace, us),
                 threshold=f">= {th.TRACE_UNEXPLAINED.value:g}"),
        ),
        actions=tuple(f"{advice[0].upper()}{advice[1:]}." for advice in idle_settled(ctx.evidence, trace)),
    )  # fmt: skip

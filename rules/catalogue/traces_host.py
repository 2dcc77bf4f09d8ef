"""Rules of traces for a device that waits for its host: each names one cause of idle time."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.trace_common import (
    TRACE,
    host_loss,
    lost,
    names_behind,
    said_behind,
    told,
    waits,
)
from rules.finding import Finding
from rules.registry import Context, rule, severity_of
from rules.traces.items import item
from rules.traces.programs import trains
from rules.traces.records import DeviceTrace
from rules.traces.shares import frac
from rules.verdict import EvidenceItem
from rules.whatifs import trace_levers as levers


@rule(
    "TRACE001",
    "Input pipeline starves the device",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("input-pipeline",),
    tiers=TRACE,
)
def input_pipeline(ctx: Context) -> Finding | None:
    """The device is idle while the host waits for a batch, or makes one itself.

    **What it detects**
    At least 5 % of the device's time is idle with its host in a DataLoader.

    **Why it costs**
    The device is paid for while CPUs decode and augment; a few more cores or a faster decoder cost far less.

    **How to tell it apart**
    Time in the DataLoader that kernels hide costs nothing and is not counted: only idle time is. Where the
    thread that trains makes the batch itself (`num_workers=0`), its DataLoader range is long and no worker
    process is in the trace; with workers a long range is a wait for them.

    **What to do**
    Raise `num_workers`, keep the workers (`persistent_workers=True`), pin memory, decode on the device.

    **Evidence**
    Idle time of the device by cause, and the DataLoader's part of the steps, from the trace.

    **Source**
    - PyTorch profiler TensorBoard plug-in: DataLoader time above 5 % of a step advises `num_workers`
    - tf.data, VLDB'21: 20 % of jobs spend more than a third of their compute time on input
    """
    found = host_loss(ctx, "input-pipeline")
    if found is None:
        return None
    trace, us = found
    plan = levers.loader(trace, ctx.verdict.shares)
    return told(
        ctx,
        input_pipeline,
        claim=waits(ctx, trace, us, f"for its input pipeline{_of_step(trace)}"),
        share=frac(trace, us),
        evidence=(
            lost(trace, "idle for data loading", us),
            *_loader_items(trace),
            *names_behind(trace, "data_loading"),
        ),
        actions=(
            "`DataLoader(..., num_workers=N)`: from 0 to a few per GPU, as cores are free; more where there "
            "are some already.",
            "`persistent_workers=True, pin_memory=True, prefetch_factor=4`: batches wait for the step.",
            "Decode and augment on the device (NVIDIA DALI, nvJPEG, torchvision v2 on CUDA tensors).",
            "Check: train on one cached batch; if the gap stays, the input is not the cause.",
        ),
        fix=plan,
        severity=severity_of(max(frac(trace, us), _of_steps(trace)), "high"),
    )


def _of_steps(trace: DeviceTrace) -> float:
    """The DataLoader's part of the steps; 0 where it is not known."""
    return 0.0 if trace.host is None else trace.host.loader_frac or 0.0


def _of_step(trace: DeviceTrace) -> str:
    part = None if trace.host is None else trace.host.loader_frac
    return "" if part is None else f"; its DataLoader holds up {100 * part:.1f} % of the step"


def _loader_items(trace: DeviceTrace) -> tuple[EvidenceItem, ...]:
    part = None if trace.host is None else trace.host.loader_frac
    return () if part is None else (item(trace, "DataLoader's part of the steps", part),)


@rule(
    "TRACE002",
    "Kernel launches cannot keep up",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("launch-rate",),
    tiers=TRACE,
)
def launch_rate(ctx: Context) -> Finding | None:
    """The device finishes kernels faster than the host launches them.

    **What it detects**
    At least 5 % of the device's time is idle, in gaps below 1 ms, because the next launch had not been
    issued when the device became free.

    **Why it costs**
    A launch takes 2 to 3 µs in the driver and 5 to 10 more in a framework; kernels shorter than that leave
    the device waiting for the next one, however fast it is.

    **How to tell it apart**
    No single gap is long, so nothing stands out on a timeline. Gaps of 1 ms or more are TRACE003, gaps behind
    a synchronisation TRACE004. A profiler that records stacks or shapes makes launches slower than they are.

    **What to do**
    Launch less often: CUDA graphs, `torch.compile(mode="reduce-overhead")`, fused optimisers, larger batches.

    **Evidence**
    Idle time of the device by cause, lengths of gaps and kernels, chains of short kernels on one stream.

    **Source**
    - CUDA graphs: 8.4 to 5.1 ms a step (1.65x) for an 8B model on an H100; 1.03x for llama.cpp on an RTX 3090
    - HTA: a short kernel ends before its launch call does
    """
    found = host_loss(ctx, "launch-rate")
    if found is None:
        return None
    trace, us = found
    plan = levers.launches(trace, ctx.verdict.shares)
    return told(
        ctx,
        launch_rate,
        claim=waits(ctx, trace, us, f"for the next launch{_in_gaps(trace)}"),
        share=frac(trace, us),
        evidence=(
            lost(trace, "idle for launches, in gaps below 1 ms", us),
            *_gap_items(trace),
            *_chain_items(trace),
            *names_behind(trace, "host_launch"),
        ),
        actions=(
            *_of_chains(trace),
            *(
                ("Use fused and foreach optimisers, such as `torch.optim.AdamW(..., fused=True)`.",)
                if trains(trace)
                else ()
            ),
            "Raise the batch: the same launches then do more work each.",
        ),
        fix=plan,
    )


def _of_chains(trace: DeviceTrace) -> tuple[str, ...]:
    """CUDA graphs, but where the trace measured that they would save nothing of it."""
    if trace.chains is not None and trace.chains.saved_high_by.get("host_launch", 0.0) <= 0.0:
        return (
            "CUDA graphs would save nothing here: no chain of short kernels is launched late. Look at what "
            "the host runs between launches (`with_stack=True`, `py-spy record`).",
        )
    return ('Capture the step: `torch.compile(model, mode="reduce-overhead")`, or `torch.cuda.CUDAGraph`.',)


def _in_gaps(trace: DeviceTrace) -> str:
    host = trace.host
    if host is None or not host.gaps or host.median_gap_us is None:
        return ""
    return f": {host.gaps} gaps, half of them {host.median_gap_us:.0f} µs or more"


def _gap_items(trace: DeviceTrace) -> tuple[EvidenceItem, ...]:
    host = trace.host
    if host is None or host.median_gap_us is None:
        return ()
    found = [item(trace, "median gap in which a launch was late", host.median_gap_us, "us")]
    if host.kernels:
        limit = f"< {th.TRACE_SHORT_KERNEL_US.value:g} µs"
        part = host.short_kernels / host.kernels
        found.append(item(trace, f"kernels shorter than a launch takes ({limit})", part))
    return tuple(found)


def _chain_items(trace: DeviceTrace) -> tuple[EvidenceItem, ...]:
    chains = trace.chains
    if chains is None or not chains.kernels:
        return ()
    return (
        item(trace, f"kernels in chains that a CUDA graph would launch at once ({chains.chains})",
             chains.kernels / max(1, chains.of)),
        item(trace, "idle time between them", frac(trace, chains.gap_us)),
    )  # fmt: skip


@rule(
    "TRACE003",
    "Host code between launches",
    "high",
    "job",
    "fact",
    term="host_gap",
    causes=("main-thread",),
    tiers=TRACE,
)
def host_code(ctx: Context) -> Finding | None:
    """The device is idle for long stretches in which the host runs code of its own and launches nothing.

    **What it detects**
    At least 5 % of the device's time is idle for want of a launch, in gaps of 1 ms or more.

    **Why it costs**
    Logging, metrics, Python data structures, garbage collection or first-time compilation run where the next
    step could have been launched.

    **How to tell it apart**
    Short gaps in great number are TRACE002. A gap that ends with a batch is TRACE001, one behind a checkpoint
    TRACE007. The names beside the claim are what the host was in; without `with_stack` they are operators and
    ranges, not lines of code.

    **What to do**
    Move what is not needed for the next step off the launching thread, or do it every N steps.

    **Evidence**
    Idle time of the device by cause and by length of the gap, and the host's operators and ranges around it.

    **Source**
    - Gao et al., ICSE'24: work of the host between steps is a common cause of low utilisation
    """
    found = host_loss(ctx, "main-thread")
    if found is None:
        return None
    trace, us = found
    plan = levers.host_code(trace, ctx.verdict.shares)
    return told(
        ctx,
        host_code,
        claim=waits(
            ctx, trace, us, f"for host code in gaps of 1 ms or more{said_behind(trace, 'host_launch', us)}"
        ),
        share=frac(trace, us),
        evidence=(
            lost(trace, "idle for launches, in gaps of 1 ms or more", us),
            *names_behind(trace, "host_launch"),
        ),
        actions=(
            "Look at the longest gaps below: what the host ran there is beside each.",
            "Record once more with `with_stack=True` where only operators are named.",
            "Log, evaluate metrics and collect garbage every N steps, or on another thread.",
        ),
        fix=plan,
    )

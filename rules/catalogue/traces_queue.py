"""Rules of traces for a device that is idle although work is queued, whatever the host does."""

from __future__ import annotations

from rules.catalogue.common import place
from rules.catalogue.trace_common import TRACE, lost, matters, told, traced
from rules.finding import Finding
from rules.registry import Context, rule
from rules.traces.causes import device_times
from rules.traces.items import item
from rules.traces.records import DeviceTrace
from rules.traces.shares import frac
from rules.traces.words import percent
from rules.verdict import EvidenceItem
from rules.whatifs import trace_levers as levers


@rule(
    "TRACE014",
    "Streams wait for each other",
    "medium",
    "job",
    "fact",
    term="inefficiency",
    causes=("stream-dependency",),
    tiers=TRACE,
)
def dependency(ctx: Context) -> Finding | None:
    """Work is queued and the device is idle: it waits for an event or another stream.

    **What it detects**
    At least 5 % of the device's time is idle while launched work waits, and its own stream is free.

    **Why it costs**
    Each hand-over from one stream to another costs some µs, in which nothing runs.

    **How to tell it apart**
    The host was ahead: faster launches (TRACE002) gain nothing here. Hand-overs come with `wait_stream`,
    events, and collectives on a stream of their own.

    **What to do**
    Fewer hand-overs: one stream for small work, larger buckets, events only where data is shared.

    **Evidence**
    Idle time of the device by cause, streams in use.

    **Source**
    - CUDA C++ Programming Guide: streams, events and implicit synchronisation
    """
    return _idle_on_device(ctx, "stream-dependency")


@rule(
    "TRACE015",
    "Gaps between queued kernels",
    "medium",
    "job",
    "fact",
    term="inefficiency",
    causes=("kernel-gap",),
    tiers=TRACE,
)
def kernel_gaps(ctx: Context) -> Finding | None:
    """The next kernel is queued, and the device takes a µs or two before it starts.

    **What it detects**
    At least 5 % of the device's time is idle between kernels of one stream that were launched in time.

    **Why it costs**
    Between two kernels of a stream the device waits for the first to drain and fetches the second. With many
    short kernels that adds up.

    **How to tell it apart**
    The host was ahead of the device: TRACE002 is where it was not.

    **What to do**
    Fewer, larger kernels (fusion), CUDA graphs, programmatic dependent launch on Hopper and later.

    **Evidence**
    Idle time of the device by cause, chains of kernels.

    **Source**
    - NVIDIA: programmatic dependent launch; CUDA graphs shorten the time between nodes
    """
    return _idle_on_device(ctx, "kernel-gap")


_ON_DEVICE = {
    "stream-dependency": (
        "while queued work waits for another stream",
        (
            "Look at the longest gaps: which stream waits there, and for what.",
            "Put small work on one stream; record and wait for events only where data is shared.",
        ),
    ),
    "kernel-gap": (
        "between kernels that are queued in time",
        (
            "Fuse small kernels: `torch.compile(model)`.",
            "Capture the step in a CUDA graph: nodes follow each other faster than launches.",
        ),
    ),
}


def _idle_on_device(ctx: Context, slug: str) -> Finding | None:
    trace = traced(ctx)
    us = 0.0 if trace is None else device_times(trace).get(slug, 0.0)
    if trace is None or not matters(trace, us):
        return None
    words, actions = _ON_DEVICE[slug]
    plan = levers.device_gaps(trace, ctx.verdict.shares, slug)
    return told(
        ctx,
        dependency if slug == "stream-dependency" else kernel_gaps,
        claim=f"{place(ctx)} is idle {percent(frac(trace, us))} of the traced time {words}.",
        share=frac(trace, us),
        evidence=(lost(trace, f"idle {words}", us), *_streams(trace)),
        actions=actions,
        fix=plan,
    )


def _streams(trace: DeviceTrace) -> tuple[EvidenceItem, ...]:
    return (item(trace, "streams in use", float(trace.streams), "count"),) if trace.streams else ()

"""Rules for a GPU on which nothing runs."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pauses, pct, pid, place, share, watched, who
from rules.catalogue.host_inside import checkpointing
from rules.demand import demand
from rules.finding import Finding
from rules.host_cause import leading
from rules.host_stacks import TOLD_BY_STACKS, usable
from rules.registry import Context, finding, rule
from rules.verdict import EvidenceItem

# More than half: then the median look was taken in a pause.
_MOSTLY = 0.55


@rule("IDLE001", "GPU is free", "high", "fleet", term="free", causes=("free",))
def free(ctx: Context) -> Finding | None:
    """A GPU that no process uses is paid for all the same.

    **What it detects**
    No process held the device for at least 15 % of the time watched.

    **Why it costs**
    A free GPU costs as much per hour as a busy one, and nobody but the fleet can put work on it.

    **How to tell it apart**
    IDLE002 is a GPU that a process holds without using it. Processes in another PID namespace or of another
    user may be hidden from this view; `advisor doctor` says whether they are.

    **What to do**
    Schedule work on it, give it back, or power the node down outside working hours.

    **Evidence**
    NVML's list of processes on the device, and the engine's activity.

    **Source**
    - Alibaba PAI 2020 trace (affinode.io): mean GPU utilisation 10.5 %, median 1.5 %
    """
    part = share(ctx, "free")
    if part < th.SECONDARY.value:
        return None
    return finding(
        ctx,
        free,
        claim=f"{place(ctx)} was free for {pct(part)} of {watched(ctx.evidence)}: no process held it.",
        share=part,
        evidence=(item("time without any process", part, threshold=at_least(th.SECONDARY), source="NVML"),),
        actions=(
            "Schedule work on it, or return it to the pool.",
            "`advisor diagnose --duration 10m` tells a pause between jobs from a GPU nobody uses.",
        ),
    )


@rule("IDLE002", "GPU is held idle", "high", "job", term="idle_held", causes=("idle-held",))
def held(ctx: Context) -> Finding | None:
    """A process holds the GPU's memory and runs nothing, so nobody else can use it.

    **What it detects**
    A process holds the device and no engine ran for five seconds or longer, over at least 15 % of the time
    watched.

    **Why it costs**
    The whole price is paid, and the memory that is held keeps other jobs away.

    **How to tell it apart**
    IDLE003: pauses that come back, with work in between. A host gap (HOST001 to HOST009) has pauses of
    milliseconds between kernels; here nothing runs for seconds.
    A server between requests looks the same: its process name usually tells, and where its own metrics say so
    it is SERVE005. A process that saves much
    before or after it works is HOST016.

    **What to do**
    End notebooks and debuggers that are done, release memory with `torch.cuda.empty_cache()` after the last
    reference is gone, or let the scheduler stop jobs below a utilisation for some minutes.

    **Evidence**
    GPM gr_active (or NVML utilisation), NVML's list of processes, memory in use.

    **Source**
    - Philly trace, ATC'19 (re-analysis at affinode.io): 25 to 49 % of job minutes at 0 % utilisation
    - dstack `utilization_policy` and Alibaba PAI stop jobs below 10 % for 60 minutes, as an example to follow
    """
    part = share(ctx, "idle_held")
    if part < th.SECONDARY.value or pauses(ctx.evidence) > 1 or _told_otherwise(ctx):
        return None
    used = ctx.evidence.mem_used_bytes
    memory = "" if used is None else f" and {used / 2**30:.1f} GiB"
    return finding(
        ctx,
        held,
        claim=f"{who(ctx.evidence)} holds {place(ctx)}{memory} and ran nothing for {pct(part)} of the time.",
        share=part,
        evidence=(
            item("time held with nothing running", part, threshold=at_least(th.SECONDARY)),
            item("device memory in use", used, "bytes", source="NVML"),
        ),
        actions=_release(ctx),
    )


def _told_otherwise(ctx: Context) -> bool:
    """Whether a better reason is known: a checkpoint, or an engine that says that nobody asks it."""
    return checkpointing(ctx) is not None or demand(ctx.evidence) == "none"


def _release(ctx: Context) -> tuple[str, ...]:
    workload = ctx.evidence.workload
    user = None if workload is None else workload.user
    asked = "its owner" if user is None else user if user.startswith("user:") else f"user {user}"
    end = "" if workload is None else f" (`kill {workload.pid}` ends it)"
    return (
        f"Ask {asked} whether the process is still needed{end}.",
        "In a notebook, shut the kernel down; clearing its output frees nothing.",
    )


@rule("IDLE003", "Used now and then", "high", "job", term="idle_held", causes=("idle-held",))
def at_intervals(ctx: Context) -> Finding | None:
    """A process works on the GPU in bursts, and holds it through the pauses.

    **What it detects**
    A process holds the device, at least 15 % of the time nothing ran for five seconds or longer, and that
    happened twice or more with work in between.

    **Why it costs**
    The pauses are paid for like the work, and the memory that is held keeps other jobs away.

    **How to tell it apart**
    IDLE002 is one long silence: nobody came back. Here somebody does: a notebook, an evaluation between
    epochs, a periodic job, a service with few requests. Where the process writes much meanwhile, its
    checkpoints stop the GPU (HOST016); where a thread or a worker of it is busy in the pauses, the finding
    says so and advises a look inside.

    **What to do**
    Share the GPU among such users (MIG, MPS, time slicing), collect the work into one batch job, or load the
    model when it is needed.

    **Evidence**
    GPM gr_active (or NVML utilisation) over time, NVML's list of processes, the busiest thread and the
    children of the process (/proc), stack samples.

    **Source**
    - Execution-idle study (2026): 19.7 % of the time within GPU jobs nothing runs, 10.7 % of their energy
    - Gao et al., ICSE'24: interactive use is in 2.1 % of low-utilisation problems
    """
    part, count = share(ctx, "idle_held"), pauses(ctx.evidence)
    if part < th.SECONDARY.value or count < 2 or _told_otherwise(ctx):
        return None
    busy = _busy_host(ctx)
    return finding(
        ctx,
        at_intervals,
        claim=f"{who(ctx.evidence)} uses {place(ctx)} in bursts: {count} pauses of "
        f"{th.IDLE_HELD_MIN_S.value:.0f} s or more, {pct(part)} of the time"
        + (", in which its host works." if busy else "."),
        share=part,
        evidence=(
            item("time held with nothing running", part, threshold=at_least(th.SECONDARY)),
            item("pauses", float(count), "count", threshold=">= 2"),
            item("device memory in use", ctx.evidence.mem_used_bytes, "bytes", source="NVML"),
            *busy,
        ),
        actions=_look_inside(ctx) if busy else _SHARING,
        confidence=0.5 if busy else 1.0,
    )


_SHARING = (
    "Interactive work: a MIG slice or a shared GPU (`nvidia-cuda-mps-control -d`), with a limit.",
    "Collect evaluations and small jobs into one batch; overlap them with training.",
    "Services: scale to zero, or several models behind one server.",
)


def _look_inside(ctx: Context) -> tuple[str, ...]:
    return (
        f"`advisor diagnose --stacks --pid {pid(ctx.evidence)}` names what the process does in the pauses.",
        "Do it beside the GPU's work: in another process or thread, ahead of time, or less often.",
    )


def _busy_host(ctx: Context) -> tuple[EvidenceItem, ...]:
    """What shows that the process itself works in the pauses: they are of its own making then.

    A median over looks tells of the pauses only where these are most of the time.
    """
    host, most = ctx.evidence.host, share(ctx, "idle_held") >= _MOSTLY
    thread, children = host.thread_demand_frac, host.children_busy
    if most and thread is not None and thread >= th.LAUNCH_THREAD.value:
        return (item("busiest thread's CPU", thread, "cores", at_least(th.LAUNCH_THREAD), "/proc, 5 s"),)
    if most and children:
        return (item("children at 0.9 of a core or more", float(children), "count", ">= 1", "/proc, 5 s"),)
    cause = leading(ctx.evidence, ctx.host_causes)
    return cause.evidence if cause.slug in TOLD_BY_STACKS and usable(host.stacks) is not None else ()

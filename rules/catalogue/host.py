"""Rules for a GPU that waits for the code that feeds it."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import pct, pid, place, room_to_grow, share, who
from rules.catalogue.host_gap import (
    full_core,
    gap_caused_by,
    gap_items,
    look_first,
    seen_frame,
    sure,
    waits,
)
from rules.economics import host_gap_bound, host_gap_effect, saved
from rules.evidence import HostEvidence
from rules.finding import Effect, Finding
from rules.host_stacks import usable
from rules.observed import visible
from rules.registry import Context, finding, rule
from rules.whatifs.levers import as_effect, graphs


@rule(
    "HOST001",
    "Host gap, cause not visible from outside",
    "high",
    "job",
    term="host_gap",
    causes=("unattributed",),
)
def unattributed(ctx: Context) -> Finding | None:
    """The GPU waits for the host, and nothing seen outside the process says why.

    **What it detects**
    At least 15 % of the time is lost to the host, and no cause (HOST002 to HOST017) has enough evidence.

    **Why it costs**
    While nothing runs on the GPU it is paid for in full; closing the gap h can speed the work up by 1/(1-h).

    **How to tell it apart**
    One look inside the process settles it: the stack of its main thread while the GPU is idle. Where not
    even its CPU time is to be seen, the process lives in another PID namespace, or /proc hides it: nothing
    here can look inside, and advisor has to run where the process is visible.

    **What to do**
    Sample the stack: `advisor diagnose --stacks`, or key `s` on the live screen. Or record a PyTorch profiler
    trace of a few steps.

    **Evidence**
    GPM gr_active (or NVML utilisation), CPU use of the process, its busiest thread and its children; stack
    samples where they were asked for.

    **Source**
    - XProf input-pipeline analysis: 5 % waiting is moderate, 20 % is high
    """
    cause = gap_caused_by(ctx, "unattributed")
    if cause is None:
        return None
    target = pid(ctx.evidence)
    return finding(
        ctx,
        unattributed,
        claim=waits(ctx, _not_told(ctx, target)),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=_to_look(ctx, target),
        effect=_uncertain_effect(share(ctx, "host")),
    )


def _not_told(ctx: Context, target: str) -> str:
    if visible(ctx.evidence.host):
        return "why cannot be seen from outside the process"
    return f"why cannot be told, since process {target} is not visible from here"


def _to_look(ctx: Context, target: str) -> tuple[str, ...]:
    if not visible(ctx.evidence.host):
        return (
            "Run advisor on the host, or in a container that shares its process ids (`docker run "
            "--pid=host`, `hostPID: true`).",
            "Where /proc is mounted with hidepid, run it as the process's owner or with sudo.",
        )
    dump = f"`py-spy dump --pid {target}` a few times: the line that keeps returning is the cause."
    if usable(ctx.evidence.host.stacks) is not None:
        return (dump,)
    return (f"`advisor diagnose --stacks --pid {target}` samples its stacks and names what they show.", dump)


def _uncertain_effect(gap: float) -> Effect | None:
    """Without a cause there may be no cure: the low end is no gain."""
    bound = host_gap_bound(gap)
    if bound is None:
        return None
    basis = f"bound 1/(1-{gap:.2f}) = {bound:.2f}x when the gap closes; no cause is known, so it may not"
    return Effect(low=1.0, high=bound, bound=bound, basis=basis)


@rule("HOST002", "Kernel launches cannot keep up", "high", "job", term="host_gap", causes=("launch-rate",))
def launch_rate(ctx: Context) -> Finding | None:
    """One thread launches kernels slower than the GPU finishes them.

    **What it detects**
    A host gap while one thread uses a whole core, no child is busy, and kernels are small (SMs idle between
    them).

    **Why it costs**
    A launch takes 2 to 3 µs in the driver and more in a framework; kernels shorter than that leave the GPU
    waiting for the next one.

    **How to tell it apart**
    Decoding data in the main thread (HOST003 with `num_workers=0`) and spinning in a synchronisation
    (HOST004) also use one whole core. A stack sample (`advisor diagnose --stacks`) tells: launches show
    framework dispatch, not user code.

    **What to do**
    Launch less often: CUDA graphs, `torch.compile(mode="reduce-overhead")`, fused optimisers, larger batches.

    **Evidence**
    gr_active and sm_active (GPM), CPU of the busiest thread and of the children (/proc), stack samples where
    they were asked for.

    **Source**
    - CUDA graphs: 8.4 to 5.1 ms a step (1.65x) for an 8B model on an H100; 1.03x for llama.cpp on an RTX 3090
    - torch.compile, 163 models: 2.27x for inference, 1.41x for training, geometric means of whole programs
    """
    cause = gap_caused_by(ctx, "launch-rate")
    if cause is None:
        return None
    effect = _launch_effect(ctx)
    return finding(
        ctx,
        launch_rate,
        claim=f"{place(ctx)} loses {pct(share(ctx, 'host'))} of its time to the host; "
        f"one thread{' at a full core' if full_core(ctx.evidence.host) else ''} launches kernels too slowly.",
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            *look_first(ctx, cause),
            'Capture the step: `torch.compile(model, mode="reduce-overhead")`, or `torch.cuda.CUDAGraph`.',
            "Use fused and foreach optimisers, such as `torch.optim.AdamW(..., fused=True)`.",
            *room_to_grow(ctx.evidence),
            f"`py-spy dump --native --pid {pid(ctx.evidence)}` confirms it: dispatch and launches on top.",
        ),
        effect=effect,
        recoverable=min(share(ctx, "host"), saved(effect)),
        confidence=sure(ctx, cause),
    )


def _launch_effect(ctx: Context) -> Effect:
    """As the what-if `cuda-graphs` says it, on the host gap alone."""
    gap = share(ctx, "host")
    levers, _, how = graphs(gap, ctx.ceilings)
    return as_effect(gap, levers, how)


@rule("HOST003", "Input pipeline cannot keep up", "high", "job", term="host_gap", causes=("input-pipeline",))
def input_pipeline(ctx: Context) -> Finding | None:
    """The GPU waits for data that the CPU is still preparing.

    **What it detects**
    A host gap while children of the process (loader workers) use whole cores and its main thread waits.

    **Why it costs**
    The GPU is paid for while CPUs decode and augment; a few more cores or a faster decoder cost far less.

    **How to tell it apart**
    Idle workers with a busy main thread point to HOST002. Workers waiting for the disk point to HOST008.
    In stack samples the main thread stands in `DataLoader.__next__`, or at a queue that workers fill.
    Training on one cached batch removes the gap if and only if the input is the cause.

    **What to do**
    More workers, `persistent_workers=True`, a larger `prefetch_factor`, decoding on the GPU (DALI, nvJPEG),
    data prepared ahead (WebDataset, FFCV, tokenised files).

    **Evidence**
    gr_active, children at 0.9 of a core or more, CPU of the busiest thread (/proc), stack samples.

    **Source**
    - tf.data, VLDB'21: 20 % of jobs spend more than a third of their compute time on input
    - CoorDL, VLDB'21: compare synthetic, cached and cold input to find data stalls
    - Gao et al., ICSE'24: data operations cause 46 % of low-utilisation problems
    """
    cause = gap_caused_by(ctx, "input-pipeline")
    if cause is None:
        return None
    return finding(
        ctx,
        input_pipeline,
        claim=waits(ctx, f"the input pipeline cannot keep up{_workers(ctx.evidence.host)}"),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            *look_first(ctx, cause),
            _more_workers(ctx.evidence.host),
            "Decode and augment on the GPU (NVIDIA DALI, nvJPEG, torchvision v2 on CUDA tensors).",
            "Store the data prepared (tokenised, resized), so that workers only read.",
            "Check: train on one cached batch; if the gap stays, the input is not the cause.",
        ),
        effect=host_gap_effect(share(ctx, "host")),
        confidence=sure(ctx, cause),
    )


def _workers(host: HostEvidence) -> str:
    if not host.children_busy:
        return ""
    of = "" if host.children is None else f" of {host.children}"
    return f" ({host.children_busy}{of} children use a whole core)"


def _more_workers(host: HostEvidence) -> str:
    """How far the number of workers can grow with the cores this process may use."""
    cores, workers = _usable_cores(host), host.children or host.children_busy or 0
    if cores is None:
        return "Raise `num_workers` while cores are free, with `persistent_workers=True, prefetch_factor=4`."
    demand = host.thread_demand_frac
    fits = cores if demand is not None and demand < th.THREAD_WAITING.value else cores - 1
    if fits > workers:
        return f"Raise `num_workers` to {fits} ({_cores(cores)} allowed), `persistent_workers=True`."
    used = host.process_cpu_cores
    full = used is not None and used >= 0.9 * cores
    why = f"All of its {_cores(cores)} taken" if full else f"{_cores(cores)} allowed, for {workers} children"
    return f"{why}: ask for more (`--cpus-per-task`, the pod's CPU limit)."


def _cores(count: int) -> str:
    return "1 core is" if count == 1 else f"{count} cores are"


def _usable_cores(host: HostEvidence) -> int | None:
    """Cores by affinity and by quota, whichever is fewer."""
    limits = [c for c in (host.cpus_allowed, host.cpu_quota_cores) if c is not None and 0 < c < 1e6]
    return max(1, int(min(limits))) if limits else None


@rule(
    "HOST004",
    "Synchronisation between host and GPU",
    "medium",
    "job",
    term="host_gap",
    causes=("sync",),
)
def sync(ctx: Context) -> Finding | None:
    """The host waits for the GPU, and the GPU then waits for the host, step by step.

    **What it detects**
    A host gap while one thread spins with much time in the kernel, or blocks hundreds of times a second; or,
    in stack samples, a feeding thread that stands in synchronising calls.

    **Why it costs**
    After each synchronisation the queue is empty: the GPU idles until the host has launched again.

    **How to tell it apart**
    From outside this is a suspicion: launching (HOST002) looks much alike. A stack sample
    (`advisor diagnose --stacks`) settles it: `cudaStreamSynchronize`, `.item()`, `.cpu()` or `print` of a
    tensor on top. A thread that synchronises once and finds the GPU busy is only waiting its turn.

    **What to do**
    Read losses every N steps, keep metrics on the device, copy with `non_blocking=True` from pinned memory,
    avoid `torch.cuda.synchronize()` and data-dependent shapes in the loop.

    **Evidence**
    CPU of the busiest thread and its part in the kernel, voluntary context switches (/proc), stack samples.

    **Source**
    - Nsight Systems `cuda_api_sync` lists the same calls from a trace
    - llama.cpp #16585: spinning or blocking moved throughput by 15 %
    """
    cause = gap_caused_by(ctx, "sync")
    if cause is None:
        return None
    bound = host_gap_bound(share(ctx, "host"))
    target = pid(ctx.evidence)
    return finding(
        ctx,
        sync,
        claim=waits(ctx, _sync_words(ctx)),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            _sync_look(ctx, target),
            '`torch.cuda.set_sync_debug_mode("warn")` names each synchronising line of PyTorch code.',
            "Log losses every 50 steps, and keep metrics on the device until then.",
        ),
        effect=None
        if bound is None
        else Effect(low=1.0, high=bound, bound=bound, basis="no measured ratio: only the bound 1/(1-gap)"),
        confidence=sure(ctx, cause),
    )


def _sync_words(ctx: Context) -> str:
    stacks = usable(ctx.evidence.host.stacks)
    if stacks is None:
        return "synchronisation is suspected, a stack sample settles it"
    return f"its thread is in synchronising calls {pct(stacks.frac('synchronise'))} of the time"


def _sync_look(ctx: Context, target: str) -> str:
    group = seen_frame(ctx, ("synchronise",))
    if group is not None:
        return f"Take the synchronising call out of the loop: {group}."
    return f"`advisor diagnose --stacks --pid {target}` shows whether it is so, and the line that does it."


@rule("HOST009", "Little is asked of this GPU", "medium", "fleet", term="host_gap", causes=("no-demand",))
def no_demand(ctx: Context) -> Finding | None:
    """The process sleeps between requests: the GPU is over-provisioned rather than slowed by its host.

    **What it detects**
    A gap while the process and its children use next to no CPU and wait for nothing local.

    **Why it costs**
    The capacity is paid for around the clock and used for a part of it.

    **How to tell it apart**
    Waiting for another machine (a remote data store, a slower rank) looks the same from here. A server's own
    metrics tell: no running requests means no demand.

    **What to do**
    Serve more models or replicas from this GPU (MIG, MPS, one server for several models), scale down when
    quiet, or choose a smaller GPU.

    **Evidence**
    gr_active, CPU used by the process and by its busiest thread (/proc), the program's name.

    **Source**
    - Alibaba PAI 2020 trace (affinode.io): 97.9 % of instances use less GPU than they asked for
    """
    cause = gap_caused_by(ctx, "no-demand")
    if cause is None:
        return None
    part = share(ctx, "host")
    return finding(
        ctx,
        no_demand,
        claim=f"{who(ctx.evidence)} asks little of {place(ctx)}: it is idle {pct(part)} of the time.",
        share=part,
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            *look_first(ctx, cause),
            "Check the server's running and waiting requests; if both are 0, consolidate replicas.",
            "If it waits for another machine instead, look there: a slower rank, a remote data store.",
        ),
        confidence=sure(ctx, cause),
    )

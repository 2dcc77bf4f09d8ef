"""Rules for a GPU that waits because of a limit of its host: link, quota, placement, storage."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import pct, pid, share
from rules.catalogue.host_gap import full_core, gap_caused_by, gap_items, look_first, sure, waits
from rules.economics import host_gap_bound, host_gap_effect, saved
from rules.finding import Effect, Finding
from rules.host_cause import HostCause, leading
from rules.registry import Context, finding, rule
from rules.whatifs.levers import as_effect, in_gap_bytes_s, pinning


def _present(ctx: Context, slug: str) -> HostCause | None:
    """`slug` when the evidence supports it at all, even if another cause explains the gap better."""
    if share(ctx, "host") < th.HOST_GAP.value:
        return None
    return next((cause for cause in ctx.host_causes if cause.slug == slug), None)


def _leads(ctx: Context, slug: str) -> bool:
    return leading(ctx.evidence, ctx.host_causes).slug == slug


@rule(
    "HOST005",
    "Copies between host and GPU fill the gap",
    "high",
    "job",
    term="host_gap",
    causes=("transfer",),
)
def transfer(ctx: Context) -> Finding | None:
    """The GPU waits for data to cross PCIe.

    **What it detects**
    Bytes over PCIe, divided by the rate of a pinned copy on this link, fill at least 30 % of the time in
    which nothing ran.

    **Why it costs**
    Copies that are not overlapped with kernels stop the GPU for as long as they take.

    **How to tell it apart**
    Overlapped copies move as many bytes while the GPU is busy; then there is no gap. DEV004 names a link that
    runs below its maximum.

    **What to do**
    Pinned memory and `non_blocking=True`, prefetching the next batch on its own stream, sending uint8 and
    converting on the GPU, keeping data that is used again on the device.

    **Evidence**
    PCIe counters (GPM), the link's generation and width (NVML), gr_active.

    **Source**
    - Gao et al., ICSE'24: host-to-GPU transfer is in 27.9 % of low-utilisation problems; pinning alone 1.03x
      to 1.15x
    - nvbandwidth, Azure AI benchmarking guide: pinned copies reach 0.77 to 0.87 of the link
    """
    cause = gap_caused_by(ctx, "transfer")
    if cause is None:
        return None
    effect = _transfer_effect(ctx, cause)
    return finding(
        ctx,
        transfer,
        claim=waits(ctx, "copies over PCIe fill much of it"),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            "`DataLoader(..., pin_memory=True)` and `.to(device, non_blocking=True)`.",
            "Send images as uint8 and convert on the GPU: a quarter of the bytes of fp32.",
            "Copy the next batch on a second stream while this one computes.",
        ),
        effect=effect,
        recoverable=min(share(ctx, "host"), saved(effect)),
        confidence=sure(ctx, cause),
    )


def _transfer_effect(ctx: Context, cause: HostCause) -> Effect:
    """As the what-if `pin-memory` says it: from pinning alone to full overlap."""
    gap = share(ctx, "host")
    levers, _, how = pinning(gap, ctx.ceilings, in_gap_bytes_s(cause.evidence))
    return as_effect(gap, levers, how)


@rule(
    "HOST006", "CPU quota throttles the process", "high", "fleet", term="host_gap", causes=("cpu-throttled",)
)
def cpu_throttled(ctx: Context) -> Finding | None:
    """The kernel stops the process because its cgroup has used up its CPU quota.

    **What it detects**
    A host gap while the cgroup was throttled for at least 5 % of the time.

    **Why it costs**
    A CPU core costs a few cents an hour, the GPU that waits for it dollars.

    **How to tell it apart**
    `nr_throttled` in `cpu.stat` grows. Without a quota a shortage of cores shows as CPU pressure instead.

    **What to do**
    Raise or remove the CPU limit of the pod, container or job; requests keep the share fair without a limit.

    **Evidence**
    cgroup `cpu.stat` and `cpu.max`.

    **Source**
    - Linux kernel documentation, cgroup v2: `cpu.max`, `cpu.stat`
    """
    cause = _present(ctx, "cpu-throttled")
    if cause is None:
        return None
    part = share(ctx, "host")
    throttled = ctx.evidence.host.throttled_frac or 0.0
    at_stake = part if _leads(ctx, "cpu-throttled") else min(part, throttled)
    return finding(
        ctx,
        cpu_throttled,
        claim=waits(ctx, f"its CPU quota stopped the process {pct(throttled)} of the time"),
        share=at_stake,
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            "Kubernetes: raise or drop `resources.limits.cpu`. Docker: `docker update --cpus N CONTAINER`.",
            "Slurm: `--cpus-per-task`. Check: `nr_throttled` in the cgroup's cpu.stat stops growing.",
        ),
        effect=host_gap_effect(at_stake),
        confidence=sure(ctx, cause),
    )


@rule(
    "HOST007",
    "Process runs far from its GPU (NUMA)",
    "medium",
    "fleet",
    term="host_gap",
    causes=("remote-numa",),
)
def remote_numa(ctx: Context) -> Finding | None:
    """The process may run on CPUs of another NUMA node than the one its GPU hangs on.

    **What it detects**
    A host gap while nearly all CPUs that the process may use (0.95 or more) are on another NUMA node than
    the GPU. A process that was never bound may use the CPUs of all nodes, and does not count.

    **Why it costs**
    Launches, copies and pinned buffers then cross the socket link.

    **How to tell it apart**
    It rarely explains a gap alone; it makes launches and copies slower. Pinning the process and measuring
    again is cheap and conclusive.

    **What to do**
    Bind CPU and memory to the GPU's node: `numactl --cpunodebind=N --membind=N`, or the scheduler's binding.

    **Evidence**
    The process's CPU affinity and the GPU's node (sysfs).

    **Source**
    - gearshifft #82: 3.8 GB/s to the far node against 12.2 GB/s to the near one
    """
    cause = _present(ctx, "remote-numa")
    if cause is None:
        return None
    host = ctx.evidence.host
    node = "N" if host.gpu_numa_node is None else str(host.gpu_numa_node)
    bound = host_gap_bound(share(ctx, "host"))
    return finding(
        ctx,
        remote_numa,
        claim=waits(
            ctx, f"{pct(host.remote_numa_frac or 0.0)} of the CPUs it may use are on another NUMA node"
        ),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            f"`numactl --cpunodebind={node} --membind={node} COMMAND`, or `srun --gpu-bind=closest`.",
            "`nvidia-smi topo -m` shows which CPUs are near which GPU.",
        ),
        effect=None
        if bound is None
        else Effect(low=1.0, high=bound, bound=bound, basis="no measured ratio: only the bound 1/(1-gap)"),
        confidence=sure(ctx, cause),
        # Beside another cause the gap is that cause's to claim; placement only makes it longer.
        recoverable=None if _leads(ctx, "remote-numa") else 0.0,
        severity=None if _leads(ctx, "remote-numa") else "low",
    )


@rule("HOST008", "Storage cannot keep up", "high", "job", term="host_gap", causes=("storage",))
def storage(ctx: Context) -> Finding | None:
    """The GPU waits for files.

    **What it detects**
    A host gap while the process or its children wait uninterruptibly for I/O, or the node is under I/O
    pressure; or, in stack samples, a feeding thread that reads or writes files while the kernel counts bytes
    of storage, or that reads from a remote data store.

    **Why it costs**
    The GPU is paid for while bytes come from a disk or a network file system.

    **How to tell it apart**
    Workers at a full core point to HOST003. A second epoch that is much faster (page cache) points here.

    **What to do**
    Copy the data to local NVMe, read few large files instead of many small ones, read ahead with more
    workers, write checkpoints asynchronously.

    **Evidence**
    Process states (/proc), bytes read, I/O pressure (/proc/pressure/io).

    **Source**
    - Gao et al., ICSE'24: checkpointing is in 16.4 % of low-utilisation problems, remote reads in 2.6 %
    - Linux kernel documentation, pressure stall information
    """
    cause = gap_caused_by(ctx, "storage")
    if cause is None:
        return None
    return finding(
        ctx,
        storage,
        claim=waits(ctx, "it waits for storage"),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            *look_first(ctx, cause),
            "Stage the data set on local NVMe, as shards of 100 MB or more (WebDataset, Parquet).",
            "Raise `num_workers` and `prefetch_factor`: waiting workers use no CPU.",
            "Write checkpoints asynchronously (`torch.distributed.checkpoint.async_save`).",
            f"`sudo cat /proc/{pid(ctx.evidence)}/stack` shows which file system it waits in.",
        ),
        effect=host_gap_effect(share(ctx, "host")),
        confidence=sure(ctx, cause),
    )


@rule(
    "HOST010",
    "One host thread works while the GPU waits",
    "high",
    "job",
    term="host_gap",
    causes=("main-thread",),
)
def main_thread(ctx: Context) -> Finding | None:
    """A thread of the process uses a whole core between kernels that are large enough to fill the GPU.

    **What it detects**
    A host gap while one thread is at a full core, no child is busy, and the SMs are well used when they run.

    **Why it costs**
    Work that one thread does between steps adds to every step; beside the GPU's work it would cost nothing.

    **How to tell it apart**
    With small kernels the same thread is busy launching them (HOST002). With busy children it waits for them
    (HOST003). Here it loads, decodes, tokenises or logs by itself, as a loader with `num_workers=0` does.

    **What to do**
    Give the loader workers, prefetch to the GPU on a side stream, take other work out of the loop.

    **Evidence**
    gr_active and sm_active (GPM), CPU of the busiest thread and of the children (/proc).

    **Source**
    - Gao et al., ICSE'24: data operations cause 46 % of low-utilisation problems
    - PyTorch: a DataLoader with `num_workers=0` loads in the main process
    """
    cause = gap_caused_by(ctx, "main-thread")
    if cause is None:
        return None
    return finding(
        ctx,
        main_thread,
        claim=waits(ctx, f"meanwhile one of its threads {_works(ctx)}"),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), *cause.evidence),
        actions=(
            *look_first(ctx, cause),
            f"`py-spy dump --pid {pid(ctx.evidence)}` a few times: what the thread does between steps.",
            "`DataLoader(num_workers=N, persistent_workers=True, pin_memory=True)`, if it loads data itself.",
            "Copy the next batch with `non_blocking=True` on a side stream while this one computes.",
        ),
        effect=host_gap_effect(share(ctx, "host")),
        confidence=sure(ctx, cause),
    )


def _works(ctx: Context) -> str:
    """A whole core is claimed only where one was counted."""
    return "uses a whole core" if full_core(ctx.evidence.host) else "does other work"

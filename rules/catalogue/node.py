"""Rules for the node around the GPUs: its CPUs, its memory, its software."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pct, share
from rules.catalogue.host_gap import gap_caused_by, gap_items, no_core_free, sure, waits
from rules.economics import host_gap_bound, host_gap_effect
from rules.evidence import HostEvidence
from rules.finding import SEVERITIES, Effect, Finding
from rules.host_cause import leading
from rules.known_issues import issues_of
from rules.registry import Context, finding, rule
from rules.verdict import EvidenceItem

# Governors that lower a core's clock when it idles for a moment, and take time to raise it again.
_SAVING = frozenset({"powersave", "ondemand", "conservative"})
# Causes in which one thread's speed decides; a slow core slows it down.
_OF_A_THREAD = frozenset({"launch-rate", "main-thread", "sync", "tokeniser", "gil", "serialisation"})
_GIB = 1 << 30


def speaks_for_node(ctx: Context) -> bool:
    """Whether a fact of the node is told of this row: of one alone, which waits for its host if any does."""
    waiting = (s for s in ctx.siblings if s.class_ == "host")
    first = next(waiting, next(iter(ctx.siblings), None))
    return first is None or first.key == ctx.evidence.key


def _unmeasured(ctx: Context) -> Effect | None:
    bound = host_gap_bound(share(ctx, "host"))
    if bound is None:
        return None
    return Effect(low=1.0, high=bound, bound=bound, basis="no measured ratio: only the bound 1/(1-gap)")


@rule("HOST020", "CPU governor saves power", "low", "fleet", term="host_gap")
def governor(ctx: Context) -> Finding | None:
    """The CPU clocks itself down between bursts while one thread decides how fast the GPU is fed.

    **What it detects**
    A host gap whose leading cause is one thread's work (launching, preparing, synchronising), on a node whose
    cores have the governor powersave, ondemand or conservative.

    **Why it costs**
    Launching and preparing happen on one core; at half its clock they take twice as long.

    **How to tell it apart**
    With the intel_pstate or amd_pstate driver in active mode, powersave is the normal dynamic governor and
    loses little under steady load; with acpi-cpufreq it is the lowest clock. Look at the clock of the busy
    core.

    **What to do**
    Set the governor to performance on GPU nodes and measure again; the effect was not measured here.

    **Evidence**
    Governor (sysfs), the gap and its cause.

    **Source**
    - Linux kernel documentation: CPU performance scaling, intel_pstate
    """
    named = ctx.evidence.host.governor
    saving = sorted(_SAVING.intersection((named or "").split(" and ")))
    if not saving or share(ctx, "host") < th.HOST_GAP.value:
        return None
    if leading(ctx.evidence, ctx.host_causes).slug not in _OF_A_THREAD:
        return None
    return finding(
        ctx,
        governor,
        claim=waits(ctx, f"the CPU governor is {' and '.join(saving)}"),
        share=share(ctx, "host"),
        evidence=(*gap_items(ctx), item("CPU governor", named, "", source="/sys/devices/system/cpu")),
        actions=(
            "`sudo cpupower frequency-set -g performance`, or the node's tuned profile.",
            "`grep MHz /proc/cpuinfo` while it runs: is the busy core at its full clock?",
        ),
        effect=_unmeasured(ctx),
        confidence=0.4,
        # The gap is the leading cause's to claim; a slow core only makes it longer.
        recoverable=0.0,
        severity="low",
    )


@rule("HOST021", "The node is swapping", "high", "fleet", "fact")
def swapping(ctx: Context) -> Finding | None:
    """Memory of the node goes to disk while GPUs work.

    **What it detects**
    Swap in use grew by 64 MiB or more within the window.

    **Why it costs**
    A page that was swapped out takes a thousand times as long to come back as one in memory; a loader or a
    launcher that meets one stands still, and its GPU with it.

    **How to tell it apart**
    Swap that is in use and does not grow holds what nobody has needed lately, and is harmless. Pressure
    without swap is HOST022.

    **What to do**
    Find who holds the memory, lower workers, prefetch and caches, and give jobs memory limits.

    **Evidence**
    Swap in use over time, memory pressure (/proc).

    **Source**
    - Linux kernel documentation, pressure stall information; proc_meminfo(5)
    """
    host = ctx.evidence.host
    grown = host.swap_growth_bytes
    if grown is None or grown < th.SWAP_GROWTH.value or not speaks_for_node(ctx):
        return None
    waiting = share(ctx, "host") >= th.HOST_GAP.value
    return finding(
        ctx,
        swapping,
        claim=f"The node is swapping: {grown / _GIB:.1f} GiB went to swap while it was watched"
        + (
            "." if host.swap_used_bytes is None else f", {host.swap_used_bytes / _GIB:.1f} GiB are there now."
        ),
        share=0.0,
        evidence=(
            item("growth of swap in use", float(grown), "bytes", at_least(th.SWAP_GROWTH), "/proc/meminfo"),
            *_memory_items(host),
        ),
        actions=(
            "`ps -eo pid,user,rss,args --sort=-rss | head` shows who holds the memory.",
            "Fewer loader workers, a smaller `prefetch_factor`, a memory limit for each job.",
        ),
        severity="high" if waiting else "medium",
    )


def _memory_items(host: HostEvidence) -> tuple[EvidenceItem, ...]:
    return (
        item("memory of the node in use", host.mem_used_frac, source="/proc/meminfo"),
        item("time some task waited for memory", host.psi_memory_frac, source="/proc/pressure/memory"),
    )


@rule("HOST022", "The node is short of memory", "medium", "fleet", "fact")
def memory_pressure(ctx: Context) -> Finding | None:
    """Tasks of the node wait for memory to be freed.

    **What it detects**
    Some task waited for memory at least 5 % of the time, and swap did not grow.

    **Why it costs**
    Pages of files, the data set's among them, are dropped and read again; allocations stall.

    **How to tell it apart**
    A full page cache alone is no shortage: it makes no pressure. With growing swap it is HOST021. A cgroup's
    own limit makes the same pressure with memory of the node to spare.

    **What to do**
    Fewer workers and smaller caches, higher memory limits for the pod or job, fewer jobs on the node.

    **Evidence**
    Memory pressure (/proc/pressure/memory), memory in use.

    **Source**
    - Linux kernel documentation, pressure stall information
    """
    host = ctx.evidence.host
    pressed = host.psi_memory_frac
    if pressed is None or pressed < th.PSI_MEMORY.value or not speaks_for_node(ctx):
        return None
    if (host.swap_growth_bytes or 0) >= th.SWAP_GROWTH.value:
        return None
    return finding(
        ctx,
        memory_pressure,
        claim=f"The node is short of memory: tasks waited for some {pct(pressed)} of the time.",
        share=0.0,
        evidence=(
            item(
                "time some task waited for memory", pressed, "frac", at_least(th.PSI_MEMORY), "/proc/pressure"
            ),
            item("memory of the node in use", host.mem_used_frac, source="/proc/meminfo"),
        ),
        actions=(
            "`cat /sys/fs/cgroup/**/memory.pressure` shows which group waits; raise its `memory.max`.",
            "Fewer loader workers, a smaller `prefetch_factor`, fewer jobs on the node.",
        ),
        severity="medium",
    )


@rule(
    "HOST023",
    "The node's CPUs are all busy",
    "high",
    "fleet",
    term="host_gap",
    causes=("cpu-contention",),
)
def node_busy(ctx: Context) -> Finding | None:
    """The GPU waits while no core of the whole node is free.

    **What it detects**
    A host gap, the node's cores at 0.9 or more on average, and the process's busiest thread ready to run
    without a CPU at least 10 % of the time.

    **Why it costs**
    Threads that feed GPUs take turns with everything else on the node.

    **How to tell it apart**
    Where only the cores that the process may use are full and others idle, its binding is too narrow:
    HOST024, HOST015. A CPU quota is HOST006.

    **What to do**
    Move work that needs no GPU to another node, lower loader workers of all jobs to the cores there are,
    decode beforehand.

    **Evidence**
    CPU time of all cores, waits of the busiest thread (/proc), CPU pressure.

    **Source**
    - Linux kernel documentation, scheduler statistics (schedstat), pressure stall information
    """
    cause, host = gap_caused_by(ctx, "cpu-contention"), ctx.evidence.host
    if cause is None or not no_core_free(host):
        return None
    used, waited = host.node_cpu_frac or 0.0, host.main_thread_wait_frac or 0.0
    return finding(
        ctx,
        node_busy,
        claim=waits(
            ctx, f"all CPUs of the node are busy ({pct(used)}), its thread waits {pct(waited)} for one"
        ),
        share=share(ctx, "host"),
        evidence=(
            *gap_items(ctx),
            item(
                "CPU time of the node in use", used, threshold=at_least(th.NODE_CPU_FULL), source="/proc/stat"
            ),
            item("busiest thread's waits for a CPU", waited, threshold=at_least(th.CPU_WAIT), source="/proc"),
            item("time some task waited for a CPU", host.psi_cpu_frac, source="/proc/pressure/cpu"),
        ),
        actions=(
            "`ps -eo pcpu,pid,user,args --sort=-pcpu | head -20` shows who uses the cores.",
            "Give other work of the node a lower share (`nice`, cgroup `cpu.weight`), or another node.",
        ),
        effect=host_gap_effect(share(ctx, "host")),
        confidence=sure(ctx, cause),
    )


@rule("HOST024", "Too few CPUs are allowed", "medium", "fleet", term="host_gap")
def few_cpus(ctx: Context) -> Finding | None:
    """The process may use only a few of the node's cores, fewer than its workers or than feeding a GPU takes.

    **What it detects**
    A host gap, a process that may run on fewer CPUs than it has children plus itself, or on fewer than three,
    and a node with at least twice as many.

    **Why it costs**
    Loader workers and the launching thread take turns on the same cores while others idle.

    **How to tell it apart**
    A quota (HOST006) lets a process run anywhere but not all the time; here the scheduler or `taskset` bound
    it. Where all cores of the node are busy it is HOST023.

    **What to do**
    Ask the scheduler for more cores per GPU, or remove a binding that some library set (OMP_PROC_BIND,
    KMP_AFFINITY, a launcher's default of one core).

    **Evidence**
    CPUs that the process may run on, its children (/proc), cores of the node.

    **Source**
    - Slurm: `--cpus-per-task`, `--cpus-per-gpu`; Kubernetes: CPU manager policy static
    - PyTorch DataLoader warns when workers outnumber the CPUs allowed
    """
    host = ctx.evidence.host
    allowed, cores = host.cpus_allowed, host.node_cores
    if allowed is None or cores is None or share(ctx, "host") < th.HOST_GAP.value or 2 * allowed > cores:
        return None
    if (host.main_thread_wait_frac or 0.0) >= th.CPU_WAIT.value:
        return None
    needed = max(1 + (host.children or 0), int(th.CPUS_PER_GPU.value))
    if allowed >= needed:
        return None
    return finding(
        ctx,
        few_cpus,
        claim=waits(ctx, f"its process may use {allowed} of the node's {cores} CPUs{_workers(host)}"),
        share=share(ctx, "host"),
        evidence=(
            *gap_items(ctx),
            item("CPUs that the process may run on", allowed, "count", f"< {needed}", "/proc/PID/status"),
            item("CPUs of the node", cores, "count", source="/proc/stat"),
            item("children", host.children, "count", source="/proc"),
        ),
        actions=(
            "Slurm: `--cpus-per-gpu=8` or more; Kubernetes: raise `resources.requests.cpu`.",
            "`taskset -cp PID` shows the binding; unset OMP_PROC_BIND and KMP_AFFINITY if a library made it.",
        ),
        effect=_unmeasured(ctx),
        confidence=0.6,
        recoverable=0.0,
    )


def _workers(host: HostEvidence) -> str:
    return f", with {host.children} children" if host.children else ""


@rule("SW001", "Driver version with a known fault", "medium", "fleet", "fact")
def known_fault(ctx: Context) -> Finding | None:
    """The driver is one of which a fault is known that costs time, or hides it.

    **What it detects**
    The driver's version lies in a range of which something is reported to go wrong on this kind of node: 525
    before 525.105.17 (calls to the GSP time out), 535.54.03 to 535.104.05 (process lists of NVML), 560 (NCCL
    hangs with direct copies), 570.133.20 to 580.105.08 on B200 (the driver hangs after 66 days).

    **Why it costs**
    Hangs end jobs; wrong figures hide what should be mended.

    **How to tell it apart**
    The range says that it can happen, not that it did. XIDs (DEV012) and a driver that does not answer
    (DEV005) say that it did.

    **What to do**
    Update the driver when the node is next drained; the source says which version mends it.

    **Evidence**
    Driver version (NVML), the card's model, the number of GPUs.

    **Source**
    - https://github.com/NVIDIA/open-gpu-kernel-modules/issues/446
    - https://github.com/XuehaiPan/nvitop/issues/88
    - https://github.com/dmlc/xgboost/issues/11242
    - https://github.com/NVIDIA/open-gpu-kernel-modules/issues/971
    """
    device = ctx.evidence.device
    if device.driver_version is None or not speaks_for_node(ctx):
        return None
    found = issues_of(device.driver_version, device.name, len({s.gpu for s in ctx.siblings}) or 1)
    if not found:
        return None
    worst = min(found, key=lambda issue: SEVERITIES.index(issue.severity))
    return finding(
        ctx,
        known_fault,
        claim=f"Driver {device.driver_version}: {'; '.join(issue.what for issue in found)}.",
        share=0.0,
        evidence=(
            item("driver version", device.driver_version, "", f"{worst.first} to {worst.below}", "NVML"),
            *(item("how it shows", issue.symptom, "", source=issue.source) for issue in found),
        ),
        actions=tuple(issue.action for issue in found),
        confidence=0.5,
        severity=worst.severity,
    )

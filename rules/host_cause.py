"""Why the host kept the GPU waiting, as far as it can be seen from outside the process.

Each detector looks for one cause and says how well the evidence supports it, given that there is a
gap. The best supported one names the gap; below `CAUSE_MIN` the gap stays `unattributed`. Detectors
that only a look inside the process can settle (synchronisation above all) never get far from outside;
where somebody took that look, rules.host_stacks reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from probes.ceilings import pcie_copy_bytes_s
from rules import thresholds as th
from rules.demand import demand
from rules.evidence import Evidence, HostEvidence
from rules.host_items import HostCause as HostCause
from rules.host_items import item as _item
from rules.host_stacks import TOLD_BY_STACKS, stack_causes, usable
from rules.observed import busy_mean, link_mean, mean, reading_note, variation
from rules.servers import is_server
from rules.verdict import EvidenceItem

# An engine that says so itself is more than any guess from outside.
_TOLD = 0.96


def host_cause(evidence: Evidence) -> HostCause:
    """The best-supported cause of the host gap: its slug, how sure, and what shows it."""
    return leading(evidence, host_causes(evidence))


def leading(evidence: Evidence, ranked: tuple[HostCause, ...]) -> HostCause:
    """The first of `ranked` where it is sure enough to name the gap, else `unattributed`."""
    if ranked and ranked[0].confidence >= th.CAUSE_MIN.value:
        return ranked[0]
    return HostCause("unattributed", 0.0, _seen(evidence.host))


def host_causes(evidence: Evidence) -> tuple[HostCause, ...]:
    """Every cause with any support, best first; of equals the more direct evidence goes first."""
    outside = [cause for cause in (detect(evidence) for detect in _DETECTORS) if cause is not None]
    inside = stack_causes(evidence)
    told = [_unsupported(cause, evidence) for cause in outside if cause.slug not in inside]
    both = [_joined(_beneath(cause, outside), outside) for cause in inside.values()]
    return tuple(sorted([*both, *told], key=lambda cause: -cause.confidence))


# CPU of threads and children: a median of looks, each over the seconds since the one before.
_PROC = "/proc, median"
# What a thread is seen doing is the symptom where one of these slows it: no cores, or a disk below its input.
_DEEPER = ("cpu-throttled", "cpu-contention", "storage")
_SYMPTOMS = frozenset({"input-pipeline", "main-thread", "launch-rate", "tokeniser", "serialisation", "lock"})


def _joined(inside: HostCause, outside: Iterable[HostCause]) -> HostCause:
    """What stacks say, with what was seen from outside for the same cause."""
    same = next((cause for cause in outside if cause.slug == inside.slug), None)
    if same is None:
        return inside
    sure = max(inside.confidence, same.confidence)
    return HostCause(inside.slug, sure, (*inside.evidence, *same.evidence))


def _unsupported(cause: HostCause, evidence: Evidence) -> HostCause:
    """A suspicion that a look inside did not bear out is too weak to name the gap."""
    if cause.slug not in TOLD_BY_STACKS or usable(evidence.host.stacks) is None:
        return cause
    return cause._replace(confidence=min(cause.confidence, 0.5 * th.CAUSE_MIN.value))


def _beneath(inside: HostCause, outside: Iterable[HostCause]) -> HostCause:
    """A symptom stays below a deeper cause that is sure, however plainly it shows."""
    deeper = max((c.confidence for c in outside if c.slug in _DEEPER), default=0.0)
    if inside.slug not in _SYMPTOMS or deeper < th.DEEPER_CAUSE.value:
        return inside
    return inside._replace(confidence=min(inside.confidence, deeper - 0.05))


def told_beside(evidence: Evidence, ranked: tuple[HostCause, ...]) -> HostCause | None:
    """What a look inside shows the thread doing where a shortage named the gap: a part of it all the same."""
    if not ranked or ranked[0].slug not in _DEEPER:
        return None
    inside = stack_causes(evidence)
    if ranked[0].slug in inside:
        return None
    told = (cause for cause in ranked if cause.slug in inside and cause.slug in _SYMPTOMS)
    return next((cause for cause in told if cause.confidence >= th.CAUSE_MIN.value), None)


def _cpu_throttled(evidence: Evidence) -> HostCause | None:
    """The kernel itself counts this, so it is direct; the longer, the likelier it explains the gap."""
    frac = evidence.host.throttled_frac
    if frac is None or frac < th.CPU_THROTTLED.value:
        return None
    items = [_item("time throttled by the CPU quota", frac, "frac", th.CPU_THROTTLED, "cgroup cpu.stat")]
    if evidence.host.cpu_quota_cores is not None:
        items.append(_item("CPU quota", evidence.host.cpu_quota_cores, "cores", None, "cgroup cpu.max"))
    return HostCause("cpu-throttled", 0.6 + 0.35 * min(1.0, frac / 0.5), tuple(items))


def _storage(evidence: Evidence) -> HostCause | None:
    host = evidence.host
    waits = [f for f in (host.process_dstate_frac, host.children_dstate_frac) if f is not None]
    worst = max(waits, default=0.0)
    if worst >= th.DISK_WAIT.value:
        item = _item("looks at which it waited for I/O (state D)", worst, "frac", th.DISK_WAIT, "/proc")
        return HostCause("storage", 0.5 + 0.4 * min(1.0, worst / 0.5), (item, *_reads(host)))
    if host.psi_io_frac is None or host.psi_io_frac < th.PSI_IO.value:
        return None
    item = _item("time some task waited for I/O", host.psi_io_frac, "frac", th.PSI_IO, "/proc/pressure/io")
    own_reads = (
        host.io_read_bytes_s or 0.0
    ) >= 50e6  # the pressure is the node's: is this process part of it?
    return HostCause("storage", 0.5 if own_reads else 0.35, (item, *_reads(host)))


def _input_pipeline(evidence: Evidence) -> HostCause | None:
    """Workers at a full core while the thread that feeds the GPU waits for them."""
    host = evidence.host
    if host.children_busy:
        return HostCause("input-pipeline", _workers_confidence(host), _workers(host))
    thread = host.thread_demand_frac
    waiting = thread is not None and thread < th.THREAD_WAITING.value
    if waiting and (host.children_cpu_frac or 0.0) >= 0.5:
        return HostCause("input-pipeline", 0.45, _workers(host))
    if waiting and _thread_pool_cores(host) >= 1.5:
        return HostCause("input-pipeline", 0.4, _workers(host))
    return None


def _workers_confidence(host: HostEvidence) -> float:
    busy, thread = host.children_busy or 0, host.thread_demand_frac
    sure = 0.6
    if thread is not None:
        sure += 0.25 if thread < th.THREAD_WAITING.value else -0.1
    if host.children and busy / host.children >= 0.5:
        sure += 0.07
    return sure


def _thread_pool_cores(host: HostEvidence) -> float:
    """Cores used by the process's own threads: a loader that decodes in threads has no busy children."""
    return (host.process_cpu_cores or 0.0) - (host.children_cpu_frac or 0.0)


def _launch_rate(evidence: Evidence) -> HostCause | None:
    """One thread at a full core feeds many short kernels. Python that prepares data looks alike."""
    host = evidence.host
    thread = host.thread_demand_frac
    if thread is None or thread < th.LAUNCH_THREAD.value or host.children_busy:
        return None
    sm, busy = busy_mean(evidence, "sm_active"), mean(evidence, "gr_active")
    if sm is not None and sm >= th.LAUNCH_SM_ACTIVE.value:
        return None  # kernels that fill the SMs are not what a slow launcher leaves behind
    sure = 0.5
    sure += 0.2 if sm is not None and sm < th.LAUNCH_SM_ACTIVE.value else 0.0
    sure += 0.1 if _is_regular(evidence) else 0.0
    sure -= 0.2 if (host.main_thread_system_frac or 0.0) >= th.THREAD_SYSTEM.value else 0.0
    sure -= 0.15 if busy is not None and busy < 0.3 else 0.0
    items = [_thread_item(host, th.LAUNCH_THREAD, above=True)]
    if sm is not None:
        source = reading_note(evidence, "sm_active")
        items.append(_item("SMs active while anything ran", sm, "frac", th.LAUNCH_SM_ACTIVE, source, "<"))
    if host.governor == "powersave":
        items.append(_item("CPU frequency governor", host.governor, "", None, "cpufreq"))
    return HostCause("launch-rate", sure, tuple(items))


def _main_thread(evidence: Evidence) -> HostCause | None:
    """One thread at a full core while large kernels come and go: it prepares what they work on."""
    host = evidence.host
    thread, sm = host.thread_demand_frac, busy_mean(evidence, "sm_active")
    if thread is None or thread < th.LAUNCH_THREAD.value or host.children_busy:
        return None
    if sm is None or sm < th.LAUNCH_SM_ACTIVE.value:
        return None
    sure = 0.4 if (host.main_thread_system_frac or 0.0) >= th.THREAD_SYSTEM.value else 0.6
    source = reading_note(evidence, "sm_active")
    items = (
        _thread_item(host, th.LAUNCH_THREAD, above=True),
        _item("SMs active while anything ran", sm, "frac", th.LAUNCH_SM_ACTIVE, source),
    )
    return HostCause("main-thread", sure, items)


def _sync(evidence: Evidence) -> HostCause | None:
    """Spinning in the driver, or blocking often. From outside this stays a suspicion."""
    host = evidence.host
    thread, kernel = host.thread_demand_frac, host.main_thread_system_frac or 0.0
    if thread is None or host.children_busy:
        return None
    if thread >= th.LAUNCH_THREAD.value and kernel >= th.THREAD_SYSTEM.value:
        item = _item("busiest thread's time in the kernel", kernel, "frac", th.THREAD_SYSTEM, "/proc")
        sure = 0.45 if _is_regular(evidence) else 0.4
        return HostCause("sync", sure, (_thread_item(host, th.LAUNCH_THREAD, above=True), item))
    switches = host.voluntary_switches_s
    if thread < th.LAUNCH_THREAD.value and switches is not None and switches >= th.SWITCHES_S.value:
        item = _item("voluntary context switches", switches, "per s", th.SWITCHES_S, "/proc/PID/status")
        return HostCause("sync", 0.35, (_thread_item(host, th.LAUNCH_THREAD, above=False), item))
    return None


def _transfer(evidence: Evidence) -> HostCause | None:
    """Copies take bytes over rate seconds; compare that with the seconds in which nothing ran."""
    rate = link_mean(evidence, "pcie")
    limit = pcie_copy_bytes_s(evidence.device.pcie_gen, evidence.device.pcie_width)
    busy = mean(evidence, "gr_active")
    if rate is None or limit is None or busy is None or 1.0 - busy < th.HOST_GAP.value:
        return None  # over a sliver of a gap any traffic at all would look like its cause
    explained = min(1.0, rate / limit / (1.0 - busy))
    if explained < th.TRANSFER_EXPLAINS.value:
        return None
    link = f"PCIe gen {evidence.device.pcie_gen} x{evidence.device.pcie_width}"
    items = (
        _item("part of the gap that PCIe copies fill", explained, "frac", th.TRANSFER_EXPLAINS, "derived"),
        _item("PCIe traffic, busier direction", rate, "bytes_s", None, reading_note(evidence, "pcie")),
        _item("typical pinned copy on this link", limit, "bytes_s", None, link),
    )
    return HostCause("transfer", 0.4 + 0.5 * explained, items)


def _remote_numa(evidence: Evidence) -> HostCause | None:
    """Placement slows the host and its copies; that it explains a whole gap is the weakest of claims."""
    frac = evidence.host.remote_numa_frac
    if frac is None or frac < th.REMOTE_NUMA.value:
        return None
    item = _item(
        "allowed CPUs on another NUMA node", frac, "frac", th.REMOTE_NUMA, "sched_getaffinity, sysfs"
    )
    return HostCause("remote-numa", 0.3, (item,))


def _no_demand(evidence: Evidence) -> HostCause | None:
    """Nobody asks for work, as an engine says itself; or the process sleeps, and so do its children.

    One that sleeps may wait for another machine as well.
    """
    host, told = evidence.host, demand(evidence)
    if told is not None:
        return None if told == "some" else HostCause("no-demand", _TOLD, _no_requests(evidence))
    cores, thread = host.process_cpu_cores, host.thread_demand_frac
    if cores is None or cores >= th.NO_DEMAND_CORES.value or host.children_busy:
        return None
    if (host.voluntary_switches_s or 0.0) >= th.SWITCHES_S.value:
        return None
    items = [_item("CPU used by the process", cores, "cores", th.NO_DEMAND_CORES, "/proc", "<")]
    if thread is not None:
        items.append(_thread_item(host, th.THREAD_WAITING, above=False))
    return HostCause("no-demand", 0.75 if is_server(evidence) else 0.5, tuple(items))


def _no_requests(evidence: Evidence) -> tuple[EvidenceItem, ...]:
    made = evidence.serving
    said = (
        ("requests running", made.running if made else None),
        ("requests waiting", made.waiting if made else None),
    )
    return tuple(
        _item(what, value, "count", th.UNASKED, "the engine's own metrics", "<=")
        for what, value in said
        if value is not None
    )


def _cpu_contention(evidence: Evidence) -> HostCause | None:
    """The kernel counts how long a thread that could run had no core; the longer, the more it explains."""
    host = evidence.host
    waited = host.main_thread_wait_frac
    if waited is None or waited < th.CPU_WAIT.value:
        return None
    items = [_item("busiest thread waits for a free core", waited, "frac", th.CPU_WAIT, "/proc schedstat")]
    sure = 0.55 + 0.25 * min(1.0, waited / 0.4)
    if _crowded(host):
        sure += 0.1
        items.append(_item("cores it may run on", float(host.cpus_allowed or 0), "count", None, "/proc"))
    if (host.psi_cpu_frac or 0.0) >= th.PSI_CPU.value:
        sure += 0.05
        pressure = host.psi_cpu_frac or 0.0
        items.append(
            _item("time some task waited for a core", pressure, "frac", th.PSI_CPU, "/proc/pressure/cpu")
        )
    return HostCause("cpu-contention", min(0.95, sure), tuple(items))


def _crowded(host: HostEvidence) -> bool:
    """Whether the process and its children want more cores than they may use."""
    if host.cpus_allowed is None:
        return False
    wanted = max(host.process_cpu_cores or 0.0, 1.0 + (host.children or 0))
    return wanted >= host.cpus_allowed


def _gil(evidence: Evidence) -> HostCause | None:
    """Many threads that together use one core and no more, none of them a full one: one lock for all."""
    host = evidence.host
    own, busiest = _thread_pool_cores(host), host.main_thread_cpu_frac
    if host.threads is None or busiest is None or host.threads < th.GIL_THREADS.value:
        return None
    if not th.GIL_CORES_LOW.value <= own <= th.GIL_CORES_HIGH.value or busiest > 0.75 * own:
        return None
    if host.children_busy or (host.main_thread_wait_frac or 0.0) >= th.CPU_WAIT.value:
        return None
    switches = (host.voluntary_switches_s or 0.0) >= 0.2 * th.SWITCHES_S.value
    items = (
        _item("cores used by all its threads together", own, "cores", th.GIL_CORES_HIGH, "/proc", "<="),
        _item("busiest thread's CPU", busiest, "cores", None, _PROC),
        _item("threads", float(host.threads), "count", th.GIL_THREADS, "/proc/PID/status"),
    )
    return HostCause("gil", 0.55 if switches else 0.45, items)


def _checkpoint(evidence: Evidence) -> HostCause | None:
    """Much is written while the GPU stands still at times: a state that is saved, not a log."""
    host = evidence.host
    written, spread = host.io_write_bytes_s, variation(evidence, "gr_active")
    if written is None or written < th.CHECKPOINT_WRITE.value:
        return None
    in_bursts = spread is not None and spread >= th.GAP_REGULAR.value
    items = [_item("written by the process", written, "bytes_s", th.CHECKPOINT_WRITE, "/proc/PID/io")]
    if in_bursts and spread is not None:
        items.append(_item("unevenness of gr_active", spread, "ratio", th.GAP_REGULAR, "GPM or NVML"))
    return HostCause("checkpoint", 0.62 if in_bursts else 0.42, tuple(items))


_DETECTORS: tuple[Callable[[Evidence], HostCause | None], ...] = (
    _cpu_throttled,
    _cpu_contention,
    _checkpoint,
    _storage,
    _input_pipeline,
    _transfer,
    _launch_rate,
    _gil,
    _main_thread,
    _no_demand,
    _sync,
    _remote_numa,
)


def _is_regular(evidence: Evidence) -> bool:
    spread = variation(evidence, "gr_active")
    return spread is not None and spread < th.GAP_REGULAR.value


def _thread_item(host: HostEvidence, limit: th.Threshold, *, above: bool) -> EvidenceItem:
    waited = (host.main_thread_wait_frac or 0.0) >= 0.02
    metric = "busiest thread's CPU" + (", with its waits for a free core" if waited else "")
    return _item(metric, host.thread_demand_frac or 0.0, "cores", limit, _PROC, ">=" if above else "<")


def _workers(host: HostEvidence) -> tuple[EvidenceItem, ...]:
    """What is known of children and of the thread that waits for them."""
    lines: list[EvidenceItem] = []
    if host.children_busy is not None:
        of = "" if host.children is None else f" of {host.children}"
        lines.append(
            EvidenceItem(
                metric="children at 0.9 of a core or more",
                value=f"{host.children_busy}{of}",
                unit="count",
                threshold=">= 1",
                source=_PROC,
            )
        )
    if host.children_cpu_frac is not None:
        lines.append(_item("CPU used by children together", host.children_cpu_frac, "cores", None, "/proc"))
    if host.main_thread_cpu_frac is not None:
        lines.append(_thread_item(host, th.THREAD_WAITING, above=False))
    return tuple(lines)


def _reads(host: HostEvidence) -> tuple[EvidenceItem, ...]:
    lines: list[EvidenceItem] = []
    if host.io_read_bytes_s is not None:
        lines.append(_item("read by the process", host.io_read_bytes_s, "bytes_s", None, "/proc/PID/io"))
    pressure = host.psi_memory_frac or 0.0
    if pressure >= th.PSI_MEMORY.value:  # what is read anew may have been dropped for want of memory
        source = "/proc/pressure/memory"
        lines.append(_item("time some task waited for memory", pressure, "frac", th.PSI_MEMORY, source))
    return tuple(lines)


def _seen(host: HostEvidence) -> tuple[EvidenceItem, ...]:
    """What was looked at without explaining the gap; unknown figures are listed as unknown."""
    looked: tuple[tuple[str, float | None, str], ...] = (
        ("busiest thread's CPU", host.main_thread_cpu_frac, "cores"),
        ("CPU used by the process", host.process_cpu_cores, "cores"),
        ("children at 0.9 of a core or more", host.children_busy, "count"),
        ("time throttled by the CPU quota", host.throttled_frac, "frac"),
        ("time some task waited for I/O", host.psi_io_frac, "frac"),
    )
    return tuple(EvidenceItem(metric=m, value=v, unit=unit, source="/proc") for m, v, unit in looked)

"""Causes of a host gap as stacks of the process show them: strong evidence, since they look inside.

The share of samples that the feeding thread spends on something is held against the gap: an activity that
fills the gap explains it. Two things are left to counters. Plain Python between small kernels is launching,
between large ones it is other work. And a thread that synchronises waits while the GPU is busy as well, so
that synchronising explains a gap only as far as nothing else does.

Stacks do not show whether a thread runs, so the kernel's counts hold a veto: what needs a core is believed
only as far as some thread used one or waited for one, and a wait for storage only where storage was used.
"""

from __future__ import annotations

from collections.abc import Callable

from rules import thresholds as th
from rules.evidence import Evidence, HostEvidence
from rules.host_items import HostCause, item
from rules.observed import busy_mean, mean
from rules.stacks import Stacks, activity_words
from rules.verdict import EvidenceItem

# What the other end of a queue does when it prepares data.
_PREPARES = ("decode", "tokenise", "io", "serialise", "compute")
# Causes in which a thread works: without CPU time there is none.
_NEED_A_CORE: frozenset[str] = frozenset({"main-thread", "launch-rate", "tokeniser", "serialisation"})
# What one knows of a thread that stands in a call of compiled code: that it waits, not for what.
_BLOCKED_SURE = 0.6
# Causes that stacks tell directly: where they were looked for and not seen, a suspicion from outside is none.
TOLD_BY_STACKS: frozenset[str] = frozenset({"sync", "launch-rate", "main-thread", "no-demand", "gil", "lock"})


def usable(stacks: Stacks | None) -> Stacks | None:
    """The look, where it holds enough samples of the feeding thread to be evidence."""
    if stacks is None or stacks.samples < th.STACK_SAMPLES.value:
        return None
    return stacks if any(g.main for g in stacks.groups) else None


def stack_causes(evidence: Evidence) -> dict[str, HostCause]:
    """Cause slug -> what the stacks say for it; empty without a usable look."""
    stacks = usable(evidence.host.stacks)
    if stacks is None:
        return {}
    found = (_cause(evidence, stacks, slug, find(evidence, stacks)) for slug, find in _ACTIVITIES.items())
    return {cause.slug: cause for cause in found if cause is not None}


def _cause(evidence: Evidence, stacks: Stacks, slug: str, activities: tuple[str, ...]) -> HostCause | None:
    seen = sum(stacks.frac(activity) for activity in activities)
    group, share = stacks.leading(activities), min(seen, _most(evidence.host, slug))
    if group is None or share < th.STACK_SHARE.value:
        return None
    items = [stack_item(stacks, activities)]
    if group.frame:
        source = f"{share_words(group.frac)} of samples"
        items.append(item("frame that shows it", group.frame, "", None, source))
    sure = 0.5 + 0.45 * min(1.0, share / _gap(evidence))
    if group.activity == "blocked":
        sure = min(sure, _BLOCKED_SURE)
    return HostCause(slug, sure, tuple(items))


def _most(host: HostEvidence, slug: str) -> float:
    """The largest share of time that this cause can have: no thread works longer than the busiest."""
    demand = host.thread_demand_frac
    return demand if slug in _NEED_A_CORE and demand is not None else 1.0


def _gap(evidence: Evidence) -> float:
    """The part of time with nothing running, never less than what is worth a finding."""
    busy = mean(evidence, "gr_active")
    return max(th.HOST_GAP.value, 1.0 - busy) if busy is not None else 0.5


def stack_item(stacks: Stacks, activities: tuple[str, ...]) -> EvidenceItem:
    """ "feeding thread waits for the data loader: 0.36, >= 0.15, py-spy, 500 samples"."""
    group = stacks.leading(activities)
    words = activity_words(group.activity if group else activities[0])
    share = sum(stacks.frac(activity) for activity in activities)
    return item(f"feeding thread {words}", share, "frac", th.STACK_SHARE, stack_source(stacks))


def stack_source(stacks: Stacks) -> str:
    """The sampler, and on how many samples it rests."""
    return f"{stacks.tool}, {stacks.samples} samples"


def share_words(frac: float) -> str:
    """0.36 -> "36 %"."""
    return f"{100 * frac:.0f} %"


def _small_kernels(evidence: Evidence) -> bool:
    sm = busy_mean(evidence, "sm_active")
    return sm is not None and sm < th.LAUNCH_SM_ACTIVE.value


def _loader(evidence: Evidence, stacks: Stacks) -> tuple[str, ...]:
    return ("loader-wait", "queue-wait") if _others_prepare(evidence, stacks) else ("loader-wait",)


def _locks(evidence: Evidence, stacks: Stacks) -> tuple[str, ...]:
    waits = ("lock", "child", "blocked") if _stands_for(evidence, stacks) == "lock" else ("lock", "child")
    return waits if _others_prepare(evidence, stacks) else (*waits, "queue-wait")


def _others_prepare(evidence: Evidence, stacks: Stacks) -> bool:
    """Whether somebody works for the queue: children, or other threads."""
    children = (evidence.host.children_cpu_frac or 0.0) >= 0.5 or bool(evidence.host.children_busy)
    return children or stacks.others(_PREPARES) >= 0.5


def _stands_for(evidence: Evidence, stacks: Stacks) -> str:
    """What a thread that stands in a call waits for: pages of a file, somebody who works, or demand."""
    host = evidence.host
    if (host.process_dstate_frac or 0.0) >= th.DISK_WAIT.value:
        return "storage"
    works = _others_prepare(evidence, stacks) or (host.process_cpu_cores or 0.0) >= 0.5
    return "lock" if works else "no-demand"


def _storage(evidence: Evidence, stacks: Stacks) -> tuple[str, ...]:
    reads = ("io", "remote") if _storage_used(evidence.host) else ("remote",)
    return (*reads, "blocked") if _stands_for(evidence, stacks) == "storage" else reads


def _storage_used(host: HostEvidence) -> bool:
    """Whether the kernel counted anything of storage meanwhile: bytes, waits in state D, pressure."""
    waits = ((host.process_dstate_frac, th.DISK_WAIT), (host.children_dstate_frac, th.DISK_WAIT))
    moved = ((host.io_read_bytes_s, th.IO_SEEN), (host.io_write_bytes_s, th.IO_SEEN))
    looks = (*waits, *moved, (host.psi_io_frac, th.PSI_IO))
    return any(value is not None and value >= limit.value for value, limit in looks)


def _asleep(evidence: Evidence, stacks: Stacks) -> tuple[str, ...]:
    """Sleeping, and reading what never came: a pipe, a terminal, a peer."""
    waits = ("idle", "network") if _storage_used(evidence.host) else ("idle", "network", "io")
    return (*waits, "blocked") if _stands_for(evidence, stacks) == "no-demand" else waits


def _launches(evidence: Evidence, _: Stacks) -> tuple[str, ...]:
    return ("launch", "compute") if _small_kernels(evidence) else ("launch",)


def _python(evidence: Evidence, _: Stacks) -> tuple[str, ...]:
    return ("decode",) if _small_kernels(evidence) else ("decode", "compute")


def _only(*activities: str) -> Callable[[Evidence, Stacks], tuple[str, ...]]:
    return lambda _evidence, _stacks: activities


# In this order where two explain the gap equally well: the cheaper fix first.
_ACTIVITIES: dict[str, Callable[[Evidence, Stacks], tuple[str, ...]]] = {
    "input-pipeline": _loader,
    "checkpoint": _only("checkpoint"),
    "tokeniser": _only("tokenise"),
    "serialisation": _only("serialise"),
    "storage": _storage,
    "gil": _only("gil"),
    "lock": _locks,
    "collective-wait": _only("collective"),
    "transfer": _only("transfer"),
    "sync": _only("synchronise"),
    "launch-rate": _launches,
    "main-thread": _python,
    "no-demand": _asleep,
}

"""The ranks of a job: which device of which file each is, its collectives, and why files are no ranks of one
job."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution
from advisor.traces.intervals import Ints
from advisor.traces.step_windows import Windows, step_of
from advisor.traces.steps import step_windows
from advisor.traces.timeline import GpuKind, Timeline
from rules import thresholds_trace as tt
from rules.traces.kernel_names import kernel_class

NO_STEP = np.iinfo(np.int64).min
# Group of collectives whose process group the trace does not name; of transfers between two of many ranks.
GROUP_UNKNOWN, GROUP_PAIRS = -1, -2
_KINDS = re.compile(
    r"(all_?reduce|all_?gather|reduce_?scatter|all_?to_?all|send_?recv|broadcast|reduce|gather|scatter|barrier)",
    re.IGNORECASE,
)
_BETWEEN_TWO = re.compile(r"^\s*(?:i?send|i?recv|batch_isend|coalesced)", re.IGNORECASE)


@dataclass(slots=True)
class Kinds:
    """What collectives of all ranks are, numbered: (label, group number) and the text of each group."""

    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    def number(self, label: str, group: int) -> int:
        """Of a collective with this label in this group."""
        return self.numbers.setdefault((label, group), len(self.numbers))

    def group(self, told: str) -> int:
        """Of what the trace says of a collective's process group: its name and ranks, and the collective's
        name. A transfer between two ranks says nothing of the others of its group."""
        name, _, rest = told.partition("\t")
        ranks, _, collective = rest.partition("\t")
        if not name and not ranks:
            return GROUP_UNKNOWN
        if _BETWEEN_TWO.search(collective) and ranks.count(",") != 1:
            return GROUP_PAIRS
        return self.groups.setdefault(f"{name}\t{ranks}", len(self.groups))

    def labels(self) -> list[str]:
        """By number."""
        return [label for label, _ in self.numbers]


@dataclass(frozen=True, slots=True)
class Collectives:
    """The collectives of one rank, by end. kind: what each is, a number of `kinds`, which differs by process
    group. group: that, GROUP_UNKNOWN or GROUP_PAIRS. step: the number of the step that launched it, NO_STEP
    where that is not known."""

    start_ns: Ints
    end_ns: Ints
    kind: Ints
    group: Ints
    step: Ints
    kinds: Kinds

    def __len__(self) -> int:
        return int(self.start_ns.shape[0])

    def take(self, rows: NDArray[np.int64]) -> Collectives:
        """Some of them, in the same order."""
        return Collectives(
            self.start_ns[rows],
            self.end_ns[rows],
            self.kind[rows],
            self.group[rows],
            self.step[rows],
            self.kinds,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """One rank: one device of one file."""

    rank: int
    file: int
    device: int
    timeline: Timeline
    attribution: Attribution
    windows: Windows | None
    collectives: Collectives


def members(
    timelines: Sequence[Timeline], attributions: Mapping[tuple[int, int], Attribution]
) -> list[Member]:
    """Every device of every file, by rank. Files of one device have the rank they say; else devices count."""
    keys = sorted(attributions)
    kinds = Kinds()
    ranks = _ranks(timelines, keys)
    made = [
        _member(timelines[file], attributions[file, device], rank, file, kinds)
        for (file, device), rank in zip(keys, ranks, strict=True)
    ]
    return sorted(made, key=lambda member: (member.rank, member.file, member.device))


def _ranks(timelines: Sequence[Timeline], keys: Sequence[tuple[int, int]]) -> list[int]:
    """As files of one device say; those that do not say get the numbers that are left, in the order given."""
    per_file = Counter(file for file, _ in keys)
    if len(per_file) == 1 and len(keys) > 1:
        return [device for _, device in keys]
    said = [timelines[file].meta.rank if per_file[file] == 1 else None for file, _ in keys]
    taken = {rank for rank in said if rank is not None}
    free = (number for number in range(2 * len(keys) + 1) if number not in taken)
    if len(keys) == 1:
        return [keys[0][1] if said[0] is None else said[0]]
    return [next(free) if rank is None else rank for rank in said]


def _member(timeline: Timeline, attribution: Attribution, rank: int, file: int, kinds: Kinds) -> Member:
    windows = step_windows(timeline, attribution)
    found = _collectives(timeline, attribution.device, windows, kinds)
    return Member(rank, file, attribution.device, timeline, attribution, windows, found)


def _collectives(timeline: Timeline, device: int, windows: Windows | None, kinds: Kinds) -> Collectives:
    gpu = timeline.gpu
    rows = np.flatnonzero((gpu.device == device) & (gpu.kind == GpuKind.KERNEL))
    used, which = np.unique(gpu.name[rows], return_inverse=True)
    labels = [kind_of(timeline.names[name]) for name in used]
    rows = rows[np.array([label is not None for label in labels], np.bool_)[which]]
    rows = rows[np.argsort(gpu.end_ns[rows], kind="stable")]
    group = _groups(timeline, rows, kinds)
    kind = _numbered(timeline, gpu.name[rows], group, kinds)
    return Collectives(
        gpu.start_ns[rows], gpu.end_ns[rows], kind, group, _steps(timeline, rows, windows), kinds
    )


def _groups(timeline: Timeline, rows: NDArray[np.intp], kinds: Kinds) -> Ints:
    used, which = np.unique(timeline.gpu.group[rows], return_inverse=True)
    found = [GROUP_UNKNOWN if told < 0 else kinds.group(timeline.names[told]) for told in used.tolist()]
    return np.array(found, np.int64)[which]


def _numbered(timeline: Timeline, names: NDArray[np.int32], group: Ints, kinds: Kinds) -> Ints:
    """Kinds by name and group, each pair of them looked at once."""
    pairs, which = np.unique(np.stack((names.astype(np.int64), group)), axis=1, return_inverse=True)
    found = [kinds.number(kind_of(timeline.names[name]) or "", number) for name, number in pairs.T.tolist()]
    return np.array(found, np.int64)[which.reshape(-1)]


def _steps(timeline: Timeline, rows: NDArray[np.intp], windows: Windows | None) -> Ints:
    found = np.full(rows.shape[0], NO_STEP, np.int64)
    if windows is None or windows.marks is None or windows.window != "launches":
        return found
    launch = timeline.gpu.launch[rows]
    known = np.flatnonzero(launch >= 0)
    step = step_of(windows.marks, timeline.host.start_ns[launch[known]])
    inside = (step >= 0) & (step < len(windows))
    found[known[inside]] = windows.number[step[inside]]
    return found


@lru_cache(maxsize=65536)
def kind_of(name: str) -> str | None:
    """What a collective's kernel does, such as "AllReduce"; its own name where that does not tell; None for
    other kernels."""
    if not kernel_class(name).collective:
        return None
    head = name.partition("(")[0]
    found = _KINDS.search(head.partition("_")[2] or head)
    return found[1] if found else head[:80]


def world_size(timelines: Sequence[Timeline]) -> int | None:
    """As the files say; None where none does."""
    return next((t.meta.world_size for t in timelines if t.meta.world_size is not None), None)


def are_ranks(found: Sequence[Member], timelines: Sequence[Timeline]) -> bool:
    """Whether there is anything to say of ranks: several devices of a file, a file that says its rank of
    several, or files of which several hold collectives."""
    if len({member.file for member in found}) < len(found):
        return True
    if len(found) == 1:
        return found[0].timeline.meta.rank is not None and (world_size(timelines) or 1) > 1
    told = sum(m.timeline.meta.rank is not None and m.timeline.meta.world_size != 1 for m in found)
    return told >= 2 or sum(len(member.collectives) > 0 for member in found) >= 2


def refusal(found: Sequence[Member]) -> str | None:
    """Why files are not ranks of one job; None where nothing speaks against it."""
    return _unlike(found) or _twice(found) or _apart(found)


def _twice(found: Sequence[Member]) -> str | None:
    counts = Counter(member.rank for member in found)
    twice = sorted(rank for rank, count in counts.items() if count > 1)
    if not twice:
        return None
    return f"rank {twice[0]} is there {counts[twice[0]]} times: give each rank's file once"


def _unlike(found: Sequence[Member]) -> str | None:
    sizes = sorted({m.timeline.meta.world_size for m in found} - {None}, key=lambda size: size or 0)
    if len(sizes) > 1:
        return f"the files are of jobs of different sizes: {' and '.join(str(size) for size in sizes)} ranks"
    biggest = sizes[0] if sizes else None
    beyond = [m.rank for m in found if biggest is not None and m.rank >= biggest]
    return f"rank {beyond[0]} is not of a job of {biggest}" if beyond else None


def _apart(found: Sequence[Member]) -> str | None:
    """Captures that lie apart by more than clocks of one cluster do."""
    spans = [
        (m.timeline.meta.zero_ns + m.attribution.start_ns, m.timeline.meta.zero_ns + m.attribution.end_ns)
        for m in found
        if m.timeline.meta.zero_ns is not None
    ]
    if len(spans) < 2:
        return None
    gap_s = (max(start for start, _ in spans) - min(end for _, end in spans)) / 1e9
    if gap_s <= tt.TRACE_RANKS_APART_S.value:
        return None
    return f"the captures lie {gap_s:,.0f} s apart: they are not of one moment of a job"

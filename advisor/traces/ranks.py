"""Ranks of one job side by side: who waits for whom in collectives, without trusting any clock.

A rank's wait in a collective is its duration less the shortest one of all ranks, since the last to arrive
waits for nobody. That takes nothing from the clocks of different hosts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution
from advisor.traces.intervals import Ints, Spans, empty, intersect, join, union
from advisor.traces.rank_groups import Group, Shared, groups
from advisor.traces.rank_members import Member, are_ranks, members, refusal, world_size
from advisor.traces.steps import spent
from advisor.traces.timeline import Timeline
from rules import thresholds_trace as tt
from rules.traces.records import BUSY, CAUSES, CollectiveRow, RankFigures, RankRow

_COMM = BUSY.index("communication")
# Notes on collectives that some ranks lack.
_NOTES = 4
_NOT_NAMED = (
    "the traces do not name the process groups of collectives: those of different groups that end together "
    "are taken for one, and a wait may be for a rank of another group"
)


@dataclass(slots=True)
class _Told:
    """What collectives tell of one rank. last: of those it shares in each process group, in order of time, to
    which it came last. sizes: how many ranks share each. caused_ns: mean wait of the others for it."""

    wait: Spans
    sizes: list[int] = field(default_factory=list)
    last: list[NDArray[np.bool_]] = field(default_factory=list)
    caused_ns: float = 0.0

    @property
    def shared(self) -> int:
        return sum(part.shape[0] for part in self.last)

    @property
    def came_last(self) -> int:
        return sum(int(part.sum()) for part in self.last)

    @property
    def chance(self) -> float:
        """How often it would come last if all ranks did so equally often."""
        return sum(len(part) / size for part, size in zip(self.last, self.sizes, strict=True)) / self.shared


def rank_figures(
    timelines: Sequence[Timeline], attributions: Mapping[tuple[int, int], Attribution]
) -> RankFigures | None:
    """The ranks of a job; None where the traces say nothing of ranks. attributions: by (file, device).

    Files that are not of one job come back with `refused`, and without anything that compares them.
    """
    found = members(timelines, attributions)
    if not found or not are_ranks(found, timelines):
        return None
    refused = refusal(found)
    if refused is not None:
        rows = tuple(_row(member, None, _whole_work_ns(member)) for member in found)
        return RankFigures(rows=rows, refused=refused, straggler_because=refused, unknown={"waits": refused})
    return _figures(found, world_size(timelines))


def _figures(found: Sequence[Member], world: int | None) -> RankFigures:
    together = groups(found)
    shared = together.groups
    told = _told(shared)
    work, work_of = _work(found)
    rows = tuple(_row(m, told.get(m.rank), ns) for m, ns in zip(found, work, strict=True))
    straggler, because = _straggler(found, told)
    span = sum(member.attribution.span_ns for member in found)
    waits = [one.wait.total_ns for one in told.values()]
    waited = sum(m.attribution.span_ns for m in found if m.rank in told)
    return RankFigures(
        rows=rows,
        world_size=world,
        missing=None if world is None else max(0, world - len(found)),
        imbalance_frac=_imbalance(work),
        straggler=straggler,
        straggler_because=because,
        wait_frac=sum(waits) / waited if waited else None,
        exposed_frac=sum(_exposed_ns(m) for m in found) / span if span else None,
        collectives=_collective_rows(shared),
        unknown=_unknown(found, together, world),
        work_of=work_of,
        notes=_notes(found, together, world),
    )


def _unknown(found: Sequence[Member], together: Shared, world: int | None) -> dict[str, str]:
    if len(found) == 1:
        return {"waits": "one rank alone does not tell who waits for whom: give the files of other ranks too"}
    made = {f"waits of rank {rank}": why for rank, why in together.alone.items()}
    if _unnamed(found, together, world):
        made["process groups"] = _NOT_NAMED
    return made


def _unnamed(found: Sequence[Member], together: Shared, world: int | None) -> bool:
    """Whether the process groups of matched collectives matter and are not known: two ranks make up one."""
    return together.unnamed > 1 and max(world or 0, len(found)) > 2


def _notes(found: Sequence[Member], together: Shared, world: int | None) -> tuple[str, ...]:
    notes = []
    if any(m.timeline.meta.rank is None for m in found) and len({m.file for m in found}) > 1:
        notes.append("files that do not say their rank are numbered in the order given")
    lost = [_lost(group) for group in together.groups]
    notes += [said for said in lost if said is not None][:_NOTES]
    if together.single:
        notes.append(
            f"{together.single:,} collectives are of process groups of which one rank alone is here: "
            "for whom it waits in them is not known"
        )
    if together.pairs:
        notes.append(
            f"{together.pairs:,} transfers between two of many ranks are in nobody's wait: their process "
            "group does not tell which two"
        )
    if together.groups and _unnamed(found, together, world):
        notes.append(_NOT_NAMED)
    return tuple(notes)


def _lost(group: Group) -> str | None:
    """How many collectives all of them share, where that is not every one."""
    whole = int((group.rows >= 0).all(axis=1).sum())
    most = max(len(group.rows), *(int(n) for n in group.of))
    if whole == most:
        return None
    return f"{whole:,} of {most:,} collectives were found on all {len(group.members)} ranks"


# --- waits ----------------------------------------------------------------------------------------


def _durations(group: Group) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """ns of each collective (row) on each member (column), nan where it was not found; its starts."""
    took = np.full(group.rows.shape, np.nan)
    starts = np.zeros(group.rows.shape, np.int64)
    for column, member in enumerate(group.members):
        there = group.rows[:, column] >= 0
        rows = group.rows[there, column]
        took[there, column] = member.collectives.end_ns[rows] - member.collectives.start_ns[rows]
        starts[there, column] = member.collectives.start_ns[rows]
    kept = (~np.isnan(took)).sum(axis=1) >= 2
    return took[kept], starts[kept]


def _told(shared: Sequence[Group]) -> dict[int, _Told]:
    """By rank."""
    found: dict[int, _Told] = {}
    for group in shared:
        took, starts = _durations(group)
        wait = took - np.nanmin(took, axis=1, keepdims=True)
        last = _last(took, wait, group.skew_ns)
        others = (~np.isnan(took)).sum(axis=1) - 1
        mean_wait = np.nansum(wait, axis=1) / others
        for column, member in enumerate(group.members):
            there = ~np.isnan(took[:, column])
            waits = wait[there, column].astype(np.int64)
            began = starts[there, column]
            one = found.setdefault(member.rank, _Told(empty()))
            one.wait = join(one.wait, union(began, began + waits))
            one.last.append((last == column)[there])
            one.sizes.append(len(group.members))
            one.caused_ns += float(mean_wait[last == column].sum())
    return found


def _last(took: NDArray[np.float64], wait: NDArray[np.float64], skew_ns: float) -> NDArray[np.intp]:
    """The column that came last to each collective; -1 where others waited too little to tell."""
    if took.size == 0:
        return np.zeros(0, np.intp)
    least = max(tt.TRACE_WAIT_LEAST_US.value * 1000.0, 3.0 * skew_ns)
    second = np.sort(wait, axis=1)[:, 1]  # nan stands last, and there are two ranks or more
    return np.where(second >= least, np.nanargmin(took, axis=1), -1)


def _collective_rows(shared: Sequence[Group]) -> tuple[CollectiveRow, ...]:
    """By kind, those with the most wait first; sums are over all ranks."""
    sums: dict[str, list[float]] = {}
    lasts: dict[str, list[int]] = {}
    for group in shared:
        took, _ = _durations(group)
        head = group.members[0].collectives
        kinds = head.kind[group.rows[(group.rows >= 0).sum(axis=1) >= 2, 0]]
        labels = head.kinds.labels()
        wait = took - np.nanmin(took, axis=1, keepdims=True)
        last = _last(took, wait, group.skew_ns)
        for kind in np.unique(kinds):
            rows = kinds == kind
            label = labels[kind]
            one = sums.setdefault(label, [0.0, 0.0, 0.0])
            one[0] += int(rows.sum())
            one[1] += float(np.nansum(took[rows])) / 1000.0
            one[2] += float(np.nansum(wait[rows])) / 1000.0
            lasts.setdefault(label, []).extend(
                group.members[column].rank for column in last[rows] if column >= 0
            )
    made = [
        CollectiveRow(name=k, count=int(n), total_us=t, wait_us=w, last_rank=_mostly(lasts[k], int(n)))
        for k, (n, t, w) in sums.items()
    ]
    return tuple(sorted(made, key=lambda row: -row.wait_us))


def _mostly(ranks: Sequence[int], count: int) -> int | None:
    """The rank that came last to more than half of them."""
    found = max(set(ranks), key=ranks.count, default=None)
    return found if found is not None and 2 * ranks.count(found) > count else None


# --- the straggler --------------------------------------------------------------------------------


def _straggler(found: Sequence[Member], told: Mapping[int, _Told]) -> tuple[int | None, str]:
    """The rank that others wait for, where it stands out in number, in both halves, and in time."""
    if len(found) < 2:
        return None, "one rank alone"
    if not told:
        return None, "no collectives were found on two ranks"
    spans = {member.rank: member.attribution.span_ns for member in found}
    worst = max(told, key=lambda rank: told[rank].caused_ns)
    one = told[worst]
    cost = one.caused_ns / spans[worst]
    said = (
        f"rank {worst} came last to {one.came_last:,} of {one.shared:,} collectives, for which others waited "
    )
    said += f"{_ms(one.caused_ns / 1000.0)} each ({cost * 100:.1f} % of the time)"
    doubt = _doubt(one, one.chance, cost)
    return (worst, said) if doubt is None else (None, f"none stands out: {said}; {doubt}")


def _doubt(one: _Told, chance: float, cost: float) -> str | None:
    """What speaks against a straggler."""
    if cost < tt.TRACE_LAST_COST.value:
        return "that is little"
    share = one.came_last / one.shared
    sigma = math.sqrt(chance * (1.0 - chance) / one.shared)
    if share < max(tt.TRACE_LAST_FRAC.value, chance + tt.TRACE_LAST_SIGMA.value * sigma):
        return "chance alone may do that"
    halves = [np.array_split(part, 2) for part in one.last]
    for half in range(2):
        part = np.concatenate([cut[half] for cut in halves])
        if part.shape[0] == 0 or part.mean() < tt.TRACE_LAST_FRAC.value:
            return "not in both halves of the trace"
    return None


def _ms(us: float) -> str:
    return f"{us / 1000.0:.3g} ms"


# --- work -----------------------------------------------------------------------------------------


def _exposed_ns(member: Member) -> int:
    return int(member.attribution.busy_ns()[_COMM])


def _whole_work_ns(member: Member) -> int:
    return int(member.attribution.busy_ns().sum()) - _exposed_ns(member)


def _work(found: Sequence[Member]) -> tuple[list[int], str]:
    """Busy ns without communication alone: of the steps that all ranks have whole, else of all there is."""
    common = _common(found)
    if common.shape[0] == 0:
        return [_whole_work_ns(member) for member in found], "the whole trace"
    made = []
    for member in found:
        assert member.windows is not None  # noqa: S101
        table = spent(member.attribution, member.windows)[np.isin(member.windows.number, common)]
        made.append(int(table[:, len(CAUSES) :].sum()) - int(table[:, len(CAUSES) + _COMM].sum()))
    return made, _steps_said(common)


def _steps_said(common: Ints) -> str:
    if common.shape[0] == 1:
        return f"step {common[0]}"
    return f"{common.shape[0]} steps, {common.min()} to {common.max()}"


def _common(found: Sequence[Member]) -> Ints:
    """Numbers of the steps that are whole on every rank."""
    common: Ints | None = None
    for member in found:
        if member.windows is None or member.windows.marks is None:
            return np.zeros(0, np.int64)
        own = member.windows.number[~member.windows.cut]
        common = own if common is None else np.intersect1d(common, own)
    return np.zeros(0, np.int64) if common is None else common


def _imbalance(work: Sequence[int]) -> float | None:
    """1 - mean / max."""
    if len(work) < 2 or max(work) <= 0:
        return None
    return 1.0 - sum(work) / len(work) / max(work)


def _row(member: Member, told: _Told | None, work_ns: int) -> RankRow:
    attribution, busy = member.attribution, member.attribution.busy
    alone = busy.nature == _COMM
    exposed = Spans(busy.start_ns[alone], busy.end_ns[alone])
    return RankRow(
        rank=member.rank,
        device=member.device,
        file=member.file,
        span_us=attribution.span_ns / 1000.0,
        busy_us=int(attribution.busy_ns().sum()) / 1000.0,
        work_us=work_ns / 1000.0,
        exposed_us=_exposed_ns(member) / 1000.0,
        wait_us=None if told is None else told.wait.total_ns / 1000.0,
        wait_exposed_us=None if told is None else intersect(told.wait, exposed).total_ns / 1000.0,
        last_frac=None if told is None or not told.shared else told.came_last / told.shared,
        caused_us=None if told is None else told.caused_ns / 1000.0,
        matched=None if told is None else told.shared,
        collectives=len(member.collectives),
        step_us=_step_us(member),
    )


def _step_us(member: Member) -> float | None:
    """Median time of the rank's whole steps."""
    if member.windows is None or member.windows.marks is None:
        return None
    took = np.diff(member.windows.edges_ns)
    kept = took[~member.windows.cut] if not member.windows.cut.all() else took
    return float(np.median(kept)) / 1000.0

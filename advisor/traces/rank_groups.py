"""Which ranks share collectives: by process groups where traces name them, else by which end together.

Collectives of different process groups end together by chance, or because the groups run in step: a wait in
one of them is then for a rank of that group, and for no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.traces.rank_matching import Matched, enough, match
from advisor.traces.rank_members import GROUP_PAIRS, GROUP_UNKNOWN, Collectives, Member

# Pairs of ranks that are tried in vain, before the rest is given up: so many, and so many a rank.
_IN_VAIN, _IN_VAIN_EACH = 32, 2


@dataclass(frozen=True, slots=True)
class Group:
    """Ranks that share collectives. rows[i, j]: row of member j's table that is collective i, else -1.
    of: how many each member has of this process group."""

    members: tuple[Member, ...]
    rows: NDArray[np.int64]
    skew_ns: float
    of: tuple[int, ...]


@dataclass(slots=True)
class Shared:
    """What ranks share. alone: why a rank shares nothing. single: collectives of process groups of which one
    rank alone is there; pairs: transfers between two of many ranks. unnamed: ranks with collectives whose
    process groups are not known."""

    groups: list[Group] = field(default_factory=list)
    alone: dict[int, str] = field(default_factory=dict)
    single: int = 0
    pairs: int = 0
    unnamed: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Of one rank, the collectives of one process group. rows: in the rank's table."""

    member: Member
    rows: NDArray[np.int64]
    collectives: Collectives


@dataclass(slots=True)
class _Tries:
    """Pairs that were held against each other. left: how many more may be in vain."""

    left: int
    best: dict[int, tuple[int, _Part]] = field(default_factory=dict)

    def match(self, a: _Part, b: _Part) -> Matched | None:
        """What two ranks share where that is enough; None where not, or where nothing is left to try."""
        if self.left <= 0:
            return None
        found = match(a.collectives, b.collectives)
        if enough(found, a.collectives, b.collectives):
            return found
        self.left -= 1
        for one, other in ((a, b), (b, a)):
            known = self.best.get(one.member.rank)
            if known is None or known[0] < found.mine.shape[0]:
                self.best[one.member.rank] = found.mine.shape[0], other
        return None


def groups(found: Sequence[Member]) -> Shared:
    """Ranks by what they share, and what is not known of them."""
    shared = Shared()
    tries = _Tries(_IN_VAIN + _IN_VAIN_EACH * len(found))
    single: dict[int, int] = defaultdict(int)
    for group, parts in sorted(_by_group(found).items()):
        if group == GROUP_PAIRS:
            shared.pairs += sum(len(part.rows) for part in parts)
        elif group == GROUP_UNKNOWN:
            shared.unnamed = len(parts)
            shared.groups += _joined(parts, tries)
        elif len(parts) == 1:
            single[parts[0].member.rank] += len(parts[0].rows)
        else:
            shared.groups += _joined(parts, tries)
    shared.single = sum(single.values())
    together = {member.rank for group in shared.groups for member in group.members}
    for member in found:
        if member.rank not in together:
            shared.alone[member.rank] = _why_alone(member, found, tries, single[member.rank])
    return shared


def _by_group(found: Sequence[Member]) -> dict[int, list[_Part]]:
    made: dict[int, list[_Part]] = defaultdict(list)
    for member in found:
        every = member.collectives
        order = np.argsort(every.group, kind="stable")
        numbers, first = np.unique(every.group[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, first[1:]), strict=len(numbers) > 0):
            made[number].append(_Part(member, rows, every.take(rows)))
    return made


def _joined(parts: Sequence[_Part], tries: _Tries) -> Iterator[Group]:
    """Each rank with those that share collectives with it; ranks that share none are in no group."""
    left = list(parts)
    while left:
        head, others, left = left[0], left[1:], []
        joined, columns, skews, of = [head.member], [head.rows], [0.0], [len(head.rows)]
        for other in others:
            pair = tries.match(head, other)
            if pair is None:
                left.append(other)
                continue
            column = np.full(len(head.rows), -1, np.int64)
            column[pair.mine] = other.rows[pair.theirs]
            joined.append(other.member)
            columns.append(column)
            skews.append(pair.skew_ns)
            of.append(len(other.rows))
        if len(joined) > 1:
            yield Group(tuple(joined), np.stack(columns, axis=1), max(skews), tuple(of))


def _why_alone(member: Member, found: Sequence[Member], tries: _Tries, single: int) -> str:
    count = len(member.collectives)
    if not count:
        return "it has no collectives"
    if single == count:
        return f"its {count:,} collectives are of process groups of which no other rank's trace is here"
    if not any(len(other.collectives) for other in found if other is not member):
        return "no other rank has collectives"
    if member.rank not in tries.best:
        if tries.left <= 0:
            return "too many ranks share no collectives: it was not held against others"
        return "no other rank has collectives of its process groups"
    ended, other = tries.best[member.rank]
    return (
        f"{ended} of its {count:,} collectives end together with one of rank {other.member.rank}'s "
        f"{len(other.member.collectives):,}: too few to tell which is which"
    )

"""Bills: the waste ladder summed over a GPU, a job or a node, and who could win back which part of it.

Every row of the ladder is divided between one job and the fleet: free time is the fleet's, all other time is
that of the job whose process holds most of the device's memory. So the node's bill is the sum of its GPUs'
and the sum of its jobs' with the fleet's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from rules.evidence import Workload
from rules.finding import TERMS, Finding, LadderRow
from rules.ladder import wasted
from rules.recover import Recoverable, recoverable
from rules.verdict import Verdict

__all__ = ["Bill", "Group", "Piece", "Recoverable", "Scope", "bill_of", "bills", "groups"]

Scope = Literal["gpu", "job", "fleet", "node"]

_NOT_FREE: tuple[str, ...] = tuple(term for term in TERMS if term != "free")
_MAX_REASONS = 4
# A share below this is floating point's, and no time at all.
_DUST = 1e-12


class Bill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scope's ladder. `terms` sums to `price_usd_h`; `shares` sums to 1 and exists without a price.

    scope: "fleet" is what belongs to no job: free time, and rows whose process nobody can name. name:
    "GPU 2", a job such as "slurm:123", else a process's name and pid (untrusted), "fleet" or "node". program:
    the name of a job's process with the most device memory (untrusted). rows: keys of the ladder rows in it.
    unpriced: rows without a price, which are in `shares` alone when no row has a price, and nowhere else.
    shared: rows that further processes hold as well, whose part nobody can tell; this bill has them whole.
    recoverable_usd_h_*: the sums over `recoverable`; None without a price.
    """

    scope: Scope
    name: str
    rows: tuple[str, ...]
    shares: dict[str, float]
    price_usd_h: float | None = None
    terms: dict[str, float] | None = None
    wasted_usd_h: float | None = None
    unpriced: int = 0
    recoverable: tuple[Recoverable, ...] = ()
    recoverable_usd_h_low: float | None = None
    recoverable_usd_h_high: float | None = None
    program: str | None = None
    shared: int = 0


class Piece(NamedTuple):
    """The part of a ladder row that belongs to one bill: some of its terms."""

    row: LadderRow
    terms: tuple[str, ...] = TERMS

    @property
    def priced(self) -> bool:
        """Whether the row's price is known."""
        return self.row.price_usd_h is not None and self.row.terms is not None

    @property
    def share(self) -> float:
        """The share of the row's time in this piece."""
        return math.fsum(self.row.shares.get(term, 0.0) for term in self.terms)


class Group(NamedTuple):
    """Pieces that make up one bill."""

    scope: Scope
    name: str
    pieces: tuple[Piece, ...]
    program: str | None = None
    shared: int = 0


def bills(
    ladder: Sequence[LadderRow], verdicts: Sequence[Verdict], findings: Sequence[Finding]
) -> tuple[Bill, ...]:
    """Every GPU's, every job's, the fleet's and the node's bill; none where there is no row."""
    known = known_of(ladder, findings, verdicts)
    return tuple(bill_of(group, known) for group in groups(ladder, verdicts))


def known_of(
    ladder: Sequence[LadderRow], findings: Sequence[Finding], verdicts: Sequence[Verdict] = ()
) -> dict[str, tuple[Recoverable, ...]]:
    """Row key -> what could be won back of that row."""
    causes = {v.key: v.cause for v in verdicts}
    on: dict[str, list[Finding]] = {}
    for found in findings:
        on.setdefault(found.key, []).append(found)
    return {row.key: recoverable(row, on.get(row.key, ()), causes.get(row.key)) for row in ladder}


def groups(ladder: Sequence[LadderRow], verdicts: Sequence[Verdict]) -> tuple[Group, ...]:
    """Which pieces belong to which bill: GPUs by index, jobs as they come, the fleet, the node."""
    if not ladder:
        return ()
    whole = tuple(Piece(row) for row in ladder)
    gpus = sorted({row.gpu for row in ladder})
    return (
        *(Group("gpu", f"GPU {gpu}", tuple(p for p in whole if p.row.gpu == gpu)) for gpu in gpus),
        *_by_job(ladder, verdicts),
        Group("node", "node", whole),
    )


def _by_job(ladder: Sequence[LadderRow], verdicts: Sequence[Verdict]) -> Iterable[Group]:
    """The jobs, and the fleet with all that is none's."""
    workloads = {v.key: v.workload for v in verdicts if v.workload is not None}
    jobs: dict[str, list[Piece]] = {}
    fleet: list[Piece] = []
    for row in ladder:
        workload, free, taken = workloads.get(row.key), Piece(row, ("free",)), Piece(row, _NOT_FREE)
        if workload is None or taken.share < _DUST:
            fleet.append(Piece(row))
            continue
        split = free.share >= _DUST
        jobs.setdefault(job_name(workload), []).append(taken if split else Piece(row))
        fleet += [free] if split else []
    for name, pieces in jobs.items():
        held = [workloads[p.row.key] for p in pieces]
        yield Group("job", name, tuple(pieces), held[0].name, sum(w.others > 0 for w in held))
    if fleet:
        yield Group("fleet", "fleet", tuple(fleet))


def job_name(workload: Workload) -> str:
    """The scheduler's or container's name of the job, else the process. Untrusted."""
    return workload.job or f"{workload.name} (pid {workload.pid})"


def bill_of(group: Group, known: dict[str, tuple[Recoverable, ...]]) -> Bill:
    """The bill of one group. known: row key -> what could be won back of it."""
    priced = [piece for piece in group.pieces if piece.priced]
    used = priced or list(group.pieces)
    terms = _terms(priced) if priced else None
    won = _recoverable(used, known, bool(priced))
    return Bill(
        scope=group.scope,
        name=group.name,
        rows=tuple(piece.row.key for piece in group.pieces),
        shares=_shares(used),
        price_usd_h=_price(priced) if priced else None,
        terms=terms,
        wasted_usd_h=None if terms is None else wasted(terms),
        unpriced=len(group.pieces) - len(priced),
        recoverable=won,
        recoverable_usd_h_low=math.fsum(r.usd_h_low or 0.0 for r in won) if priced else None,
        recoverable_usd_h_high=math.fsum(r.usd_h_high or 0.0 for r in won) if priced else None,
        program=group.program,
        shared=group.shared,
    )


def wasted_share(bill: Bill) -> float:
    """The part of the scope's paid time that was neither useful nor unknown."""
    return wasted(bill.shares)


def _price(priced: Sequence[Piece]) -> float:
    """Whole rows cost what their price says, others what their terms sum to."""
    whole = [p.row.price_usd_h or 0.0 for p in priced if p.terms is TERMS]
    parts = [(p.row.terms or {}).get(term, 0.0) for p in priced if p.terms is not TERMS for term in p.terms]
    return math.fsum((*whole, *parts))


def _terms(priced: Sequence[Piece]) -> dict[str, float]:
    return {
        term: math.fsum((p.row.terms or {}).get(term, 0.0) for p in priced if term in p.terms)
        for term in TERMS
    }


def _weights(pieces: Sequence[Piece]) -> list[float]:
    """What a share of each row's time weighs, so that over the pieces all of it is 1."""
    prices = [piece.row.price_usd_h or 0.0 for piece in pieces]
    parts = [piece.row.part for piece in pieces]
    for weights in (prices, parts, [1.0] * len(pieces)):
        whole = math.fsum(w * piece.share for w, piece in zip(weights, pieces, strict=True))
        if whole > 0.0:
            return [w / whole for w in weights]
    return [0.0] * len(pieces)


def _shares(pieces: Sequence[Piece]) -> dict[str, float]:
    weighed = list(zip(pieces, _weights(pieces), strict=True))
    return {
        term: math.fsum(w * p.row.shares.get(term, 0.0) for p, w in weighed if term in p.terms)
        for term in TERMS
    }


def _recoverable(
    pieces: Sequence[Piece], known: dict[str, tuple[Recoverable, ...]], priced: bool
) -> tuple[Recoverable, ...]:
    """What could be won back of all pieces, by term and owner, in the ladder's order."""
    found: dict[tuple[int, str], list[tuple[Recoverable, float]]] = {}
    for piece, weight in zip(pieces, _weights(pieces), strict=True):
        for entry in known[piece.row.key]:
            if entry.term in piece.terms:
                found.setdefault((TERMS.index(entry.term), entry.owner), []).append((entry, weight))
    return tuple(
        _sum([entry for entry, _ in each], [w for _, w in each], priced)
        for _, each in sorted(found.items(), key=lambda item: item[0])
    )


def _size(entry: Recoverable, weight: float) -> float:
    """What orders reasons: the most that each could win back."""
    return weight * entry.share_high


def _sum(entries: Sequence[Recoverable], weights: Sequence[float], priced: bool) -> Recoverable:
    """Entries of one term and owner as one. Reasons come largest first, those worth nothing not at all."""
    pairs = list(zip(entries, weights, strict=True))
    able = [entry for entry, w in sorted(pairs, key=lambda pair: -_size(*pair)) if entry.basis != "none"]
    able = [entry for entry in able if entry.share_high > _DUST] or able
    reasons = list(dict.fromkeys(entry.because for entry in able or entries))
    more = f" and {len(reasons) - _MAX_REASONS} more" if len(reasons) > _MAX_REASONS else ""
    return Recoverable(
        term=entries[0].term,
        owner=entries[0].owner,
        share_low=math.fsum(w * entry.share_low for entry, w in pairs),
        share_high=math.fsum(w * entry.share_high for entry, w in pairs),
        usd_h_low=math.fsum(entry.usd_h_low or 0.0 for entry in entries) if priced else None,
        usd_h_high=math.fsum(entry.usd_h_high or 0.0 for entry in entries) if priced else None,
        because=", ".join(reasons[:_MAX_REASONS]) + more,
        basis=(able or list(entries))[0].basis,
    )

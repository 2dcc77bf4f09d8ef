"""Bills as they are shown: whole cents per hour, day or month which agree in every view of a document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rules.bill import Bill, Group, Piece, bill_of, bills, groups, known_of, wasted_share
from rules.cents import HOURS, Cell, Horizon, cells
from rules.finding import TERMS
from rules.ladder import NOT_WASTED

if TYPE_CHECKING:
    from advisor.document import Diagnosis


class Amount(msgspec.Struct, frozen=True):
    """One bill in whole cents of its horizon, of `hours`. costs, low, high: term -> cents; the latter of its
    cost."""

    bill: Bill
    costs: dict[str, int] | None
    low: dict[str, int]
    high: dict[str, int]
    hours: float = 1.0

    @property
    def price(self) -> int | None:
        """All of it; None without a price."""
        return None if self.costs is None else sum(self.costs.values())

    @property
    def wasted(self) -> int | None:
        """What was neither useful nor unknown."""
        if self.costs is None:
            return None
        return sum(cents for term, cents in self.costs.items() if term not in NOT_WASTED)

    @property
    def won_back(self) -> tuple[int, int] | None:
        """What is known to be recoverable, at least and at most."""
        return None if self.costs is None else (sum(self.low.values()), sum(self.high.values()))

    @property
    def wasted_share(self) -> float:
        """The wasted part of the paid time, which is known without a price."""
        return wasted_share(self.bill)

    @property
    def won_back_share(self) -> tuple[float, float]:
        """The recoverable part of the paid time, at least and at most."""
        parts = self.bill.recoverable
        return sum(r.share_low for r in parts), sum(r.share_high for r in parts)


class Statement(msgspec.Struct, frozen=True):
    """All bills of a node over one horizon. GPUs sum to the node, and so do jobs with the fleet."""

    horizon: Horizon
    gpus: tuple[Amount, ...]
    jobs: tuple[Amount, ...]
    node: Amount


class NodeCents(NamedTuple):
    """A node's hour in whole cents. low, high: what of `wasted` is known to be recoverable."""

    price: int
    wasted: int
    low: int
    high: int


def with_bills(document: Diagnosis) -> Diagnosis:
    """The document with its bills, from its own ladder, verdicts and findings."""
    return msgspec.structs.replace(
        document, bills=bills(document.ladder, document.verdicts, document.findings)
    )


def statement(document: Diagnosis, horizon: Horizon = "hour") -> Statement | None:
    """What a document's bills come to; None where it has no ladder.

    They are made from the ladder anew, so that documents without bills have them too.
    """
    known = known_of(document.ladder, document.findings, document.verdicts)
    found = cells(document.ladder, [known[row.key] for row in document.ladder], horizon)
    by_row = {id(row): cell for row, cell in zip(document.ladder, found, strict=True)}
    amounts = [
        _amount(group, bill_of(group, known), by_row, HOURS[horizon])
        for group in groups(document.ladder, document.verdicts)
    ]
    if not amounts:
        return None
    return Statement(
        horizon,
        tuple(a for a in amounts if a.bill.scope == "gpu"),
        tuple(sorted((a for a in amounts if a.bill.scope in ("job", "fleet")), key=_dearest)),
        next(a for a in amounts if a.bill.scope == "node"),
    )


def node_cents(document: Diagnosis) -> NodeCents | None:
    """What the whole node costs an hour, as `statement` has it; cheap enough for every tick.

    None where no row of the ladder has a price.
    """
    known = known_of(document.ladder, document.findings, document.verdicts)
    found = cells(document.ladder, [known[row.key] for row in document.ladder])
    pairs = [pair for row in found for pair in row.items()]
    if not pairs:
        return None
    return NodeCents(
        sum(cell.cost for _, cell in pairs),
        sum(cell.cost for term, cell in pairs if term not in NOT_WASTED),
        sum(cell.low for _, cell in pairs),
        sum(cell.high for _, cell in pairs),
    )


def row_amounts(document: Diagnosis, horizon: Horizon = "hour") -> dict[str, Amount]:
    """Row's key -> its amount, in the cells that `statement` adds up."""
    known = known_of(document.ladder, document.findings, document.verdicts)
    found = cells(document.ladder, [known[row.key] for row in document.ladder], horizon)
    alone = [Group("gpu", row.key, (Piece(row),)) for row in document.ladder]
    return {
        group.name: _amount(group, bill_of(group, known), {id(row): cell}, HOURS[horizon])
        for group, row, cell in zip(alone, document.ladder, found, strict=True)
    }


def _dearest(amount: Amount) -> tuple[bool, int, float]:
    """Jobs by what they waste, the fleet last."""
    return amount.bill.scope == "fleet", -(amount.wasted or 0), -amount.wasted_share


def _amount(group: Group, bill: Bill, by_row: dict[int, dict[str, Cell]], hours: float) -> Amount:
    pieces = [(piece.terms, by_row[id(piece.row)]) for piece in group.pieces if piece.priced]
    if not pieces:
        return Amount(bill, None, {}, {}, hours)
    mine = {term: [row[term] for terms, row in pieces if term in terms and term in row] for term in TERMS}
    return Amount(
        bill,
        {term: sum(cell.cost for cell in found) for term, found in mine.items()},
        _each(mine.items(), "low"),
        _each(mine.items(), "high"),
        hours,
    )


def _each(mine: Iterable[tuple[str, list[Cell]]], which: str) -> dict[str, int]:
    return {term: sum(getattr(cell, which) for cell in found) for term, found in mine}

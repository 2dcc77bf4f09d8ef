"""Engine: evidence in, verdicts, ladder and findings out. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from probes.ceilings import Ceilings
from rules.decide import decide
from rules.evidence import Evidence
from rules.finding import SEVERITIES, Finding, LadderRow, Price
from rules.hysteresis import Steady
from rules.ladder import ladder_row
from rules.peers import beside
from rules.registry import Context, run_rules
from rules.roles import grouped
from rules.siblings import Sibling
from rules.split import Split
from rules.verdict import Verdict


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One row to diagnose: its evidence, what the card can do, what it costs.

    splits: the evidence's sub-windows already split, by a caller that keeps them as they come.
    """

    evidence: Evidence
    ceilings: Ceilings | None
    price: Price
    splits: tuple[Split, ...] | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say of one row."""

    verdict: Verdict
    ladder: LadderRow
    findings: tuple[Finding, ...]


def diagnose(subject: Subject, steady: Steady | None = None, siblings: tuple[Sibling, ...] = ()) -> Result:
    """Verdict, ladder and findings of one row; with `steady`, the verdict a live screen shows."""
    return conclude(subject, judge(subject, steady), siblings)


def judge(subject: Subject, steady: Steady | None = None) -> Verdict:
    """The verdict alone: what `siblings` of a whole node are made of, before any rule runs."""
    verdict = decide(subject.evidence, subject.ceilings, subject.splits)
    return verdict if steady is None else steady.update(verdict, subject.evidence.t_end_s)


def conclude(subject: Subject, verdict: Verdict, siblings: tuple[Sibling, ...] = ()) -> Result:
    """Ladder and findings of a row whose verdict is known, beside the other rows of its node."""
    verdict = beside(verdict, siblings)
    row = ladder_row(subject.evidence, verdict, subject.price)
    context = Context(
        evidence=subject.evidence,
        verdict=verdict,
        ladder=row,
        ceilings=subject.ceilings,
        price=subject.price,
        siblings=siblings,
    )
    return Result(verdict=verdict, ladder=row, findings=run_rules(context))


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings as people read them: faults first, then dollars, then severity, then share, then place.

    What contributes to a primary stands right after it, ranked among itself in the same way.
    """

    def order(f: Finding) -> tuple[bool, float, int, float, int, str]:
        rank = SEVERITIES.index(f.severity)
        return (f.severity != "critical", -(f.usd_h or 0.0), rank, -f.share, f.gpu, f.code)

    groups = grouped(sorted(findings, key=order))
    return tuple(f for group in sorted(groups, key=lambda group: order(group[0])) for f in group)

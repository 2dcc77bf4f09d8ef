"""Document: everything the benchmark says, as one record that is printed, written as JSON or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from benchmarks.accuracy.ablations import ABLATIONS, TIERS
from benchmarks.accuracy.corpus import Corpus, Problem
from benchmarks.accuracy.parts import by_construction
from benchmarks.accuracy.replay import Replayed
from benchmarks.accuracy.rival import Rival
from benchmarks.accuracy.score import (
    Metrics,
    RivalScore,
    Row,
    Said,
    confusion,
    metrics,
    rival_figures,
    row_of,
)
from rules.verdict import Margin, Verdict

Which = Literal["tuning", "validation", "all"]
WHICH: tuple[Which, ...] = ("validation", "tuning", "all")

ACCURACY_IS = "right verdicts over all recordings; one on which no verdict was given counts as not right"
SYNTHETIC_CLAIM = "SYNTHETIC: no GPU produced these recordings. The figures claim nothing."


class Given(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """What one tier said of one recording; fields as in `score.Row`."""

    class_: str
    cause: str
    confidence: float
    right: bool
    cause_right: bool | None
    shares: dict[str, float]
    share_error: float | None
    margins: tuple[Margin, ...] = ()
    unknown_because: tuple[str, ...] = ()


class WorkloadRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: its truth, and what each tier, ablation and rival said. part: None in neither part."""

    name: str
    family: str
    source: str
    part: str | None
    label: str
    accepted: tuple[str, ...]
    cause: str
    shares: dict[str, float]
    confirmed: bool
    because: str
    tiers: dict[str, Given]
    ablations: dict[str, dict[str, str]]
    rivals: dict[str, str | None]


class Ablation(msgspec.Struct, frozen=True, kw_only=True):
    """What hiding something does to the figures of the headline part."""

    about: str
    tiers: dict[str, Metrics]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The benchmark's result. tiers, confusion, rivals and ablations are of the recordings in `part`.

    parts: the same figures for tuning, validation and all. construction: of truths that nothing but their
    construction speaks for, in no other figure. unconfirmed: truths that are listed and not counted.
    problems: files that were left out. skipped: workloads that their session did not record.
    """

    synthetic: bool
    claim: str
    device: str
    dates: tuple[str, ...]
    part: Which
    accuracy_is: str
    tiers: dict[str, Metrics]
    confusion: dict[str, dict[str, dict[str, int]]]
    rivals: dict[str, RivalScore]
    workloads: tuple[WorkloadRow, ...]
    parts: dict[str, dict[str, Metrics]]
    construction: dict[str, Metrics]
    ablations: dict[str, Ablation]
    unconfirmed: tuple[str, ...]
    problems: tuple[Problem, ...]
    skipped: dict[str, str]


def make(
    replays: Sequence[Replayed],
    corpus: Corpus,
    problems: Iterable[Problem],
    rivals: Sequence[Rival],
    part: Which = "validation",
) -> Document:
    """The document of these replays."""
    chosen = [r for r in replays if within(r, part)]
    synthetic = any(r.synthetic for r in replays)
    return Document(
        synthetic=synthetic,
        claim=SYNTHETIC_CLAIM if synthetic else "",
        device=", ".join(sorted({r.recorded.session.device for r in replays})),
        dates=tuple(sorted({r.recorded.session.date for r in replays})),
        part=part,
        accuracy_is=ACCURACY_IS,
        tiers=by_tier(chosen),
        confusion={tier: confusion(rows_of(chosen, tier)) for tier in TIERS},
        rivals={rival.name: _rival(chosen, rival) for rival in rivals},
        workloads=tuple(_workload(r) for r in replays),
        parts={which: by_tier([r for r in replays if within(r, which)]) for which in WHICH},
        construction=_construction(replays),
        ablations={name: _ablation(chosen, name) for name in ABLATIONS if any(r.ablated for r in chosen)},
        unconfirmed=tuple(r.recorded.truth.name for r in replays if not r.recorded.truth.confirmed),
        problems=(*corpus.problems, *problems),
        skipped=corpus.skipped,
    )


def encode(document: Document) -> bytes:
    """The document as indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def within(replayed: Replayed, which: Which) -> bool:
    """Whether a recording belongs to a part; to `all` belong also those whose family no part names."""
    return which == "all" or _row(replayed, "counters").part == which


def rows_of(replays: Iterable[Replayed], tier: str) -> list[Row]:
    """Each recording's truth beside what this tier said."""
    return [_row(r, tier) for r in replays]


def by_tier(replays: Sequence[Replayed]) -> dict[str, Metrics]:
    """The figures of each tier."""
    return {tier: metrics(rows_of(replays, tier)) for tier in TIERS}


def _construction(replays: Iterable[Replayed]) -> dict[str, Metrics]:
    """Tier -> figures of the truths by construction alone, as if they were confirmed; empty without any."""
    apart = [r for r in replays if by_construction(r.recorded.truth)]
    rows = {tier: rows_of(apart, tier) for tier in TIERS} if apart else {}
    return {tier: metrics(replace(row, confirmed=True) for row in found) for tier, found in rows.items()}


def _row(replayed: Replayed, tier: str) -> Row:
    return row_of(replayed.recorded.truth, replayed.recorded.source, replayed.verdicts[tier])


def _workload(replayed: Replayed) -> WorkloadRow:
    truth, row = replayed.recorded.truth, _row(replayed, "counters")
    return WorkloadRow(
        name=truth.name,
        family=truth.family,
        source=replayed.recorded.source,
        part=row.part,
        label=truth.label,
        accepted=truth.accepted,
        cause=truth.cause,
        shares=truth.shares,
        confirmed=truth.confirmed,
        because=truth.because,
        tiers={tier: _given(_row(replayed, tier)) for tier in TIERS},
        ablations={name: _classes(found) for name, found in replayed.ablated.items()},
        rivals=replayed.rivals,
    )


def _classes(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {tier: verdict.class_ for tier, verdict in verdicts.items()}


def _given(row: Row) -> Given:
    return Given(
        class_=row.given,
        cause=row.cause,
        confidence=row.confidence,
        right=row.right,
        cause_right=row.cause_right,
        shares=row.shares,
        share_error=row.share_error,
        margins=row.margins,
        unknown_because=row.unknown_because,
    )


def _ablation(replays: Sequence[Replayed], name: str) -> Ablation:
    about, tiers, _ = ABLATIONS[name]
    found = {
        tier: metrics(
            row_of(r.recorded.truth, r.recorded.source, r.ablated[name][tier]) for r in replays if r.ablated
        )
        for tier in tiers
    }
    return Ablation(about=about, tiers=found)


def _rival(replays: Sequence[Replayed], rival: Rival) -> RivalScore:
    name = rival.name
    said = [
        Said(_row(r, "counters"), r.rivals[name], r.rivals_named[name]) for r in replays if name in r.rivals
    ]
    return rival_figures(said, rival)

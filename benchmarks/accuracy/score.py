"""Score: verdicts against truths.

`accuracy` is over all recordings: one on which no verdict is given (`unknown`) counts as not right, since a
user is left without an answer; `accuracy_decided` leaves those out. A truth that its program's accounting did
not confirm is listed and never counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from benchmarks.accuracy.calibration import Bin, Claim, brier, table, wilson
from benchmarks.accuracy.parts import Part, part_of
from benchmarks.accuracy.rival import Rival
from benchmarks.workloads.spec import LABELS, Truth
from rules.verdict import GROUPS, Class, Margin, Verdict

# A verdict at or above this that is wrong is a confident mistake.
CONFIDENT = 0.9
UNKNOWN: Class = "unknown"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One recording's verdict beside its truth. shares: class -> share, of the verdict.

    share_error: largest absolute difference of a class's share from the truth's; None where those are not
    known. cause_right: None where the class is wrong.
    """

    name: str
    family: str
    part: Part | None
    source: str
    label: str
    accepted: tuple[str, ...]
    truth_cause: str
    truth_shares: dict[str, float]
    confirmed: bool
    because: str
    given: Class
    cause: str
    confidence: float
    right: bool
    shares: dict[str, float]
    share_error: float | None
    cause_right: bool | None
    margins: tuple[Margin, ...] = ()
    unknown_because: tuple[str, ...] = ()

    @property
    def abstained(self) -> bool:
        return self.given == UNKNOWN

    @property
    def wrong(self) -> bool:
        return not self.right and not self.abstained

    @property
    def confident_mistake(self) -> bool:
        return self.wrong and self.confidence >= CONFIDENT


class ByClass(msgspec.Struct, frozen=True, kw_only=True):
    """One class. recall: of its recordings, those judged rightly; precision: of verdicts, those right."""

    n: int
    given: int
    precision: float | None
    recall: float | None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over some recordings. None where there is nothing to take them from.

    accuracy_interval: 95 % Wilson interval, as if programs were drawn at random from all there are.
    share_error: mean over workloads of the largest difference of a class's share. cause_accuracy: of
    verdicts with the right class.
    """

    n: int
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    accuracy_decided: float | None
    abstained: int
    confident_mistakes: int
    share_error: float | None
    share_error_max: float | None
    brier: float | None
    cause_accuracy: float | None
    by_class: dict[str, ByClass]
    calibration: tuple[Bin, ...]


def row_of(truth: Truth, source: str, verdict: Verdict) -> Row:
    """One verdict beside its truth."""
    right = verdict.class_ == truth.label or verdict.class_ in truth.accepted
    shares = class_shares(verdict)
    return Row(
        name=truth.name,
        family=truth.family,
        part=part_of(truth),
        source=source,
        label=truth.label,
        accepted=truth.accepted,
        truth_cause=truth.cause,
        truth_shares=truth.shares,
        confirmed=truth.confirmed,
        because=truth.because,
        given=verdict.class_,
        cause=verdict.cause,
        confidence=verdict.confidence,
        right=right,
        shares=shares,
        share_error=share_error(shares, truth.shares),
        cause_right=verdict.cause in (truth.cause, *truth.causes) if right else None,
        margins=verdict.margins,
        unknown_because=verdict.unknown_because,
    )


def class_shares(verdict: Verdict) -> dict[str, float]:
    """Shares added up by class, and `unknown`. Throttled time is work of the class that the clock slowed."""
    shares = {c: math.fsum(verdict.shares.get(k, 0.0) for k in keys) for c, keys in GROUPS.items()}
    throttled = verdict.shares.get("throttle", 0.0)
    if verdict.shares.get("device", 0.0) > verdict.shares.get("compute", 0.0):
        shares["compute"] -= throttled
        shares["device"] += throttled
    return {**{str(c): s for c, s in shares.items()}, UNKNOWN: verdict.shares.get("unknown", 0.0)}


def share_error(given: dict[str, float], truth: dict[str, float]) -> float | None:
    """The largest absolute difference over the classes; None where the truth has no shares."""
    if not truth:
        return None
    return max(abs(given.get(label, 0.0) - truth.get(label, 0.0)) for label in LABELS)


def metrics(rows: Iterable[Row]) -> Metrics:
    """Figures over the confirmed rows."""
    counted = [row for row in rows if row.confirmed]
    decided = [row for row in counted if not row.abstained]
    errors = [row.share_error for row in counted if row.share_error is not None]
    causes = [row.cause_right for row in counted if row.cause_right is not None]
    claims = [Claim(row.confidence, row.right) for row in decided]
    return Metrics(
        n=len(counted),
        accuracy=_share([row.right for row in counted]),
        accuracy_interval=wilson(sum(row.right for row in counted), len(counted)) if counted else None,
        accuracy_decided=_share([row.right for row in decided]),
        abstained=len(counted) - len(decided),
        confident_mistakes=sum(row.confident_mistake for row in counted),
        share_error=math.fsum(errors) / len(errors) if errors else None,
        share_error_max=max(errors, default=None),
        brier=brier(claims),
        cause_accuracy=_share(causes),
        by_class=by_class([(row.label, row.given, row.right) for row in counted]),
        calibration=table(claims),
    )


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def by_class(pairs: Sequence[tuple[str, str | None, bool]]) -> dict[str, ByClass]:
    """Precision and recall of (label, given, right), for every class that is a label or was given."""
    labels, given = Counter(p[0] for p in pairs), Counter(p[1] for p in pairs)
    return {
        label: ByClass(
            n=labels[label],
            given=given[label],
            precision=_share([right for _, said, right in pairs if said == label]),
            recall=_share([right for true, _, right in pairs if true == label]),
        )
        for label in LABELS
        if labels[label] or given[label]
    }


def confusion(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Label -> class given -> how many, `unknown` included; the confirmed rows alone.

    An accepted class stands where it was given, off the diagonal, though it counts as right.
    """
    counts = Counter((row.label, row.given) for row in rows if row.confirmed)
    return {
        label: {str(given): counts[label, given] for given in (*LABELS, UNKNOWN)}
        for label in LABELS
        if any(true == label for true, _ in counts)
    }


class RivalScore(msgspec.Struct, frozen=True, kw_only=True):
    """A rival on the same recordings: the class alone. accuracy counts one without a class as not right.

    A look without a class is a vote for none. accuracy_named, abstained_named: by the looks at which it named
    one, which is in favour of tools that hint seldom. sees: our tier with the same figures to go by.
    """

    version: str
    source: str
    mapping: str
    missing: str | None
    sees: str
    n: int
    accuracy: float | None
    accuracy_decided: float | None
    abstained: int
    accuracy_named: float | None
    abstained_named: int
    by_class: dict[str, ByClass]


class Said(NamedTuple):
    """What a rival said of one recording, beside its truth. named: by the looks at which it named a class."""

    row: Row
    given: str | None
    named: str | None


def rival_figures(said: Sequence[Said], rival: Rival) -> RivalScore:
    """A rival's figures over the recordings with a confirmed truth."""
    counted = [one for one in said if one.row.confirmed]
    rights = [_right(one.row, one.given) for one in counted]
    decided = [_right(one.row, one.given) for one in counted if one.given is not None]
    return RivalScore(
        version=rival.version,
        source=rival.source,
        mapping=rival.mapping,
        missing=rival.missing,
        sees=rival.sees,
        n=len(counted),
        accuracy=_share(rights),
        accuracy_decided=_share(decided),
        abstained=len(counted) - len(decided),
        accuracy_named=_share([_right(one.row, one.named) for one in counted]),
        abstained_named=sum(one.named is None for one in counted),
        by_class=by_class([(one.row.label, one.given, _right(one.row, one.given)) for one in counted]),
    )


def _right(row: Row, given: str | None) -> bool:
    return given in (row.label, *row.accepted)

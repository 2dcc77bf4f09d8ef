"""Fit: which thresholds the tuning part asks for, how much that matters, and the confidences it justifies.

Nothing but recordings of the tuning part is looked at. Thresholds are changed for trials alone; what is found
is printed, for a person to put into rules/thresholds.py and rules/calibration.py with its source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from benchmarks.accuracy.ablations import TIERS
from benchmarks.accuracy.calibration import Claim, brier, isotonic
from benchmarks.accuracy.corpus import Corpus, CorpusError, Recorded
from benchmarks.accuracy.parts import part_of
from benchmarks.accuracy.replay import Replayed, replay_all
from benchmarks.accuracy.score import row_of
from benchmarks.accuracy.trial import Job, Outcome, run
from rules import calibration as tables
from rules import thresholds as th

NAMES = (
    "ENGINE_IDLE",
    "ROOF_HIGH",
    "ROOF_SUM",
    "HOST_FIRST",
    "LAUNCH_SM_ACTIVE",
    "LAUNCH_OCCUPANCY",
    "LAUNCH_THREAD",
    "LINK_HIGH",
    "CLOCK_LOW",
    "NVML_MEM_UTIL_CEILING",
)
FACTORS = (0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5)
_MOST_SHARE = 0.99
_PASSES = 2
_AT_ONCE = 2
SYNTHETIC_FIT = "SYNTHETIC: fitted on recordings that no GPU produced. Nothing of this may be kept."

# Sign test: five verdicts more and none less have a probability of 0.5 ** 5 where nothing has changed.
CHANCE = "A gain of fewer than 5 verdicts, with none lost, is within chance."

Values = Mapping[str, float]
# Sets of thresholds -> their outcomes, in order.
Scorer = Callable[[Sequence[Values]], list[Outcome]]


class Point(msgspec.Struct, frozen=True):
    """How the tuning part fares with one value."""

    value: float
    right: int


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold's points by value. present: the value in rules/thresholds.py; chosen: the best one."""

    name: str
    present: float
    chosen: float
    points: tuple[Point, ...]

    @property
    def flat(self) -> tuple[float, float]:
        """The values around the chosen one that cost no right verdict."""
        at = next(i for i, p in enumerate(self.points) if p.value == self.chosen)
        low = high = at
        while low > 0 and self.points[low - 1].right >= self.points[at].right:
            low -= 1
        while high < len(self.points) - 1 and self.points[high + 1].right >= self.points[at].right:
            high += 1
        return self.points[low].value, self.points[high].value


def fit(corpus: Corpus, *, synthetic_too: bool, names: Sequence[str] = NAMES) -> str:
    """The whole fit as text. Raises CorpusError for synthetic recordings, unless they are asked for."""
    tuning = tuning_of(corpus)
    with uncalibrated():
        replays = [
            r for r in (replay_all(one, (), ablations=False) for one in tuning) if isinstance(r, Replayed)
        ]
    if not replays:
        raise CorpusError("there is no recording of the tuning part whose truth is confirmed")
    synthetic = corpus.synthetic or any(r.synthetic for r in replays)
    if synthetic and not synthetic_too:
        raise CorpusError(
            "thresholds and confidences are never fitted on synthetic recordings; "
            "--synthetic-too shows how the fit works, and nothing of it may be kept"
        )
    kept = [r.recorded for r in replays]
    head = [SYNTHETIC_FIT] if synthetic else []
    about = f"{len(kept)} recordings of the tuning part, in {len(TIERS)} tiers each"
    found = [*thresholds(scorer_of(kept), names), ""] if names else []
    return "\n".join([*head, about, "", *found, *calibration(replays)]) + "\n"


def tuning_of(corpus: Corpus) -> list[Recorded]:
    """The recordings that may be looked at: those of the tuning part, with a confirmed truth."""
    return [r for r in corpus.recordings if part_of(r.truth) == "tuning" and r.truth.confirmed]


@contextlib.contextmanager
def uncalibrated() -> Iterator[None]:
    """Confidences as they are before the tables of rules/calibration.py."""
    kept = dict(tables.TABLES)
    tables.TABLES.update({"counters": tables.IDENTITY, "nvml": tables.IDENTITY, "trace": tables.IDENTITY})
    try:
        yield
    finally:
        tables.TABLES.clear()
        tables.TABLES.update(kept)


def scorer_of(recordings: Sequence[Recorded]) -> Scorer:
    """Outcomes by trials in processes of their own; a set of thresholds is tried once."""
    known: dict[tuple[tuple[str, float], ...], Outcome] = {}
    pairs = tuple((str(r.path.resolve()), r.truth) for r in recordings)

    def score(asked: Sequence[Values]) -> list[Outcome]:
        keys = [tuple(sorted(values.items())) for values in asked]
        new = list(dict.fromkeys(key for key in keys if key not in known))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            jobs = [Job(values=dict(key), recordings=pairs) for key in new]
            known.update(zip(new, pool.map(run, jobs), strict=True))
        return [known[key] for key in keys]

    return score


def present(names: Sequence[str]) -> dict[str, float]:
    """The thresholds as they are in rules/thresholds.py."""
    return {name: getattr(th, name).value for name in names}


def curve(scorer: Scorer, name: str, values: Values, now: float) -> Curve:
    """The threshold varied about its present value, the others as in `values`."""
    most = max(now, _MOST_SHARE if now <= 1.0 else 1.5 * now)
    tried = sorted({min(most, round(now * factor, 4)) for factor in FACTORS} | {now, values[name]})
    outcomes = scorer([{**values, name: value} for value in tried])
    points = tuple(Point(value, outcome.right) for value, outcome in zip(tried, outcomes, strict=True))
    return Curve(name=name, present=now, chosen=chosen(points, now), points=points)


def chosen(points: Sequence[Point], now: float) -> float:
    """The present value unless others are right more often; then the middle of their longest stretch."""
    best = max(point.right for point in points)
    if any(point.value == now and point.right == best for point in points):
        return now
    stretch: list[float] = []
    longest: list[float] = []
    for point in points:
        stretch = [*stretch, point.value] if point.right == best else []
        longest = stretch if len(stretch) > len(longest) else longest
    return longest[len(longest) // 2]


def search(scorer: Scorer, names: Sequence[str]) -> tuple[dict[str, float], list[Curve]]:
    """One threshold after the other, twice; the best values, and the curves about the present ones."""
    now = present(names)
    values = dict(now)
    first = [curve(scorer, name, now, now[name]) for name in names]
    for _ in range(_PASSES):
        before = dict(values)
        for name in names:
            values[name] = curve(scorer, name, values, now[name]).chosen
        if values == before:
            break
    return values, first


def thresholds(scorer: Scorer, names: Sequence[str] = NAMES) -> list[str]:
    """The curves, and what would be right more often, as lines."""
    values, curves = search(scorer, names)
    now = present(names)
    before, after = scorer([now, values])
    lines = [f"Present thresholds: {before.right} of {before.n} right, share error {before.share_error:.3f}"]
    for found in curves:
        lines += ["", *_curve_lines(found)]
    changed = [f"  {name}: {now[name]:g} -> {values[name]:g}" for name in names if values[name] != now[name]]
    if not changed:
        return [*lines, "", "No other value is right more often: the present thresholds stay."]
    words = f"Best found: {after.right} of {after.n} right, share error {after.share_error:.3f}, with"
    return [*lines, "", words, *changed, "", CHANCE]


def _curve_lines(found: Curve) -> list[str]:
    low, high = found.flat
    points = "  ".join(f"{p.value:g}: {p.right}" for p in found.points)
    return [f"{found.name}, present {found.present:g}, flat from {low:g} to {high:g}", f"  {points}"]


def calibration(replays: Sequence[Replayed]) -> list[str]:
    """For each tier the table that the present thresholds' verdicts justify, as lines of Python."""
    sessions = [r.recorded.session for r in replays]
    source = ", ".join(sorted({r.recorded.source for r in replays})) + ": tuning part"
    facts = (
        f"source={source!r},",
        f"date={max(s.date for s in sessions)!r},",
        f"device={', '.join(sorted({s.device for s in sessions}))!r},",
    )
    lines = ["Confidence of verdicts with the present thresholds; for TABLES of rules/calibration.py:"]
    for tier in TIERS:
        lines += _table_lines(tier, list(_claims(replays, tier)), facts)
    return lines


def _table_lines(tier: str, claims: Sequence[Claim], facts: Iterable[str]) -> list[str]:
    if not claims:
        return [f"    # {tier}: no verdict was given"]
    knots = tuple((step.raw, step.calibrated) for step in isotonic(claims))
    table = tables.Table(knots=knots, source="", n=len(claims), date="", device="")
    before, after = brier(claims), brier([Claim(table.at(c.confidence), c.right) for c in claims])
    inner = (f"knots={knots!r},", f"n={len(claims)},", *facts)
    return [
        f"    # Brier {before:.3f}, with the table {after:.3f}, on the verdicts it was fitted on",
        f'    "{tier}": Table(',
        *(f"        {line}" for line in inner),
        "    ),",
    ]


def _claims(replays: Iterable[Replayed], tier: str) -> Iterator[Claim]:
    for replayed in replays:
        row = row_of(replayed.recorded.truth, "", replayed.verdicts[tier])
        if not row.abstained:
            yield Claim(row.confidence, row.right)

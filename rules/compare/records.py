"""What a comparison of two looks says. A is before, B is after; every change is B less A."""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.finding import Severity

SCHEMA_VERSION = 1

# blocking: no figure of the two may be subtracted. weakening: figures may, with that in mind, but for those
# that `refuses` names. info: good to know, changes nothing.
Weight = Literal["blocking", "weakening", "info"]
# Groups of figures that a difference can rule out. all: every one. roofs: what rests on ceilings. money:
# dollars. estimate: a throughput that is estimated from counters.
Group = Literal["all", "roofs", "money", "estimate"]
# unclear: there is a change, and no interval to hold it against.
Change = Literal["up", "down", "no-difference", "unclear", "unknown"]
Basis = Literal["serving", "work", "estimate"]
# inside: the realised factor is in the predicted range. within-noise: it is not, but its interval reaches in.
# not-made: nothing shows that the fix was made, and something that it was not.
Verdict = Literal["inside", "within-noise", "below", "above", "not-made", "unknown"]


class Difference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which the two looks are not alike, and what that does to the comparison.

    code: stable, such as "tier" or "power-limit". a, b: as each look has it.
    """

    code: str
    weight: Weight
    a: str
    b: str
    effect: str
    refuses: tuple[Group, ...] = ()


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of both looks. unit: "frac" (a change is in points), "w", "mhz", "usd_h".

    change: b less a; low, high: its 95 % interval, None where the series do not give one, and then
    `no_interval` says why. relative: change over a. refused: why no change is given. forced: a change that
    was refused, given because somebody insisted. better: which way is an improvement, None where neither is.
    slow: the series wander for longer than the windows; the interval is a least one.
    """

    name: str
    unit: str
    a: float | None
    b: float | None
    group: Literal["time", "roofs", "money", "device"] = "time"
    better: Literal["up", "down"] | None = None
    change: float | None = None
    relative: float | None = None
    low: float | None = None
    high: float | None = None
    says: Change = "unknown"
    slow: bool = False
    no_interval: str | None = None
    refused: str | None = None
    forced: bool = False


class Throughput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much work an hour B does for one of A. factor: 1.4 = 40 % more.

    basis: tokens that engines counted, work that the user counted, or an estimate from the useful share of
    time, which assumes the same work at the same precision on the same card. a, b: the rates, `unit` a
    second. low, high: 95 % interval, None for what was counted. energy: joules for the same work in B, as a
    factor of A's. demand: what engines on the row counted in each, where it was not the same demand in both:
    then nothing here is a measure of speed, and "" otherwise.
    """

    factor: float | None = None
    basis: Basis | None = None
    unit: str = ""
    a: float | None = None
    b: float | None = None
    low: float | None = None
    high: float | None = None
    says: Change = "unknown"
    energy: float | None = None
    demand: str = ""
    no_interval: str | None = None
    assumes: str = ""
    refused: str | None = None
    forced: bool = False


class FindingChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding that is in B alone (came), in A alone (went), or in both (stayed).

    device: of which device, where several were compared ("GPU 1", "rank 3"); "" where one alone was.
    """

    code: str
    title: str
    state: Literal["came", "went", "stayed"]
    severity: Severity
    share_a: float | None = None
    share_b: float | None = None
    usd_h_a: float | None = None
    usd_h_b: float | None = None
    device: str = ""


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What A said a fix would buy, beside what B shows.

    low, high: predicted throughput factors. price_low, price_high: what is paid afterwards, as a multiple of
    A's price; where that is not 1 the fix changes what is rented, and dollars are judged instead of the
    factor. factor, factor_low, factor_high: realised. saving_*: dollars an hour that A's work costs less:
    predicted range, and realised, at A's price or at B's where what is rented changed. shares: of time, that
    the fix is for. made: whether the fix seems to have been made, None where nothing tells; because: what
    tells it. What was realised stands only beside a fix that was. A throughput changes for every reason at
    once: together: other fixes that were made as well, so that the figure is of one or more of them.
    """

    fix: str
    title: str
    codes: tuple[str, ...] = ()
    basis: str = ""
    shares: tuple[str, ...] = ()
    low: float
    high: float
    price_low: float | None = 1.0
    price_high: float | None = 1.0
    factor: float | None = None
    factor_low: float | None = None
    factor_high: float | None = None
    says: Verdict = "unknown"
    saving_low_usd_h: float | None = None
    saving_high_usd_h: float | None = None
    saving_usd_h: float | None = None
    made: bool | None = None
    because: str = ""
    together: tuple[str, ...] = ()
    forced: bool = False


class Side(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of one look. workload, headline: untrusted. price_source: provider, basis and date."""

    key: str
    gpu: int
    device_name: str
    class_: str = msgspec.field(name="class")
    cause: str
    confidence: float
    mig: str | None = None
    workload: str | None = None
    headline: str = ""
    observed_s: float | None = None
    price_usd_h: float | None = None
    price_source: str = ""


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of A and the row of B it is compared with.

    matched_by: what the two have in common. refused: why no figure is compared; then there are none.
    forced: the figures are given although they were refused.
    """

    a: Side
    b: Side
    matched_by: Literal["asked", "uuid", "index", "workload", "only"]
    differences: tuple[Difference, ...] = ()
    figures: tuple[Figure, ...] = ()
    throughput: Throughput = Throughput()
    findings: tuple[FindingChange, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    refused: str | None = None
    forced: bool = False


class Look(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the two documents. name: as it was given. rows: how many it has."""

    name: str
    created: str
    source: str
    host: str
    advisor_version: str
    window_s: float
    rows: int
    command: str = ""
    synthetic: bool = False
    redacted: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two looks compared. differences: of the looks themselves; those of a row are in its pair.

    only_a, only_b: rows without a counterpart. totals: over the pairs that were compared. refused: why
    nothing is compared. gate: what --fail-on asked for and found.
    """

    schema_version: int = SCHEMA_VERSION
    a: Look
    b: Look
    differences: tuple[Difference, ...] = ()
    pairs: tuple[Pair, ...] = ()
    only_a: tuple[Side, ...] = ()
    only_b: tuple[Side, ...] = ()
    totals: tuple[Figure, ...] = ()
    refused: str | None = None
    forced: bool = False
    gate: tuple[str, ...] = ()

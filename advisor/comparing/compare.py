"""Two documents in, one Comparison out. Pure: no file is read, nothing is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from advisor.comparing.comparable import of_looks, of_rows, ordered, refused_by, told
from advisor.comparing.demand import running
from advisor.comparing.figures import Pairing, direction, figures
from advisor.comparing.match import Matched, Matching, match, match_asked, restrict
from advisor.comparing.rows import Row, rows_of, side
from advisor.comparing.throughput import Work, throughput
from advisor.document import Diagnosis
from rules.compare.findings import by_size, finding_changes
from rules.compare.made import Circumstances, Moved
from rules.compare.predicted import predictions
from rules.compare.records import Comparison, Difference, Figure, FindingChange, Look, Pair, Prediction
from rules.economics import no_dust
from rules.finding import Finding
from rules.verdict import SHARES


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a comparison.

    gpu: one GPU's index or UUID, in both. pairs: rows to hold against each other. cards: other card models
    are what is compared. force: figures also where they are refused. work: rates that the user counted.
    """

    gpu: str | None = None
    pairs: tuple[str, ...] = ()
    cards: bool = False
    force: bool = False
    work: Work | None = None


def compare(a: Diagnosis, b: Diagnosis, names: tuple[str, str], wish: Wish | None = None) -> Comparison:
    """The comparison of two looks. names: what each is called. Raises MatchError."""
    wish = wish or Wish()
    found = _matched(a, b, wish)
    general = of_looks(a, b)
    pairs = tuple(_pair(matched, (a, b), general, wish) for matched in found.pairs)
    return Comparison(
        a=_look(a, names[0]),
        b=_look(b, names[1]),
        differences=general,
        pairs=pairs,
        only_a=tuple(side(row) for row in found.only_a),
        only_b=tuple(side(row) for row in found.only_b),
        totals=_totals(pairs),
        refused=_refused(pairs),
        forced=any(pair.forced for pair in pairs),
    )


def _matched(a: Diagnosis, b: Diagnosis, wish: Wish) -> Matching:
    rows_a, rows_b = rows_of(a), rows_of(b)
    if wish.pairs:
        return match_asked(rows_a, rows_b, wish.pairs)
    if wish.gpu is not None:
        rows_a, rows_b = restrict(rows_a, wish.gpu, "A"), restrict(rows_b, wish.gpu, "B")
    return match(rows_a, rows_b)


def _look(d: Diagnosis, name: str) -> Look:
    p = d.provenance
    return Look(
        name=name,
        created=p.created,
        source=p.source,
        host=p.host,
        advisor_version=p.advisor_version,
        window_s=p.t_end_s - p.t_start_s,
        rows=len(d.verdicts),
        command=p.command,
        synthetic=p.synthetic,
        redacted=p.redacted,
    )


def _refused(pairs: Sequence[Pair]) -> str | None:
    """Why nothing is compared, where not one pair is."""
    if not pairs:
        return "the two have no GPU in common"
    return pairs[0].refused if all(pair.refused for pair in pairs) else None


def _pair(
    matched: Matched, looks: tuple[Diagnosis, Diagnosis], general: Sequence[Difference], wish: Wish
) -> Pair:
    a, b, how = matched
    found = [*of_rows(a, b, looks, wish.cards), *_whole_job(wish)]
    refused = refused_by((*general, *found))
    held = Pairing(a, b, refused, wish.force)
    pair = Pair(
        a=side(a),
        b=side(b),
        matched_by=how,
        differences=ordered(found),
        findings=_findings(a, b),
    )
    if "all" in refused and not wish.force:
        return msgspec.structs.replace(pair, refused=refused["all"])
    compared = msgspec.structs.replace(
        pair,
        figures=figures(held),
        throughput=throughput(held, wish.work),
        forced=bool(refused) and wish.force,
    )
    return msgspec.structs.replace(compared, predictions=_predictions(compared, held, general))


def _predictions(pair: Pair, held: Pairing, general: Sequence[Difference]) -> tuple[Prediction, ...]:
    a, b = held.a, held.b
    comparable = held.insist or "money" not in held.refused
    clock = next((f for f in pair.figures if f.name == "sm_clock"), None)
    known = Circumstances(
        price_usd_h=None if a.ladder is None else a.ladder.price_usd_h,
        price_after_usd_h=b.ladder.price_usd_h if b.ladder is not None and comparable else None,
        same_look=any(d.code == "same-look" for d in general),
        same_card=not any(d.code in ("model", "mig") for d in pair.differences),
        card_after=None if b.observed is None or b.observed.ceilings is None else b.observed.ceilings.model,
        power_limits_w=(_power_limit_w(a), _power_limit_w(b)),
        running=(running(a.serving), running(b.serving)),
        clock="unknown" if clock is None else clock.says,
        shares=_moved(pair.figures),
        terms_a={} if a.ladder is None else a.ladder.shares,
        terms_b={} if b.ladder is None else b.ladder.shares,
    )
    return predictions(a.what_ifs, a.findings, b.findings, pair.throughput, known)


def _power_limit_w(row: Row) -> float | None:
    limit = None if row.provenance is None else row.provenance.power_limit_w
    return limit if limit is not None and limit > 0.0 else None


def _moved(found: Sequence[Figure]) -> dict[str, Moved]:
    """Shares of time whose change is given, with half the width of its interval."""
    return {
        f.name: Moved(f.a, f.b, None if f.low is None or f.high is None else (f.high - f.low) / 2.0)
        for f in found
        if f.name in SHARES and f.a is not None and f.b is not None and f.change is not None
    }


def _whole_job(wish: Wish) -> list[Difference]:
    if wish.work is None:
        return []
    effect = "counted by the user, of the whole job: taken for every pair"
    return [told("work", "info", f"{wish.work.a:g}/s", f"{wish.work.b:g}/s", effect)]


def _findings(a: Row, b: Row) -> tuple[FindingChange, ...]:
    """What came first, then what went, then what stayed; within each by dollars or share."""
    left, right = ([_without_dust(f, row) for f in row.findings] for row in (a, b))
    order = ("came", "went", "stayed")
    return tuple(
        sorted(finding_changes(left, right), key=lambda one: (order.index(one.state), *by_size(one)))
    )


def _without_dust(finding: Finding, row: Row) -> Finding:
    price = None if row.ladder is None else row.ladder.price_usd_h
    return msgspec.structs.replace(finding, usd_h=no_dust(finding.usd_h, price))


def _totals(pairs: Sequence[Pair]) -> tuple[Figure, ...]:
    """Sum of the dollars wasted over the pairs that have a change of it; none where no pair has."""
    found = [f for pair in pairs for f in pair.figures if f.name == "wasted_usd"]
    if not found:
        return ()
    summed = [f for f in found if f.change is not None]
    if len(summed) < len(found):
        left_out = next((f.refused for f in found if f.refused), None) or "a price is not known"
        return (Figure(name="wasted_usd", unit="usd_h", a=None, b=None, group="money", refused=left_out),)
    return (_sum(summed),)


def _sum(found: Sequence[Figure]) -> Figure:
    """Half-widths are added: GPUs of one job go up and down together, so that errors do not cancel."""
    a, b = (math.fsum(getattr(f, name) for f in found) for name in ("a", "b"))
    made = Figure(
        name="wasted_usd",
        unit="usd_h",
        a=a,
        b=b,
        group="money",
        better="down",
        change=b - a,
        relative=(b - a) / a if a > 0.0 else None,
        says="unclear",
        slow=any(f.slow for f in found),
        forced=any(f.forced for f in found),
    )
    lows, highs = [f.low for f in found], [f.high for f in found]
    if None in lows or None in highs:
        why = next((f.no_interval for f in found if f.no_interval), "one of the pairs has none")
        return msgspec.structs.replace(made, no_interval=why)
    low, high = (math.fsum(x for x in ends if x is not None) for ends in (lows, highs))
    return msgspec.structs.replace(made, low=low, high=high, says=direction(b - a, low, high))

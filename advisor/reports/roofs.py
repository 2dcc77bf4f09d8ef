"""A document's rooflines: each row's own verdict, ceilings and series, as `rules.roofline` reads them."""

from __future__ import annotations

from itertools import pairwise

from advisor.document import Diagnosis, Observed, TimeSeries
from rules.roofline import Roofline, Stretches, roofline
from rules.verdict import Verdict

_NOT_KEPT = "this document does not hold the ceilings that its verdict was reached from"


def observed_by_key(diagnosis: Diagnosis) -> dict[str, Observed]:
    """What each row was reached from, where the document holds it."""
    return {observed.key: observed for observed in diagnosis.observed}


def roofline_of(verdict: Verdict, observed: Observed | None) -> Roofline:
    """The row's roofline, or the reason why there is none."""
    if observed is None:
        return Roofline(missing=_NOT_KEPT)
    return roofline(verdict, observed.ceilings, stretches(series_of(observed)))


def stretches(series: TimeSeries | None) -> Stretches | None:
    """The columns of a series that a roofline reads."""
    if series is None:
        return None
    return Stretches(duration_s=series.duration_s, shares=series.shares, counters=series.figures)


def series_of(observed: Observed | None) -> TimeSeries | None:
    """The row's series; None where there is none, or where its columns do not fit together."""
    series = observed.series if observed is not None else None
    if series is None or not series.t_s:
        return None
    columns = (series.duration_s, *series.shares.values(), *series.figures.values())
    whole = all(len(column) == len(series.t_s) for column in columns)
    forward = all(length > 0.0 for length in series.duration_s)
    ordered = all(a <= b for a, b in pairwise(series.t_s))
    return series if whole and forward and ordered else None

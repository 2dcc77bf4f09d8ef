"""A document's rooflines: each row's own verdict, ceilings and series, as `rules.roofline` reads them."""

from __future__ import annotations

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
    return roofline(verdict, observed.ceilings, stretches(observed.series))


def stretches(series: TimeSeries | None) -> Stretches | None:
    """The columns of a series that a roofline reads."""
    if series is None:
        return None
    return Stretches(duration_s=series.duration_s, shares=series.shares, counters=series.figures)

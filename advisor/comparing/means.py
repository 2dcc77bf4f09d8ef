"""Means of one row's series, with their variances; or why a row has none."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.comparing.rows import Row
from advisor.document import TimeSeries
from rules import thresholds_compare as tc
from rules.compare.intervals import Mean, mean_of
from rules.verdict import SHARES

_BUSY = ("device", "memory", "compute")


def too_short(row: Row) -> str | None:
    """Why this row's window gives no interval, or None."""
    series = None if row.observed is None else row.observed.series
    if series is None:
        return "the document has no time series: it was made by an older advisor, or edited"
    length_s, stretches = sum(series.duration_s), len(series.duration_s)
    if not _is_whole(series):
        return "the document's time series is damaged: its columns are of unlike length"
    if length_s < tc.WINDOW_MIN_S.value or stretches < tc.STRETCHES_MIN.value:
        least = f"{tc.WINDOW_MIN_S.value:.0f} s and {tc.STRETCHES_MIN.value:.0f} samples"
        return f"the window is too short: {length_s:.1f} s in {stretches} samples, of at least {least}"
    return None


def _is_whole(series: TimeSeries) -> bool:
    count = len(series.duration_s)
    columns = [*series.shares.values(), *series.figures.values(), series.useful_frac]
    return all(len(column) == count for column in columns) and set(SHARES) <= set(series.shares)


def means(row: Row) -> dict[str, Mean]:
    """Figure -> its mean. Shares by their names, `useful`, `wasted`, `dram_roof`, and counters by theirs.

    `dram_roof` is dram_active over busy time, not yet divided by its reading at the ceiling. Empty where
    `too_short` has a reason.
    """
    series = None if row.observed is None else row.observed.series
    if series is None or too_short(row):
        return {}
    lengths = series.duration_s
    found = {name: mean_of(series.shares[name], lengths) for name in SHARES}
    found["useful"] = mean_of(series.useful_frac, lengths)
    found["wasted"] = mean_of(_wasted(series), lengths)
    found |= {name: mean_of(column, lengths) for name, column in series.figures.items()}
    found["dram_roof"] = _over_busy(series)
    return {name: mean for name, mean in found.items() if mean is not None}


def _wasted(series: TimeSeries) -> list[float]:
    """What is neither useful nor unknown, as the ladder has it: useful time is at most busy time."""
    shares = series.shares
    busy = [sum(parts) for parts in zip(*(shares[name] for name in _BUSY), strict=True)]
    triples = zip(series.useful_frac, busy, shares["unknown"], strict=True)
    return [1.0 - min(useful, most) - unknown for useful, most, unknown in triples]


def _over_busy(series: TimeSeries) -> Mean | None:
    dram, busy = series.figures.get("dram_active"), series.figures.get("gr_active")
    if dram is None or busy is None:
        return None
    per_busy = [None if d is None or not b else d / b for d, b in zip(dram, busy, strict=True)]
    return mean_of(per_busy, _weights(busy, series.duration_s))


def _weights(busy: Sequence[float | None], lengths: Sequence[float]) -> list[float]:
    return [(b or 0.0) * length for b, length in zip(busy, lengths, strict=True)]

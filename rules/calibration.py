"""Calibration: from a raw score to the confidence that a verdict is given with.

A verdict of confidence 0.9 is to be right nine times in ten. Whether it is can only be found on recordings of
labelled workloads from real GPUs. `python -m benchmarks.accuracy --fit` prints the tables to put into TABLES,
isotonic in the score. Until then TABLES is empty: confidence is the raw score, counts as uncalibrated, and
stays below 0.9 for all that is inferred (`rules.confidence.UNCALIBRATED`). Simulated recordings are no ground
for a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import msgspec

from rules.evidence import Tier


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Points (raw score, confidence) from what was measured, both rising; straight lines in between.

    n: recordings behind it. date: of the newest of them, ISO. device: the cards they come from.
    source: the folder of `benchmarks/results` and the part of it that was used.
    """

    knots: tuple[tuple[float, float], ...]
    source: str
    n: int
    date: str
    device: str

    def __post_init__(self) -> None:
        """Raises ValueError for points that do not rise, or lie outside 0 to 1."""
        values = [value for knot in self.knots for value in knot]
        if not self.knots or not all(0.0 <= value <= 1.0 for value in values):
            raise ValueError("a calibration needs points between 0 and 1")
        if any(b[0] <= a[0] or b[1] < a[1] for a, b in pairwise(self.knots)):
            raise ValueError("a calibration rises: scores strictly, confidence never falls")

    def at(self, raw: float) -> float:
        """Confidence at a score; before the first and after the last point that point's."""
        if raw <= self.knots[0][0]:
            return self.knots[0][1]
        for (x0, y0), (x1, y1) in pairwise(self.knots):
            if raw <= x1:
                return y0 + (y1 - y0) * (raw - x0) / (x1 - x0)
        return self.knots[-1][1]


TABLES: dict[Tier, Table] = {}
# For trials alone: the raw score as it is, in place of a table.
IDENTITY = Table(knots=((0.0, 0.0), (1.0, 1.0)), source="none: the raw score", n=0, date="", device="")


def calibrated(raw: float, tier: Tier, tables: Mapping[Tier, Table] = TABLES) -> float:
    """The confidence that this tier's verdicts with this score deserve; the score without a table."""
    table = tables.get(tier)
    return raw if table is None else table.at(raw)


def provenance(tier: Tier, tables: Mapping[Tier, Table] = TABLES) -> str:
    """Where this tier's confidence comes from, in words."""
    table = tables.get(tier)
    if table is None:
        return "uncalibrated: no recordings of labelled workloads from a real GPU yet"
    return f"calibrated on {table.n} recordings ({table.device}, {table.date}; {table.source})"

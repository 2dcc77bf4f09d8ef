"""Calibration: whether verdicts given at 0.9 are right nine times in ten, and how to make them so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import msgspec

EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# 95 % two-sided.
_Z = 1.959964


class Claim(msgspec.Struct, frozen=True):
    """One verdict: how sure it was, and whether it was right."""

    confidence: float
    right: bool


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts whose confidence lies in [low, high), in the last bin up to and with 1.

    interval: 95 % Wilson score interval of the share that was right. Means are None in an empty bin.
    """

    low: float
    high: float
    n: int
    mean_confidence: float | None
    right_share: float | None
    interval: tuple[float, float] | None


def brier(claims: Sequence[Claim]) -> float | None:
    """Mean of (confidence - right)², 0 for always sure and right; None without verdicts."""
    if not claims:
        return None
    return math.fsum((c.confidence - c.right) ** 2 for c in claims) / len(claims)


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson, JASA 22, 1927): holds for few observations and for 0 and n."""
    share, z2 = right / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def table(claims: Iterable[Claim]) -> tuple[Bin, ...]:
    """The calibration table."""
    kept = list(claims)
    spans = pairwise(EDGES)
    return tuple(_bin(low, high, [c for c in kept if _within(c, low, high)]) for low, high in spans)


def _within(claim: Claim, low: float, high: float) -> bool:
    return low <= claim.confidence < high or (high == EDGES[-1] and claim.confidence >= high)


def _bin(low: float, high: float, claims: Sequence[Claim]) -> Bin:
    n, right = len(claims), sum(c.right for c in claims)
    mean = math.fsum(c.confidence for c in claims) / n if n else None
    return Bin(
        low=low,
        high=high,
        n=n,
        mean_confidence=mean,
        right_share=right / n if n else None,
        interval=wilson(right, n) if n else None,
    )


class Step(msgspec.Struct, frozen=True):
    """Verdicts whose mean raw confidence is `raw`, and what they deserve. n: how many they are."""

    raw: float
    calibrated: float
    n: int


def isotonic(claims: Iterable[Claim]) -> tuple[Step, ...]:
    """A monotone table raw -> calibrated: pool adjacent violators (Ayer et al. 1955; Barlow et al. 1972).

    Each pooled block's share is (right + 1) / (n + 2), the rule of succession, so that a handful of right
    verdicts is not taken for certainty; pooling is repeated on these until they rise.
    """
    ordered = sorted(claims, key=lambda c: c.confidence)
    pooled: list[list[Claim]] = []
    for _, equal in groupby(ordered, key=lambda c: c.confidence):
        pooled.append(list(equal))
        while len(pooled) > 1 and _succession(pooled[-2]) >= _succession(pooled[-1]):
            pooled[-2:] = [pooled[-2] + pooled[-1]]
    return tuple(Step(_mean_raw(block), round(_succession(block), 3), len(block)) for block in pooled)


def _succession(block: Sequence[Claim]) -> float:
    return (sum(c.right for c in block) + 1) / (len(block) + 2)


def _mean_raw(block: Sequence[Claim]) -> float:
    return round(math.fsum(c.confidence for c in block) / len(block), 4)

"""A cause of a host gap, and the lines of evidence that name it."""

from __future__ import annotations

from typing import NamedTuple

from rules import thresholds as th
from rules.verdict import EvidenceItem


class HostCause(NamedTuple):
    """One explanation of a host gap. confidence: 0 to 1, given that there is a gap."""

    slug: str
    confidence: float
    evidence: tuple[EvidenceItem, ...]


def item(
    metric: str,
    value: float | str,
    unit: str,
    limit: th.Threshold | None,
    source: str,
    sign: str = ">=",
) -> EvidenceItem:
    """One line of evidence, with the threshold it is held against where there is one."""
    threshold = None if limit is None else f"{sign} {limit.value:g}"
    return EvidenceItem(metric=metric, value=value, unit=unit, threshold=threshold, source=source)

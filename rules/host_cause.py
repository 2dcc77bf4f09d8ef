"""Why the host kept the GPU waiting, as far as it can be seen from outside the process."""

from __future__ import annotations

from typing import NamedTuple

from rules.evidence import Evidence
from rules.verdict import EvidenceItem


class HostCause(NamedTuple):
    """One explanation of a host gap. confidence: 0 to 1, given that there is a gap."""

    slug: str
    confidence: float
    evidence: tuple[EvidenceItem, ...]


def host_cause(evidence: Evidence) -> HostCause:
    """The best-supported cause of the host gap: its slug, how sure, and what shows it."""
    del evidence
    return HostCause("unattributed", 0.0, ())

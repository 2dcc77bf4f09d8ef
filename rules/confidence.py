"""Confidence: how sure a verdict is, from its margin, the data behind it and the tier it was read in.

Not calibrated yet against labelled workloads; the caps below keep it honest until then.
"""

from __future__ import annotations

import math

from probes.ceilings import Label
from rules.evidence import Tier
from rules.verdict import Class

# No verdict is surer than its evidence can make it. Ceilings matter only to verdicts that use them.
_CAP_BY_CEILING: dict[Label | None, float] = {"measured": 0.97, "typical": 0.93, "assumed": 0.88, None: 0.5}
_CAP_COUNTERS = 0.97
_CAP_NVML = 0.70
_CAP_IDLE = 0.99
_ROOFED: frozenset[Class] = frozenset({"compute", "memory", "device", "communication"})

# A lead of this much share (or roof fraction) over the runner-up leaves 1/e of the doubt.
_MARGIN_SCALE = 0.12
# Seconds of data after which a short window stops adding doubt.
_DATA_SCALE_S = 2.0


def confidence(
    class_: Class,
    *,
    lead: float,
    roof_margin: float | None,
    observed_s: float,
    unknown: float,
    tier: Tier,
    label: Label | None,
) -> float:
    """0 to 1. lead: the class's share minus the runner-up's; roof_margin: distance of the deciding roof
    fraction from its threshold, None where no roof decided. Returns 0 for `unknown`."""
    if class_ == "unknown":
        return 0.0
    margin = lead if roof_margin is None else min(lead, max(0.0, roof_margin))
    sure = 1.0 - 0.5 * math.exp(-max(0.0, margin) / _MARGIN_SCALE)
    sure *= 1.0 - math.exp(-observed_s / _DATA_SCALE_S)
    return round(min(sure, cap(class_, tier, label), 1.0 - unknown), 3)


def cap(class_: Class, tier: Tier, label: Label | None) -> float:
    """The most a verdict of this class may claim in this tier with these ceilings."""
    if class_ == "idle":
        return _CAP_IDLE
    if tier == "nvml":
        return _CAP_NVML
    return _CAP_BY_CEILING[label] if class_ in _ROOFED else _CAP_COUNTERS

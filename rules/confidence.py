"""Confidence: how sure a verdict is, from its lead in units of noise, the data behind it and its tier.

    raw = min( Phi(lead / noise) * (1 - exp(-seconds / 2)),  cap,  1 - unknown share )

Phi, the normal distribution, gives the probability that a lead with this standard error is above 0. It knows
nothing of errors that the model itself makes, so a verdict is capped: by its tier and by the label of the
ceilings it rests on; and by FRAGILE of that where twice the ceilings' error, or the error of the threshold
between a roof and latency, would cost the class its place. The score then passes `rules.calibration`. Where
that has no table for the tier, nobody has counted how often such scores are right: then nothing that is
inferred is given as sure (0.9). That nothing runs is measured.
"""

from __future__ import annotations

import math

from probes.ceilings import Label
from rules.calibration import TABLES, calibrated
from rules.evidence import Tier
from rules.noise import Noise
from rules.ranking import ROOFED
from rules.verdict import Class

# No verdict is surer than its evidence can make it. Ceilings matter only to verdicts that use them.
_CAP_BY_CEILING: dict[Label | None, float] = {"measured": 0.97, "typical": 0.93, "assumed": 0.88, None: 0.5}
_CAP_COUNTERS = 0.97
_CAP_NVML = 0.70
_CAP_IDLE = 0.99

# The most without a calibration table: below what counts as sure.
UNCALIBRATED = 0.89
# A verdict that a plausible error of the ceilings or of a threshold would turn is never one of those that
# count as sure (0.9).
FRAGILE = 0.85
# Seconds of data after which a short window stops adding doubt.
_DATA_SCALE_S = 2.0


def confidence(
    class_: Class,
    *,
    noise: Noise | None,
    observed_s: float,
    unknown: float,
    tier: Tier,
    label: Label | None,
) -> float:
    """0 to 1. noise: the lead of the class and its noise, None where none decided. 0 for `unknown`."""
    if class_ == "unknown" or noise is None:
        return 0.0
    score = calibrated(raw(class_, noise, observed_s, unknown, tier, label), tier)
    if class_ != "idle" and tier not in TABLES:
        score = min(score, UNCALIBRATED)
    return round(min(score, FRAGILE) if noise.fragile else score, 3)


def raw(
    class_: Class, noise: Noise, observed_s: float, unknown: float, tier: Tier, label: Label | None
) -> float:
    """The score before calibration."""
    sure = _above_zero(noise.lead / noise.total) * (1.0 - math.exp(-observed_s / _DATA_SCALE_S))
    limit = min(cap(class_, tier, label), 1.0 - unknown)
    return min(sure, FRAGILE * limit if noise.fragile else limit)


def cap(class_: Class, tier: Tier, label: Label | None) -> float:
    """The most a verdict of this class may claim in this tier with these ceilings."""
    if class_ == "idle":
        return _CAP_IDLE
    if tier == "nvml":
        return _CAP_NVML
    return _CAP_BY_CEILING[label] if class_ in ROOFED else _CAP_COUNTERS


def _above_zero(errors: float) -> float:
    """Probability that a value this many standard errors above 0 is above 0."""
    return 0.5 * (1.0 + math.erf(errors / math.sqrt(2.0)))

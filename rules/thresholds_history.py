"""Thresholds for a card beside its own past. See rules.trend."""

from __future__ import annotations

from rules.threshold import Threshold, own

HISTORY_FALL = Threshold(
    "fall of a ceiling below the card's own best, as a share of it, from which it is degraded",
    0.05,
    "Microsoft SuperBench: a variance of more than 5 % from the baseline is defective",
)
HISTORY_SEVERE = Threshold(
    "ceiling over the card's own best below which it is severely degraded",
    0.75,
    "NVIDIA Resiliency Extension (NVRx): a score of best over own is a straggler's below 0.75 by default",
)
HISTORY_NOISE = Threshold(
    "standard deviations of one run that a fall must exceed, beside what choosing the best past adds",
    3.0,
    own(
        "on made-up normal runs that differ by 1 to 3 %, with three earlier runs or more, a healthy run is "
        "called degraded in 2 % of the cases at most, and in less than 0.1 % where they differ by 1 %"
    ),
)
HISTORY_BEST_OF = Threshold(
    "runs in a row whose median stands for what a card could do then",
    3.0,
    own("one lucky run among three is never their median"),
)
HISTORY_CLOCK = Threshold(
    "change of a clock beside a fall that is worth naming, as a share",
    0.03,
    own("two steps of 15 MHz at 1400 MHz are 2 %"),
)
HISTORY_POWER = Threshold(
    "change of the power drawn beside a fall that is worth naming, as a share",
    0.05,
    own("as HISTORY_FALL"),
)
HISTORY_HEAT_C = Threshold(
    "change of the temperature beside a fall that is worth naming, in degrees Celsius",
    5.0,
    own("rooms and seasons change it by less"),
)

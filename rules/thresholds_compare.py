"""Thresholds of comparisons. See rules.compare and rules.thresholds."""

from __future__ import annotations

from rules.threshold import Threshold, own

BATCHES_MIN = Threshold(
    "fewest batches of a series from which a variance is taken",
    5.0,
    "Student's t widens an interval of fewer beyond use (Schmeiser 1982: 10 to 30, and fewer where batches "
    "of that number still correlate)",
)
STRETCHES_MIN = Threshold(
    "stretches of a window below which a difference has no interval",
    20.0,
    own("four stretches a batch: made-up series this short, with a correlation of 0.8, are covered 0.87"),
)
WINDOW_MIN_S = Threshold(
    "seconds of a window below which a difference has no interval",
    9.0,
    own("steps and requests take up to seconds, and several must fit; a look of 10 s holds a little less"),
)
INFLATION_CAP = Threshold(
    "most correlation of neighbouring batches that an interval is widened for",
    0.7,
    own("beyond it a handful of batches does not tell correlation from drift"),
)
WINDOWS_UNLIKE = Threshold(
    "ratio of two windows' lengths from which the difference is named",
    2.0,
    own("half the length has 1.4 times the chance"),
)
INTERVAL_UNLIKE = Threshold(
    "ratio of two sampling intervals from which the difference is named",
    1.25,
    own("a longer sub-window mixes more kinds of work into one reading"),
)
LIMIT_MOVED = Threshold(
    "relative difference of power limits or ceilings from which it is named",
    0.02,
    own("runs of a probe agree within 2 %"),
)
MIX_MOVED = Threshold(
    "change of memory's part in the time at either roof from which a useful second counts as other work",
    0.25,
    own("the part stays when a gap goes away; a larger batch or another kernel moves it"),
)
MIX_LEAST = Threshold(
    "share of the time at either roof below which its parts are not compared",
    0.1,
    own("of less, the parts are mostly noise"),
)
UNKNOWN_SHARE = Threshold(
    "share of a window of which nothing is known from which it weakens a comparison",
    0.1,
    own("what is not known may hide a difference of its own size"),
)
DEMAND_WAITING = Threshold(
    "mean of waiting requests from which an engine had more to do than it did",
    1.0,
    own("one request that could have been begun at any time"),
)
RUNNING_ALIKE = Threshold(
    "ratio of two means of running requests up to which demand counts as the same",
    1.1,
    own("a load of as many clients wavers by less over a window"),
)
FINDING_SMALLER = Threshold(
    "part of a finding's share that may be left where its fix counts as made",
    0.75,
    own("a fix that takes less than a quarter of what it is for can be chance"),
)
CAP_NEAR = Threshold(
    "relative difference from a power limit that was proposed up to which another counts as that",
    0.1,
    own("watts are rounded to what a board takes; half of the way to the proposal is another cap"),
)
THROTTLE_MOVED = Threshold(
    "difference of the share of time held back by a throttle reason from which it is named",
    0.05,
    own("less is seen of clocks that settle after a start"),
)

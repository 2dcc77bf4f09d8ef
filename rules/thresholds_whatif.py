"""Thresholds of what-ifs: what is worth a fix, how far an assumed ratio may be off. See rules.thresholds."""

from __future__ import annotations

from rules.threshold import GUESS, Threshold, own

WORTH_A_FIX = Threshold(
    "share of the time below which no fix is spoken of",
    0.02,
    own("runs of one program differ by as much"),
)
POWER_CAP = Threshold("part of the power limit that a cap is asked about at", 0.8, GUESS)
CAPPED_MEMORY = Threshold(
    "part of its speed that memory-bound time keeps under that cap at least",
    0.95,
    own("DRAM keeps its own clock, and what feeds it slows a little"),
)
OTHER_CARD_ERROR = Threshold(
    "how far the ratio of two cards' rates may be off, neither of which was measured beside the other",
    0.2,
    own("what one model reaches is known within a tenth, so that a ratio of two is within a fifth"),
)
OTHER_CARD_ROOM = Threshold(
    "device memory another card must have, as a multiple of what is in use",
    1.05,
    own("the driver and a larger allocator's cache take some percent"),
)

"""What a threshold is, and the words that several of their sources share."""

from __future__ import annotations

import msgspec


class Threshold(msgspec.Struct, frozen=True):
    """A named number, and where it comes from."""

    name: str
    value: float
    source: str


def own(reason: str) -> str:
    """A threshold of advisor's own, with the reasoning behind it."""
    return f"{reason}; {OWN}"


NCU = "Nsight Compute SOLBottleneck and HighPipeUtilization: 60 % high, 80 % bottleneck"
OWN = "to be validated on labelled workloads"
# Nothing but experience with the order of magnitude stands behind these.
GUESS = f"a round number to start from, {OWN}"

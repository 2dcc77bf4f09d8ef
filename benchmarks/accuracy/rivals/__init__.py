"""Rivals whose classifier is published: installed if it can be, else after its documentation."""

from __future__ import annotations

from benchmarks.accuracy.rival import Rival
from benchmarks.accuracy.rivals.gputui import gputui
from benchmarks.accuracy.rivals.kempnerpulse import kempnerpulse
from benchmarks.accuracy.rivals.nvsonar import nvsonar


def rivals() -> tuple[Rival, ...]:
    """Every rival; one that is not installed says so in `missing`."""
    return (nvsonar(), kempnerpulse(), gputui())

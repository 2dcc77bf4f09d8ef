"""Hysteresis: a live verdict changes when the change has held, not when a margin flickers.

Hardware faults, and anything from or to `unknown`, pass at once. A class that merely sinks into the noise is
held like one that loses its place, so that a lead about as large as its noise does not flicker.
"""

from __future__ import annotations

import msgspec

from rules.headline import headline
from rules.verdict import Verdict

# A new class must be seen this long before it replaces the old one, unless its lead is clear.
HOLD_S = 3.0
CLEAR_LEAD = 0.25


# Cause of an unknown verdict that more data of the same kind may turn any second.
WITHIN_NOISE = "within-noise"


class Steady:
    """The verdict shown for one row, from the verdicts reached for it."""

    def __init__(self) -> None:
        self._shown: Verdict | None = None
        self._since: tuple[str, float] | None = None

    def update(self, reached: Verdict, t_s: float) -> Verdict:
        """The verdict to show at t_s: `reached`, or `reached` under the class shown so far."""
        shown = self._shown
        if shown is None or reached.class_ == shown.class_ or self._passes(reached, shown, t_s):
            self._shown, self._since = reached, None
            return reached
        self._shown = _kept(reached, shown)
        return self._shown

    def _passes(self, reached: Verdict, shown: Verdict, t_s: float) -> bool:
        if shown.class_ == "unknown" or (reached.class_ == "unknown" and reached.cause != WITHIN_NOISE):
            return True
        if any(m.margin >= CLEAR_LEAD for m in reached.margins if m.name.startswith("share of")):
            return True
        if self._since is None or self._since[0] != reached.class_:
            self._since = (reached.class_, t_s)
        return t_s - self._since[1] >= HOLD_S


def _kept(reached: Verdict, shown: Verdict) -> Verdict:
    """What was reached, under the class shown so far."""
    close = reached.class_ == "unknown"
    kept = msgspec.structs.replace(
        reached,
        class_=shown.class_,
        cause=shown.cause,
        secondary=shown.secondary if close else reached.class_,
        secondary_cause=shown.secondary_cause if close else reached.cause,
        margins=(),
        confidence=min(shown.confidence if close else reached.confidence, 0.5),
    )
    return msgspec.structs.replace(kept, headline=headline(kept))

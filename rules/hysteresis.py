"""Hysteresis: a live verdict changes when the change has held, not when a margin flickers.

Hardware faults, and anything from or to `unknown`, pass at once.
"""

from __future__ import annotations

import msgspec

from rules.headline import headline
from rules.verdict import Verdict

# A new class must be seen this long before it replaces the old one, unless its lead is clear.
HOLD_S = 3.0
CLEAR_LEAD = 0.25


class Steady:
    """The verdict shown for one row, from the verdicts reached for it."""

    def __init__(self) -> None:
        self._shown: Verdict | None = None
        self._since_s: float | None = None

    def update(self, reached: Verdict, t_s: float) -> Verdict:
        """The verdict to show at t_s: `reached`, or `reached` under the class shown so far."""
        shown = self._shown
        if shown is None or reached.class_ == shown.class_ or self._passes(reached, shown, t_s):
            self._shown, self._since_s = reached, None
            return reached
        kept = msgspec.structs.replace(
            reached,
            class_=shown.class_,
            cause=shown.cause,
            secondary=reached.class_,
            secondary_cause=reached.cause,
            margins=(),
            confidence=min(reached.confidence, 0.5),
        )
        self._shown = msgspec.structs.replace(kept, headline=headline(kept))
        return self._shown

    def _passes(self, reached: Verdict, shown: Verdict, t_s: float) -> bool:
        if "unknown" in (reached.class_, shown.class_):
            return True
        if any(m.margin >= CLEAR_LEAD for m in reached.margins if m.name.startswith("share of")):
            return True
        if self._since_s is None:
            self._since_s = t_s
        return t_s - self._since_s >= HOLD_S

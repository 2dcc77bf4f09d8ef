"""Hysteresis: a live verdict changes when the change has held, not when a margin flickers.

- Faults, that is any `unknown` but what is within the noise, pass at once, and so does what follows.
- What stands out of the noise again is said at once; so is a change with a clear lead, HOLD_S after the last.
- Else, over the last 2 HOLD_S and since the last change: once other classes than the one shown were reached
  for HOLD_S, the one that was reached longest passes; so does one reached for HOLD_S without a break.
- What was not reached for 2 HOLD_S is not shown, whatever is.

A class that merely sinks into the noise is held like one that loses its place, so that a lead about as large
as its noise does not flicker. Each change starts the count anew.
"""

from __future__ import annotations

from collections import deque

import msgspec

from rules.headline import WITHIN_NOISE, headline
from rules.verdict import Verdict

# A new class must be seen this long before it replaces the old one, unless its lead is clear.
HOLD_S = 3.0
CLEAR_LEAD = 0.25
_WINDOW_S = 2.0 * HOLD_S


class Steady:
    """The verdict shown for one row, from the verdicts reached for it."""

    def __init__(self) -> None:
        self._shown: Verdict | None = None
        self._changed_s = float("-inf")
        self._absent_s: float | None = None
        self._reached: deque[tuple[float, str]] = deque()

    def update(self, reached: Verdict, t_s: float) -> Verdict:
        """The verdict to show at t_s: `reached`, or `reached` under the class shown so far."""
        self._note(reached.class_, t_s)
        shown = self._shown
        if shown is None or reached.class_ == shown.class_:
            self._shown, self._absent_s = reached, None
        elif self._passes(reached, shown, t_s):
            self._shown, self._absent_s, self._changed_s = reached, None, t_s
            self._reached = deque([(t_s, reached.class_)])
        else:
            self._shown = _kept(reached, shown)
        return self._shown

    def _note(self, class_: str, t_s: float) -> None:
        """Remember what was reached; each class counts until the next one is."""
        if self._reached and t_s < self._reached[-1][0]:
            self._reached.clear()
            self._changed_s, self._absent_s = float("-inf"), None
        self._reached.append((t_s, class_))
        while len(self._reached) > 1 and self._reached[1][0] <= t_s - _WINDOW_S:
            self._reached.popleft()

    def _passes(self, reached: Verdict, shown: Verdict, t_s: float) -> bool:
        if shown.class_ == "unknown" or _fault(reached):
            return True
        if _clear(reached) and t_s - self._changed_s >= HOLD_S:
            return True
        if self._absent_s is None:
            self._absent_s = t_s
        return self._outlasted(reached.class_, shown.class_, t_s, t_s - self._absent_s)

    def _outlasted(self, class_: str, shown: str, t_s: float, absent_s: float) -> bool:
        """True where `class_` was reached for longer than the others, and the one shown seldom enough."""
        seconds = self._seconds(t_s)
        old, mine = seconds.pop(shown, 0.0), seconds.get(class_, 0.0)
        away_s = sum(seconds.values())
        most = mine >= max(seconds.values(), default=0.0)
        return absent_s >= _WINDOW_S or (most and (absent_s >= HOLD_S or (away_s >= HOLD_S and mine > old)))

    def _seconds(self, t_s: float) -> dict[str, float]:
        """For how long of the window each class was reached, since the last change."""
        found: dict[str, float] = {}
        end_s, start_s = t_s, t_s - _WINDOW_S
        for at_s, class_ in reversed(self._reached):
            found[class_] = found.get(class_, 0.0) + end_s - max(at_s, start_s)
            end_s = at_s
        return found


def _fault(verdict: Verdict) -> bool:
    return verdict.class_ == "unknown" and verdict.cause != WITHIN_NOISE


def _clear(verdict: Verdict) -> bool:
    """True where a class is named by a lead that no flicker makes up for."""
    leads = (m.margin for m in verdict.margins if m.name.startswith("share of"))
    return verdict.class_ != "unknown" and any(lead >= CLEAR_LEAD for lead in leads)


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

"""Demand: whether an inference engine is asked for anything, as it says itself."""

from __future__ import annotations

from typing import Literal

from rules import thresholds as th
from rules.evidence import Evidence
from rules.serving import ServingFigures

Demand = Literal["some", "none"]


def demand(evidence: Evidence) -> Demand | None:
    """Whether requests ran or waited; None where no engine was asked, or the truth lies between.

    "none" takes a window: two looks or more, with what runs and what waits both known, and a count of tokens
    or responses that did not grow between them. A gauge alone may have been read between two requests.
    """
    made = evidence.serving
    if made is None or made.running is None:
        return None
    if made.running >= th.ASKED.value or (made.waiting or 0.0) >= th.ASKED.value:
        return "some"
    quiet = made.waiting is not None and max(made.running, made.waiting) <= th.UNASKED.value
    return "none" if quiet and _counted_nothing(made) else None


def _counted_nothing(made: ServingFigures) -> bool:
    """Whether counters were there and none of them grew in the window."""
    if made.scrapes < 2 or made.t_end_s <= made.t_start_s:
        return False
    counted = (made.generation_tok_s, made.prompt_tok_s, made.response_s)
    known = [rate for rate in counted if rate is not None]
    return bool(known) and not any(known)

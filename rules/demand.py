"""Demand: whether an inference engine is asked for anything, as it says itself."""

from __future__ import annotations

from typing import Literal

from rules import thresholds as th
from rules.evidence import Evidence
from rules.serving import ServingFigures

Demand = Literal["some", "none"]


def demand(evidence: Evidence) -> Demand | None:
    """Whether requests ran or waited; None where no engine was asked, or the truth lies between."""
    made = evidence.serving
    if made is None or made.running is None:
        return None
    waiting = made.waiting or 0.0
    if made.running >= th.ASKED.value or waiting >= th.ASKED.value:
        return "some"
    quiet = made.running <= th.UNASKED.value and waiting <= th.UNASKED.value
    return "none" if quiet and not _worked(made) else None


def _worked(made: ServingFigures) -> bool:
    """Whether tokens were counted all the same, by requests that ran between two looks."""
    return bool(made.generation_tok_s or made.prompt_tok_s)

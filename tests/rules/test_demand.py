"""Demand: "nobody asks" takes a window and counters; a gauge alone says it of an instant."""

from __future__ import annotations

from typing import Any

import pytest

from rules.demand import demand
from rules.serving import ServingFigures
from tests.rules.contexts import make_evidence

QUIET: dict[str, Any] = {"running": 0.0, "waiting": 0.0, "generation_tok_s": 0.0, "scrapes": 10}


def asked(**changes: Any) -> str | None:
    made: dict[str, Any] = {"endpoint": "127.0.0.1:8000", "engine": "vllm", "t_start_s": 0.0, "t_end_s": 30.0}
    return demand(make_evidence({}, serving=ServingFigures(**(made | QUIET | changes))))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "none"),
        ({"generation_tok_s": None, "response_s": 0.0}, "none"),
        ({"generation_tok_s": 0.0, "prompt_tok_s": None}, "none"),
        # One look, or two at one instant, or gauges alone, or half of the gauges.
        ({"scrapes": 1, "t_end_s": 0.0, "generation_tok_s": None}, None),
        ({"t_end_s": 0.0}, None),
        ({"generation_tok_s": None}, None),
        ({"waiting": None}, None),
        ({"running": None}, None),
        # Tokens between two looks; something runs now and then; requests wait.
        ({"generation_tok_s": 3.0}, None),
        ({"response_s": 0.1}, None),
        ({"running": 0.2}, None),
        ({"waiting": 2.0}, "some"),
        ({"running": 1.0, "waiting": None}, "some"),
    ],
)
def test_what_an_engine_says_of_demand(changes: dict[str, Any], said: str | None) -> None:
    assert asked(**changes) == said


def test_without_an_engine_nothing_is_said() -> None:
    assert demand(make_evidence({})) is None

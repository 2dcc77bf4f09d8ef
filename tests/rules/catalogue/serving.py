"""Contexts of what the rules for serving look for; planted figures."""

from __future__ import annotations

from typing import Any

from rules.registry import Context
from rules.serving import ServingFigures
from tests.rules.contexts import make_context, make_evidence

BUSY: dict[str, Any] = {"running": 8.0, "waiting": 0.0, "kv_use_frac": 0.3, "generation_tok_s": 900.0}
IDLE: dict[str, Any] = {"running": 0.0, "waiting": 0.0, "generation_tok_s": 0.0, "prompt_tok_s": 0.0}


def engine(**figures: Any) -> ServingFigures:
    """An engine that works, with what a test changes."""
    facts: dict[str, Any] = {
        "endpoint": "127.0.0.1:8000",
        "engine": "vllm",
        "t_start_s": 0.0,
        "t_end_s": 60.0,
        "scrapes": 12,
    }
    return ServingFigures(**(facts | BUSY | figures))


def serving(
    counters: dict[str, Any] | None = None, *, class_: Any = "memory", shares: Any, **figures: Any
) -> Context:
    """A device with these shares, and an engine on it."""
    verdict = {"dram_roof_frac": figures.pop("roof", 0.8)}
    evidence = make_evidence({"gr_active": 0.95} | (counters or {}), serving=engine(**figures))
    return make_context(evidence, class_=class_, useful=0.9, verdict=verdict, **shares)


SIGNATURES: dict[str, Context] = {
    "SERVE001": serving(shares={"device": 0.9}, kv_use_frac=0.97, preemptions_s=0.5, running=60.0),
    "SERVE002": serving(shares={"memory": 0.9}),
    "SERVE003": serving(shares={"device": 0.9}, waiting=12.0, running=64.0, roof=0.3),
    "SERVE004": serving({"gr_active": 0.6}, class_="host", shares={"host": 0.4}, graphs_frac=0.2),
    "SERVE005": serving({"gr_active": 0.0}, class_="idle", shares={"idle_held": 1.0}, **IDLE),
    "SERVE006": serving(
        shares={"device": 0.9}, slo="ttft=200ms", slo_met_low_frac=0.4, slo_met_high_frac=0.6
    ),
}
BESIDE: dict[str, set[str]] = {
    "SERVE001": {"DEV001"},
    "SERVE002": {"MEM001"},
    "SERVE003": {"DEV001"},
    "SERVE004": {"HOST001"},
    "SERVE006": {"DEV001"},
}

"""Metrics, and which of several takes counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.metrics import METRICS, best
from probes.record import Measurement
from probes.registry import PROBES
from probes.specs import all_specs


def took(metric: str = "bf16", median: float | None = 1.0, **changes: Any) -> Measurement:
    known = METRICS[metric]
    return Measurement(probe=known.probe, metric=metric, unit=known.unit, median=median, **changes)


def test_of_nothing_none_is_best() -> None:
    assert best([]) is None


def test_the_larger_rate_and_the_smaller_cost_win() -> None:
    assert best([took(median=1.0), took(median=2.0)]) == took(median=2.0)
    slow, quick = took("launch_call", 2e-6), took("launch_call", 1e-6)
    assert best([slow, quick]) == quick


def test_what_is_held_counts_before_the_median() -> None:
    burst, held = took(median=3.0, sustained=1.0), took(median=2.0)
    assert best([burst, held]) == held


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"valid": "degraded", "median": 1.0}, {"valid": "rejected", "median": 9.0}),
        ({"valid": "valid", "median": 1.0}, {"valid": "degraded", "median": 9.0}),
        ({"valid": "rejected", "median": 1.0}, {"valid": "failed", "median": None}),
        ({"valid": "failed", "median": None}, {"valid": "unsupported", "median": None}),
        ({"median": 1.0}, {"median": None}),
        ({"label": "measured", "median": 1.0}, {"label": "contended", "median": 9.0}),
    ],
)
def test_what_counts_first(better: dict[str, Any], worse: dict[str, Any]) -> None:
    assert best([took(**worse), took(**better)]) == took(**better)
    assert best([took(**better), took(**worse)]) == took(**better)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=8))
def test_of_valid_rates_the_greatest_is_best(medians: list[float]) -> None:
    found = best([took(median=m) for m in medians])
    assert found is not None
    assert found.median == max(medians)


def test_every_metric_belongs_to_a_probe_and_every_probe_has_one() -> None:
    assert {metric.probe for metric in METRICS.values()} == {probe.name for probe in PROBES}


def test_every_data_sheet_key_exists() -> None:
    rates = {name for spec in all_specs() for name in spec.flop_s}
    assert {m.spec for m in METRICS.values() if m.spec is not None} <= rates | {"dram", "pcie"}
    assert all(m.title for m in METRICS.values())


def test_costs_are_better_small_and_rates_large() -> None:
    assert all(metric.higher == (metric.unit != "s") for metric in METRICS.values())

"""Launches, dispatch, allocation and copies on a real GPU: plausible ranges. Skipped where there is none.

The ranges are wide: they catch a wrong unit, a missing synchronisation or a starved queue, not a slow host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from probes.allocator import allocator
from probes.dispatch import dispatch
from probes.lab import Lab
from probes.launch import launch
from probes.meter import NoMeter
from probes.record import DeviceFacts, Measurement, Plan
from probes.timing import CudaTimer
from probes.transfer import transfer

pytestmark = pytest.mark.gpu

torch = pytest.importorskip("torch")

Run = Callable[[Lab], Iterator[Measurement]]
# Seconds. Launches, graphs and dispatch as published for H100-class nodes, widened for slower hosts; an
# allocation of 64 MiB has no published figure.
SECONDS = {
    "launch_interval": (0.5e-6, 10e-6),
    "launch_call": (0.5e-6, 30e-6),
    "launch_wall": (0.5e-6, 30e-6),
    "sync_idle": (0.2e-6, 100e-6),
    "sync_round_trip": (2e-6, 300e-6),
    "graph_replay": (2e-6, 200e-6),
    "graph_node": (0.3e-6, 5e-6),
    "dispatch_eager": (1e-6, 50e-6),
    "dispatch_no_grad": (1e-6, 50e-6),
    "alloc_cached": (0.1e-6, 50e-6),
    "alloc_device": (5e-6, 0.1),
    "alloc_pinned": (100e-6, 1.0),
}


@pytest.fixture(scope="module")
def lab() -> Lab:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here that torch can use")
    name = torch.cuda.get_device_name(0)
    sxm = "H100" in name and "HBM3" in name
    facts = DeviceFacts(
        kind="cuda",
        key="GPU-under-test",
        name=name,
        pcie_gen_max=5 if sxm else None,
        pcie_width_max=16 if sxm else None,
    )
    return Lab(facts, Plan(mode="default"), timer=CudaTimer(torch), meter=NoMeter("not watched"))


def measured(lab: Lab, run: Run) -> dict[str, Measurement]:
    lab.begin(60)
    return {m.metric: m for m in run(lab)}


@pytest.mark.parametrize("run", [launch, dispatch, allocator])
def test_costs_are_plausible(lab: Lab, run: Run) -> None:
    found = measured(lab, run)
    for metric, m in found.items():
        if metric not in SECONDS:
            continue
        low, high = SECONDS[metric]
        assert m.reason is None, m.reason
        assert m.median is not None and low < m.median < high, m


def test_a_round_trip_takes_longer_than_a_launch(lab: Lab) -> None:
    found = measured(lab, launch)
    trip, call = found["sync_round_trip"].median, found["launch_call"].median
    assert trip is not None and call is not None and trip > call
    extra = found["graph_replay"].conditions.extra
    assert extra["eager_over_replay"] > 1.0


def test_compiled_calls_or_a_reason(lab: Lab) -> None:
    m = measured(lab, dispatch)["dispatch_compiled"]
    assert m.valid in ("valid", "unsupported", "failed")
    assert (m.median is None) == (m.reason is not None)
    assert m.median is None or 5e-6 < m.median < 500e-6


@pytest.fixture(scope="module")
def copies(lab: Lab) -> dict[str, Measurement]:
    before = os.sched_getaffinity(0)
    found = measured(lab, transfer)
    assert os.sched_getaffinity(0) == before
    return found


def rate(copies: dict[str, Measurement], metric: str) -> float:
    m = copies[metric]
    assert m.reason is None and m.median is not None, m.reason
    return m.median


def test_copies_are_plausible(copies: dict[str, Measurement]) -> None:
    for metric in ("h2d_pinned", "d2h_pinned"):
        assert 1e9 < rate(copies, metric) < 1e12
        tried = list(copies[metric].conditions.tried.values())
        assert tried[0] < 0.5 * max(tried), "4 KiB should be far from the link's rate"
    assert rate(copies, "h2d_pageable") < 1.05 * rate(copies, "h2d_pinned")
    both = rate(copies, "bidir_pinned")
    assert both > 0.9 * min(rate(copies, "h2d_pinned"), rate(copies, "d2h_pinned"))


def test_nodes_are_measured_or_explained(copies: dict[str, Measurement]) -> None:
    for metric in ("h2d_numa_local", "h2d_numa_remote"):
        assert (copies[metric].median is None) == (copies[metric].reason is not None)


def test_pinned_copies_reach_the_link_of_an_h100(lab: Lab, copies: dict[str, Measurement]) -> None:
    m = copies["h2d_pinned"]
    if lab.facts.pcie_gen_max is None:
        pytest.skip("not an H100 SXM")
    assert m.of_spec is not None and m.of_spec >= 0.80, m


def test_nothing_stays_allocated(lab: Lab, copies: dict[str, Measurement]) -> None:
    torch.cuda.empty_cache()
    stats: dict[str, Any] = torch.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] < 64 << 20

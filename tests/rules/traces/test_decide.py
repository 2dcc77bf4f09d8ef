"""Verdicts on made-up traced devices: shares that add up, causes, doubts, and confidence."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.confidence import UNCALIBRATED
from rules.decide import decide
from rules.registry import run_rules
from rules.traces.causes import pipe_of
from rules.traces.records import BUSY, CAUSES, DeviceTrace, HostFigures
from rules.traces.shares import trace_shares
from rules.verdict import SHARES
from tests.rules.traces.made import (
    CEILINGS,
    SPAN_US,
    make_context,
    make_copy,
    make_evidence,
    make_family,
    make_kernel,
    make_ranks,
    make_trace,
)

parts = st.floats(0.0, 1.0)


@st.composite
def traces(draw: st.DrawFn) -> DeviceTrace:
    """Any division of a second over causes and classes."""
    weights = {name: draw(parts) for name in draw(st.sets(st.sampled_from((*CAUSES, *BUSY)), min_size=1))}
    whole = math.fsum(weights.values()) or 1.0
    scaled = {name: weight / whole for name, weight in weights.items()}
    trace = make_trace(
        {name: part for name, part in scaled.items() if name in CAUSES},
        {name: part for name, part in scaled.items() if name in BUSY and name != "unknown"},
        copies=tuple(make_copy(kind, 0.1) for kind in draw(st.sets(st.sampled_from(["h2d", "d2d", "p2p"])))),
        perturbed=tuple(draw(st.sets(st.sampled_from(["with_stack", "record_shapes"])))),
    )
    return msgspec.structs.replace(trace, busy={k: max(0.0, us) for k, us in trace.busy.items()})


@settings(max_examples=150, deadline=None)
@given(traces())
def test_shares_sum_to_one_and_rules_claim_no_more_than_there_is(trace: DeviceTrace) -> None:
    ctx = make_context(trace)
    shares = ctx.verdict.shares
    assert tuple(shares) == SHARES
    assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(shares.values()) >= 0.0
    assert math.fsum(ctx.ladder.shares.values()) == pytest.approx(1.0, abs=1e-9)
    assert 0.0 <= ctx.verdict.confidence <= 0.95
    for found in run_rules(ctx):
        assert found.code.startswith("TRACE")
        assert 0.0 <= found.share <= 1.0
        assert 0.0 <= found.confidence <= 1.0


@pytest.mark.parametrize(
    ("cause", "share"),
    [
        *((cause, "host") for cause in ("host_launch", "synchronisation", "data_loading", "copy_wait")),
        *((cause, "host") for cause in ("checkpoint_io", "allocator")),
        ("communication_wait", "communication"),
        *((cause, "device") for cause in ("kernel_gap", "stream_dependency")),
        *((cause, "unknown") for cause in ("profiler_overhead", "unknown")),
    ],
)
def test_idle_time_goes_to_one_share(cause: str, share: str) -> None:
    shares = trace_shares(make_trace({cause: 0.25}))
    assert shares[share] == pytest.approx(0.25)
    assert shares["compute"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("kind", "share"), [("h2d", "host"), ("d2h", "host"), ("d2d", "memory"), ("p2p", "communication")]
)
def test_copies_alone_count_by_their_direction(kind: str, share: str) -> None:
    shares = trace_shares(make_trace(busy={"copy": 0.2}, copies=(make_copy(kind, 0.2),)))
    assert shares[share] == pytest.approx(0.2)


def test_copies_of_two_directions_are_divided_in_proportion() -> None:
    both = (make_copy("h2d", 0.3), make_copy("d2d", 0.1))
    shares = trace_shares(make_trace(busy={"copy": 0.2}, copies=both))
    assert (shares["host"], shares["memory"]) == pytest.approx((0.15, 0.05))


@pytest.mark.parametrize(
    ("idle", "cause"),
    [
        ({"data_loading": 0.4, "host_launch": 0.1}, "input-pipeline"),
        ({"host_launch": 0.4}, "launch-rate"),
        ({"synchronisation": 0.4}, "sync"),
        ({"copy_wait": 0.4}, "transfer"),
        ({"allocator": 0.4}, "allocator"),
        ({"checkpoint_io": 0.4}, "checkpoint"),
    ],
)
def test_the_largest_cause_of_the_hosts_names_the_gap(idle: dict[str, float], cause: str) -> None:
    verdict = decide(make_evidence(make_trace(idle)), CEILINGS)
    assert (verdict.class_, verdict.cause, verdict.tier) == ("host", cause, "trace")
    assert verdict.confidence > UNCALIBRATED
    assert "host-bound" in verdict.headline


def test_long_gaps_are_code_of_the_hosts_and_no_launches() -> None:
    host = HostFigures(long_gap_us={"host_launch": 0.3 * SPAN_US})
    assert decide(make_evidence(make_trace({"host_launch": 0.4}, host=host)), None).cause == "main-thread"


def test_launches_behind_a_synchronisation_are_its_doing() -> None:
    host = HostFigures(after_sync_us=0.3 * SPAN_US)
    verdict = decide(make_evidence(make_trace({"host_launch": 0.4}, host=host)), None)
    assert verdict.cause == "sync"


@pytest.mark.parametrize(("wait", "cause"), [(0.0, "exposed-communication"), (0.3, "collective-wait")])
def test_ranks_tell_a_wait_from_a_transfer(wait: float, cause: str) -> None:
    trace = make_trace(busy={"communication": 0.5, "memory": 0.1})
    assert decide(make_evidence(trace, ranks=make_ranks(wait)), None).cause == cause


@pytest.mark.parametrize(
    ("kernel", "cause"),
    [({"waves": 0.2}, "small-grid"), ({"waves": 3.0, "occupancy": 0.1}, "low-occupancy"), ({}, "latency")],
)
def test_why_kernels_of_the_latency_kind_are_slow(kernel: dict[str, Any], cause: str) -> None:
    rows = (make_kernel(frac=0.6, nature="latency", nature_basis="size", **kernel),)
    verdict = decide(make_evidence(make_trace(busy={"latency": 0.6}, kernels=rows)), None)
    assert (verdict.class_, verdict.cause) == ("device", cause)


@pytest.mark.parametrize(
    ("family", "pipe"),
    [
        ({"tensor": "used", "precision": "bf16"}, "tensor_active"),
        ({"precision": "fp32"}, "fp32"),
        ({"precision": "fp64"}, "fp64"),
        ({"precision": None}, None),
    ],
)
def test_the_pipe_by_the_names_of_kernels(family: dict[str, Any], pipe: str | None) -> None:
    assert pipe_of(make_trace(families=(make_family(0.9, **family),))) == pipe


def test_mostly_unknown_time_is_no_verdict_and_says_why() -> None:
    trace = make_trace({"unknown": 0.6}, unknown={"causes": "because the trace holds nothing of the host"})
    verdict = decide(make_evidence(trace), None)
    assert (verdict.class_, verdict.cause, verdict.confidence) == ("unknown", "not-in-trace", 0.0)
    assert "nothing of the host" in verdict.unknown_because[0]
    assert verdict.settle


def test_two_natures_by_family_that_are_close_are_within_the_noise() -> None:
    close = make_trace(busy={"memory": 0.48})
    assert decide(make_evidence(close), None).cause == "within-noise"
    shapes = (make_kernel(frac=1.0, nature_basis="shape", known_frac=1.0),)
    measured = make_trace(busy={"memory": 0.48}, kernels=shapes)
    assert decide(make_evidence(measured), CEILINGS).class_ == "compute"


def test_options_of_the_profiler_lower_what_is_said_of_launches() -> None:
    plain = decide(make_evidence(make_trace({"host_launch": 0.6})), None)
    slowed = decide(make_evidence(make_trace({"host_launch": 0.6}, perturbed=("with_stack",))), None)
    loading = decide(make_evidence(make_trace({"data_loading": 0.6}, perturbed=("with_stack",))), None)
    assert slowed.confidence < plain.confidence == loading.confidence
    assert any("with_stack" in said for said in slowed.unknown_because)


def test_time_below_a_roof_is_inefficiency_only_where_the_roof_is_known() -> None:
    row = make_kernel(frac=1.0, nature="compute", nature_basis="shape", compute_frac=0.25, known_frac=1.0)
    known, unknown = make_context(make_trace(kernels=(row,))), make_context(make_trace())
    assert known.ladder.shares["inefficiency"] == pytest.approx(0.75)
    assert known.verdict.pipe_roof_frac == pytest.approx(0.25)
    assert unknown.ladder.shares["unknown"] == pytest.approx(1.0)
    assert unknown.ladder.shares["useful"] == unknown.ladder.shares["inefficiency"] == 0.0
    assert unknown.verdict.class_ == "compute"  # by its family
    assert any("useful is unknown" in said for said in unknown.verdict.unknown_because)


def test_evidence_names_file_and_device() -> None:
    verdict = decide(make_evidence(make_trace({"data_loading": 0.4})), None)
    assert {item.source for item in verdict.evidence} == {"trace: synthetic.json, device 0"}
    assert verdict.evidence[0].metric == "device idle"


def test_no_trace_is_unknown() -> None:
    assert decide(make_evidence(None), None).class_ == "unknown"

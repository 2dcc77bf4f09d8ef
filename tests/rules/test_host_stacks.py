"""Stacks name the cause that fills the gap; counters and the kernel's counts keep their say."""

from __future__ import annotations

from typing import Any

import pytest

from rules.host_cause import host_cause, host_causes
from rules.stacks import Stacks
from tests.rules.contexts import make_evidence, stacks_of

SMALL = {"gr_active": 0.5, "sm_active": 0.1}
LARGE = {"gr_active": 0.5, "sm_active": 0.9}
PEGGED = {"main_thread_cpu_frac": 0.99, "children": 0, "children_busy": 0, "process_cpu_cores": 1.0}

CASES: list[tuple[str, dict[str, Any], dict[str, float], dict[str, Any], str]] = [
    ("loader", LARGE, {"loader_wait": 0.6, "launch": 0.3}, {}, "input-pipeline"),
    ("item every step", SMALL, {"synchronise": 0.5, "launch": 0.5}, PEGGED, "sync"),
    ("launches, one sync in a while", SMALL, {"synchronise": 0.16, "launch": 0.84}, PEGGED, "launch-rate"),
    ("small kernels in plain Python", SMALL, {"compute": 0.9}, PEGGED, "launch-rate"),
    ("Python between large kernels", LARGE, {"compute": 0.6, "synchronise": 0.2}, PEGGED, "main-thread"),
    ("tokeniser", LARGE, {"tokenise": 0.45, "launch": 0.2}, PEGGED, "tokeniser"),
    ("json", LARGE, {"serialise": 0.5}, PEGGED, "serialisation"),
    ("torch.save", LARGE, {"checkpoint": 0.4, "launch": 0.3}, {}, "checkpoint"),
    ("lock", LARGE, {"lock": 0.5}, {}, "lock"),
    ("a queue nobody fills", LARGE, {"queue_wait": 0.5}, {}, "lock"),
    ("a queue that workers fill", LARGE, {"queue_wait": 0.5}, {"children_busy": 2}, "input-pipeline"),
    ("a barrier", LARGE, {"collective": 0.5}, PEGGED, "collective-wait"),
    ("gil", LARGE, {"gil": 0.6, "compute": 0.3}, {}, "gil"),
    ("asleep", LARGE, {"idle": 0.9}, {}, "no-demand"),
    ("files", LARGE, {"io": 0.6}, {"io_read_bytes_s": 2e7}, "storage"),
    ("writing with fsync", LARGE, {"io": 0.6}, {"process_dstate_frac": 0.4}, "storage"),
    ("an object store", LARGE, {"remote": 0.6}, {}, "storage"),
    ("a pipe from which nothing comes", LARGE, {"io": 0.9}, {"io_read_bytes_s": 0.0}, "no-demand"),
    ("a socket", LARGE, {"network": 0.6}, {}, "no-demand"),
    ("a child process", LARGE, {"child": 0.6}, {}, "lock"),
    ("copies", LARGE, {"transfer": 0.6}, {}, "transfer"),
]


@pytest.mark.parametrize(("name", "counters", "shares", "host", "slug"), CASES, ids=[c[0] for c in CASES])
def test_what_fills_the_gap_names_it(
    name: str, counters: dict[str, Any], shares: dict[str, float], host: dict[str, Any], slug: str
) -> None:
    found = host_cause(make_evidence(counters, {**host, "stacks": stacks_of(500, None, **shares)}))
    assert found.slug == slug, found
    assert 0.8 <= found.confidence <= 0.95
    assert found.evidence[0].source == "py-spy 0.4.3, 500 samples"
    assert found.evidence[0].metric.startswith("feeding thread ")


def test_the_evidence_shows_share_threshold_and_frame() -> None:
    found = host_cause(make_evidence(LARGE, {"stacks": stacks_of(loader_wait=0.36)}))
    share, frame = found.evidence[:2]
    assert (share.metric, share.value) == ("feeding thread waits for the data loader", 0.36)
    assert share.threshold == ">= 0.15"
    assert frame.value == "loader-wait_function (/work/train.py:7)"


@pytest.mark.parametrize("stacks", [None, stacks_of(samples=5, lock=0.9), stacks_of(others={"lock": 1.0})])
def test_too_few_samples_or_none_of_the_feeding_thread_say_nothing(stacks: Stacks | None) -> None:
    with_look = host_causes(make_evidence(SMALL, {**PEGGED, "stacks": stacks}))
    assert with_look == host_causes(make_evidence(SMALL, PEGGED))


@pytest.mark.parametrize("slug", ["compute", "decode", "tokenise", "serialise"])
def test_what_needs_a_core_is_not_believed_of_a_process_without_cpu_time(slug: str) -> None:
    all_of_it: dict[str, Any] = {slug: 1.0}
    asleep = {"main_thread_cpu_frac": 0.01, "process_cpu_cores": 0.01}
    found = host_causes(make_evidence(LARGE, {**asleep, "stacks": stacks_of(**all_of_it)}))
    assert {c.slug for c in found} <= {"no-demand"}
    half = {"main_thread_cpu_frac": 0.2, "main_thread_wait_frac": 0.2}
    busy, partly = (
        host_causes(make_evidence(LARGE, {**host, "stacks": stacks_of(**all_of_it)}))[0]
        for host in (PEGGED, half)
    )
    assert partly.slug == busy.slug
    assert partly.confidence < busy.confidence


def test_a_thread_that_stands_in_a_call_waits_for_others_or_for_demand() -> None:
    stacks = stacks_of(blocked=1.0)
    waits = host_cause(make_evidence(LARGE, {"process_cpu_cores": 1.0, "stacks": stacks}))
    assert (waits.slug, waits.confidence) == ("lock", 0.6)
    asleep = host_cause(make_evidence(LARGE, {"process_cpu_cores": 0.0, "stacks": stacks}))
    assert (asleep.slug, asleep.confidence) == ("no-demand", 0.6)


@pytest.mark.parametrize("host", [{}, {"io_read_bytes_s": 0.0}, {"psi_io_frac": 0.0}])
def test_reading_is_storage_only_where_storage_was_used(host: dict[str, Any]) -> None:
    assert "storage" not in {
        c.slug for c in host_causes(make_evidence(LARGE, {**host, "stacks": stacks_of(io=1.0)}))
    }


def test_a_suspicion_that_stacks_do_not_bear_out_names_nothing() -> None:
    spinning = {**PEGGED, "main_thread_system_frac": 0.8}
    outside = make_evidence(LARGE, spinning)
    assert "sync" in {c.slug for c in host_causes(outside)}
    inside = host_causes(make_evidence(LARGE, {**spinning, "stacks": stacks_of(tokenise=0.6)}))
    assert inside[0].slug == "tokeniser"
    assert next(c.confidence for c in inside if c.slug == "sync") < 0.3


@pytest.mark.parametrize(
    ("host", "slug"),
    [
        ({"throttled_frac": 0.5}, "cpu-throttled"),
        ({"main_thread_wait_frac": 0.5, "cpus_allowed": 1, "children": 2}, "cpu-contention"),
        ({"children_dstate_frac": 0.6, "children_busy": 0}, "storage"),
    ],
)
def test_a_shortage_goes_before_its_symptom(host: dict[str, Any], slug: str) -> None:
    for stacks in (stacks_of(loader_wait=0.9), stacks_of(compute=0.9), stacks_of(launch=0.9)):
        assert host_cause(make_evidence(LARGE, {**host, "stacks": stacks})).slug == slug


def test_a_core_shared_with_workers_is_told_without_stacks() -> None:
    host = {
        "main_thread_cpu_frac": 0.3, "main_thread_wait_frac": 0.6, "cpus_allowed": 1, "children": 2,
        "children_busy": 2, "process_cpu_cores": 1.0, "psi_cpu_frac": 0.8,
    }  # fmt: skip
    found = host_cause(make_evidence({"gr_active": 0.3}, host))
    assert (found.slug, found.confidence >= 0.9) == ("cpu-contention", True)
    assert {"cores it may run on", "time some task waited for a core"} <= {i.metric for i in found.evidence}
    assert host_cause(make_evidence({}, {**host, "main_thread_wait_frac": 0.05})).slug != "cpu-contention"


def test_threads_that_share_one_core_suggest_the_gil() -> None:
    host = {
        "main_thread_cpu_frac": 0.3, "process_cpu_cores": 1.02, "children_cpu_frac": 0.0, "threads": 12,
        "voluntary_switches_s": 200.0, "children_busy": 0,
    }  # fmt: skip
    assert host_cause(make_evidence({"gr_active": 0.4}, host)).slug == "gil"
    for change in ({"threads": 2}, {"process_cpu_cores": 4.0}, {"main_thread_cpu_frac": 0.98}):
        assert "gil" not in {c.slug for c in host_causes(make_evidence({}, {**host, **change}))}


def test_much_written_suggests_a_checkpoint() -> None:
    found = host_cause(make_evidence({"gr_active": 0.6}, {"io_write_bytes_s": 4e8}))
    assert (found.slug, found.confidence < 0.5) == ("checkpoint", True)
    assert host_cause(make_evidence({"gr_active": 0.6}, {"io_write_bytes_s": 1e6})).slug == "unattributed"


def test_governor_and_memory_pressure_stand_among_the_evidence() -> None:
    launch = host_cause(
        make_evidence({"gr_active": 0.6, "sm_active": 0.1}, {**PEGGED, "governor": "powersave"})
    )
    assert "CPU frequency governor" in {i.metric for i in launch.evidence}
    storage = host_cause(make_evidence({}, {"process_dstate_frac": 0.5, "psi_memory_frac": 0.3}))
    assert "time some task waited for memory" in {i.metric for i in storage.evidence}

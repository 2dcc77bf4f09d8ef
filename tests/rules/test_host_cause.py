"""Each cause is named by its own signature, and none without evidence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rules.evidence import Evidence, SubWindow, Workload
from rules.host_cause import host_cause, host_causes
from rules.servers import is_server, server_in
from tests.rules.contexts import make_evidence

PEGGED = {"main_thread_cpu_frac": 0.99, "children": 0, "children_busy": 0, "process_cpu_cores": 1.0}
WAITING = {"main_thread_cpu_frac": 0.2}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, float]] = [
    ("nothing known", {}, {}, "unattributed", 0.0),
    (
        "eight of eight workers pegged",
        {},
        {**WAITING, "children": 8, "children_busy": 8},
        "input-pipeline",
        0.9,
    ),
    (
        "two loaders among idle compile workers",
        {},
        {**WAITING, "children": 34, "children_busy": 2},
        "input-pipeline",
        0.8,
    ),
    ("one pegged worker, nothing else known", {}, {"children_busy": 1}, "input-pipeline", 0.6),
    ("a pool of threads decodes", {}, {**WAITING, "process_cpu_cores": 6.0}, "input-pipeline", 0.4),
    ("small kernels, pegged thread", {"gr_active": 0.6, "sm_active": 0.1}, PEGGED, "launch-rate", 0.75),
    ("pegged thread, little launched", {"gr_active": 0.1}, PEGGED, "launch-rate", 0.4),
    (
        "spinning in the kernel",
        {"gr_active": 0.6, "sm_active": 0.55},
        {**PEGGED, "main_thread_system_frac": 0.7},
        "sync",
        0.4,
    ),
    ("blocking often", {}, {"main_thread_cpu_frac": 0.6, "voluntary_switches_s": 3000.0}, "sync", 0.35),
    ("quota", {}, {**PEGGED, "throttled_frac": 0.4, "cpu_quota_cores": 1.0}, "cpu-throttled", 0.85),
    ("workers in state D", {}, {"children_dstate_frac": 0.6, "children_busy": 0}, "storage", 0.9),
    ("pressure and own reads", {}, {"psi_io_frac": 0.5, "io_read_bytes_s": 2e8}, "storage", 0.5),
    ("pressure of others", {}, {"psi_io_frac": 0.5}, "storage", 0.35),
    ("far CPUs", {}, {"remote_numa_frac": 1.0}, "remote-numa", 0.3),
    ("asleep", {}, {"process_cpu_cores": 0.02, "main_thread_cpu_frac": 0.01}, "no-demand", 0.5),
]


@pytest.mark.parametrize(("name", "counters", "host", "slug", "least"), CASES, ids=[c[0] for c in CASES])
def test_the_signature_names_the_cause(
    name: str, counters: dict[str, Any], host: dict[str, Any], slug: str, least: float
) -> None:
    found = host_cause(make_evidence(counters, host))
    assert (found.slug, found.confidence >= least - 1e-9) == (slug, True), found


def test_what_a_cause_rests_on_is_shown() -> None:
    found = host_cause(make_evidence({}, {**WAITING, "children": 8, "children_busy": 8}))
    assert ("children at 0.9 of a core or more", "8 of 8") in [(e.metric, e.value) for e in found.evidence]
    assert all(e.source for e in found.evidence)


def test_an_unattributed_gap_lists_what_was_looked_at() -> None:
    found = host_cause(make_evidence({}, {"main_thread_cpu_frac": 0.4}))
    assert found.slug == "unattributed"
    assert found.evidence[0].value == 0.4
    assert found.evidence[1].value is None


def transfers(rate: float, busy: float = 0.5, **device: Any) -> Evidence:
    link = {"pcie_gen": 4, "pcie_width": 16} | device
    return make_evidence({"gr_active": busy, "pcie_rx_bytes_s": rate}, device=link)


def test_copies_are_blamed_only_as_far_as_they_fill_the_gap() -> None:
    full = host_cause(transfers(25.5e9 * 0.5))
    assert full.slug == "transfer"
    assert full.confidence == pytest.approx(0.9)
    assert host_cause(transfers(25.5e9 * 0.2)).confidence == pytest.approx(0.6)
    assert host_cause(transfers(1e9)).slug == "unattributed"


def test_copies_need_a_known_link_and_a_gap() -> None:
    assert host_cause(transfers(2e10, pcie_gen=None)).slug == "unattributed"
    assert host_cause(transfers(2e10, busy=1.0)).slug == "unattributed"
    assert host_cause(transfers(2e9, busy=0.95)).slug == "unattributed"


def test_a_narrow_link_is_filled_by_fewer_bytes() -> None:
    assert host_cause(transfers(2e9)).slug == "unattributed"
    assert host_cause(transfers(2e9, pcie_width=4)).slug == "transfer"


def test_regular_gaps_support_launching() -> None:
    even = make_evidence({"gr_active": 0.5}, PEGGED)
    windows = tuple(
        SubWindow(t_s=0.2 * i, duration_s=0.2, gr_active=0.9 if i % 10 else 0.0) for i in range(50)
    )
    uneven = msgspec.structs.replace(even, windows=windows)
    assert host_cause(even).confidence > host_cause(uneven).confidence


def test_a_server_that_sleeps_more_surely_lacks_requests() -> None:
    asleep = {"process_cpu_cores": 0.02}
    server = make_evidence({}, asleep, workload=Workload(pid=1, name="VLLM::EngineCore"))
    assert is_server(server)
    assert host_cause(server).confidence > host_cause(make_evidence({}, asleep)).confidence


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("vllm", "vllm"),
        ("vllm.entrypoints.openai.api_server", "vllm"),
        ("sglang::scheduler_TP0", "sglang"),
        ("/opt/bin/text-generation-server", "text-generation-server"),
        ("dynamo.vllm", "dynamo.vllm"),
        ("Ollama", "ollama"),
        ("postgis", None),
        ("torch_dynamo_bench.py", None),
        ("torch-dynamo.py", None),
        ("dynamo.py", None),
        ("tgif.py", None),
        ("train_with_vllm.py", None),
        ("torchserved", None),
    ],
)
def test_a_server_is_known_by_a_whole_word(name: str, server: str | None) -> None:
    assert server_in(name) == server
    evidence = make_evidence(workload=Workload(pid=1, name=name))
    assert is_server(evidence) is (server is not None)
    assert is_server(msgspec.structs.replace(evidence, server="vllm"))


def test_causes_are_ranked_and_never_certain() -> None:
    evidence = make_evidence({}, {**WAITING, "children": 8, "children_busy": 8, "remote_numa_frac": 1.0})
    ranked = host_causes(evidence)
    assert [cause.slug for cause in ranked] == ["input-pipeline", "remote-numa"]
    assert all(0.0 < cause.confidence < 1.0 for cause in ranked)

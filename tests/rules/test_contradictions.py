"""Whatever is measured, findings agree: one primary a term, shares within the whole, no pair kept apart."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Result, Subject, diagnose
from rules.evidence import Evidence, HostEvidence, SubWindow, Workload
from rules.finding import Price
from rules.registry import coverage, get_rule, verdict_confidence
from rules.roles import apart
from rules.serving import ServingFigures
from tests.rules.catalogue.signatures import card
from tests.rules.loads import evidence, window

PRICE = Price(usd_h=10.0, basis="user", source="--price")
fracs = st.sampled_from([0.0, 0.005, 0.05, 0.2, 0.45, 0.6, 0.8, 0.95, 1.0]) | st.floats(0, 1)
maybe = st.one_of(fracs, fracs, fracs, fracs, st.none())
rates = st.none() | st.floats(0, 6e10)
COUNTERS: dict[str, st.SearchStrategy[Any]] = {
    "has_process": st.sampled_from([True, True, True, False, None]),
    "gr_active": fracs,
    "sm_mhz": st.none() | st.sampled_from([900.0, 1500.0, 1980.0]),
    "throttle_reasons": st.sampled_from([(), (), ("sw_power_cap",), ("hw_thermal",), ("hw_power_brake",)]),
    "launching": st.booleans(),
    "lost": st.booleans(),
    "mem_util_frac": maybe,
    "power_w": st.none() | st.floats(50, 700),
    **dict.fromkeys(("sm_active", "sm_occupancy", "tensor_active", "hmma", "fp32", "fp16", "fp64"), maybe),
    "dram_active": maybe,
    **dict.fromkeys(("pcie_rx_bytes_s", "pcie_tx_bytes_s", "nvlink_rx_bytes_s", "nvlink_tx_bytes_s"), rates),
}
# Loads to start from, of which a few counters are then changed at will.
KINDS: tuple[dict[str, Any], ...] = (
    {"gr_active": 0.0, "sm_active": 0.0, "sm_occupancy": 0.0},
    {"gr_active": 0.0, "sm_active": 0.0, "has_process": False},
    {"gr_active": 0.4, "sm_active": 0.1, "sm_occupancy": 0.05},
    {"dram_active": 0.75},
    {"dram_active": 0.55, "sm_occupancy": 0.1, "tensor_active": 0.0},
    {"tensor_active": 0.7, "hmma": 0.7},
    {"tensor_active": 0.52},
    {"fp32": 0.7, "tensor_active": 0.0},
    {"fp32": 0.3, "tensor_active": 0.0},
    {"sm_active": 0.1},
    {"sm_active": 0.7},
    {"sm_active": 0.97, "sm_occupancy": 0.1},
    {"pcie_rx_bytes_s": 4e10, "pcie_tx_bytes_s": 1e9},
)
HOSTS: tuple[dict[str, Any], ...] = (
    {},
    {"main_thread_cpu_frac": 0.99, "children_busy": 0, "process_cpu_cores": 1.0},
    {"main_thread_cpu_frac": 0.2, "children": 8, "children_busy": 8},
    {"process_cpu_cores": 0.01, "main_thread_cpu_frac": 0.0},
    {"children_dstate_frac": 0.7, "main_thread_cpu_frac": 0.1},
    {"throttled_frac": 0.4, "main_thread_cpu_frac": 0.99},
    {"io_write_bytes_s": 4e8, "main_thread_cpu_frac": 0.6},
)
HOST: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ("main_thread_cpu_frac", "main_thread_system_frac", "main_thread_wait_frac", "throttled_frac"), maybe
    ),
    **dict.fromkeys(("children_dstate_frac", "process_dstate_frac", "psi_io_frac", "psi_cpu_frac"), maybe),
    **dict.fromkeys(("remote_numa_frac", "node_cpu_frac"), maybe),
    "process_cpu_cores": st.none() | st.floats(0, 16),
    "children_cpu_frac": st.none() | st.floats(0, 16),
    "children": st.none() | st.integers(0, 8),
    "children_busy": st.none() | st.integers(0, 8),
    "voluntary_switches_s": st.none() | st.floats(0, 5000),
    "io_write_bytes_s": st.sampled_from([None, 0.0, 4e8]),
}


@st.composite
def phases(draw: st.DrawFn) -> tuple[SubWindow, ...]:
    """Up to four stretches, each of equal sub-windows; a minute or two where they are long."""
    length = draw(st.sampled_from([0.2, 1.0, 4.0]))
    made: list[SubWindow] = []
    for _ in range(draw(st.integers(1, 4))):
        named = draw(st.sets(st.sampled_from(sorted(COUNTERS)), max_size=3))
        counters = draw(st.sampled_from(KINDS)) | draw(
            st.fixed_dictionaries({name: COUNTERS[name] for name in named})
        )
        count = draw(st.integers(1, 25))
        made += [window((len(made) + i + 1) * length, length, **counters) for i in range(count)]
    return tuple(made)


@st.composite
def hosts(draw: st.DrawFn) -> HostEvidence:
    """A few figures of the host beside a usual kind of host; the others are unknown."""
    named = draw(st.sets(st.sampled_from(sorted(HOST)), max_size=3))
    figures = draw(st.sampled_from(HOSTS)) | draw(st.fixed_dictionaries({name: HOST[name] for name in named}))
    return HostEvidence(**figures)


# What an engine may say of itself; mostly nobody asked one.
SERVING: dict[str, st.SearchStrategy[Any]] = {
    "running": st.sampled_from([None, 0.0, 0.02, 0.6, 12.0, 200.0]),
    "waiting": st.sampled_from([None, 0.0, 0.3, 1.0, 50.0]),
    "generation_tok_s": st.sampled_from([None, 0.0, 900.0]),
    "preemptions_s": st.sampled_from([None, 0.0, 0.5]),
    **dict.fromkeys(("kv_use_frac", "graphs_frac", "slo_met_high_frac"), maybe),
}
servings = st.none() | st.builds(
    ServingFigures,
    endpoint=st.just("127.0.0.1:8000"),
    engine=st.just("vllm"),
    t_start_s=st.just(0.0),
    t_end_s=st.just(60.0),
    **SERVING,
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """One workload, or none, on a made-up card."""
    workload = st.builds(
        Workload, pid=st.just(1), name=st.sampled_from(["a.py", "vllm"]), others=st.integers(0, 2)
    )
    made = evidence(
        draw(phases()),
        tier=draw(st.sampled_from(["counters", "counters", "nvml"])),
        host=draw(hosts()),
        serving=draw(servings),
        workload=draw(st.none() | workload),
        mem_used_bytes=draw(st.none() | st.integers(0, 80 << 30)),
        throttle_frac=draw(
            st.dictionaries(st.sampled_from(["sw_power_cap", "hw_thermal"]), fracs, max_size=2)
        ),
    )
    limit = draw(st.sampled_from([500.0, 700.0]))
    device = msgspec.structs.replace(
        made.device,
        memory_total_bytes=80 << 30,
        power_limit_w=limit,
        power_limit_default_w=700.0,
        pcie_gen=draw(st.sampled_from([None, 1, 5])),
        pcie_width=16,
        pcie_gen_max=5,
        pcie_width_max=16,
    )
    return msgspec.structs.replace(made, device=device)


def result(e: Evidence, known: bool) -> Result:
    return diagnose(Subject(evidence=e, ceilings=card() if known else None, price=PRICE))


@settings(max_examples=250, deadline=None)
@given(evidences(), st.sampled_from([True, True, True, False]))
def test_findings_never_contradict_each_other(e: Evidence, known: bool) -> None:
    made = result(e, known)
    leading = [f for f in made.findings if f.term is not None and f.role == "primary"]
    assert len({f.term for f in leading}) == len(leading)
    assert {f.term for f in leading} == {f.term for f in made.findings if f.term is not None}
    assert sum(f.share for f in leading) <= 1.0 + 1e-9
    for f in leading:
        limit = made.ladder.shares[f.term or ""]
        assert (f.usd_h or 0.0) <= limit * (PRICE.usd_h or 0.0) + 1e-6, f.code
    for one, other in combinations(made.findings, 2):
        assert apart(one.code, other.code) is None, f"{one.code} beside {other.code}"
    for f in made.findings:
        limits = {"verdict": verdict_confidence(made.verdict), "window": coverage(e), "fact": 1.0}
        assert f.confidence <= limits[get_rule(f.code).basis]
    if made.verdict.shares["free"] > 0.85:
        assert all(f.owner == "fleet" or f.share == 0.0 for f in made.findings if f.term)


@settings(max_examples=100, deadline=None)
@given(evidences())
def test_the_finding_of_the_verdicts_cause_leads_its_term(e: Evidence) -> None:
    made = result(e, True)
    named = [f for f in made.findings if made.verdict.cause in get_rule(f.code).causes]
    assert all(f.role == "primary" for f in named)

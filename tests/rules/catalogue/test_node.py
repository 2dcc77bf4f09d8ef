"""Rules that look at the node: its CPUs, memory and driver; GPUs beside their siblings and their own past."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rules.finding import Finding
from rules.known_issues import ISSUES, issues_of, version
from rules.registry import Context, run_rules
from rules.siblings import busy_clock
from tests.rules.contexts import PROBED, beside_siblings, make_context, make_evidence

PEGGED = {"main_thread_cpu_frac": 0.99, "children_busy": 0, "process_cpu_cores": 1.0}
SMALL = {"gr_active": 0.6, "sm_active": 0.1}


def found(ctx: Context, code: str) -> Finding | None:
    return next((f for f in run_rules(ctx) if f.code == code), None)


def gap(host: dict[str, Any], counters: dict[str, Any] | None = None) -> Context:
    return make_context(make_evidence(counters or SMALL, host), host=0.4)


# --- siblings and the card's own past -------------------------------------------------------------


def test_a_gpu_behind_its_siblings_says_by_how_much() -> None:
    made = found(beside_siblings(1500.0, 1700.0, 1710.0, 1720.0), "DEV019")
    assert made is not None
    assert "0.88 of its siblings' (1500 against 1710 MHz, 3 other GPUs" in made.claim
    assert made.severity == "high"


@pytest.mark.parametrize(
    "ctx",
    [
        beside_siblings(1690.0, 1700.0, 1710.0),  # silicon differs
        beside_siblings(1500.0, 1710.0),  # of two, nothing says which is unusual
        beside_siblings(1500.0, 1700.0, 1710.0, device_name="another model"),
        beside_siblings(1500.0, 1700.0, 1710.0, job="slurm:7"),
        beside_siblings(1500.0, 1700.0, 1710.0, workload="other.py"),
        beside_siblings(1500.0, 1700.0, 1710.0, busy_frac=0.1),
        beside_siblings(1500.0, 1700.0, 1710.0, sm_mhz=None),
        beside_siblings(1500.0, 1700.0, 1710.0, mig="1g.10gb/1"),
        beside_siblings(1500.0),
    ],
)
def test_only_gpus_at_the_same_work_are_compared(ctx: Context) -> None:
    assert found(ctx, "DEV019") is None


def test_the_clock_under_load_is_that_of_busy_sub_windows() -> None:
    idle = make_evidence({"gr_active": 0.0, "sm_mhz": 345.0})
    assert busy_clock(idle) is None
    assert busy_clock(make_evidence({"gr_active": 0.4, "sm_mhz": 1500.0})) is None
    at_work = make_evidence({"gr_active": 0.6, "sm_mhz": 1500.0})
    assert busy_clock(at_work) == 1500.0
    short = msgspec.structs.replace(at_work, windows=(*at_work.windows[:14], *idle.windows))
    assert busy_clock(short) is None


def test_a_card_that_no_longer_holds_its_own_clock() -> None:
    evidence = make_evidence({"gr_active": 0.9, "sm_mhz": 1500.0}, device={"power_limit_w": 700.0})
    ctx = make_context(evidence, class_="compute", compute=0.9, ceilings=PROBED)
    made = found(ctx, "DEV018")
    assert made is not None
    assert "holds 1500 MHz under load; when probed it held 1700 MHz" in made.claim
    for ceilings in (
        msgspec.structs.replace(PROBED, label="assumed"),
        msgspec.structs.replace(PROBED, stale="another driver"),
        msgspec.structs.replace(PROBED, power_limit_w=500.0),
        msgspec.structs.replace(PROBED, sm_mhz=1560.0),
        None,
    ):
        assert found(msgspec.structs.replace(ctx, ceilings=ceilings), "DEV018") is None
    hot = msgspec.structs.replace(evidence, throttle_frac={"sw_thermal": 0.5})
    assert found(make_context(hot, ceilings=PROBED), "DEV018") is None


# --- the node -------------------------------------------------------------------------------------


def test_a_governor_is_named_beside_a_thread_that_is_the_limit() -> None:
    made = found(gap({**PEGGED, "governor": "performance and powersave"}), "HOST020")
    assert made is not None
    assert (made.severity, made.role, made.usd_h) == ("low", "contributing", 0.0)
    assert made.effect is not None and "no measured ratio" in made.effect.basis
    assert found(gap({**PEGGED, "governor": "performance"}), "HOST020") is None
    assert found(gap({"children_dstate_frac": 0.7, "governor": "powersave"}), "HOST020") is None
    calm = make_context(make_evidence(SMALL, {**PEGGED, "governor": "powersave"}), compute=0.9)
    assert found(calm, "HOST020") is None


@pytest.mark.parametrize(("growth", "says"), [(None, False), (0, False), (10 << 20, False), (64 << 20, True)])
def test_swap_counts_while_it_grows(growth: int | None, says: bool) -> None:
    host = {"swap_growth_bytes": growth, "swap_used_bytes": 8 << 30}
    assert (found(make_context(make_evidence(host=host)), "HOST021") is not None) is says


def test_pressure_with_growing_swap_is_one_finding() -> None:
    both = {"psi_memory_frac": 0.4, "swap_growth_bytes": 1 << 30}
    codes = {f.code for f in run_rules(make_context(make_evidence(host=both)))}
    assert "HOST021" in codes and "HOST022" not in codes


def test_a_fact_of_the_node_is_told_once() -> None:
    ctx = beside_siblings(1700.0, 1700.0)
    swaps = make_evidence({"gr_active": 0.9}, {"swap_growth_bytes": 1 << 30})
    told = msgspec.structs.replace(ctx, evidence=swaps)
    assert found(told, "HOST021") is not None
    waiting = msgspec.structs.replace(ctx.siblings[1], class_="host")
    idle = msgspec.structs.replace(ctx.siblings[0], class_="idle")
    other = msgspec.structs.replace(told, siblings=(idle, waiting))
    assert found(other, "HOST021") is None


def test_a_full_node_and_full_cores_of_ones_own_are_kept_apart() -> None:
    waits = {**PEGGED, "main_thread_wait_frac": 0.4, "cpus_allowed": 2, "node_cores": 64}
    own = {f.code for f in run_rules(gap({**waits, "node_cpu_frac": 0.2}))}
    node = {f.code for f in run_rules(gap({**waits, "node_cpu_frac": 0.95}))}
    assert own & {"HOST015", "HOST023", "HOST024"} == {"HOST015"}
    assert node & {"HOST015", "HOST023", "HOST024"} == {"HOST023"}


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ({"cpus_allowed": 2, "node_cores": 64}, True),
        ({"cpus_allowed": 8, "node_cores": 64, "children": 12}, True),
        ({"cpus_allowed": 16, "node_cores": 64, "children": 12}, False),
        ({"cpus_allowed": 2, "node_cores": 2}, False),  # it has them all
        ({"cpus_allowed": None, "node_cores": 64}, False),
        ({"cpus_allowed": 2, "node_cores": None}, False),
    ],
)
def test_few_cpus_count_where_the_node_has_more(host: dict[str, Any], says: bool) -> None:
    assert (found(gap(host), "HOST024") is not None) is says


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "model", "gpus", "slugs"),
    [
        ("525.60.13", "NVIDIA H100 80GB HBM3", 1, ["gsp-timeout"]),
        ("525.105.17", "NVIDIA H100 80GB HBM3", 1, []),
        ("535.98", "NVIDIA A100", 1, ["process-lists"]),
        ("535.104.05", "NVIDIA A100", 1, []),
        ("560.35.03", "NVIDIA H100", 8, ["nccl-peer-hang"]),
        ("560.35.03", "NVIDIA H100", 1, []),
        ("565.57.01", "NVIDIA H100", 8, []),
        ("580.105.08", "NVIDIA B200", 8, ["b200-uptime"]),
        ("580.105.08", "NVIDIA H100", 8, []),
        ("not a number", "NVIDIA B200", 8, []),
    ],
)
def test_a_known_fault_concerns_its_range_only(driver: str, model: str, gpus: int, slugs: list[str]) -> None:
    assert [issue.slug for issue in issues_of(driver, model, gpus)] == slugs


def test_every_known_fault_has_a_range_and_a_source() -> None:
    for issue in ISSUES:
        assert version(issue.first) < version(issue.below)
        assert issue.source.startswith("https://")
    assert version("535.104.05-ubuntu") == (535, 104, 5)


def test_no_driver_version_says_nothing() -> None:
    assert found(make_context(make_evidence()), "SW001") is None
    old = found(make_context(make_evidence(device={"driver_version": "525.60.13"})), "SW001")
    assert old is not None and "525.105.17" in old.actions[0]

"""A wait for other GPUs of the job: named where it looks like small kernels, and nowhere else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rules.engine import Subject, conclude, judge
from rules.evidence import Workload
from rules.finding import Finding, Price
from rules.peers import LIKE_A_WAIT, may_wait
from rules.siblings import Sibling, sibling
from rules.verdict import Verdict
from tests.rules.loads import CEILINGS, Load, evidence, series

WAIT: Load = {"sm_active": 0.15, "sm_occupancy": 0.04, "tensor_active": 0.0, "dram_active": 0.02}
STEP: Load = {"sm_active": 0.95, "sm_occupancy": 0.25, "tensor_active": 0.7, "hmma": 0.7}
NO_PRICE = Price(usd_h=None, basis="none", source="")
JOB = Workload(pid=1, name="train.py", user="alice", job="slurm:7")


def beside(load: Load, *others: dict[str, Any]) -> tuple[Verdict, tuple[Finding, ...], tuple[Sibling, ...]]:
    """Seven tenths of the time in `load`, the rest in GEMMs; the other rows are like it but for changes."""
    seen = evidence(series(*[(3, STEP), (7, load)] * 20), workload=JOB)
    subject = Subject(evidence=seen, ceilings=CEILINGS, price=NO_PRICE)
    verdict = judge(subject)
    own = sibling(seen, verdict, CEILINGS)
    rows = (own, *(msgspec.structs.replace(own, key=f"GPU-{i}", gpu=i, **o) for i, o in enumerate(others, 1)))
    result = conclude(subject, verdict, rows)
    return result.verdict, result.findings, rows


def actions(findings: tuple[Finding, ...], code: str) -> str:
    return " ".join(action for f in findings if f.code == code for action in f.actions)


def test_few_sms_on_several_gpus_of_a_job_may_be_a_wait_in_a_collective() -> None:
    verdict, findings, _ = beside(WAIT, {}, {})
    assert (verdict.class_, verdict.cause) == ("device", "small-grid")
    assert verdict.confidence <= LIKE_A_WAIT
    assert any("collective" in why and "2 more" in why for why in verdict.unknown_because)
    found = next(f for f in findings if f.code == "DEV007")
    assert "or wait for the job's other GPUs in a collective" in found.claim
    assert found.confidence <= LIKE_A_WAIT
    told = actions(findings, "DEV007")
    assert "ncclDevKernel" in told
    assert "MPS" not in told and "MIG" not in told


@pytest.mark.parametrize(
    "other",
    [
        None,
        {"job": "slurm:8"},
        {"device_name": "another model"},
        {"mig": "1g.10gb/7"},
    ],
)
def test_a_gpu_alone_in_its_job_waits_for_nobody(other: dict[str, Any] | None) -> None:
    verdict, findings, _ = beside(WAIT, *([other] if other else []))
    assert verdict.confidence > LIKE_A_WAIT
    assert not verdict.unknown_because
    assert "MPS" in actions(findings, "DEV007")


def test_kernels_that_fill_the_sms_or_use_tensor_cores_do_not_wait() -> None:
    full: Load = {**WAIT, "sm_active": 0.95, "sm_occupancy": 0.5}
    tensor: Load = {**WAIT, "tensor_active": 0.1}
    for load in (full, tensor):
        verdict, _, rows = beside(load, {})
        assert verdict.class_ == "device" and not may_wait(verdict, rows)
        assert verdict.confidence > LIKE_A_WAIT


def test_low_occupancy_that_may_be_a_wait_gets_no_advice_on_registers() -> None:
    half: Load = {**WAIT, "sm_active": 0.6, "sm_occupancy": 0.06}
    verdict, findings, _ = beside(half, {})
    assert verdict.cause == "low-occupancy" and verdict.confidence <= LIKE_A_WAIT
    assert "launch_bounds" not in actions(findings, "DEV008") and "nccl" in actions(findings, "DEV008")
    _, alone, _ = beside(half)
    assert "launch_bounds" in actions(alone, "DEV008")

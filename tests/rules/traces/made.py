"""Made-up traced devices: a second of one device, with only what a test names. No GPU produced any of it."""

from __future__ import annotations

from typing import Any

from probes.ceilings import Ceiling, Ceilings
from rules.engine import Subject, conclude, judge
from rules.evidence import Device, Evidence, Workload
from rules.finding import Price
from rules.registry import Context
from rules.traces.kernel_records import CopyRow, FamilyRow, KernelRow
from rules.traces.records import BUSY, CAUSES, DeviceTrace, HostFigures, RankFigures, RankRow

SPAN_US = 1e6
PRICE = Price(usd_h=10.0, basis="user", source="--price")
CEILINGS = Ceilings(
    model="X100",
    label="assumed",
    ceilings=tuple(
        Ceiling(metric=metric, value=value, unit="flop_s", label="assumed", source="test")
        for metric, value in (("fp32", 50e12), ("tf32", 400e12), ("bf16", 800e12))
    ),
)


def make_trace(
    idle: dict[str, float] | None = None, busy: dict[str, float] | None = None, **more: Any
) -> DeviceTrace:
    """Shares of a second by cause and class; what they leave over is compute."""
    causes = {cause: SPAN_US * (idle or {}).get(cause, 0.0) for cause in CAUSES}
    classes = {kind: SPAN_US * (busy or {}).get(kind, 0.0) for kind in BUSY}
    idle_us = sum(causes.values())
    classes["compute"] += SPAN_US - idle_us - sum(classes.values())
    facts: dict[str, Any] = {
        "key": "trace:synthetic:gpu0",
        "file": 0,
        "device": 0,
        "source": "synthetic.json, device 0",
        "ceilings_label": "assumed",
        "host": HostFigures(gaps=900, median_gap_us=40.0, kernels=1000, short_kernels=800, steps=10),
    }
    return DeviceTrace(
        span_us=SPAN_US,
        busy_us=SPAN_US - idle_us,
        idle_us=idle_us,
        idle_frac=idle_us / SPAN_US,
        causes=causes,
        busy=classes,
        **(facts | more),
    )


def make_kernel(name: str = "made_kernel", frac: float = 0.5, **more: Any) -> KernelRow:
    """A kernel that takes this part of the second."""
    facts: dict[str, Any] = {
        "family": "elementwise", "nature": "memory", "nature_basis": "family", "count": 100,
        "total_us": SPAN_US * frac, "busy_frac": frac, "mean_us": 10.0, "median_us": 10.0, "p90_us": 10.0,
        "max_us": 10.0,
    }  # fmt: skip
    return KernelRow(name=name, **(facts | more))


def make_family(frac: float, **more: Any) -> FamilyRow:
    """A family that takes this part of the second."""
    facts: dict[str, Any] = {
        "family": "gemm", "precision": "fp32", "tensor": "unknown", "nature": "compute", "count": 100,
        "total_us": SPAN_US * frac, "busy_frac": frac,
    }  # fmt: skip
    return FamilyRow(**(facts | more))


def make_copy(kind: str, frac: float, memory: str | None = None) -> CopyRow:
    """Copies of which this part of the second stands alone."""
    return CopyRow(
        kind=kind, memory=memory, count=10, total_us=SPAN_US * frac, exposed_us=SPAN_US * frac, bytes=1 << 20
    )


def make_ranks(wait_frac: float, **more: Any) -> RankFigures:
    """Two ranks, of which the first waits for this part of the second."""
    rows = tuple(
        RankRow(
            rank=rank, device=0, file=rank, span_us=SPAN_US, busy_us=SPAN_US, work_us=SPAN_US / 2,
            exposed_us=SPAN_US / 4, wait_us=wait, wait_exposed_us=wait,
        )
        for rank, wait in enumerate((SPAN_US * wait_frac, 0.0))
    )  # fmt: skip
    return RankFigures(rows=rows, **more)


def make_evidence(trace: DeviceTrace | None, **more: Any) -> Evidence:
    """Evidence of a traced device."""
    facts: dict[str, Any] = {
        "key": "trace:synthetic:gpu0",
        "gpu": 0,
        "device": Device(name="NVIDIA Simulated X100 80GB"),
        "workload": Workload(pid=4242, name="synthetic", job="trace:synthetic"),
    }
    return Evidence(tier="trace", t_start_s=0.0, t_end_s=1.0, trace=trace, **(facts | more))


def make_context(
    trace: DeviceTrace | None, *, ceilings: Ceilings | None = CEILINGS, price: Price = PRICE, **more: Any
) -> Context:
    """The context that rules see of a traced device: its own verdict and ladder."""
    evidence = make_evidence(trace, **more)
    subject = Subject(evidence=evidence, ceilings=ceilings, price=price)
    verdict = judge(subject)
    return Context(
        evidence=evidence,
        verdict=verdict,
        ladder=conclude(subject, verdict).ladder,
        ceilings=ceilings,
        price=price,
    )

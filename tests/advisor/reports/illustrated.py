"""Documents with everything a chart draws: series, ceilings, evidence. Every figure is invented."""

from __future__ import annotations

from typing import Any

import msgspec

from advisor.document import Diagnosis, Observed, TimeSeries
from rules.evidence import Device, Evidence
from rules.finding import Price
from rules.verdict import SHARES, Verdict
from tests.factories import DEVICE_NAME, T0_S, make_ceilings, make_diagnosis, make_verdict

POINTS = 12
STRETCH_S = 5.0


def make_series(verdict: Verdict, points: int = POINTS, **changes: Any) -> TimeSeries:
    """A window of equal stretches with the verdict's shares: the first third computes, the rest reads."""
    ends = tuple(T0_S + STRETCH_S * (i + 1) for i in range(points))
    early = [i < points / 3 for i in range(points)]
    series = TimeSeries(
        t_s=ends,
        duration_s=(STRETCH_S,) * points,
        shares={name: (verdict.shares[name],) * points for name in SHARES},
        useful_frac=(0.5,) * points,
        figures={
            "gr_active": (0.9,) * points,
            "dram_active": tuple(0.2 if first else 0.7 for first in early),
            "tensor_active": tuple(0.6 if first else 0.1 for first in early),
            "power_w": tuple(610.0 if first else 420.0 for first in early),
            "sm_mhz": (1755.0,) * points,
        },
    )
    return msgspec.structs.replace(series, **changes)


def make_observed(verdict: Verdict, **changes: Any) -> Observed:
    """What a verdict was reached from."""
    observed = Observed(
        key=verdict.key,
        evidence=Evidence(
            key=verdict.key,
            gpu=verdict.gpu,
            mig=verdict.mig,
            device=Device(name=DEVICE_NAME),
            tier=verdict.tier,
            t_start_s=T0_S,
            t_end_s=T0_S + POINTS * STRETCH_S,
        ),
        ceilings=make_ceilings(),
        price=Price(usd_h=6.88, basis="bundled", source="invented"),
        series=make_series(verdict),
    )
    return msgspec.structs.replace(observed, **changes)


def illustrated(count: int = 1, **changes: Any) -> Diagnosis:
    """A node of this many GPUs in turn limited by memory, compute and the host, each with all its charts."""
    classes = ("memory", "compute", "host")
    verdicts = tuple(make_verdict(classes[i % 3], gpu=i, pipe="hmma") for i in range(count))  # type: ignore[arg-type]
    made = make_diagnosis(verdicts=verdicts, observed=tuple(make_observed(v) for v in verdicts))
    return msgspec.structs.replace(made, **changes)

"""Looks made for comparisons: one GPU or more, with a series. Every figure is invented."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from advisor.document import Diagnosis, Observed, Provenance, TimeSeries
from rules.evidence import Device, Evidence
from rules.finding import Price
from rules.verdict import SHARES, Verdict
from tests.factories import (
    PRICE_SOURCE,
    T0_S,
    fill,
    make_ceilings,
    make_device_provenance,
    make_ladder,
    make_provenance,
    make_totals,
    make_verdict,
)

EFFICIENCY = 0.6


def make_row(host: float = 0.4, *, gpu: int = 0, **changes: Any) -> Verdict:
    """A verdict whose GPU waits this part of the time; what it does otherwise is always the same mix."""
    busy = 1.0 - host
    shares = fill(SHARES, {"host": host, "memory": 0.5 * busy, "compute": 0.3 * busy, "device": 0.2 * busy})
    useful = EFFICIENCY * (shares["memory"] + shares["compute"])
    made = make_verdict("host", gpu=gpu, shares=shares, useful_frac=useful)
    return msgspec.structs.replace(made, **changes)


def series_of(verdict: Verdict, stretches: int = 100, each_s: float = 0.6, seed: int = 1) -> TimeSeries:
    """A series whose host gap wavers around the verdict's; the rest gives way."""
    rng = random.Random(seed + verdict.gpu)
    host = verdict.shares["host"]
    gaps = [min(1.0, max(0.0, host + rng.gauss(0.0, 0.02))) if host else 0.0 for _ in range(stretches)]
    busy = 1.0 - host or 1.0
    columns = {name: tuple(s / busy * (1.0 - gap) for gap in gaps) for name, s in verdict.shares.items()}
    columns["host"] = tuple(gaps)
    useful = (verdict.useful_frac or 0.0) / busy
    return TimeSeries(
        t_s=tuple(T0_S + each_s * (i + 1) for i in range(stretches)),
        duration_s=(each_s,) * stretches,
        shares=columns,
        useful_frac=tuple(useful * (1.0 - gap) for gap in gaps),
        figures={
            "gr_active": tuple(1.0 - gap for gap in gaps),
            "dram_active": tuple(0.6 * (1.0 - gap) for gap in gaps),
            "power_w": tuple(100.0 + 500.0 * (1.0 - gap) for gap in gaps),
            "sm_mhz": (1755.0,) * stretches,
        },
    )


def make_look(
    *rows: Verdict, at_s: float = T0_S, price_usd_h: float | None = 6.88, seed: int = 1, **changes: Any
) -> Diagnosis:
    """A document of these rows, seen for a minute from `at_s` on. changes: fields of the diagnosis."""
    verdicts = rows or (make_row(),)
    ladder = tuple(make_ladder(v, price_usd_h=price_usd_h) for v in verdicts)
    provenance = make_provenance(verdicts, t_start_s=at_s, t_end_s=at_s + 60.0, created=f"at {at_s:.0f}")
    look = Diagnosis(
        provenance=provenance,
        verdicts=verdicts,
        ladder=ladder,
        totals=make_totals(ladder),
        observed=tuple(observed(v, at_s, seed, price_usd_h) for v in verdicts),
    )
    return msgspec.structs.replace(look, **changes)


def observed(verdict: Verdict, at_s: float, seed: int, price_usd_h: float | None) -> Observed:
    """What the row was reached from, as far as a comparison reads it."""
    return Observed(
        key=verdict.key,
        evidence=Evidence(
            key=verdict.key,
            gpu=verdict.gpu,
            device=Device(name=verdict.device_name),
            tier=verdict.tier,
            t_start_s=at_s,
            t_end_s=at_s + 60.0,
        ),
        ceilings=make_ceilings(),
        price=Price(
            usd_h=price_usd_h, basis="none" if price_usd_h is None else "bundled", source=PRICE_SOURCE
        ),
        series=series_of(verdict, seed=seed),
    )


def with_provenance(look: Diagnosis, **changes: Any) -> Diagnosis:
    """The look with another provenance."""
    changed: Provenance = msgspec.structs.replace(look.provenance, **changes)
    return msgspec.structs.replace(look, provenance=changed)


def with_device(look: Diagnosis, **changes: Any) -> Diagnosis:
    """The look with other facts of its first device."""
    first = msgspec.structs.replace(make_device_provenance(look.verdicts[0]), **changes)
    return with_provenance(look, devices=(first, *look.provenance.devices[1:]))


def without_series(look: Diagnosis) -> Diagnosis:
    """The look as a document without a series has it."""
    rows = tuple(msgspec.structs.replace(row, series=None) for row in look.observed)
    return msgspec.structs.replace(look, observed=rows)


BEFORE = make_look(make_row(0.4))
AFTER = make_look(make_row(0.1), at_s=T0_S + 600.0, seed=7)

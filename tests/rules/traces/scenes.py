"""Generated traced devices in which every rule can fire, of figures that agree with each other.

Kernels are drawn with natures, roofs, grids and names; busy time by class is what they take, so that no
figure contradicts another. No GPU produced any of it.
"""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from rules.registry import Context
from rules.traces.kernel_records import ChainFigures, FamilyRow, KernelRow, Nature, Tensor
from rules.traces.records import CAUSES, DeviceTrace, HostFigures, HostRow, RankFigures, StepFigures, StepRow
from tests.rules.traces.made import (
    CEILINGS,
    SPAN_US,
    make_context,
    make_copy,
    make_kernel,
    make_ranks,
    make_trace,
)

parts = st.floats(0.0, 1.0)
_FAMILIES = ("gemm", "convolution", "elementwise", "softmax", "reduction", "normalisation", "optimizer")
_STEPS = 6


@st.composite
def kernels(draw: st.DrawFn, room: float) -> tuple[KernelRow, ...]:
    """Up to five names whose launches together take `room` of the span, one after the other."""
    weights = draw(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5))
    whole = math.fsum(weights)
    return tuple(
        draw(kernel(f"kernel_{number}", room * weight / whole)) for number, weight in enumerate(weights)
    )


@st.composite
def kernel(draw: st.DrawFn, name: str, frac: float) -> KernelRow:
    """One name. Its launches are of one or two natures."""
    natures = [n for n in get_args(Nature) if n != "copy"]
    nature, other = draw(st.sampled_from(natures)), draw(st.sampled_from(natures))
    mostly = draw(st.floats(0.5, 1.0))
    nature_us = {nature: SPAN_US * frac}
    if other != nature:
        nature_us = {nature: SPAN_US * frac * mostly, other: SPAN_US * frac * (1.0 - mostly)}
    latency = nature_us.get("latency", 0.0)
    small = draw(st.one_of(st.none(), parts))
    told = draw(st.sampled_from([0.0, 1.0]) | parts)
    roof = draw(st.one_of(st.none(), st.floats(0.0, 1.3)))
    small_us = None if small is None else small * latency
    return make_kernel(
        name,
        frac,
        family=draw(st.sampled_from(_FAMILIES)),
        nature=nature,
        nature_us=nature_us,
        small_us=small_us,
        short_us=draw(parts) * (latency - (small_us or 0.0)),
        known_frac=0.0 if roof is None else told,
        memory_frac=roof,
        compute_frac=draw(st.one_of(st.none(), st.floats(0.0, 1.0))),
        tensor=draw(st.sampled_from(get_args(Tensor))),
        precision=draw(st.sampled_from(["fp32", "bf16", None])),
        misaligned=draw(st.sampled_from([True, False, None])),
        waves=draw(st.one_of(st.none(), st.floats(0.1, 5.0))),
        tail_frac=draw(st.one_of(st.none(), parts)),
        occupancy=draw(st.one_of(st.none(), st.floats(0.05, 1.0))),
        op=draw(st.sampled_from(["aten::bmm", "aten::mm", None])),
    )


def families_of(rows: tuple[KernelRow, ...]) -> tuple[FamilyRow, ...]:
    """Each name as a family of its own."""
    return tuple(
        FamilyRow(
            family=row.family, precision=row.precision, tensor=row.tensor, nature=row.nature, count=row.count,
            total_us=row.total_us, busy_frac=row.busy_frac, nature_us=row.nature_us,
        )
        for row in rows
    )  # fmt: skip


@st.composite
def chains(draw: st.DrawFn, causes: dict[str, float]) -> ChainFigures:
    """What graphs save, each at most what the device is idle for that cause."""
    high = {cause: draw(parts) * causes[cause] for cause in ("host_launch", "kernel_gap")}
    low = {cause: draw(parts) * us for cause, us in high.items()}
    return ChainFigures(
        chains=3, kernels=300, of=400, median_length=100, kernel_us=1e4, gap_us=sum(high.values()),
        saved_low_us=sum(low.values()), saved_high_us=sum(high.values()),
        saved_low_by=low, saved_high_by=high,
        graphed=draw(st.sampled_from([0, 20])), basis="made up",
    )  # fmt: skip


@st.composite
def steps(draw: st.DrawFn, trace: DeviceTrace) -> StepFigures:
    """Six steps that divide the span and what happened in it; the third is odd."""
    weights = [draw(st.floats(0.9, 1.1)) for _ in range(_STEPS)]
    weights[2] += draw(st.floats(0.0, 6.0))
    whole = math.fsum(weights)
    rows = tuple(
        StepRow(
            number=number, start_us=0.0, duration_us=trace.span_us * weight / whole,
            busy_us=0.0, outlier=number == 2,
            causes={cause: us * weight / whole for cause, us in trace.causes.items()},
            busy={kind: us * weight / whole for kind, us in trace.busy.items()},
        )
        for number, weight in enumerate(weights)
    )  # fmt: skip
    usual = sorted(row.duration_us for row in rows)[_STEPS // 2]
    return StepFigures(
        source="ProfilerStep", count=_STEPS, median_us=usual, max_us=rows[2].duration_us, outliers=(2,),
        outlier_because={"2": "made up"}, rows=rows,
    )  # fmt: skip


@st.composite
def ranks(draw: st.DrawFn, communication_us: float) -> RankFigures:
    """Two ranks of which the first waits for no longer than it communicates."""
    most, less = SPAN_US - communication_us, draw(parts) * (SPAN_US - communication_us)
    found = make_ranks(
        draw(parts) * communication_us / SPAN_US,
        straggler=draw(st.sampled_from([None, 0, 1])),
        straggler_because="made up",
        imbalance_frac=0.0 if most <= 0.0 else 1.0 - (most + less) / 2.0 / most,
        world_size=draw(st.sampled_from([2, 8])),
        missing=draw(st.sampled_from([0, 6])),
    )
    works = (less, most)
    rows = tuple(
        msgspec.structs.replace(
            row, work_us=work, exposed_us=communication_us, caused_us=communication_us / 2.0
        )
        for row, work in zip(found.rows, works, strict=True)
    )
    return msgspec.structs.replace(found, rows=rows)


@st.composite
def scenes(draw: st.DrawFn) -> Context:
    """A device with kernels, chains, steps, copies and ranks whose figures agree, judged."""
    weights = {name: draw(parts) ** 2 for name in draw(st.sets(st.sampled_from(CAUSES), max_size=4))}
    busy_weight, copy_weight = draw(st.floats(0.05, 2.0)), draw(st.sampled_from([0.0, 0.2]))
    whole = math.fsum(weights.values()) + busy_weight + copy_weight
    idle = {name: weight / whole for name, weight in weights.items()}
    rows = draw(kernels(busy_weight / whole))
    busy: dict[str, float] = {"copy": copy_weight / whole}
    for row in rows:
        for nature, us in row.nature_us.items():
            busy[nature] = busy.get(nature, 0.0) + us / SPAN_US
    kind = draw(st.sampled_from(["h2d", "d2d", "p2p"]))
    facts: dict[str, Any] = {
        "kernels": rows,
        "families": families_of(rows),
        "copies": (make_copy(kind, busy["copy"]),) if busy["copy"] else (),
        "perturbed": tuple(draw(st.sets(st.sampled_from(["with_stack", "record_shapes"])))),
        "communication_us": SPAN_US * busy.get("communication", 0.0),
        "uncorrelated_us": draw(parts) * SPAN_US * 0.1,
    }
    trace = make_trace(idle, busy, **facts)
    launch = trace.causes["host_launch"]
    host = HostFigures(
        calls={"launch": 100}, steps=6, gaps=30, median_gap_us=40.0, kernels=100, short_kernels=50,
        after_sync_us=draw(parts) * launch / 2.0, long_gap_us={"host_launch": draw(parts) * launch / 2.0},
        rows=tuple(
            HostRow(cause=cause, name="aten::made", idle_us=draw(parts) * us, count=3)
            for cause, us in trace.causes.items() if us
        ),
    )  # fmt: skip
    trace = msgspec.structs.replace(
        trace,
        busy={name: max(0.0, us) for name, us in trace.busy.items()},
        host=host,
        chains=draw(st.one_of(st.none(), chains(trace.causes))),
        steps=draw(st.one_of(st.none(), steps(trace))),
    )
    told = draw(st.one_of(st.none(), ranks(facts["communication_us"])))
    return make_context(trace, ceilings=draw(st.sampled_from([CEILINGS, None])), ranks=told)

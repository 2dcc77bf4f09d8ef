"""Timelines of any shape: steps, ranks and comparisons never fail, and sums stay exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.reports.trace_compare import render_markdown, render_text
from advisor.traces.analyse import analyse
from advisor.traces.comparing import compare_traces
from advisor.traces.timeline import Thread, Timeline, TraceMeta, gpu_table, host_table, step_table

NAMES = ("sgemm", "ncclDevKernel_AllReduce_Sum_f32(x)", "Optimizer.step#SGD.step", "MmBackward0", "aten::mm")
_FEW = st.integers(0, 40)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Anything that a reader might hand over, with rows in any order and steps that overlap."""
    seed, rows, calls, steps = (
        draw(st.integers(0, 2**32 - 1)),
        draw(_FEW),
        draw(_FEW),
        draw(st.integers(0, 8)),
    )
    random = np.random.default_rng(seed)
    gpu = _spans(random, rows) | {
        "device": random.integers(0, 2, rows), "stream": random.integers(0, 3, rows),
        "kind": random.integers(0, 3, rows), "name": random.integers(0, 2, rows),
        "launch": random.integers(-1, max(calls, 1), rows) if calls else np.full(rows, -1),
        "correlation": random.integers(-1, 20, rows),
    }  # fmt: skip
    host = _spans(random, calls) | {
        "thread": random.integers(0, 2, calls), "kind": random.integers(0, 8, calls),
        "name": random.integers(-1, len(NAMES), calls), "role": random.integers(0, 9, calls),
        "correlation": random.integers(-1, 20, calls),
    }  # fmt: skip
    marks = _spans(random, steps) | {
        "number": random.integers(-1, 6, steps), "thread": random.integers(0, 2, steps)
    }  # fmt: skip
    said = draw(st.sampled_from([None, 0, 1]))
    meta = TraceMeta("synthetic.json", "kineto", 1, rank=said, world_size=None if said is None else 2)
    threads = (Thread(1, 1), Thread(1, 2))
    tables = gpu_table(**gpu), host_table(**host), step_table(**marks)
    return Timeline(meta, *tables, NAMES, (), threads, ())


def _spans(random: np.random.Generator, count: int) -> dict[str, Any]:
    start = random.integers(0, 5_000, count) * 100
    return {"start_ns": start, "end_ns": start + random.integers(0, 300, count) * 100}


@settings(max_examples=40, deadline=None)
@given(timelines(), timelines())
def test_any_timelines_have_steps_ranks_and_a_comparison(one: Timeline, other: Timeline) -> None:
    found = analyse([one, other], lambda *_: None).report
    for device in found.devices:
        steps = device.steps
        assert steps is not None
        for row in steps.rows:
            spent = sum(row.causes.values()) + sum(row.busy.values())
            assert round(spent * 1000) == round(row.duration_us * 1000)
            assert row.duration_us >= 0.0
    if found.ranks is not None:
        assert all((row.wait_us or 0.0) >= 0.0 for row in found.ranks.rows)
    first, second = (analyse([each], lambda *_: None).report for each in (one, other))
    compared = compare_traces(first, second)
    assert render_text(compared, 80, False)
    assert render_markdown(compared)

"""Which call launched what: ids that are none, that occur twice, and operators nested without end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from advisor.traces.reaching import last_reaching
from advisor.traces.read import read
from advisor.traces.timeline import UNKNOWN, Timeline
from benchmarks.traces.fuzz import alarm
from tests.advisor.traces.made import Maker


def made(tmp_path: Path, maker: Maker) -> Timeline:
    return read(maker.write(tmp_path / "synthetic.json"))


def starts_of_launches(timeline: Timeline) -> list[float]:
    return [int(start) / 1000 for start in timeline.host.start_ns[timeline.gpu.launch]]


def test_a_correlation_of_0_is_no_link(tmp_path: Path) -> None:
    maker = Maker()
    maker.api("cudaDeviceSynchronize", 0, 500, correlation=0)
    maker.kernel("alone", 10, 20, correlation=0)
    maker.launched("k", 600, 610, 20)
    timeline = made(tmp_path, maker)
    assert (timeline.gpu.launch == UNKNOWN).tolist() == [True, False]
    assert timeline.gpu.correlation[0] == UNKNOWN


def test_ids_that_begin_anew_link_to_the_call_nearest_before(tmp_path: Path) -> None:
    maker = Maker()
    for session in (0, 100_000):
        for index in range(5):
            at = session + 100 * index
            maker.kernel(
                "k", at + 20, 10, correlation=maker.api("cudaLaunchKernel", at, 5, correlation=index + 1)
            )
    timeline = made(tmp_path, maker)
    assert starts_of_launches(timeline) == [s + 100 * i for s in (0, 100_000) for i in range(5)]
    assert [(loss.code, loss.count) for loss in timeline.losses] == [("repeated-ids", 10)]


def test_equal_ids_of_two_processes_link_within_the_process_of_the_device(tmp_path: Path) -> None:
    """Process 2 issues far ahead, so that the nearest call before its kernels is often the other's."""
    maker = Maker()
    for index in range(40):
        for pid, device, at in ((1, 0, 1000 + 100 * index), (2, 1, 10 * index)):
            link = maker.api("cudaLaunchKernel", at, 5, correlation=index + 1)
            maker.events[-1]["pid"] = pid
            maker.kernel("k", 1010 + 100 * index, 20, device=device, correlation=link)
    for index in range(40):  # what only one of the two has tells whose the device is
        maker.launched("own", 9000 + 50 * index, 9010 + 50 * index, 5, device=1)
        maker.events[-3]["pid"] = maker.events[-4]["pid"] = 2
    timeline = made(tmp_path, maker)
    pids = np.array([thread.pid for thread in timeline.threads])[timeline.host.thread[timeline.gpu.launch]]
    assert set(pids[timeline.gpu.device == 0].tolist()) == {1}
    assert set(pids[timeline.gpu.device == 1].tolist()) == {2}


def test_a_step_in_two_categories_is_one(tmp_path: Path) -> None:
    maker = Maker()
    for number in range(4):
        maker.step(number, 1000.0 * number, 1000.0)
        maker.op(f"ProfilerStep#{number}", 1000.0 * number + 1, 998.0)
        maker.launched("k", 1000.0 * number + 5, 1000.0 * number + 20, 10.0)
    maker.events += [dict(event) for event in maker.events if "ProfilerStep" in event["name"]]
    assert made(tmp_path, maker).steps.number.tolist() == [0, 1, 2, 3]


def test_operators_nested_a_hundred_thousand_deep_are_read(tmp_path: Path) -> None:
    """Climbed level by level they take minutes; here a second or two."""
    deep = 100_000
    events: list[dict[str, Any]] = [
        {"ph": "X", "cat": "cpu_op", "name": "nest", "pid": 1, "tid": 1, "ts": i, "dur": 4 * deep - 2 * i,
         "args": {"Input Dims": [[i]]}}
        for i in range(deep)
    ]  # fmt: skip
    call = {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "dur": 1}
    run = {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "dur": 1}
    for number, at in enumerate((3 * deep, 4 * deep - 10.5, 5 * deep)):
        events.append({**call, "ts": at, "args": {"correlation": number + 1}})
        events.append({**run, "ts": at + 3, "args": {"device": 0, "stream": 7, "correlation": number + 1}})
    (tmp_path / "t.json").write_text(json.dumps({"traceEvents": events}))
    with alarm(60):
        timeline = read(tmp_path / "t.json")
    dims = [timeline.ops[op].dims if op >= 0 else None for op in timeline.gpu.op.tolist()]
    assert dims == [((deep - 1,),), ((10,),), None]


def test_the_last_row_that_reaches_a_time_is_found_as_by_looking_at_each() -> None:
    dice = random.Random(7)
    for _ in range(300):
        ends = np.array([dice.randrange(30) for _ in range(dice.randrange(1, 40))], np.int64)
        at = np.array([dice.randrange(-1, len(ends)) for _ in range(20)], np.int64)
        low = np.array([dice.randrange(len(ends)) for _ in range(20)], np.int64)
        times = np.array([dice.randrange(32) for _ in range(20)], np.int64)
        plain = [
            next((row for row in range(last, first - 1, -1) if ends[row] >= time), UNKNOWN)
            for first, last, time in zip(low.tolist(), at.tolist(), times.tolist(), strict=True)
        ]
        assert last_reaching(ends, low, at, times).tolist() == plain

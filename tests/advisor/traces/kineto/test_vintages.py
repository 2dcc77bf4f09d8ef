"""Quirks of Kineto files of every vintage, on synthetic events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.traces.kineto.reading import read_kineto
from advisor.traces.limits import Limits
from advisor.traces.read import read
from advisor.traces.timeline import CopyKind, HostKind, Timeline
from rules.traces.host_names import HostRole
from tests.advisor.traces.made import BASE_NS, Maker, training


def timeline_of(tmp_path: Path, document: Any, **options: Any) -> Timeline:
    path = tmp_path / "synthetic.json"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document, **options).encode())
    return read(path)


def gpu_event(**more: Any) -> dict[str, Any]:
    args = {"device": 0, "stream": 7, "correlation": 5, **more.pop("args", {})}
    event = {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 10, "dur": 2, "args": args}
    return {**event, **more}


def test_columns_of_a_plain_trace(tmp_path: Path) -> None:
    timeline = read(training(rank=3, world_size=8).write(tmp_path / "t.json"))
    gpu = timeline.gpu
    assert (gpu.launch >= 0).all()
    assert timeline.host.kind[gpu.launch].tolist() == [HostKind.RUNTIME] * 12
    assert (timeline.host.correlation[gpu.launch] == gpu.correlation).all()
    assert timeline.steps.number.tolist() == [0, 1, 2]
    assert timeline.ops[0].dims == ((128, 64), (64, 32))
    assert (timeline.meta.rank, timeline.meta.world_size) == (3, 8)
    assert timeline.meta.zero_ns == BASE_NS
    assert timeline.devices[0].sm_count == 132
    assert gpu.copy[0] == CopyKind.H2D_PAGEABLE
    assert np.all(gpu.blocks[gpu.kind == 0] == 1024)
    assert timeline.losses == ()


@pytest.mark.parametrize("way", [str, float, int, lambda us: f" {us} "])
def test_times_may_be_text_floats_or_integers(tmp_path: Path, way: Any) -> None:
    made = training()
    for event in made.events:
        event["ts"] = way(int(event["ts"]))
    timeline = timeline_of(tmp_path, made.document())
    assert timeline.steps.start_ns.tolist() == [0, 1_000_000, 2_000_000]


def test_epoch_times_keep_their_nanoseconds(tmp_path: Path) -> None:
    text = json.dumps({"traceEvents": [gpu_event(), gpu_event(ts=77)]}).encode()
    text = text.replace(b'"ts": 10,', b'"ts": 1712195495519689.047,').replace(
        b'"ts": 77', b'"ts": 1712195495519689.049'
    )
    timeline = timeline_of(tmp_path, text)
    assert timeline.gpu.start_ns.tolist() == [0, 2]
    assert timeline.meta.zero_ns == 1712195495519689047


def test_legacy_categories_and_ids(tmp_path: Path) -> None:
    events = [
        {"ph": "X", "cat": "Operator", "name": "ProfilerStep#5", "pid": 9, "tid": "9", "ts": 0, "dur": 90,
         "args": {"External id": 1}},
        {"ph": "X", "cat": "Operator", "name": "aten::mm", "pid": 9, "tid": "9", "ts": 5, "dur": 20,
         "args": {"External id": 2, "Input Dims": [[2, 3], [3, 4]]}},
        {"ph": "X", "cat": "Runtime", "name": "cudaLaunchKernel", "pid": 9, "tid": "9", "ts": 6, "dur": 3,
         "args": {"correlation": 5, "external id": 2}},
        gpu_event(cat="Kernel", tid="stream 7", args={"external id": 2}),
        gpu_event(cat="Memcpy", name="Memcpy DtoH (Device -> Pinned)", ts=20, args={"correlation": 6}),
        gpu_event(cat="Memset", name="Memset (Device)", ts=30, args={"correlation": 7}),
    ]  # fmt: skip
    timeline = timeline_of(tmp_path, {"traceEvents": events})
    assert timeline.gpu.kind.tolist() == [0, 1, 2]
    assert timeline.gpu.copy.tolist() == [0, CopyKind.D2H_PINNED, 0]
    assert timeline.ops[timeline.gpu.op[0]].dims == ((2, 3), (3, 4))
    assert timeline.gpu.op[1:].tolist() == [-1, -1]
    assert timeline.steps.number.tolist() == [5]
    assert (timeline.threads[0].pid, timeline.threads[0].tid) == (9, 9)


def test_amd_names_and_streams_in_hexadecimal(tmp_path: Path) -> None:
    events = [
        {"ph": "X", "cat": "cuda_runtime", "name": "hipLaunchKernel", "pid": 9, "tid": 9, "ts": 6, "dur": 3,
         "args": {"correlation": 5, "stream": "0x0"}},
        gpu_event(pid=2, args={"device": 2, "stream": "0x10", "kind": "Dispatch Kernel"}),
        gpu_event(cat="gpu_memcpy", name="CopyHostToDevice", ts=20, args={"device": 2, "correlation": 6}),
        gpu_event(cat="gpu_memcpy", name="copy", ts=30, args={"kind": "DtoD", "device": 2, "correlation": 7}),
    ]  # fmt: skip
    gpu = timeline_of(tmp_path, {"traceEvents": events}).gpu
    assert gpu.device.tolist() == [2, 2, 2]
    assert gpu.stream[0] == 16
    assert gpu.copy.tolist() == [0, CopyKind.H2D, CopyKind.D2D]
    assert gpu.launch.tolist() == [0, -1, -1]


def test_only_categories_of_the_device_are_its_work(tmp_path: Path) -> None:
    made = Maker()
    made.launched("k", 0, 10, 5, driver=True)
    made.sync(20, 100)
    made.events += [
        gpu_event(cat="gpu_user_annotation", ts=0, dur=500),
        {"ph": "X", "cat": "cpu_op", "name": "triton_", "pid": 4242, "tid": 4242, "ts": 0, "dur": 4,
         "args": {"stream": 7, "External id": 77}},
    ]  # fmt: skip
    timeline = timeline_of(tmp_path, made.document())
    assert len(timeline.gpu) == 1
    assert timeline.host.kind[timeline.gpu.launch[0]] == HostKind.DRIVER
    assert timeline.ops[timeline.gpu.op[0]].name == "triton_"
    sync = timeline.host.kind == HostKind.SYNC
    assert (timeline.host.thread[sync] == timeline.host.thread[timeline.gpu.launch[0]]).all()


def test_uncorrelated_kernels_and_graphs(tmp_path: Path) -> None:
    made = Maker()
    link = made.api("cudaGraphLaunch", 0, 5)
    for index in range(3):
        made.kernel("k", 10 + 10 * index, 5, correlation=link, graph_id=4)
    made.kernel("alone", 100, 5, correlation=999_999, occupancy=0)
    made.kernel("none", 200, 5, correlation=0)
    gpu = timeline_of(tmp_path, made.document()).gpu
    assert gpu.launch.tolist() == [0, 0, 0, -1, -1]
    assert gpu.graph.tolist() == [4, 4, 4, -1, -1]
    assert np.isnan(gpu.occupancy).tolist() == [False, False, False, True, False]


def test_an_external_id_that_is_a_correlation_names_no_operator(tmp_path: Path) -> None:
    made = Maker()
    made.op("unrelated", 500, 5)
    made.op("around", 0, 50)
    link = made.api("cudaLaunchKernel", 5, 5, correlation=1, external=1)
    made.kernel("k", 10, 5, correlation=link, external=1)
    timeline = timeline_of(tmp_path, made.document())
    assert [op.name for op in timeline.ops] == ["around"]


def test_innermost_operator_behind_siblings(tmp_path: Path) -> None:
    made = Maker()
    made.op("outer", 0, 1000)
    for index in range(20):
        made.op("sibling", 10 + 20 * index, 10)
    made.launched("k", 600, 700, 5)
    made.launched("late", 2000, 2100, 5)
    timeline = timeline_of(tmp_path, made.document())
    assert [timeline.ops[n].name if n >= 0 else None for n in timeline.gpu.op] == ["outer", None]


def test_a_bare_array_and_odd_spacing(tmp_path: Path) -> None:
    events = training().events
    whole = timeline_of(tmp_path, {"traceEvents": events})
    for text in (
        json.dumps(events), json.dumps(events, indent=3), "\ufeff\r\n" + json.dumps(events),
        json.dumps(events)[:-1], json.dumps({"traceEvents": events}, indent=1).replace("\n", "\r\n"),
        json.dumps({"traceEvents": events}, sort_keys=True),
        json.dumps({"traceEvents": [dict(reversed(list(event.items()))) for event in events]}),
    ):  # fmt: skip
        timeline = timeline_of(tmp_path, text.encode())
        assert timeline.losses == ()
        assert timeline.gpu.start_ns.tolist() == whole.gpu.start_ns.tolist()
        assert timeline.gpu.name.tolist() == whole.gpu.name.tolist()
        assert len(timeline.host) == len(whole.host)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"synthetic_sgemm", b'say "hi" <int>'),
        (b"synthetic_sgemm", b"C:\\Users\\x"),
        (b"synthetic_sgemm", b"tab\tand\nline"),
        (b"synthetic_sgemm", b"\xff\xfe"),
        (b'occupancy %": 50', b'occupancy %": NaN'),
        (b'occupancy %": 50', b'occupancy %": -Infinity'),
        (b'"grid": [1024, 1, 1]', b'"grid": "none"'),
        (b'"grid": [1024, 1, 1]', b'"grid": [1.5, 1, 1]'),
    ],
)
def test_what_breaks_json_costs_no_event(tmp_path: Path, good: bytes, bad: bytes) -> None:
    text = training().text()
    assert good in text
    timeline = timeline_of(tmp_path, text.replace(good, bad))
    assert len(timeline.gpu) == 12
    assert {loss.code for loss in timeline.losses} <= {"mended"}


def test_damage_in_the_middle_is_counted_and_what_follows_is_read(tmp_path: Path) -> None:
    text = training(steps=20).text()
    middle = len(text) // 2
    timeline = timeline_of(tmp_path, text[:middle] + b'\x00garbage{["' + text[middle + 900 :])
    assert 70 <= len(timeline.gpu) < 80
    damaged = next(loss for loss in timeline.losses if loss.code == "damaged")
    assert damaged.count and damaged.offset is not None
    assert abs(damaged.offset - middle) < 1000
    assert timeline.meta.zero_ns == BASE_NS


def test_python_frames_stay_where_their_name_tells_something(tmp_path: Path) -> None:
    made = training()
    made.python("torch/utils/data/dataloader.py(630): __next__", 0, 50)
    made.python("my_model.py(3): forward", 0, 50)
    made.python('odd {"name" } "dataloader.py', 0, 50)
    host = timeline_of(tmp_path, made.document()).host
    frames = host.kind == HostKind.PYTHON
    assert host.role[frames].tolist() == [HostRole.DATA] * 2


def test_counters_of_the_hardware(tmp_path: Path) -> None:
    made = training()
    made.counter("sm__cycles_active", 20.0, 12.5)
    made.counter("sm__cycles_active", 10.0, 7.5)
    device, at, value = timeline_of(tmp_path, made.document()).counters["sm__cycles_active"]
    assert (device.tolist(), at.tolist(), value.tolist()) == ([0, 0], [10_000, 20_000], [7.5, 12.5])


def test_times_that_are_none_are_left_out(tmp_path: Path) -> None:
    good = gpu_event()
    bad = [gpu_event(ts="soon"), gpu_event(ts=1e300), gpu_event(dur=-1), gpu_event(ts=None)]
    timeline = timeline_of(tmp_path, {"traceEvents": [good, *bad]})
    assert len(timeline.gpu) == 1
    assert [(loss.code, loss.count) for loss in timeline.losses if loss.code == "bad-times"] == [
        ("bad-times", 4)
    ]


def test_the_limit_of_rows_says_how_far_it_read(tmp_path: Path) -> None:
    path = training(steps=50).write(tmp_path / "t.json")
    timeline = read_kineto(path, progress=None, limits=Limits(rows=100), piece_bytes=4096)
    loss = next(loss for loss in timeline.losses if loss.code == "limit")
    assert 100 < len(timeline.gpu) + len(timeline.host) < 300
    assert loss.offset and 0 < loss.offset < path.stat().st_size


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = training().write(tmp_path / "t.json")
    text = path.read_bytes()
    import gzip

    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(text[: text.rindex(b"]")] + b" " * (40 << 20) + b"]}"))
    limits = Limits(ratio_from_bytes=1 << 20, ratio=100)
    timeline = read(bomb, limits=limits)
    assert "limit" in [loss.code for loss in timeline.losses]
    assert len(timeline.gpu) == 12

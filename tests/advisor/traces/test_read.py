"""The format of a file is told by its content; what is no trace is refused with what to do."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advisor.traces.errors import TraceError
from advisor.traces.read import read
from tests.advisor.traces.made import training
from tests.advisor.traces.real import trace

IDLE = {
    "h100_owlv2.json.gz": (5165, 47.439),
    "h100_bert_small.json.gz": (61, 92.082),
    "mi210_gpu_only.json.gz": (562, 10.639),
    "a100_rank0_of_16.json.gz": (7747, 64.398),
    "v100_ns_resolution.json.gz": (6095, 1.576),
    "sampled_rank0_of_128.json.gz": (1204, 55.215),
    "sampled_rank1_of_128.json.gz": (1154, 52.887),
    "v100_resnet50_workers0.json.gz": (9096, 39.431),
    "v100_resnet50_workers4.json.gz": (9258, 23.347),
}

NO_TRACES: dict[str, tuple[bytes, str]] = {
    "empty.json": (b"", "empty"),
    "page.json": (b"<!DOCTYPE html><html></html>", "web page"),
    "binary.json": (b"\x7fELF\x02\x01\x00\x00", "binary"),
    "notes.json": (b"just some words", "no JSON"),
    "snapshot.pickle": (b"\x80\x04\x95\x00\x00", "pickle"),
    "a.zip": (b"PK\x03\x04rest", "unzip"),
    "a.zst": (b"\x28\xb5\x2f\xfdrest", "zstd -d"),
    "settings.json": (b'{"a": 1, "b": [1, 2]}', "without traceEvents"),
    "list.json": (b"[1, 2, 3]", "no event in it"),
    "none.json": (b'{"traceEvents": []}', "without events"),
    "chrome.json": (
        b'{"traceEvents": [{"ph": "X", "cat": "v8", "name": "GC", "pid": 1, "tid": 1, "ts": 1, "dur": 2}]}',
        "nothing in it is",
    ),
    "cut.json": (b'{"schemaVersion": 1, "deviceProp', "without traceEvents"),
    "memory.json": (b"[[1795269934954833, 1795269934954904], [[0, 0], [1, 2]]]", "record of memory"),
    "memory.raw.json": (b"[[17952, 0, 512, 1]]", "record of memory"),
    "snapshot.json": (b'{"segments": [], "device_traces": []}', "record of memory"),
    "bad.json.gz": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff", "damaged"),
    "x y.nsys-rep": (b"whatever", "--output '"),
    "x.ncu-rep": (b"whatever", "ncu --import"),
}


@pytest.mark.parametrize("name", NO_TRACES)
def test_what_is_no_trace_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    content, said = NO_TRACES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceError) as caught:
        read(tmp_path / name)
    assert said in str(caught.value)
    assert caught.value.fix


def test_the_command_that_exports_a_report_can_be_pasted(tmp_path: Path) -> None:
    path = tmp_path / "my run.nsys-rep"
    path.write_bytes(b"x")
    with pytest.raises(TraceError) as caught:
        read(path)
    target = tmp_path / "my run.sqlite"
    assert f"nsys export --type sqlite --output '{target}' '{path}'" in caught.value.fix


def test_folders_missing_and_forbidden_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="folder"):
        read(tmp_path)
    with pytest.raises(TraceError, match="No such file"):
        read(tmp_path / "absent.json")
    with pytest.raises(TraceError, match="cannot be read"):
        read(Path("bad\0name"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "advisor", "trace", str(pipe)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"is a pipe" in done.stderr and b"to a file first" in done.stderr


def test_the_name_does_not_tell_the_format(tmp_path: Path) -> None:
    (tmp_path / "trace.sqlite").write_bytes(gzip.compress(training().text()))
    assert len(read(tmp_path / "trace.sqlite").gpu) == 12


def test_a_trace_of_the_cpu_alone_is_no_error(tmp_path: Path) -> None:
    event = {"ph": "X", "cat": "cpu_op", "name": "aten::add", "pid": 1, "tid": 1, "ts": 1.5, "dur": 2}
    (tmp_path / "cpu.json").write_text(json.dumps({"traceEvents": [event]}))
    timeline = read(tmp_path / "cpu.json")
    assert [loss.code for loss in timeline.losses] == ["no-gpu-events"]
    assert len(timeline.host) == 1


@pytest.mark.parametrize("name", IDLE)
def test_idle_of_real_traces_is_as_their_source_says(name: str) -> None:
    timeline = read(trace(name))
    count, expected = IDLE[name]
    gpu = timeline.gpu
    assert len(gpu) == count
    ends = np.maximum.accumulate(gpu.end_ns)
    idle = np.maximum(0, gpu.start_ns[1:] - ends[:-1]).sum() / (ends[-1] - gpu.start_ns[0])
    assert 100 * idle == pytest.approx(expected, abs=0.01)
    assert timeline.losses == ()

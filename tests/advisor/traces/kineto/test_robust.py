"""However a file is divided, cut or damaged: the same timeline, or what is left of it; never a crash."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.traces.errors import TraceError
from advisor.traces.kineto import workers
from advisor.traces.kineto.messages import Reply
from advisor.traces.kineto.reading import read_kineto
from advisor.traces.kineto.sieve import sieved
from advisor.traces.limits import Limits
from advisor.traces.read import read
from advisor.traces.timeline import Timeline
from benchmarks.traces.fuzz import alarm
from tests.advisor.traces.made import training
from tests.advisor.traces.real import trace

LIMITS = Limits()
ONCE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_same(one: Timeline, other: Timeline) -> None:
    """Every column, name and fact."""
    for table in ("gpu", "host", "steps"):
        for column in fields(getattr(one, table)):
            left, right = (getattr(getattr(t, table), column.name) for t in (one, other))
            np.testing.assert_array_equal(left, right, err_msg=f"{table}.{column.name}")
    for part in ("names", "ops", "threads", "devices", "losses", "meta"):
        assert getattr(one, part) == getattr(other, part)


@lru_cache(maxsize=1)
def sample() -> bytes:
    made = training(steps=8, rank=1, world_size=2)
    made.thread_name(4242, "main")
    made.python('lambda {"x"}', 3.0, 1.0)
    made.python("dataloader.py(1): next", 3.0, 1.0)
    return made.text()


@ONCE
@given(size=st.integers(1, 9000), indent=st.sampled_from([None, 0, 2]), seed=st.integers(0, 99))
def test_division_changes_nothing(tmp_path: Path, size: int, indent: int | None, seed: int) -> None:
    document = json.loads(sample())
    mixed = random.Random(seed)
    for index, event in enumerate(document["traceEvents"]):
        if seed % 3 and mixed.random() < 0.3:
            keys = mixed.sample(sorted(event), len(event))
            document["traceEvents"][index] = {key: event[key] for key in keys}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document, indent=indent))
    whole = read_kineto(path, progress=None, limits=LIMITS, piece_bytes=1 << 30)
    pieces = read_kineto(path, progress=None, limits=LIMITS, piece_bytes=size)
    assert whole.losses == ()
    assert len(whole.gpu) == 32
    assert_same(whole, pieces)


@pytest.mark.parametrize("packed", [False, True])
def test_several_processes_give_the_same(packed: bool, tmp_path: Path) -> None:
    source = trace("h100_bert_small.json.gz")
    path = source if packed else tmp_path / source.name
    if not packed:
        path.write_bytes(gzip.decompress(source.read_bytes()))
    ticks: list[tuple[int, int | None]] = []
    here = read_kineto(path, progress=None, limits=LIMITS, processes=0, piece_bytes=100_000)
    apart = read_kineto(
        path, progress=lambda *tick: ticks.append(tick), limits=LIMITS, processes=2, piece_bytes=100_000
    )
    assert_same(here, apart)
    assert_same(here, read(path))
    assert ticks == sorted(ticks) and ticks[-1] == (path.stat().st_size,) * 2


def test_a_process_that_dies_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = training(steps=40).write(tmp_path / "t.json")
    whole = read_kineto(path, progress=None, limits=LIMITS, processes=0, piece_bytes=4096)
    answer = workers._Worker.answer
    count = 0

    def dying(self: workers._Worker) -> Reply | None:
        nonlocal count
        count += 1
        if count in (2, 5):
            self.process.kill()
            return None
        return answer(self)

    monkeypatch.setattr(workers._Worker, "answer", dying)
    assert_same(whole, read_kineto(path, progress=None, limits=LIMITS, processes=2, piece_bytes=4096))
    assert count >= 5


def test_nothing_is_left_running_when_reading_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = training(steps=40).write(tmp_path / "t.json")
    started: list[workers._Worker] = []
    start = workers._Worker.__init__

    def started_too(self: workers._Worker, fd: int, limits: Limits) -> None:
        start(self, fd, limits)
        started.append(self)

    monkeypatch.setattr(workers._Worker, "__init__", started_too)

    def stop(done: int, size: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_kineto(path, progress=stop, limits=LIMITS, processes=2, piece_bytes=4096)
    assert [worker.process.returncode is not None for worker in started] == [True, True]


@ONCE
@given(part=st.floats(0.0, 1.0), size=st.integers(100, 9000), packed=st.booleans())
def test_what_stands_before_a_cut_is_kept(tmp_path: Path, part: float, size: int, packed: bool) -> None:
    text = gzip.compress(sample()) if packed else sample()
    path = tmp_path / "t.json"
    path.write_bytes(text[: int(len(text) * part)])
    try:
        timeline = read_kineto(path, progress=None, limits=LIMITS, piece_bytes=size)
    except TraceError:
        assert packed or whole_kernels(path.read_bytes()) == 0 or part < 0.2
        return
    if part < 1 and not packed:
        assert len(timeline.gpu) == whole_kernels(path.read_bytes())
        codes = [loss.code for loss in timeline.losses]
        assert "truncated" in codes and "damaged" not in codes


def whole_kernels(text: bytes) -> int:
    """GPU events that stand whole in a cut text, told by hand."""
    pieces = text.partition(b'"traceEvents": [')[2].split(b'{"ph": ')
    gpu = (b'"kernel"', b'"gpu_memcpy"', b'"gpu_memset"')
    whole = [piece for piece in pieces if any(b'"cat": ' + kind in piece for kind in gpu) and b"}}" in piece]
    return len(whole)


def test_bytes_that_change_never_crash_it(tmp_path: Path) -> None:
    mixed = random.Random(6)
    path = tmp_path / "t.json"
    for _ in range(150):
        text = bytearray(sample())
        for _ in range(mixed.choice((1, 3, 30))):
            at = mixed.randrange(len(text))
            way = mixed.randrange(3)
            odd = mixed.choice((b'"', b"{", b"}]", b"NaN", b"\\u12", b"[" * 50))
            text[at : at + mixed.choice((0, 1, 40))] = (b"", bytes([mixed.randrange(256)]), odd)[way]
        path.write_bytes(text)
        try:
            timeline = read_kineto(
                path, progress=None, limits=LIMITS, piece_bytes=mixed.choice((500, 1 << 20))
            )
        except TraceError:
            continue
        assert (timeline.gpu.end_ns >= timeline.gpu.start_ns).all()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "open arrays": (b'{"traceEvents":[' + b"[" * 200_000, "damaged"),
    "open args": (b'{"traceEvents":[{"ph":"X","args":' + b'{"a":' * 100_000, "damaged"),
    "open phases": (b'{"traceEvents":[' + b'{"ph":' * 100_000, "damaged"),
    "open names": (b'{"traceEvents":[{"name":"' + b'a","name":"' * 100_000, "damaged"),
    "starts without ends": (b'{"traceEvents":[' + b'},{"ph"' * 100_000, "damaged"),
    "no time": (
        b'{"traceEvents":[{"ph":"X","cat":"kernel","name":"k","ts":1e999999999,"dur":1,"args":{"device":'
        + b"9" * 5000 + b"}}]}", "damaged",
    ),
    "arrays in arrays": (b'{"traceEvents":[' * 5000, "damaged"),
    "brackets": (b"[" * 1_000_000, "damaged"),
    "categories": (
        b'{"traceEvents":[' + b",".join(b'{"ph":"X","cat":"c%d"}' % i for i in range(50_000)) + b"]}",
        "nothing in it is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_soon_and_for_what_they_are(tmp_path: Path, name: str) -> None:
    text, said = HOSTILE[name]
    path = tmp_path / "t.json"
    path.write_bytes(text)
    with alarm(60), pytest.raises(TraceError, match=said):
        read(path)


def test_the_sieve_keeps_what_stands_between_other_keys() -> None:
    def event(**more: Any) -> str:
        return json.dumps({"ph": "f", "id": 1, "cat": "ac2g", **more})

    named = json.dumps({"name": "process_name", "ph": "M", "args": {"name": "kept"}})
    bare = json.dumps({"name": "kept", "ph": "X"})
    text = ", ".join([event(), named, event(), bare, event(), event(ph="X"), event(args={"b": {}})])
    left, out = sieved(text.encode())
    assert left.count(b"kept") == 2 and json.loads(b"[" + left + b"]")
    assert out["flow"] == 2

"""Nothing is lost in silence: limits, impossible times, holes in a file, processes that do not start."""

from __future__ import annotations

import fcntl
import json
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from advisor.traces.errors import TraceError
from advisor.traces.kineto import pieces, workers
from advisor.traces.kineto.messages import LENGTH, Task, receive
from advisor.traces.kineto.reading import read_kineto
from advisor.traces.limits import Limits
from advisor.traces.read import read
from advisor.traces.timeline import UNKNOWN, Timeline
from tests.advisor.traces.made import Maker, training


def many() -> Maker:
    maker = Maker()
    for index in range(40):
        linked = maker.op(f"op{index}", 10 * index, 8, tid=index, dims=[[index]], types=["float"])
        maker.launched(f"k{index}", 10 * index + 1, 10 * index + 4, 3, tid=index, external=linked)
        maker.counter(f"c{index}", 10 * index, 1.0)
    return maker


def limited(tmp_path: Path, **limits: int) -> tuple[Timeline, list[tuple[str, int | None]]]:
    timeline = read(many().write(tmp_path / "t.json"), limits=Limits(**limits))
    return timeline, [(loss.code, loss.count) for loss in timeline.losses]


def test_what_is_beyond_a_limit_is_told(tmp_path: Path) -> None:
    assert limited(tmp_path)[1] == []
    assert limited(tmp_path, names=11)[1] == [("limit", 40 + 40 + 40 - 10)]
    assert limited(tmp_path, shapes=11)[1] == [("limit", 30)]
    timeline, told = limited(tmp_path, threads=11)
    assert told == [("limit", 60)] and len(timeline.threads) == 10
    assert (timeline.gpu.launch == UNKNOWN).sum() == 30
    timeline, told = limited(tmp_path, counters=10)
    assert told == [("limit", 30)] and len(timeline.counters) == 10


def test_text_of_names_and_shapes_is_bounded_in_bytes(tmp_path: Path) -> None:
    timeline, told = limited(tmp_path, interned_bytes=100)
    assert {code for code, _ in told} == {"limit"} and len(told) == 2
    assert sum(map(len, timeline.names)) <= 100


def test_categories_are_counted_together_where_there_are_too_many(tmp_path: Path) -> None:
    document = training().document()
    odd = [
        {"ph": "X", "cat": f"c{i}", "name": "z", "pid": 1, "tid": 1, "ts": 1, "dur": 1} for i in range(999)
    ]
    document["traceEvents"] = odd + document["traceEvents"]
    (tmp_path / "t.json").write_text(json.dumps(document))
    events = read(tmp_path / "t.json").meta.events
    assert len(events) < 300 and events["kernel"] == 9
    assert sum(events.values()) == len(document["traceEvents"])


@pytest.mark.parametrize(
    "odd",
    [
        {"ts": -4.6e15, "dur": 1},
        {"ts": 4.5e15, "dur": 4.5e15},
        {"ts": 5, "dur": 4.6e15},
        {"ts": 9e14, "dur": 1},
    ],
)
def test_times_far_off_all_others_are_left_out_and_told(tmp_path: Path, odd: dict[str, float]) -> None:
    maker = training()
    maker.kernel("far", 0, 1)
    maker.events[-1] |= odd
    timeline = read(maker.write(tmp_path / "t.json"))
    assert [(loss.code, loss.count) for loss in timeline.losses] == [("bad-times", 1)]
    assert len(timeline.gpu) == 12 and timeline.gpu.end_ns.max() < 10**7


def test_a_file_of_nothing_but_endless_kernels_is_refused(tmp_path: Path) -> None:
    maker = Maker()
    for index in range(4):
        maker.kernel("k", index, 4.6e15)
    with pytest.raises(TraceError, match="none with a usable time"):
        read(maker.write(tmp_path / "t.json"))


def test_sizes_that_no_device_has_are_unknown(tmp_path: Path) -> None:
    maker = Maker()
    maker.kernel("k", 0, 5, grid=(1 << 40, 1 << 20, 1), block=(-256, 1, 1))
    maker.copy(10, 5, 1 << 62)
    gpu = read(maker.write(tmp_path / "t.json")).gpu
    assert (gpu.blocks[0], gpu.threads[0], gpu.bytes[1]) == (UNKNOWN, UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
@pytest.mark.parametrize("stack", [False, True], ids=["plain", "in strings"])
def test_a_hole_in_a_file_is_told_wherever_it_is(tmp_path: Path, fill: bytes, stack: bool) -> None:
    document = training(steps=30).document()
    for number, event in enumerate(document["traceEvents"]):
        if stack and "args" in event:
            event["args"]["Call stack"] = "frames " * 60
        document["traceEvents"][number] = {"ph": event["ph"], **event}
    text = json.dumps(document).encode()
    whole = sum(read(_written(tmp_path, text)).meta.events.values())
    for at in range(2000, len(text) - 4000, len(text) // 60):
        timeline = read(_written(tmp_path, text[:at] + fill * 1500 + text[at + 1500 :]))
        assert sum(timeline.meta.events.values()) < whole
        assert timeline.losses != (), at


def _written(folder: Path, text: bytes) -> Path:
    path = folder / "t.json"
    path.write_bytes(text)
    return path


def test_a_process_that_cannot_be_started_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = training(steps=40).write(tmp_path / "t.json")
    start, started = subprocess.Popen, list[Any]()

    def refused(*given: Any, **more: Any) -> Any:
        if len(started) == most:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(start(*given, **more))
        return started[-1]

    monkeypatch.setattr("advisor.traces.kineto.workers.subprocess.Popen", refused)
    for most in (0, 1):  # noqa: B007  read by `refused`
        timeline = read_kineto(path, progress=None, limits=Limits(), processes=3, piece_bytes=4096)
        assert len(timeline.gpu) == 160 and timeline.losses == ()
    assert [process.returncode is not None for process in started] == [True]


def test_a_reply_is_not_taken_from_the_pipe_with_the_one_before(tmp_path: Path) -> None:
    """One that lies in a buffer is seen by no selector, and is waited for without end."""
    text = b'{"ph":"X","cat":"kernel","name":"k","ts":1,"dur":1,"args":{"device":0}}'
    path = tmp_path / "t.json"
    path.write_bytes(text)
    with path.open("rb") as file:
        worker = workers._Worker(file.fileno(), Limits())
        try:
            for index in range(2):
                assert worker.give(Task(index, 0, len(text), last=False), b"")
            worker.stdin.close()
            worker.process.wait(timeout=60)
            first = worker.answer()
            left = struct.unpack("i", fcntl.ioctl(worker.stdout.fileno(), termios.FIONREAD, bytes(4)))[0]
            second = worker.answer()
        finally:
            worker.close()
    assert first is not None and second is not None and (first.index, second.index) == (0, 1)
    assert left > 1000


def test_a_message_is_read_to_its_last_byte_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    path.write_bytes(
        struct.pack("<Q", 3) + b"one" + struct.pack("<Q", 5) + b"two.." + LENGTH.pack(9) + b"cut"
    )
    with path.open("rb", buffering=0) as pipe:
        assert receive(pipe) == b"one"
        assert pipe.tell() == LENGTH.size + 3
        assert receive(pipe) == b"two.."
        assert receive(pipe) is None


@pytest.mark.parametrize(
    ("others", "devices", "told"), [((), [0], []), ((3,), [3], []), ((0, 1), [0, 1], [1])]
)
def test_a_kernel_without_a_device(
    tmp_path: Path, others: tuple[int, ...], devices: list[int], told: list[int]
) -> None:
    maker = Maker()
    for number in others:
        maker.launched("k", 1, 5, 3, device=number)
    maker.events.append({"ph": "X", "cat": "kernel", "name": "b", "ts": 10, "dur": 3})
    timeline = read(maker.write(tmp_path / "t.json"))
    assert list(timeline.device_numbers()) == devices
    assert [loss.count for loss in timeline.losses if loss.code == "no-device"] == told


def test_text_without_an_event_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_FIRST_LOOK", 1000)
    monkeypatch.setattr(pieces, "_HARDEST", 8000)
    text = training().text()[:-200] + b"[" * 400_000
    (tmp_path / "t.json").write_bytes(text)
    ends: list[int] = []
    timeline = read_kineto(
        tmp_path / "t.json", progress=lambda done, _: ends.append(done), piece_bytes=5000,
        limits=Limits(eventless_bytes=50_000, event_bytes=2000),
    )  # fmt: skip
    assert next(loss.code for loss in timeline.losses) == "limit"
    assert ends[-1] < 200_000 and len(timeline.gpu) >= 9


@pytest.mark.parametrize("change", [{"ts": "ts_us"}, {"dur": "length"}])
def test_events_whose_times_have_another_name_are_refused_for_that(
    tmp_path: Path, change: dict[str, str]
) -> None:
    text = training().text()
    for key, other in change.items():
        text = text.replace(f'"{key}":'.encode(), f'"{other}":'.encode())
    with pytest.raises(TraceError, match="events, none with a usable time"):
        read(_written(tmp_path, text))

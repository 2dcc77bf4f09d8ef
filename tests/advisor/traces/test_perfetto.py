from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.reports.errors import WriteError
from advisor.traces.attribution import Attribution, attribute
from advisor.traces.limits import Limits
from advisor.traces.nesting import innermost
from advisor.traces.perfetto import write_perfetto
from advisor.traces.perfetto_events import Ids, micros
from advisor.traces.perfetto_gpu import _Lanes
from advisor.traces.perfetto_merge import NotMergeableError, WholeEvents, merge, plain_chunks
from advisor.traces.read import read
from advisor.traces.timeline import GpuKind, Timeline
from rules.traces.records import BUSY, CAUSES
from tests.advisor.traces.made import Maker, training
from tests.advisor.traces.nsight import export
from tests.advisor.traces.real import trace

OURS = 2_000_000_000
Event = dict[str, Any]


def attributed(*timelines: Timeline) -> dict[tuple[int, int], Attribution]:
    """Every device of every timeline, with kernels of unknown nature."""
    return {
        (file, device): attribute(timeline, device, natures(timeline))
        for file, timeline in enumerate(timelines)
        for device in timeline.device_numbers()
    }


def natures(timeline: Timeline) -> Any:
    kernels = timeline.gpu.kind == GpuKind.KERNEL
    return np.where(kernels, BUSY.index("other"), BUSY.index("copy")).astype(np.uint8)


def events_of(path: Path) -> list[Event]:
    text = path.read_bytes()
    plain = gzip.decompress(text) if path.suffix == ".gz" else text
    events: list[Event] = json.loads(plain, parse_float=Decimal)["traceEvents"]
    return events


def ours(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event["pid"], int) and event["pid"] > OURS]


def times_ns(events: list[Event], names: tuple[str, ...]) -> Counter[str]:
    """Time of our slices by name."""
    total: Counter[str] = Counter()
    for event in events:
        if event["ph"] == "X" and event.get("cat") == "advisor" and event["name"] in names:
            total[event["name"]] += int(Decimal(event["dur"]) * 1000)
    return total


def expected_ns(parts: dict[tuple[int, int], Attribution]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts.values():
        total.update(dict(zip(CAUSES, part.causes_ns().tolist(), strict=True)))
        total.update(dict(zip(BUSY, part.busy_ns().tolist(), strict=True)))
    return +total


def written(maker: Maker, folder: Path, out: str = "out.json", name: str = "synthetic.json") -> list[Event]:
    timeline = read(maker.write(folder / name))
    write_perfetto([timeline], attributed(timeline), folder / out)
    return events_of(folder / out)


@pytest.mark.parametrize("name", ["synthetic.json", "synthetic.json.gz"])
@pytest.mark.parametrize("out", ["out.json", "out.json.gz"])
def test_the_original_events_are_all_there_and_ours_come_first(tmp_path: Path, name: str, out: str) -> None:
    maker = training(4)
    events = written(maker, tmp_path, out, name)
    mine = ours(events)
    assert mine
    assert events[: len(mine)] == mine
    assert events[len(mine) :] == json.loads(maker.text(), parse_float=Decimal)["traceEvents"]


def test_the_rest_of_the_original_stays_byte_for_byte(tmp_path: Path) -> None:
    path = training(2).write(tmp_path / "synthetic.json", indent=3)
    timeline = read(path)
    write_perfetto([timeline], attributed(timeline), tmp_path / "out.json")
    before, _, after = path.read_bytes().partition(b'"traceEvents": [')
    text = (tmp_path / "out.json").read_bytes()
    assert text.startswith(before + b'"traceEvents": [')
    assert text.endswith(after.lstrip())


def test_our_slices_sum_to_the_attribution_and_cover_the_span(tmp_path: Path) -> None:
    path = training(5).write(tmp_path / "synthetic.json")
    timeline = read(path)
    parts = attributed(timeline)
    write_perfetto([timeline], parts, tmp_path / "out.json")
    mine = ours(events_of(tmp_path / "out.json"))
    assert times_ns(mine, CAUSES + BUSY) == expected_ns(parts)
    assert sum(expected_ns(parts).values()) == parts[0, 0].span_ns


def test_our_slices_lie_on_the_originals_clock(tmp_path: Path) -> None:
    events = written(training(3), tmp_path)
    first = min(Decimal(e["ts"]) for e in events if e.get("cat") in {"kernel", "gpu_memcpy"})
    assert min(Decimal(e["ts"]) for e in ours(events) if e["ph"] == "X") == first


def test_slices_say_what_ended_the_gap_and_what_the_host_did(tmp_path: Path) -> None:
    slices = [e for e in ours(written(training(3), tmp_path)) if e.get("name") == "data_loading"]
    assert slices
    assert {e["args"]["ended by"] for e in slices} <= {"synthetic_sgemm", "Memcpy HtoD (Pageable -> Device)"}
    assert any("DataLoader" in e["args"]["the host was in"] for e in slices)


def test_tracks_are_named_and_stand_on_top(tmp_path: Path) -> None:
    meta = [e for e in ours(written(training(2, rank=3, world_size=8), tmp_path)) if e["ph"] == "M"]
    named = {e["args"]["name"] for e in meta if "name" in e["args"]}
    assert named == {"advisor: rank 3, GPU 0", "idle causes", "busy class"}
    assert [e["args"]["sort_index"] for e in meta if e["name"] == "process_sort_index"] == [-1_000_000]
    threads = [e["tid"] for e in meta if e["name"] == "thread_name"]
    assert len(set(threads)) == 2
    assert max(threads) < 1 << 32


def test_counters_share_out_each_window_and_end_at_zero(tmp_path: Path) -> None:
    counters = [e for e in ours(written(training(5), tmp_path)) if e["ph"] == "C"]
    sums = [sum(e["args"].values()) for e in counters]
    assert len(counters) > 100
    assert all(0 <= total <= Decimal("100.01") for total in sums)
    assert max(sums) > 99
    assert sums[-1] == 0


def test_counters_agree_with_the_attribution(tmp_path: Path) -> None:
    timeline = read(training(5).write(tmp_path / "synthetic.json"))
    parts = attributed(timeline)
    write_perfetto([timeline], parts, tmp_path / "out.json")
    counters = [e for e in ours(events_of(tmp_path / "out.json")) if e["ph"] == "C"]
    zero = timeline.meta.file_zero_ns or 0
    for now, then in list(itertools.pairwise(counters))[::50]:
        low, high = (int(Decimal(e["ts"]) * 1000) - zero for e in (now, then))
        causes, _ = parts[0, 0].between(low, high)
        for cause, share in now["args"].items():
            assert float(share) == pytest.approx(100 * causes[CAUSES.index(cause)] / (high - low), abs=0.001)


HOSTILE = 'evil"}],"\\\n\x00\x1b]0;x\x07</script>\u202e\ud800 traceEvents": [{'


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    maker = Maker()
    for number in range(4):
        maker.annotation(HOSTILE, 100.0 * number, 40.0)
        maker.launched(HOSTILE, 100.0 * number + 10, 100.0 * number + 50, 20.0)
    maker.events[0]["args"]["traceEvents"] = [{"traceEvents": []}]
    path = tmp_path / "synthetic.json"
    text = maker.text().replace(b"\\ud800", b"?")
    path.write_bytes(b'{"note": "\\"traceEvents\\": [", "more": {"traceEvents": [1]}, ' + text[1:])
    timeline = read(path)
    write_perfetto([timeline], attributed(timeline), tmp_path / "out.json")
    events = events_of(tmp_path / "out.json")
    mine = ours(events)
    assert len(events) == len(mine) + len(maker.events)
    shown = json.dumps(mine, default=str, ensure_ascii=False)
    assert not any(char in shown for char in "\x00\x1b\x07\u202e")


def test_a_truncated_original_is_closed(tmp_path: Path) -> None:
    maker = training(6)
    text = maker.text(indent=1)
    path = tmp_path / "synthetic.json"
    timeline = read(maker.write(tmp_path / "whole.json"))
    for part in (0.5, 0.7, 0.901):
        path.write_bytes(text[: int(len(text) * part)])
        meta = dataclasses.replace(timeline.meta, path=str(path))
        cut = dataclasses.replace(timeline, meta=meta)
        write_perfetto([cut], attributed(cut), tmp_path / "out.json")
        events = events_of(tmp_path / "out.json")
        kept = events[len(ours(events)) :]
        assert 0 < len(kept) < len(maker.events)
        assert kept == json.loads(maker.text(), parse_float=Decimal)["traceEvents"][: len(kept)]


def pieces(text: bytes, size: int) -> Any:
    return (text[i : i + size] for i in range(0, len(text), size))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers(), st.none()))),
    st.integers(1, 40),
    st.data(),
)
def test_whole_events_of_a_cut_array_are_kept(events: list[Event], size: int, data: st.DataObject) -> None:
    text = json.dumps(events)[1:].encode()
    cut = data.draw(st.integers(0, len(text)))
    blobs = list(WholeEvents(b"", pieces(text[:cut], size)))
    found = [event for blob in blobs for event in json.loads(b"[" + blob + b"]")]
    assert found == events[: len(found)]
    if cut == len(text):
        assert found == events


@pytest.mark.parametrize("copies", [1, 3000])
@pytest.mark.parametrize(
    ("broken", "kept"),
    [
        ('{"ph": "X", "name": "k"2", "args": {}}', {"ph": "X", "name": 'k"2', "args": {}}),
        ('{"ph": "X", "name": "k\\2", "args": {}}', {"ph": "X", "name": "k\\2", "args": {}}),
        ('{"ph": "X", "name": "k2", "dur": NaN}', {"ph": "X", "name": "k2", "dur": None}),
        ('{"ph": "X", "name": "k2", "dur": }', None),
    ],
    ids=["quote", "escape", "NaN", "hopeless"],
)
def test_a_damaged_event_is_mended_or_costs_itself_alone(
    tmp_path: Path, broken: str, kept: Event | None, copies: int
) -> None:
    good = [{"ph": "X", "name": f"k{n}", "args": {"n": [n], "more": {}}} for n in range(4)]
    parts = [json.dumps(event) for event in good] * copies
    parts.insert(2, broken)
    text = '{"traceEvents": [' + ",\n ".join(parts) + '], "traceName": "x"}'
    (tmp_path / "synthetic.json").write_text(text)
    out: list[bytes] = []
    merge(tmp_path / "synthetic.json", iter([b'{"ours":1}']), out.append, Limits(header_bytes=1 << 21))
    events = good * copies
    events[2:2] = [kept] if kept else []
    assert json.loads(b"".join(out)) == {"traceEvents": [{"ours": 1}, *events], "traceName": "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[]", [{"ours": 1}]),
        (b'[{"a":1}]', [{"ours": 1}, {"a": 1}]),
        (b' \n[ {"a":1} , {"b":"]"} ] ', [{"ours": 1}, {"a": 1}, {"b": "]"}]),
        (b'{"traceEvents":[]}', {"traceEvents": [{"ours": 1}]}),
        (b'{"x":[{}],"traceEvents" : [ \n ] }', {"x": [{}], "traceEvents": [{"ours": 1}]}),
    ],
)
def test_both_forms_are_merged(tmp_path: Path, text: bytes, expected: object) -> None:
    (tmp_path / "synthetic.json").write_bytes(text)
    out: list[bytes] = []
    merge(tmp_path / "synthetic.json", iter([b'{"ours":1}']), out.append, Limits(header_bytes=1000))
    assert json.loads(b"".join(out)) == expected


@pytest.mark.parametrize("text", [b"", b"{}", b'{"a":"traceEvents"}', b'{"traceEvents":{}}', b"x" * 5000])
def test_without_an_array_of_events_nothing_is_written(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "synthetic.json").write_bytes(text)
    out: list[bytes] = []
    with pytest.raises(NotMergeableError):
        merge(tmp_path / "synthetic.json", iter([]), out.append, Limits(header_bytes=1000))
    assert out == []


def test_gzip_of_several_members_and_a_cut_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.gz"
    path.write_bytes(gzip.compress(b"one ") + gzip.compress(b"two") + b"\x00\x00")
    assert b"".join(plain_chunks(path, Limits())) == b"one two"
    noise = bytes(np.random.default_rng(0).integers(0, 256, 100_000, np.uint8))
    path.write_bytes(gzip.compress(noise)[:60_000])
    got = b"".join(plain_chunks(path, Limits()))
    assert 0 < len(got) < len(noise)
    assert noise.startswith(got)


def test_one_of_the_traces_is_not_overwritten(tmp_path: Path) -> None:
    path = training(2).write(tmp_path / "synthetic.json")
    before = path.read_bytes()
    link = tmp_path / "link.json"
    link.symlink_to(path)
    timeline = read(path)
    for out in (path, link, tmp_path / "." / "synthetic.json"):
        with pytest.raises(WriteError, match="it is the trace that was read"):
            write_perfetto([timeline], attributed(timeline), out)
    assert path.read_bytes() == before


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    timeline = read(training(2).write(tmp_path / "synthetic.json"))
    with pytest.raises(WriteError):
        write_perfetto([timeline], attributed(timeline), tmp_path / "none" / "out.json")
    Path(timeline.meta.path).unlink()
    with pytest.raises(WriteError):
        write_perfetto([timeline], attributed(timeline), tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def nsight(folder: Path) -> Timeline:
    made = export.training(4).kernel(2100, 2300, "overlapping").kernel(2150, 2400, "overlapping too")
    return read(made.write(folder / "synthetic.sqlite"))


def test_an_nsight_report_becomes_a_trace_of_its_own(tmp_path: Path) -> None:
    timeline = nsight(tmp_path)
    parts = attributed(timeline)
    write_perfetto([timeline], parts, tmp_path / "out.json")
    events = events_of(tmp_path / "out.json")
    assert times_ns(events, CAUSES + BUSY) == expected_ns(parts)
    kernels = [e for e in events if e["ph"] == "X" and e["name"] not in CAUSES + BUSY]
    assert sorted(int(Decimal(e["dur"]) * 1000) for e in kernels) == [200, 250, 500, 500, 500, 500]
    assert {e["args"]["blocks"] for e in kernels} == {64}


def test_no_two_slices_of_a_thread_overlap(tmp_path: Path) -> None:
    timeline = nsight(tmp_path)
    write_perfetto([timeline], attributed(timeline), tmp_path / "out.json")
    slices: dict[int, list[tuple[Decimal, Decimal]]] = {}
    for event in events_of(tmp_path / "out.json"):
        if event["ph"] == "X":
            begin = Decimal(event["ts"])
            slices.setdefault(event["tid"], []).append((begin, begin + Decimal(event["dur"])))
    assert len(slices) == 5
    for spans in slices.values():
        spans.sort()
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


def test_several_files_have_their_own_processes(tmp_path: Path) -> None:
    timelines = [
        read(training(2, rank=rank, world_size=2).write(tmp_path / f"synthetic{rank}.json"))
        for rank in (0, 1)
    ]
    parts = attributed(*timelines)
    write_perfetto(timelines, parts, tmp_path / "out.json.gz")
    events = events_of(tmp_path / "out.json.gz")
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert sorted(names.values()) == [
        "advisor: rank 0, GPU 0", "advisor: rank 1, GPU 0",
        "rank 0, GPU 0: Synthetic GPU", "rank 1, GPU 0: Synthetic GPU",
    ]  # fmt: skip
    assert times_ns(events, CAUSES + BUSY) == expected_ns(parts)
    tids = [(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"]
    assert len({tid for _, tid in tids}) == len(tids)


def test_files_of_one_run_lie_on_one_clock_and_others_begin_together(tmp_path: Path) -> None:
    one = nsight(tmp_path)
    zero = one.meta.zero_ns or 0
    for apart, begin in ((1000, "1.1"), (10**12, "0.1")):
        two = dataclasses.replace(one, meta=dataclasses.replace(one.meta, zero_ns=zero + apart, rank=1))
        write_perfetto([one, two], attributed(one, two), tmp_path / "out.json")
        events = events_of(tmp_path / "out.json")
        (pid,) = (e["pid"] for e in events if e.get("args", {}).get("name") == "advisor: rank 1, GPU 0")
        assert min(Decimal(e["ts"]) for e in events if e["pid"] == pid and e["ph"] == "X") == Decimal(begin)


def test_a_file_whose_clock_is_unknown_becomes_a_trace_of_its_own(tmp_path: Path) -> None:
    timeline = read(training(2).write(tmp_path / "synthetic.json"))
    loose = dataclasses.replace(timeline, meta=dataclasses.replace(timeline.meta, file_zero_ns=None))
    write_perfetto([loose], attributed(loose), tmp_path / "out.json")
    assert len(ours(events_of(tmp_path / "out.json"))) == len(events_of(tmp_path / "out.json"))


def test_names_are_cleaned_as_asked(tmp_path: Path) -> None:
    timeline = nsight(tmp_path)
    write_perfetto([timeline], attributed(timeline), tmp_path / "out.json", clean=lambda text: text.upper())
    shown = (tmp_path / "out.json").read_text()
    assert "SYNTHETIC_GEMM" in shown
    assert "synthetic_gemm" not in shown


def test_a_header_beyond_the_limit_is_not_searched(tmp_path: Path) -> None:
    timeline = read(training(2).write(tmp_path / "synthetic.json"))
    path = tmp_path / "padded.json"
    path.write_bytes(b'{"pad":"' + b"x" * (3 << 20) + b'",' + Path(timeline.meta.path).read_bytes()[1:])
    padded = dataclasses.replace(timeline, meta=dataclasses.replace(timeline.meta, path=str(path)))
    write_perfetto([padded], attributed(padded), tmp_path / "out.json", limits=Limits(header_bytes=1 << 20))
    assert "traceName" not in json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize(
    "name",
    ["h100_bert_small.json.gz", "v100_ns_resolution.json.gz", "mi210_gpu_only.json.gz", "nsys_2gpu.sqlite"],
)
def test_real_traces(tmp_path: Path, name: str) -> None:
    path = trace(name)
    timeline = read(path)
    parts = attributed(timeline)
    write_perfetto([timeline], parts, tmp_path / "out.json.gz")
    events = events_of(tmp_path / "out.json.gz")
    mine = ours(events)
    assert times_ns(mine, CAUSES + BUSY) == expected_ns(parts)
    if path.suffix == ".gz":
        assert events[len(mine) :] == events_of(path)


@given(st.integers(-(2**62), 2**62))
def test_times_are_written_to_the_nanosecond(time_ns: int) -> None:
    assert Decimal(micros(time_ns)) * 1000 == time_ns


def test_innermost_of_nested_intervals() -> None:
    starts = np.array([0, 10, 12, 30, 60], np.int64)
    ends = np.array([50, 20, 14, 40, 70], np.int64)
    times = np.array([-1, 5, 10, 13, 15, 25, 35, 45, 55, 65, 80], np.int64)
    assert innermost(starts, ends, times).tolist() == [-1, 0, 1, 2, 1, 0, 3, 0, -1, 4, -1]
    none = np.zeros(0, np.int64)
    assert innermost(none, none, times).tolist() == [-1] * 11


def test_what_unpacks_without_end_is_copied_as_far_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.json.gz"
    text = training(2).text()
    at = text.index(b'"traceEvents": [') + len(b'"traceEvents": [')
    path.write_bytes(gzip.compress(text[:at] + text[at:-2] + b" " * (64 << 20) + b"]}"))
    limits = Limits(ratio_from_bytes=1 << 20, ratio=50.0)
    timeline = read(path, limits=limits)
    assert "limit" in {loss.code for loss in timeline.losses}
    write_perfetto([timeline], attributed(timeline), tmp_path / "out.json", limits=limits)
    assert (tmp_path / "out.json").stat().st_size < 16 << 20
    assert ours(events_of(tmp_path / "out.json"))


def test_a_trace_that_cannot_be_read_again_is_refused(tmp_path: Path) -> None:
    path = training(2).write(tmp_path / "synthetic.json")
    timeline = read(path)
    path.unlink()
    with pytest.raises(WriteError, match="cannot be read again"):
        write_perfetto([timeline], attributed(timeline), tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def test_many_rows_at_once_on_a_stream_take_no_time_each() -> None:
    lanes, threads = _Lanes(1, Ids()), Counter[int]()
    for row in range(50_000):  # one after the other through all lanes, this would be 1e9 looks
        threads[lanes.place(7, row, 10**9 + row)[0]] += 1
    assert len(threads) == 50_000


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=60))
def test_rows_of_a_lane_never_overlap_and_the_first_free_one_is_taken(rows: list[tuple[int, int]]) -> None:
    lanes, until = _Lanes(1, Ids()), dict[int, int]()
    for start, length in sorted(rows):
        first = next((tid for tid, free in until.items() if free <= start), None)
        tid, named = lanes.place(7, start, start + length)
        assert tid == first if first is not None else tid not in until
        assert bool(named) == (first is None)
        until[tid] = start + length

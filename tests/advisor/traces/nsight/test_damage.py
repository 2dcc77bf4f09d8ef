from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.traces.errors import TraceError
from advisor.traces.limits import Limits
from advisor.traces.nsight import read_nsight
from advisor.traces.nsight.annotations import NVTX
from advisor.traces.nsight.database import opened
from tests.advisor.traces.nsight.export import KERNEL, MEMCPY, RUNTIME, Export, global_tid, training


def check(path: Path) -> None:
    """Reads a file of any content: a Timeline whose columns hold together, or TraceError with what to do."""
    try:
        timeline = read_nsight(path)
    except TraceError as error:
        assert error.message
        assert error.fix
        return
    gpu, host = timeline.gpu, timeline.host
    assert (gpu.end_ns >= gpu.start_ns).all()
    assert (gpu.start_ns >= 0).all()
    assert (gpu.launch < len(host)).all()
    assert ((gpu.name >= 0) & (gpu.name < len(timeline.names))).all()
    assert ((host.name >= 0) & (host.name < len(timeline.names))).all()
    assert ((host.thread >= 0) & (host.thread < len(timeline.threads))).all()
    assert (gpu.op < len(timeline.ops)).all()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return training(400).write(tmp_path_factory.mktemp("sound") / "synthetic.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x00" * 4096, "no SQLite"),
        (b'{"traceEvents": []}', "no SQLite"),
        (b"SQLite format 3\x00", ""),
        (b"SQLite format 3\x00" + b"\xff" * 8000, ""),
    ],
    ids=["empty", "zeros or encrypted", "JSON", "header alone", "header and noise"],
)
def test_what_is_no_export_says_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "synthetic.sqlite"
    path.write_bytes(content)
    with pytest.raises(TraceError) as caught:
        read_nsight(path)
    assert said in caught.value.message
    assert "nsys" in caught.value.fix or "again" in caught.value.fix


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be opened"):
        read_nsight(tmp_path / "none.sqlite")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE bookmarks (id, url)", "no export of Nsight Systems"),
        ("CREATE TABLE CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL (start)", "nvprof"),
    ],
)
def test_another_programs_database_is_told_apart(tmp_path: Path, statement: str, said: str) -> None:
    with pytest.raises(TraceError, match=said):
        read_nsight(Export().write(tmp_path / "synthetic.sqlite", [statement]))


def test_a_report_without_cuda_says_how_to_record_one(tmp_path: Path) -> None:
    export = Export().about()
    with pytest.raises(TraceError) as caught:
        read_nsight(export.write(tmp_path / "synthetic.sqlite"))
    assert "CUDA was not traced" in caught.value.message
    assert "nsys profile -t cuda,nvtx,osrt" in caught.value.fix


def test_a_report_of_the_host_alone_is_read(tmp_path: Path) -> None:
    timeline = read_nsight(Export().range(0, 9, "x").write(tmp_path / "synthetic.sqlite"))
    assert (len(timeline.gpu), len(timeline.host)) == (0, 1)
    assert [loss.code for loss in timeline.losses] == ["no-gpu-events"]


def test_nothing_is_written_beside_the_file_and_odd_names_are_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d 'e' \"f\""
    folder.mkdir()
    path = training().write(folder / "x?mode=rwc&y#z%41.sqlite")
    before = path.read_bytes()
    assert len(read_nsight(path).gpu) == 5
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_a_database_in_wal_mode_is_read_and_its_log_is_told(tmp_path: Path) -> None:
    path = training().write(tmp_path / "synthetic.sqlite")
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("INSERT INTO StringIds VALUES (1, 'late')")
    database.commit()
    before = sorted(entry.name for entry in tmp_path.iterdir())
    timeline = read_nsight(path)
    assert any("write-ahead log" in loss.message for loss in timeline.losses)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before
    database.close()


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_file_that_was_cut_off_gives_what_it_holds(tmp_path: Path, sound: bytes, part: float) -> None:
    path = tmp_path / "synthetic.sqlite"
    path.write_bytes(sound[: int(len(sound) * part)])
    try:
        timeline = read_nsight(path)
    except TraceError as error:
        assert error.fix
        return
    assert "truncated" in {loss.code for loss in timeline.losses}


def test_some_rows_of_a_cut_off_file_are_kept(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "synthetic.sqlite"
    path.write_bytes(sound[: int(len(sound) * 0.8)])
    timeline = read_nsight(path)
    assert 0 < len(timeline.gpu) + len(timeline.host) < 2400


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_do_no_harm(tmp_path: Path, sound: bytes, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(sound)
    for _ in range(chance.choice([1, 8, 200])):
        content[chance.randrange(100, len(content))] = chance.randrange(256)
    path = tmp_path / "synthetic.sqlite"
    path.write_bytes(content)
    check(path)


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2000),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_value_may_stand_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    export = training(2).copy(0, 5, 1, 0, 2)
    for table in (KERNEL, MEMCPY, RUNTIME, NVTX, "StringIds"):
        row = dict(export.tables[table][0])
        for column in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=6)):
            row[column] = data.draw(VALUES)
        export.tables[table].append(row)
    path = tmp_path / "synthetic.sqlite"
    path.unlink(missing_ok=True)
    check(export.write(path))


def test_impossible_intervals_are_left_out_and_counted(tmp_path: Path) -> None:
    export = Export().kernel(10, 20).call(0, 1, "cudaLaunchKernel", 9)
    export.kernel(30, 25).kernel(-50, -40).kernel(5, 2**63 - 1)
    export.tables[KERNEL].append(export.tables[KERNEL][0] | {"start": 1e300})
    timeline = read_nsight(export.write(tmp_path / "synthetic.sqlite"))
    assert list(timeline.gpu.start_ns) == [10]
    assert sum(loss.count or 0 for loss in timeline.losses if loss.code == "damaged") == 4


def test_names_may_hold_anything(tmp_path: Path) -> None:
    name = 'evil\x00\x1b]0;x\x07\n"><script>\u202e\ud7ff' + "x" * 200_000
    timeline = read_nsight(
        Export().kernel(1, 2, name).range(0, 1, name + "2").write(tmp_path / "synthetic.sqlite"),
        limits=Limits(name_chars=1000),
    )
    assert timeline.names[timeline.gpu.name[0]].startswith("evil")
    assert max(len(text) for text in timeline.names) <= 1000


def test_text_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    path = (
        Export()
        .kernel(1, 2)
        .write(tmp_path / "synthetic.sqlite", ["UPDATE StringIds SET value = CAST(X'67FFFE67' AS TEXT)"])
    )
    assert read_nsight(path).names == ("g\ufffd\ufffdg",)


def test_more_rows_than_the_limit_are_cut_and_told(tmp_path: Path) -> None:
    path = training(50).write(tmp_path / "synthetic.sqlite")
    timeline = read_nsight(path, limits=Limits(rows=120))
    assert "limit" in {loss.code for loss in timeline.losses}
    assert 0 < len(timeline.gpu) + len(timeline.host) <= 120


def test_a_needed_column_that_is_missing_costs_its_table_only(tmp_path: Path) -> None:
    export = Export().kernel(1, 2).add(RUNTIME, start=1, globalTid=global_tid())
    timeline = read_nsight(export.write(tmp_path / "synthetic.sqlite"))
    assert len(timeline.gpu) == 1
    assert any(f"{RUNTIME} has no column end" in loss.message for loss in timeline.losses)


def test_hostile_table_names_are_no_harm(tmp_path: Path) -> None:
    statement = 'CREATE TABLE "x"" ; DROP TABLE StringIds; --" (a)'
    path = Export().kernel(1, 2).write(tmp_path / "synthetic.sqlite", [statement])
    assert len(read_nsight(path).gpu) == 1


def test_a_view_is_no_table_and_may_be_without_end(tmp_path: Path) -> None:
    endless = (
        f"CREATE VIEW {RUNTIME} AS WITH RECURSIVE n(start) AS (SELECT 1 UNION ALL SELECT start + 1 FROM n) "  # noqa: S608
        'SELECT start, start + 1 AS "end", 1 AS globalTid FROM n'
    )
    timeline = read_nsight(Export().kernel(1, 2).write(tmp_path / "synthetic.sqlite", [endless]))
    assert (len(timeline.gpu), len(timeline.host)) == (1, 0)


def test_columns_are_told_by_the_file(tmp_path: Path) -> None:
    with opened(
        Export().kernel(1, 2).write(tmp_path / "synthetic.sqlite"), lambda _: None, Limits()
    ) as database:
        assert database.has(KERNEL, "start", "greenContextId")
        assert not database.has(KERNEL, "nothing")
        assert not database.has("NOTHING", "start")
        assert database.columns("NOTHING") == frozenset()


@pytest.mark.parametrize("limits", [Limits(names=5), Limits(interned_bytes=200)])
def test_more_names_than_the_limit_share_one_and_are_told(tmp_path: Path, limits: Limits) -> None:
    export = Export()
    for number in range(50):
        export.kernel(10 * number, 10 * number + 5, f"synthetic_kernel_{number}")
    timeline = read_nsight(export.write(tmp_path / "synthetic.sqlite"), limits=limits)
    assert len(timeline.gpu) == 50
    assert sum(len(name) for name in timeline.names) < 300
    losses = {loss.code: loss for loss in timeline.losses}
    assert (losses["limit"].count or 0) >= 35

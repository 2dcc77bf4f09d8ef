"""The history's file: what was kept comes back, and stays whatever happens to disk, file or process."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from advisor import locations
from advisor.document import Diagnosis
from advisor.keeping import database, tables
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import DAY_S, HistoryFile, Limits
from advisor.store import Store
from tests.factories import make_device_provenance, make_diagnosis, make_provenance, make_verdict
from tests.probes.reports import T0_S, cpu_facts, facts, full, key, report, take
from tests.strategies import diagnoses, with_sound_money

EVER = -float("inf")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def kept(tmp_path: Path) -> HistoryFile:
    """An empty history."""
    return HistoryFile(tmp_path / "state" / "history.sqlite3")


def at(t_s: float, *classes: Any, **changes: Any) -> Diagnosis:
    """A diagnosis whose window ended then."""
    made = make_diagnosis(*classes, **changes)
    provenance = msgspec.structs.replace(made.provenance, t_start_s=t_s - 60, t_end_s=t_s)
    return msgspec.structs.replace(made, provenance=provenance)


def sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def test_a_diagnosis_comes_back_as_it_was(kept: HistoryFile) -> None:
    made = at(1000.0, "host", "memory")
    number = kept.add(made)
    assert number == 1
    assert kept.document(1) == made
    assert kept.document(2) is None
    assert kept.numbers() == (1, 1, 1)
    first, second = kept.diagnoses(EVER)
    assert (first.id, first.t_s, first.class_, first.cause) == (1, 1000.0, "host", "input-pipeline")
    assert (first.confidence, first.shares) == (made.verdicts[0].confidence, made.verdicts[0].shares)
    assert first.useful_frac == made.ladder[0].shares["useful"]
    assert first.wasted_usd_h == made.ladder[0].wasted_usd_h
    assert (first.wasted_frac or 0) * 6.88 == pytest.approx(first.wasted_usd_h)
    assert (first.power_w_p50, first.power_w_p90, first.sm_mhz_p50) == (291.0, 402.0, 1755.0)
    assert (first.model, first.ceilings_label, first.synthetic) == ("X100 80GB", "assumed", True)
    assert second.gpu == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(made=diagnoses())
def test_any_diagnosis_comes_back(tmp_path: Path, made: Diagnosis) -> None:
    from advisor.reports.json import decode, encode

    history = HistoryFile(tmp_path / "any.sqlite3")
    made = with_sound_money(made)
    number = history.add(made)
    if number is None:
        return  # the same example again
    assert history.document(number) == decode(encode(made))
    rows = [row for row in history.diagnoses(EVER) if row.id == number]
    assert [row.key for row in rows] == [v.key for v in decode(encode(made)).verdicts]


def test_the_same_document_is_kept_once(kept: HistoryFile) -> None:
    assert kept.add(at(1.0)) == 1
    assert kept.add(at(1.0)) is None
    assert kept.add(at(2.0)) == 2
    assert kept.numbers()[0] == 2


def test_rows_without_a_price_or_provenance_say_unknown(kept: HistoryFile) -> None:
    bare = at(1.0, "host", price_usd_h=None)
    bare = msgspec.structs.replace(bare, provenance=msgspec.structs.replace(bare.provenance, devices=()))
    kept.add(bare)
    (row,) = kept.diagnoses(EVER)
    assert (row.wasted_usd_h, row.price_usd_h, row.price_basis, row.power_w_p50) == (None,) * 4
    assert row.wasted_frac is not None
    kept.add(msgspec.structs.replace(bare, ladder=()))
    assert kept.diagnoses(EVER)[0].useful_frac is None


def test_newest_first_and_since(kept: HistoryFile) -> None:
    for t_s in (20.0, 10.0, 30.0):
        kept.add(at(t_s))
    assert [row.t_s for row in kept.diagnoses(EVER)] == [30.0, 20.0, 10.0]
    assert [row.t_s for row in kept.diagnoses(20.0)] == [30.0, 20.0]


def test_nothing_kept_is_no_error_and_reading_creates_nothing(kept: HistoryFile) -> None:
    assert (kept.diagnoses(EVER), kept.figures(EVER), kept.document(1), kept.numbers()) == (
        [],
        [],
        None,
        (0, None, None),
    )
    assert kept.prune(Limits(), everything=True).bytes_before == 0
    assert not kept.path.parent.exists()


def test_private_whatever_the_umask_says(kept: HistoryFile) -> None:
    old = os.umask(0)
    try:
        kept.add(at(1.0))
    finally:
        os.umask(old)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    assert [p.name for p in kept.path.parent.iterdir()] == [kept.path.name], "no journal stays behind"


def test_where_it_lies_follows_the_environment(tmp_path: Path) -> None:
    named = locations.history_file({"ADVISOR_STATE_DIR": str(tmp_path)})
    assert named == tmp_path / "history.sqlite3"
    assert named.parent == locations.ceilings_dir({"ADVISOR_STATE_DIR": str(tmp_path)}).parent


def test_a_path_of_any_bytes_will_do(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / os.fsdecode(b"a ?#%20\xff&mode=ro") / "h.sqlite3")
    assert history.add(at(1.0)) == 1
    assert history.document(1) == at(1.0)


def test_no_write_ahead_log(kept: HistoryFile) -> None:
    """It cannot live on NFS."""
    kept.add(at(1.0))
    with closing(sqlite3.connect(kept.path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2


# --- probe runs ------------------------------------------------------------------------------------


def test_runs_of_the_store_are_taken_over_once(kept: HistoryFile, tmp_path: Path) -> None:
    store = Store(tmp_path / "ceilings")
    store.add(full())
    store.add(full(t_s=T0_S + 1, device=facts(1)))
    store.add(report(take("host_copy", 9e10), device=cpu_facts()))
    assert kept.take_over(store, [key(0)]) == 1
    assert kept.take_over(store) == 2
    assert kept.take_over(store) == 0
    store.add(report(take("bf16", 7e14), contended="python holds it", t_s=T0_S + 9))
    assert kept.take_over(store) == 1
    found = {f.metric: f for f in kept.figures(EVER) if f.key == key(0) and not f.contended}
    bf16, int8 = found["bf16"], found["int8"]
    assert (bf16.value, bf16.held, bf16.unit, bf16.valid) == (730e12, True, "flop_s", "valid")
    assert (bf16.versions["driver"], bf16.power_limit_w, bf16.ecc) == ("580.95.05", 700.0, True)
    assert (bf16.sm_mhz, bf16.power_w, bf16.throttle_reasons) == (1410.0, 694.0, ("sw_power_cap",))
    assert (int8.value, int8.valid, int8.held) == (None, "failed", False)
    assert {f.kind for f in kept.figures(EVER)} == {"cuda", "cpu"}
    assert kept.figures(EVER)[0].contended


def test_an_empty_store_creates_no_file(kept: HistoryFile, tmp_path: Path) -> None:
    assert kept.take_over(Store(tmp_path / "nothing")) == 0
    assert not kept.path.exists()


# --- pruning ---------------------------------------------------------------------------------------


def test_what_is_too_old_goes(kept: HistoryFile) -> None:
    now_s = time.time()
    for days in (40, 31, 29, 0):
        kept.add(at(now_s - days * DAY_S))
    done = kept.prune(Limits(days=30))
    assert (done.diagnoses, done.kept_diagnoses) == (2, 2)
    assert [round((now_s - row.t_s) / DAY_S) for row in kept.diagnoses(EVER)] == [0, 29]
    assert kept.document(1) is None


def test_adding_prunes_by_itself(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "h.sqlite3", Limits(days=30))
    now_s = time.time()
    HistoryFile(history.path).add(at(now_s - 60 * DAY_S))
    history.add(at(now_s))
    assert [row.t_s for row in history.diagnoses(EVER)] == [now_s]


@pytest.mark.parametrize("limits", [Limits(days=30), Limits(mib=0.15)])
def test_what_would_go_at_once_is_refused_and_takes_nothing_along(kept: HistoryFile, limits: Limits) -> None:
    for number in range(9):
        kept.add(bulky(number))
    kept.add(at(time.time()))
    before = kept.diagnoses(EVER)
    with pytest.raises(HistoryError, match="no place for it"):
        HistoryFile(kept.path, limits).add(bulky(-100))
    assert kept.diagnoses(EVER) == before


def bulky(number: int) -> Diagnosis:
    """About 64 KiB that cannot be compressed."""
    noise = os.urandom(32 * 1024).hex()
    verdict = make_verdict(headline=noise)
    return at(1000.0 + number, verdicts=(verdict,), findings=())


def test_the_oldest_goes_until_the_rest_fits_and_the_file_shrinks(kept: HistoryFile) -> None:
    for number in range(40):
        kept.add(bulky(number))
    before = kept.path.stat().st_size
    assert before > 1.2 * 1024**2
    done = kept.prune(Limits(mib=0.5))
    assert kept.path.stat().st_size == done.bytes_after <= 0.5 * 1024**2
    times = [row.t_s for row in kept.diagnoses(EVER)]
    assert times == [1039.0 - i for i in range(len(times))], "the newest stay, and none of them is missing"
    assert len(times) >= 5
    assert done.diagnoses == 40 - len(times)
    assert sound(kept.path)


def test_the_file_stays_within_its_size_as_it_grows(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "h.sqlite3", Limits(mib=0.4))
    for number in range(30):
        history.add(bulky(number))
        assert history.path.stat().st_size <= 0.4 * 1024**2
    assert history.diagnoses(EVER)[0].t_s == 1029.0


def test_pruned_runs_do_not_come_back_from_the_store(kept: HistoryFile, tmp_path: Path) -> None:
    store = Store(tmp_path / "ceilings")
    now_s = time.time()
    for days in (50, 10):
        store.add(full(t_s=now_s - days * DAY_S))
    kept.add(at(now_s))
    assert kept.take_over(store) == 2
    assert kept.prune(Limits(days=30)).probe_runs == 1
    assert kept.take_over(store) == 0
    done = kept.prune(Limits(), everything=True)
    assert (done.diagnoses, done.probe_runs, done.kept_diagnoses) == (1, 1, 0)
    assert kept.take_over(store) == 0
    assert kept.figures(EVER) == []
    store.add(full(t_s=time.time() + 1))
    assert kept.take_over(store) == 1, "new runs are kept again"


@pytest.mark.parametrize("by_size", [False, True])
def test_a_diagnosis_from_the_future_does_not_keep_runs_out(
    kept: HistoryFile, tmp_path: Path, by_size: bool
) -> None:
    kept.add(at(4e9))
    done = kept.prune(Limits(mib=0.0)) if by_size else kept.prune(Limits(), everything=True)
    assert (done.diagnoses, done.kept_diagnoses) == (1, 0)
    store = Store(tmp_path / "ceilings")
    store.add(full(t_s=time.time() + 1))
    assert kept.take_over(store) == 1


def test_a_mark_that_a_wrong_clock_set_is_no_mark(kept: HistoryFile, tmp_path: Path) -> None:
    kept.add(at(1.0))
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as db:
        db.execute("INSERT INTO marks VALUES ('runs_from_s', 4e9)")
    store = Store(tmp_path / "ceilings")
    store.add(full(t_s=time.time() - DAY_S))
    assert kept.take_over(store) == 1
    kept.prune(Limits(), everything=True)
    assert kept.take_over(store) == 0, "and what is pruned stays so"


# --- versions --------------------------------------------------------------------------------------


def version_1(path: Path) -> None:
    """A file as version 1 of it was: diagnoses alone."""
    import hashlib
    import zlib

    from advisor.reports.json import encode

    raw = encode(at(5.0, "memory"))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for statement in tables.MIGRATIONS[0]:
            db.execute(statement)
        db.execute(
            "INSERT INTO documents VALUES (7, 5.0, 'live', 1, 'host-1', NULL, '0.1', ?, ?)",
            (hashlib.sha256(raw).digest(), zlib.compress(raw)),
        )
        db.execute(
            "INSERT INTO devices (id, place, key, gpu, name, class, cause, confidence, shares) "
            "VALUES (7, 0, 'GPU-1', 0, 'X100', 'memory', 'dram-bandwidth', 0.9, '{}')"
        )
        db.execute(f"PRAGMA application_id={tables.APPLICATION_ID}")
        db.execute("PRAGMA user_version=1")


def test_a_file_of_version_1_is_brought_up_to_date(kept: HistoryFile, tmp_path: Path) -> None:
    kept.path.parent.mkdir()
    version_1(kept.path)
    store = Store(tmp_path / "ceilings")
    store.add(full())
    assert [row.id for row in kept.diagnoses(EVER)] == [7], "reading brings it up to date, too"
    assert kept.document(7) == at(5.0, "memory")
    assert kept.take_over(store) == 1
    assert kept.add(at(6.0)) == 8
    with closing(sqlite3.connect(kept.path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == tables.VERSION
    assert kept.warnings == []


def test_a_migration_that_fails_leaves_the_old_version(
    kept: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.path.parent.mkdir()
    version_1(kept.path)
    before = kept.path.read_bytes()
    broken = (tables.MIGRATIONS[0], (*tables.MIGRATIONS[1], "CREATE NONSENSE"))
    monkeypatch.setattr(database, "MIGRATIONS", broken)
    with pytest.raises(HistoryError):
        kept.add(at(6.0))
    assert kept.path.read_bytes() == before


def test_a_file_of_a_later_advisor_is_left_alone(kept: HistoryFile) -> None:
    kept.add(at(1.0))
    with closing(sqlite3.connect(kept.path)) as db:
        db.execute("PRAGMA user_version=99")
    before = kept.path.read_bytes()
    for attempt in (lambda: kept.add(at(2.0)), lambda: kept.diagnoses(EVER)):
        with pytest.raises(HistoryError, match="later advisor"):
            attempt()
    assert kept.path.read_bytes() == before
    assert kept.warnings == []


# --- what is none of ours, or damaged ----------------------------------------------------------------


def aside(kept: HistoryFile) -> list[Path]:
    return sorted(path for word in ("damaged", "foreign") for path in kept.path.parent.glob(f"*.{word}-*"))


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE moz_places (url TEXT)")


def no_database(path: Path) -> None:
    path.write_bytes(b"these are somebody's notes\n" * 200)


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\1")


@pytest.mark.parametrize("make", [foreign_database, no_database, short])
def test_what_is_no_history_is_moved_aside_and_nothing_is_deleted(kept: HistoryFile, make: Any) -> None:
    kept.path.parent.mkdir()
    make(kept.path)
    before = kept.path.read_bytes()
    with pytest.raises(HistoryError):
        kept.diagnoses(EVER)
    assert kept.path.read_bytes() == before, "reading moves nothing"
    assert kept.add(at(1.0)) == 1
    (moved,) = aside(kept)
    assert moved.read_bytes() == before
    (said,) = kept.warnings
    assert moved.name in said and "new history" in said
    assert (".foreign-" in moved.name) is (make is foreign_database), (
        "a healthy database is not called damaged"
    )
    assert kept.document(1) == at(1.0)


def test_a_database_damaged_in_the_middle_is_moved_aside(kept: HistoryFile) -> None:
    for number in range(5):
        kept.add(bulky(number))
    data = bytearray(kept.path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 100] = b"\xa5" * 100
    kept.path.write_bytes(data)
    assert kept.add(at(1.0)) == 1
    (moved,) = aside(kept)
    assert moved.read_bytes() == data
    kept.path.write_bytes(data)
    kept.add(at(1.0))
    assert len(aside(kept)) == 2, "the first one is not overwritten"


def test_a_row_that_makes_no_sense_hides_no_other(kept: HistoryFile) -> None:
    for t_s in (1.0, 2.0, 3.0):
        kept.add(at(t_s))
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as db:
        db.execute("UPDATE devices SET shares = '[' WHERE id = 1")
        db.execute("UPDATE devices SET confidence = 'much', name = x'ff00' WHERE id = 2")
        db.execute("UPDATE documents SET body = x'789c00' WHERE id = 3")
    assert [row.id for row in kept.diagnoses(EVER)] == [3]
    with pytest.raises(HistoryError, match="diagnosis 3 cannot be read"):
        kept.document(3)


def test_a_body_that_unpacks_to_gigabytes_is_refused(
    kept: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zlib

    kept.add(at(1.0))
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as db:
        db.execute("UPDATE documents SET body = ?", (zlib.compress(b" " * 100 * 1024**2),))
    with pytest.raises(HistoryError, match="MiB"):
        kept.document(1)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_left_where_it_is(kept: HistoryFile, make: Any) -> None:
    kept.path.parent.mkdir()
    make(kept.path)
    for attempt in (lambda: kept.add(at(1.0)), lambda: kept.diagnoses(EVER)):
        with pytest.raises(HistoryError, match="not a plain file"):
            attempt()
    assert aside(kept) == []


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(HistoryError) as caught:
            HistoryFile(folder / "history.sqlite3").add(at(1.0))
        assert "ADVISOR_STATE_DIR" in caught.value.fix


# --- full disks, other writers, death ----------------------------------------------------------------

PROGRAM = """
import os, resource, sys
from pathlib import Path
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import HistoryFile
from tests.advisor.keeping.test_history_file import at, bulky
history = HistoryFile(Path(sys.argv[1]))
"""
FULL = (
    PROGRAM
    + """
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    history.add(bulky(500))
except HistoryError as error:
    print(error, "|", error.fix)
"""
)
WRITER = (
    PROGRAM
    + """
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[3])):
    history.add(at(float(sys.argv[2]) + i, "host", "memory"))
    print(i, flush=True)
"""
)


def started(program: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("room", [0, 700, 4096, 20_000, 60_000])
def test_a_full_disk_leaves_what_was_there(kept: HistoryFile, room: int) -> None:
    """The kernel refuses writes past a size, whether they are the journal's or the file's own."""
    for number in range(3):
        kept.add(bulky(number))
    expected = [kept.document(number) for number in (1, 2, 3)]
    limit = room if room < 5000 else kept.path.stat().st_size + room - 20_000
    said, errors = started(FULL, kept.path, limit).communicate(timeout=60)
    assert "cannot be used: the disk" in said, errors
    assert sound(kept.path)
    assert [kept.document(number) for number in (1, 2, 3)] == expected
    assert kept.numbers() == (3, 1, 3)
    assert kept.add(at(9.0)) is not None, "once there is room again, it goes on"
    assert aside(kept) == []


@pytest.mark.parametrize("room", [0, 5000])
def test_a_full_disk_at_the_very_beginning(kept: HistoryFile, room: int) -> None:
    said, errors = started(FULL, kept.path, room).communicate(timeout=60)
    assert "cannot be used: the disk" in said, errors
    assert kept.diagnoses(EVER) == []
    assert kept.add(at(1.0)) == 1
    assert aside(kept) == []


def test_sqlites_own_full_is_explained(kept: HistoryFile, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.add(at(1.0))
    real = database._connect

    def tight(path: Path, mode: str) -> sqlite3.Connection:
        db = real(path, mode)
        db.execute("PRAGMA max_page_count=1")
        return db

    monkeypatch.setattr(database, "_connect", tight)
    with pytest.raises(HistoryError, match="the disk is full") as caught:
        kept.add(bulky(1))
    assert "free some space" in caught.value.fix
    assert kept.document(1) == at(1.0)


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_at_once_lose_nothing(kept: HistoryFile, damaged: bool) -> None:
    """They also begin at once: both want to make the tables, or to move a damaged file aside first."""
    if damaged:
        kept.path.parent.mkdir()
        no_database(kept.path)
    writers = [started(WRITER, kept.path, start, 25) for start in (1_000_000, 2_000_000)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    rows = kept.diagnoses(EVER)
    assert kept.numbers()[0] == 50
    assert len(rows) == 100
    assert {row.t_s for row in rows} == {start + i for start in (1e6, 2e6) for i in range(25)}
    assert sound(kept.path)
    assert len(aside(kept)) == damaged


def test_a_writer_that_is_killed_takes_nothing_along(kept: HistoryFile) -> None:
    writer = started(WRITER, kept.path, 0, 100_000)
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "ready\n"
    for _ in range(8):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate(timeout=60)
    done = 8 + len(rest.splitlines())
    assert sound(kept.path)
    assert kept.numbers()[0] in (done, done + 1), "the last one may have been kept and not been said"
    assert kept.add(at(-1.0)) is not None


def test_a_lock_that_stays_is_waited_for_and_then_said(
    kept: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.add(at(1.0))
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError, match="another process kept it locked"):
            kept.add(at(2.0))
        other.execute("ROLLBACK")
    assert kept.add(at(2.0)) == 2


def test_room_that_cannot_be_given_back_now_costs_nothing(
    kept: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    for number in range(3):
        kept.add(bulky(number))
    with closing(database._connect(kept.path, "rw")) as db:
        db.execute("DELETE FROM documents")
        before = kept.path.stat().st_size
        with closing(sqlite3.connect(kept.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            database.shrink(db)
            assert kept.path.stat().st_size == before
            other.execute("ROLLBACK")
        database.shrink(db)
    assert kept.path.stat().st_size < before / 2


def test_hosts_of_one_home_share_the_file(kept: HistoryFile) -> None:
    """Rows are keyed by UUID: GPU 0 of two nodes are two devices."""
    for host, gpu in (("host-a", 0), ("host-b", 1)):
        verdict = make_verdict(gpu=gpu)
        provenance = make_provenance((verdict,), host=host, devices=(make_device_provenance(verdict),))
        kept.add(make_diagnosis(verdicts=(msgspec.structs.replace(verdict, gpu=0),), provenance=provenance))
    rows = kept.diagnoses(EVER)
    assert {row.host for row in rows} == {"host-a", "host-b"}
    assert {row.gpu for row in rows} == {0}
    assert len({row.key for row in rows}) == 2

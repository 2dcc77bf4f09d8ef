"""Files of other versions, of other programs, and damaged ones."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from advisor.keeping import database, tables
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import HistoryFile
from advisor.store import Store
from tests.advisor.keeping.samples import EVER, aside, at, bulky, no_database
from tests.probes.reports import full


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


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE moz_places (url TEXT)")


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

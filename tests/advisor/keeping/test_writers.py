"""Full disks, other writers, and death in the middle of it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from advisor.keeping import database
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import HistoryFile
from tests.advisor.keeping.samples import EVER, ROOT, aside, at, bulky, no_database, sound

PROGRAM = """
import os, resource, sys
from pathlib import Path
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import HistoryFile
from tests.advisor.keeping.samples import at, bulky
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

"""The history's file: opened, brought up to date, and moved aside where it is damaged. Nothing is deleted.

A rollback journal, not a write-ahead log: WAL needs memory that all users of the file share, which a home
on NFS cannot give, and its extra files stay behind. Here one diagnosis is one short transaction; whoever
comes meanwhile waits for BUSY_S, and a power cut or a full disk leaves what was there before.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from advisor.keeping.errors import ForeignError, HistoryError, explain, is_damage
from advisor.keeping.tables import APPLICATION_ID, MIGRATIONS, VERSION

BUSY_S = 5.0

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]
Warn = Callable[[str], None]


def change(path: Path, work: Work[Result], warn: Warn) -> Result:
    """What `work` gives, done in one transaction: all of it is kept, or nothing.

    A damaged or foreign file is moved aside first, which `warn` is told; `work` then runs on a new one.
    Raises HistoryError, with what was there intact.
    """
    try:
        try:
            return _attempt(path, work)
        except (sqlite3.DatabaseError, ForeignError) as error:
            if not is_damage(error):
                raise
            _set_aside(path, error, warn)
            return _attempt(path, work)
    except (sqlite3.Error, ForeignError, OSError, OverflowError) as error:
        raise explain(path, error) from error


def read(path: Path, work: Work[Result]) -> Result | None:
    """What `work` gives, or None where no history is kept yet. Raises HistoryError."""
    try:
        if not _is_there(path):
            return None
        with closing(_connect(path, "rw")) as db:
            if _version(db) < VERSION:
                _prepare(db)
            _check_ours(db, _version(db))
            return work(db)
    except (sqlite3.Error, ForeignError, OSError) as error:
        raise explain(path, error) from error


def in_use_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages = _pragma(db, "page_count") - _pragma(db, "freelist_count")
    return pages * _pragma(db, "page_size")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. Takes the write lock at once, so that two writers never wait for each other."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def shrink(db: sqlite3.Connection) -> None:
    """Give pages that hold nothing back to the disk, if it can be done now. Outside a transaction."""
    with suppress(sqlite3.OperationalError):  # what was to be kept is kept by now; the next one shrinks it
        if _pragma(db, "freelist_count"):
            # A cursor takes one step, which frees one page; a script is run to its end.
            db.executescript("PRAGMA incremental_vacuum")


def _attempt(path: Path, work: Work[Result]) -> Result:
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not _is_there(path):
        # SQLite would create it by the umask; its journal takes the mode of the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with closing(_connect(path, "rwc")) as db:
        _prepare(db)
        with transaction(db):
            result = work(db)
        shrink(db)
        return result


def _is_there(path: Path) -> bool:
    """False where there is no file. Raises HistoryError for what is no plain file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise HistoryError(f"{path} is not a plain file", "move it away, or set ADVISOR_STATE_DIR")
    return True


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_S, isolation_level=None
    )
    db.text_factory = _as_text
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "foreign_keys=ON"):
        db.execute(f"PRAGMA {setting}")
    return db


def _as_text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _prepare(db: sqlite3.Connection) -> None:
    """Bring the tables up to date. Of two that try at once the second finds it done."""
    version = _version(db)
    _check_ours(db, version)
    if version == VERSION:
        return
    if not _pragma(db, "page_count"):
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    with transaction(db):
        version = _version(db)
        _check_ours(db, version)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={VERSION}")


def _check_ours(db: sqlite3.Connection, version: int) -> None:
    """Raises ForeignError for another program's database, HistoryError for one from a later advisor."""
    owner = _pragma(db, "application_id")
    is_empty = not _pragma(db, "schema_version") or not _count_tables(db)
    if owner != APPLICATION_ID and not (owner == 0 and version == 0 and is_empty):
        raise ForeignError("it is another program's database")
    if version > VERSION:
        raise HistoryError(
            f"the history was written by a later advisor (version {version}, this one knows {VERSION})",
            "use that advisor, or name another folder in ADVISOR_STATE_DIR",
        )


def _count_tables(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _version(db: sqlite3.Connection) -> int:
    return _pragma(db, "user_version")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _set_aside(path: Path, error: BaseException, warn: Warn) -> None:
    """Rename the file, unless another process did so meanwhile and a good one lies there by now."""
    with _folder_locked(path.parent):
        if not _is_bad(path):
            return
        aside = _free_name(path, "foreign" if isinstance(error, ForeignError) else "damaged")
        path.rename(aside)
        journal = path.with_name(f"{path.name}-journal")
        with suppress(FileNotFoundError):
            journal.rename(aside.with_name(f"{aside.name}-journal"))
    why = explain(path, error)
    warn(f"{why}; it was moved to {aside.name} in the same folder, and a new history is begun")


def _is_bad(path: Path) -> bool:
    """Whether the file is still the damaged one: read through, as what is wrong may lie deep in it."""
    try:
        with closing(_connect(path, "rw")) as db:
            _check_ours(db, _version(db))
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except HistoryError:
        return False
    except (sqlite3.DatabaseError, ForeignError) as error:
        return is_damage(error)


def _free_name(path: Path, why: str) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"{path.name}.{why}-{stamp}{'' if i == 0 else f'-{i}'}" for i in range(1000))
    return next(aside for name in names if not (aside := path.with_name(name)).exists())


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """One mover at a time, where the file system has locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

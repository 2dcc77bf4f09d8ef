"""An Nsight Systems export as tables whose shape is never taken for granted.

The file is opened read-only and as immutable, so that nothing is ever written beside it. Rows come in chunks
and stay as numpy columns.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from advisor.traces.errors import TraceError
from advisor.traces.limits import Limits
from advisor.traces.nsight.salvage import ERRORS, readable_rows
from advisor.traces.timeline import UNKNOWN, Loss

Columns = dict[str, NDArray[np.int64]]
_CHUNK = 4096  # rows
_MAGIC = b"SQLite format 3\x00"
_EXPORT = "nsys export --type sqlite --force-overwrite true REPORT.nsys-rep"


class Database:
    """One open export: which tables and columns it has, and their rows.

    Losses are gathered in `losses`, tables that could not be read as a whole in `unread`. `advance` is told
    of every row that was read.
    """

    def __init__(
        self, connection: sqlite3.Connection, advance: Callable[[int], None], limits: Limits
    ) -> None:
        self.losses: list[Loss] = []
        self.unread: set[str] = set()
        self.limits = limits
        self._connection = connection
        self._advance = advance
        self._left = limits.rows
        self.tables = self._table_names()
        self._columns: dict[str, frozenset[str]] = {}

    def _table_names(self) -> frozenset[str]:
        """Tables alone: a view could be a query without end."""
        rows = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return frozenset(name for (name,) in rows if isinstance(name, str))

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; none where the table is missing or cannot be read."""
        if table not in self.tables:
            return frozenset()
        if table not in self._columns:
            self._columns[table] = frozenset(self._table_info(table))
        return self._columns[table]

    def _table_info(self, table: str) -> list[str]:
        try:
            return [str(row[1]) for row in self._connection.execute(f"PRAGMA table_info({_quoted(table)})")]
        except ERRORS as error:
            self.damaged(table, error, None)
            return []

    def has(self, table: str, *columns: str) -> bool:
        """True where a table has all of these columns."""
        return bool(columns) and set(columns) <= self.columns(table)

    def row_estimate(self, table: str) -> int:
        """About how many rows a table has, without reading it."""
        if table not in self.tables:
            return 0
        try:
            row = self._connection.execute(f"SELECT MAX(rowid) FROM {_quoted(table)}").fetchone()  # noqa: S608
        except ERRORS:
            return 0
        return max(0, row[0]) if row and isinstance(row[0], int) else 0

    def numbers(
        self,
        table: str,
        needed: Sequence[str],
        optional: Sequence[str] = (),
        where: str = "",
        thousandths: Sequence[str] = (),
    ) -> Columns | None:
        """Whole-number columns of a table, or None where one that is needed is missing (a Loss says so).

        Rows whose needed columns hold no whole number are left out, as a Loss. An optional column that is
        missing, or a value in it that is none, is UNKNOWN. `thousandths` names needed columns that may hold
        fractions: their values come times 1,000.
        """
        if table not in self.tables:
            return None
        missing = [name for name in needed if name not in self.columns(table)]
        if missing:
            self.lose("damaged", f"{table} has no column {', '.join(missing)}: it was not read")
            return None
        names = (*needed, *(name for name in optional if name in self.columns(table)))
        expressions = [_milli(name) if name in thousandths else _number(name) for name in names]
        read = self._read(table, expressions, where)
        columns = {name: read[:, i].copy() for i, name in enumerate(names)}
        columns |= {name: _unknown(len(read)) for name in optional if name not in columns}
        return self._whole(table, columns, needed)

    def _read(self, table: str, expressions: Sequence[str], where: str) -> NDArray[np.int64]:
        wanted = ", ".join(expressions)
        query = f"SELECT {wanted} FROM {_quoted(table)}" + (f" WHERE {where}" if where else "")  # noqa: S608
        left = self._left
        chunks = [_packed(rows, len(expressions)) for rows in self.rows(table, query)]
        if table in self.unread:
            self._left = left
            chunks = [_packed(rows, len(expressions)) for rows in self._readable(table, expressions, where)]
        return np.concatenate(chunks) if chunks else np.empty((0, len(expressions)), np.int64)

    def _readable(
        self, table: str, expressions: Sequence[str], where: str
    ) -> Iterator[Sequence[tuple[object, ...]]]:
        """What a damaged table still gives; never more rows than may be read."""
        rows = readable_rows(self._connection, _quoted(table), expressions, where)
        while chunk := list(itertools.islice(rows, min(_CHUNK, self._left))):
            self._left -= len(chunk)
            yield chunk

    def _whole(self, table: str, columns: Columns, needed: Sequence[str]) -> Columns:
        bad = np.zeros(len(columns[needed[0]]), bool)
        for name in needed:
            bad |= columns[name] == _MISSING
        for column in columns.values():
            column[column == _MISSING] = UNKNOWN
        if not bad.any():
            return columns
        self.lose("damaged", f"{table}: rows without a whole number where one belongs", int(bad.sum()))
        return {name: column[~bad] for name, column in columns.items()}

    def rows(self, table: str, query: str) -> Iterator[list[tuple[object, ...]]]:
        """The rows of a query in chunks; what a damaged table does not give becomes a Loss."""
        done = 0
        try:
            cursor = self._connection.execute(query)
            while self._left > 0 and (rows := cursor.fetchmany(min(_CHUNK, self._left))):
                done += len(rows)
                self._left -= len(rows)
                self._advance(len(rows))
                yield rows
        except ERRORS as error:
            self.damaged(table, error, done)
            return
        if self._left <= 0:
            self.lose("limit", f"{table}: more rows than are read of one file; the rest was left out")

    def damaged(self, table: str, error: Exception, done: int | None) -> None:
        """Notes that a table could not be read, or only up to a point."""
        said = f"from row {done:,} on, or not all of it " if done else "as a whole "
        self.unread.add(table)
        self.lose("damaged", f"{table} cannot be read {said}({error}): export the report again: {_EXPORT}")

    def lose(self, code: str, message: str, count: int | None = None) -> None:
        """Notes a loss, once."""
        loss = Loss(code, message, count)
        if loss not in self.losses:
            self.losses.append(loss)

    def text(self, column: str) -> str:
        """A column as text in SQL, cut to the length of the longest name that is kept."""
        return f"substr(CAST({_quoted(column)} AS TEXT), 1, {int(self.limits.name_chars)})"

    def pairs(self, table: str, key: str, value: str) -> dict[str, str]:
        """A table of names and values, as text; empty where it is missing. The first of a name counts."""
        found: dict[str, str] = {}
        if not self.has(table, key, value):
            return found
        query = f"SELECT {self.text(key)}, {self.text(value)} FROM {_quoted(table)} LIMIT 10000"  # noqa: S608
        for rows in self.rows(table, query):
            for name, text in rows:
                found.setdefault(str(name or ""), str(text or ""))
        return found

    def strings(self, table: str, ids: Collection[int]) -> Iterator[tuple[int, str]]:
        """Values by id of a damaged table, as far as they can be read."""
        rows = readable_rows(self._connection, _quoted(table), ('"id"', self.text("value")), "")
        found = itertools.islice(rows, max(0, self._left))
        return ((i, str(value)) for i, value in found if isinstance(i, int) and i in ids)

    def records(self, table: str, columns: Sequence[str], limit: int = 10000) -> list[dict[str, object]]:
        """Rows of a small table as dicts, with None for columns that it does not have."""
        present = [name for name in columns if name in self.columns(table)]
        if not present:
            return []
        wanted = ", ".join(self._value(name) for name in present)
        query = f"SELECT {wanted} FROM {_quoted(table)} LIMIT {int(limit)}"  # noqa: S608
        blank: dict[str, object] = dict.fromkeys(columns)
        return [
            blank | dict(zip(present, row, strict=True)) for rows in self.rows(table, query) for row in rows
        ]

    def _value(self, name: str) -> str:
        column = _quoted(name)
        return f"CASE typeof({column}) WHEN 'integer' THEN {column} ELSE {self.text(name)} END"


_MISSING = -(2**63) + 1  # stands for what is no whole number; SQLite reads -(2**63) as a fraction


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _packed(rows: Sequence[tuple[object, ...]], width: int) -> NDArray[np.int64]:
    flat: Iterator[Any] = itertools.chain.from_iterable(rows)
    return np.fromiter(flat, np.int64).reshape(-1, width)


def _number(name: str) -> str:
    column = _quoted(name)
    return f"CASE typeof({column}) WHEN 'integer' THEN {column} ELSE {_MISSING} END"


def _milli(name: str) -> str:
    column = _quoted(name)
    scaled = f"CAST({column} * 1000.0 AS INTEGER)"
    return f"CASE WHEN typeof({column}) IN ('integer', 'real') THEN {scaled} ELSE {_MISSING} END"


def _unknown(length: int) -> NDArray[np.int64]:
    return np.full(length, UNKNOWN, np.int64)


@contextmanager
def opened(path: Path, advance: Callable[[int], None], limits: Limits) -> Iterator[Database]:
    """The export at `path`. Raises TraceError where it is no SQLite file that can be read."""
    _check_head(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(_address(path), uri=True, isolation_level=None)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA writable_schema = 1")  # or SQLite reads nothing of a file that was cut off
        connection.execute("PRAGMA trusted_schema = 0")
        database = Database(connection, advance, limits)
    except ERRORS as error:
        if connection is not None:
            connection.close()
        raise TraceError(
            f"this SQLite file cannot be read: {error}", f"export it again: {_EXPORT}"
        ) from error
    try:
        _note_log(path, database)
        _note_end(path, database)
        yield database
    finally:
        connection.close()


def _address(path: Path) -> str:
    return "file:" + quote(str(path.absolute())) + "?mode=ro&immutable=1"


def _check_head(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise TraceError(
            f"it cannot be opened: {error.strerror or error}", "check its name and permissions"
        ) from error
    if not head:
        raise TraceError("the file is empty", f"export the report again: {_EXPORT}")
    if head != _MAGIC:
        raise TraceError(
            "this is no SQLite file (or an encrypted one)", f"export the report as SQLite: {_EXPORT}"
        )


def _note_log(path: Path, database: Database) -> None:
    log = path.with_name(path.name + "-wal")
    try:
        size = log.stat().st_size
    except OSError:
        return
    if size:
        database.lose(
            "damaged",
            "a write-ahead log lies beside the file: some program still writes it, or died doing so; what "
            "the log holds was not read",
        )


def _note_end(path: Path, database: Database) -> None:
    """Whether the file is shorter than its head says (SQLite file format: page size at 16, pages at 28)."""
    with path.open("rb") as file:
        head = file.read(32)
    page = int.from_bytes(head[16:18], "big")
    whole = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
    size = path.stat().st_size
    if size < whole:
        database.lose(
            "truncated",
            f"the file was cut off: {size:,} of {whole:,} bytes are there; copy or export it again"
            f": {_EXPORT}",
        )


def text_of(table: Mapping[str, object], key: str) -> str | None:
    """A field of a record as text, None where it is empty."""
    value = table.get(key)
    return str(value) if isinstance(value, str | int | float) and value != "" else None


def whole_of(table: Mapping[str, object], key: str) -> int | None:
    """A field of a record as a whole number above zero; None for anything else."""
    value = table.get(key)
    return value if isinstance(value, int) and value > 0 else None

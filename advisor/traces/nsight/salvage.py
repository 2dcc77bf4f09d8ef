"""What a table with damaged pages still gives: all rows that can be reached by their number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

# The module fails on its own error messages where they quote a damaged file: UnicodeDecodeError.
ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
# Each is a place that cannot be read; a file with more of them is no file any more.
_MOST_HOLES = 2000
_LAST = (1 << 63) - 1

Row = tuple[object, ...]


def readable_rows(
    connection: sqlite3.Connection, table: str, wanted: Sequence[str], where: str
) -> Iterator[Row]:
    """The rows before, between and after damaged places, in the order of their numbers.

    table and `wanted` (expressions) as they stand in SQL. Behind a row that cannot be read the next one is
    looked for in growing steps. A table without numbered rows gives none.
    """
    at, step = 0, 1
    condition = f" AND {where}" if where else ""
    query = f"SELECT rowid, {', '.join(wanted)} FROM {table} WHERE rowid >= ?{condition} ORDER BY rowid"  # noqa: S608
    for _ in range(_MOST_HOLES):
        try:
            for number, *row in connection.execute(query, (at,)):
                if isinstance(number, int) and number >= at:
                    at, step = number + 1, 1
                    yield tuple(row)
        except ERRORS:
            at, step = at + step, 2 * step
            if at >= _LAST:
                return
        else:
            return

"""Which rows of a table are intervals at all."""

from __future__ import annotations

import numpy as np

from advisor.traces.nsight.database import Columns, Database

_LAST_NS = 1 << 62  # 146 years: beyond it sums could leave int64


def in_order(database: Database, table: str, columns: Columns, base_ns: int) -> Columns:
    """Rows whose times can be: from the zero on, not ending before they start. The others are a Loss.

    Times become those since the zero (base_ns is the zero in the file's own time).
    """
    start, end = columns["start"] - base_ns, columns["end"] - base_ns
    early = start < 0
    wrong = (end < start) | (end > _LAST_NS) | (columns["end"] > _LAST_NS)
    _note(database, table, "start before the capture did", int((early & ~wrong).sum()))
    _note(database, table, "end before they start, or at no possible time", int(wrong.sum()))
    good = ~(early | wrong)
    columns = columns | {"start": start, "end": end}
    return columns if good.all() else {name: column[good] for name, column in columns.items()}


def _note(database: Database, table: str, what: str, count: int) -> None:
    if count:
        database.lose("damaged", f"{table}: intervals that {what} were left out", count)


def empty(*names: str) -> Columns:
    """No rows."""
    return {name: np.empty(0, np.int64) for name in names}

"""Making the history smaller: what is too old goes, then the oldest until the rest fits."""

from __future__ import annotations

import math
import sqlite3

from advisor.keeping.database import in_use_bytes
from advisor.keeping.runs import mark_pruned

# A tenth of what is kept goes at once where the size is over: fewer rounds, and room until the next time.
_PART = 10


def prune(
    db: sqlite3.Connection, *, before_s: float | None, most_bytes: float | None, now_s: float
) -> tuple[int, int]:
    """Remove what ended before a Unix time, then the oldest until the rest fits; inside a transaction.

    Gives the number of diagnoses and probe runs that went.
    """
    gone = [0, 0]
    if before_s is not None:
        _count(gone, _older(db, before_s, now_s))
    while most_bytes is not None and in_use_bytes(db) > most_bytes:
        went = _oldest(db, now_s)
        if went == (0, 0):
            break
        _count(gone, went)
    return gone[0], gone[1]


def clear(db: sqlite3.Connection, now_s: float) -> tuple[int, int]:
    """Remove everything; runs of the ceilings' store up to now stay out from then on."""
    return _older(db, math.inf, now_s)


def _count(gone: list[int], went: tuple[int, int]) -> None:
    gone[0] += went[0]
    gone[1] += went[1]


def _oldest(db: sqlite3.Connection, now_s: float) -> tuple[int, int]:
    """Remove the oldest tenth, diagnoses and runs alike by their time; at least one."""
    count = db.execute("SELECT (SELECT count(*) FROM documents) + (SELECT count(*) FROM runs)").fetchone()[0]
    found = db.execute(
        "SELECT t_s FROM (SELECT t_s FROM documents UNION ALL SELECT t_s FROM runs) ORDER BY t_s "
        "LIMIT 1 OFFSET ?",
        (min(count - 1, count // _PART),),
    ).fetchone()
    return (0, 0) if found is None else _older(db, found[0], now_s, including=True)


def _older(db: sqlite3.Connection, t_s: float, now_s: float, *, including: bool = False) -> tuple[int, int]:
    until = t_s if including else _just_before(t_s)
    documents = db.execute("DELETE FROM documents WHERE t_s <= ?", (until,)).rowcount
    runs = db.execute("DELETE FROM runs WHERE t_s <= ?", (until,)).rowcount
    mark_pruned(db, until, now_s)
    return documents, runs


def _just_before(t_s: float) -> float:
    return math.nextafter(t_s, -math.inf)

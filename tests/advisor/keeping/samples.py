"""Documents to keep, and what a history on the disk is like."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from advisor.document import Diagnosis
from advisor.keeping.history import HistoryFile
from tests.factories import make_diagnosis, make_verdict

EVER = -float("inf")
ROOT = Path(__file__).parents[3]


def at(t_s: float, *classes: Any, **changes: Any) -> Diagnosis:
    """A diagnosis whose window ended then."""
    made = make_diagnosis(*classes, **changes)
    provenance = msgspec.structs.replace(made.provenance, t_start_s=t_s - 60, t_end_s=t_s)
    return msgspec.structs.replace(made, provenance=provenance)


def sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def bulky(number: int) -> Diagnosis:
    """About 64 KiB that cannot be compressed."""
    noise = os.urandom(32 * 1024).hex()
    verdict = make_verdict(headline=noise)
    return at(1000.0 + number, verdicts=(verdict,), findings=())


def aside(kept: HistoryFile) -> list[Path]:
    return sorted(path for word in ("damaged", "foreign") for path in kept.path.parent.glob(f"*.{word}-*"))


def no_database(path: Path) -> None:
    path.write_bytes(b"these are somebody's notes\n" * 200)

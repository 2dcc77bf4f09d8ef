"""The history as the program uses it: add, list, show, prune. One transaction each."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor import locations
from advisor.document import Diagnosis
from advisor.keeping import database, diagnoses, prune, runs
from advisor.keeping.errors import HistoryError
from advisor.keeping.records import KeptDiagnosis, KeptFigure, Pruned

if TYPE_CHECKING:
    import sqlite3

    from advisor.store import Store

DAY_S = 86400.0
MIB = 1024.0**2


class Limits:
    """How much is kept: days, and mebibytes of the file. None is without a limit."""

    def __init__(self, days: float | None = None, mib: float | None = None) -> None:
        self.days = days
        self.mib = mib

    def apply(self, db: sqlite3.Connection, now_s: float) -> tuple[int, int]:
        """Prune inside a transaction; gives the diagnoses and runs that went."""
        before_s = None if self.days is None else now_s - self.days * DAY_S
        most_bytes = None if self.mib is None else self.mib * MIB
        return prune.prune(db, before_s=before_s, most_bytes=most_bytes, now_s=now_s)


class HistoryFile:
    """Past diagnoses and probe runs. Every method raises HistoryError, with what was there intact.

    warnings: what happened to the file, ready to be escaped.
    """

    def __init__(self, path: Path | None = None, limits: Limits | None = None) -> None:
        self.path = locations.history_file() if path is None else path
        self.limits = limits or Limits()
        self.warnings: list[str] = []

    def add(self, diagnosis: Diagnosis) -> int | None:
        """Keep a document, redacted already, and give its number; None where the same one is kept.

        Raises HistoryError for one that the limits would take away at once, too.
        """

        def work(db: sqlite3.Connection) -> int | None:
            number = diagnoses.add(db, diagnosis)
            self.limits.apply(db, time.time())
            if number is not None and not diagnoses.has(db, number):
                raise HistoryError(
                    "there is no place for it: it is older than what the history has room or days for",
                    "raise history_mib or history_days in the configuration",
                )
            return number

        return database.change(self.path, work, self.warnings.append)

    def take_over(self, store: Store, keys: Sequence[str] | None = None) -> int:
        """Take over what the ceilings' store has and the history has not, of some devices or of all."""
        wanted = store.keys() if keys is None else keys
        there = self._known_runs()
        reports = [report for key in wanted for report in store.history(key) if there.lacks(report)]
        if not reports:
            return 0

        def work(db: sqlite3.Connection) -> int:
            added = runs.add(db, reports)
            if added:
                self.limits.apply(db, time.time())
            return added

        return database.change(self.path, work, self.warnings.append)

    def _known_runs(self) -> runs.Known:
        """What need not be taken over; nothing of a damaged file, as whoever writes to it begins anew."""
        nothing = runs.Known(frozenset(), -math.inf)
        try:
            return database.read(self.path, runs.known) or nothing
        except HistoryError:
            return nothing

    def document(self, number: int) -> Diagnosis | None:
        """The diagnosis of that number, or None."""
        return database.read(self.path, lambda db: diagnoses.document(db, number))

    def numbers(self) -> tuple[int, int | None, int | None]:
        """How many diagnoses are kept, and the first and last number."""
        return database.read(self.path, diagnoses.numbers) or (0, None, None)

    def diagnoses(self, since_s: float) -> list[KeptDiagnosis]:
        """Devices of diagnoses since then, newest first."""
        return database.read(self.path, lambda db: diagnoses.rows(db, since_s)) or []

    def figures(self, since_s: float) -> list[KeptFigure]:
        """Figures of probe runs since then, newest first."""
        return database.read(self.path, lambda db: runs.figures(db, since_s)) or []

    def prune(self, limits: Limits, *, everything: bool = False) -> Pruned:
        """Remove what is over the limits, or everything, and give the room back to the disk."""
        before = _size(self.path)
        if before is None:
            return Pruned()

        def work(db: sqlite3.Connection) -> tuple[int, int, int]:
            now_s = time.time()
            gone = prune.clear(db, now_s) if everything else limits.apply(db, now_s)
            return (*gone, diagnoses.numbers(db)[0])

        documents, probe_runs, kept = database.change(self.path, work, self.warnings.append)
        return Pruned(
            diagnoses=documents,
            probe_runs=probe_runs,
            kept_diagnoses=kept,
            bytes_before=before,
            bytes_after=_size(self.path) or 0,
        )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None

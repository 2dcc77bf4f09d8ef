"""Probe runs in the history: their figures, taken over from the ceilings' store, which stays the truth."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from advisor.keeping.records import KeptFigure
from advisor.reports.redact_text import redact_text
from probes.record import Measurement, ProbeReport

_PRUNED_BEFORE = "runs_from_s"
# A time this far ahead is no time, but a clock that was wrong.
AHEAD_S = 86400.0

_INTO_RUNS = (
    "INSERT INTO runs (t_s, key, gpu, mig, name, model, kind, mode, method_version, versions, power_limit_w, "
    "ecc, contended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_INTO_FIGURES = (
    "INSERT INTO figures (id, metric, unit, value, held, p10, p90, cv, valid, label, sm_mhz, mem_mhz, "
    "power_w, temp_c, throttle_reasons) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIGURES = (
    "SELECT t_s, key, gpu, mig, name, model, kind, mode, method_version, versions, power_limit_w, ecc, "
    "contended, metric, unit, value, held, p10, p90, cv, valid, label, sm_mhz, mem_mhz, power_w, temp_c, "
    "throttle_reasons FROM figures JOIN runs USING (id) WHERE t_s >= ? ORDER BY t_s DESC, id DESC, metric"
)
_FLAGS = ("contended", "held")


class Known(NamedTuple):
    """Runs that are there, by key and time; and the time up to which runs were pruned."""

    runs: frozenset[tuple[str, float]]
    from_s: float

    def lacks(self, report: ProbeReport) -> bool:
        """Whether a run of the store is to be taken over."""
        return report.t_s > self.from_s and (_text(report.device.key), report.t_s) not in self.runs


def known(db: sqlite3.Connection) -> Known:
    """What is there already."""
    runs = frozenset(db.execute("SELECT key, t_s FROM runs").fetchall())
    return Known(runs, _pruned_until(db, time.time()))


def mark_pruned(db: sqlite3.Connection, until_s: float, now_s: float) -> None:
    """Runs up to then are not taken over again from the store; never those that are still to come."""
    until_s = max(_pruned_until(db, now_s), min(until_s, now_s))
    db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_PRUNED_BEFORE, until_s))


def _pruned_until(db: sqlite3.Connection, now_s: float) -> float:
    """A mark that a wrong clock set in the future is none: it would keep out every run there is."""
    found = db.execute("SELECT value FROM marks WHERE name = ?", (_PRUNED_BEFORE,)).fetchone()
    return -math.inf if found is None or found[0] > now_s + AHEAD_S else float(found[0])


def add(db: sqlite3.Connection, reports: Iterable[ProbeReport]) -> int:
    """Take over runs that are not there yet and were not pruned; gives how many."""
    there = known(db)
    new = {(r.device.key, r.t_s): r for r in reports if there.lacks(r)}
    for report in new.values():
        _add(db, report)
    return len(new)


def figures(db: sqlite3.Connection, since_s: float = -math.inf) -> list[KeptFigure]:
    """Every figure of every run since then, newest first. A row that makes no sense is left out."""
    least = since_s if math.isfinite(since_s) else -1e300
    return list(_readable(db.execute(_FIGURES, (least,))))


def figures_of(report: ProbeReport) -> list[KeptFigure]:
    """A run's figures as they would come back from the history."""
    head = (report.t_s, *_run(report))
    return list(_readable((*head, *_figure(m)) for m in _best(report)))


def _add(db: sqlite3.Connection, report: ProbeReport) -> None:
    number = db.execute(_INTO_RUNS, (report.t_s, *_run(report))).fetchone()[0]
    db.executemany(_INTO_FIGURES, [(number, *_figure(m)) for m in _best(report)])


def _run(report: ProbeReport) -> tuple[Any, ...]:
    d = report.device
    where = (_text(d.key), d.index, _text(d.mig_profile), _clean(d.name), _clean(d.model), d.kind)
    versions = msgspec.json.encode({_clean(k): _clean(v) for k, v in report.versions.items()}).decode()
    under = (report.mode, report.method_version, versions, d.power_limit_w, d.ecc_enabled)
    return (*where, *under, report.contended is not None)


def _best(report: ProbeReport) -> list[Measurement]:
    names = dict.fromkeys(m.metric for m in report.measurements)
    return [m for name in names if (m := report.measurement(name)) is not None]


def _figure(m: Measurement) -> tuple[Any, ...]:
    c = m.conditions
    shown = (m.metric, m.unit, m.value, m.sustained is not None, m.p10, m.p90, m.cv, m.valid, m.label)
    reasons = msgspec.json.encode([_clean(reason) for reason in c.throttle_reasons]).decode()
    return (*shown, c.sm_mhz, c.mem_mhz, c.power_w, c.temp_c, reasons)


def _readable(found: Iterable[Sequence[Any]]) -> Iterable[KeptFigure]:
    for values in found:
        record = dict(zip(KeptFigure.__struct_fields__, values, strict=True))
        try:
            record.update({name: bool(record[name]) for name in _FLAGS})
            record["ecc"] = None if record["ecc"] is None else bool(record["ecc"])
            record["versions"] = msgspec.json.decode(record["versions"])
            record["throttle_reasons"] = msgspec.json.decode(record["throttle_reasons"])
            yield msgspec.convert(record, KeptFigure)
        except (msgspec.DecodeError, msgspec.ValidationError, TypeError):
            continue


def _text(raw: str | None) -> str | None:
    return None if raw is None else raw.encode("utf-8", "replace").decode()


def _clean(raw: str | None) -> str | None:
    return None if raw is None else _text(redact_text(raw)[0])

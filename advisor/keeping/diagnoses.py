"""Diagnoses in the history: each document whole and compressed once, and a row a device to list and chart."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from advisor.document import DeviceProvenance, Diagnosis
from advisor.keeping.errors import HistoryError
from advisor.keeping.records import KeptDiagnosis
from advisor.reports.json import MAX_BYTES, DocumentError, decode, encode
from rules.finding import LadderRow
from rules.ladder import wasted
from rules.verdict import Verdict

_INTO_DOCUMENTS = (
    "INSERT INTO documents (t_s, source, synthetic, host, driver_version, advisor_version, digest, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_INTO_DEVICES = (
    "INSERT INTO devices (id, place, key, gpu, mig, name, model, class, cause, confidence, shares, "
    "useful_frac, wasted_frac, wasted_usd_h, price_usd_h, price_basis, power_w_p50, power_w_p90, "
    "power_limit_w, sm_mhz_p50, ceilings_label) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "?, ?, ?, ?)"
)
_ROWS = (
    "SELECT id, t_s, source, synthetic, host, driver_version, key, gpu, mig, name, model, class, cause, "
    "confidence, shares, useful_frac, wasted_frac, wasted_usd_h, price_usd_h, price_basis, power_w_p50, "
    "power_w_p90, power_limit_w, sm_mhz_p50, ceilings_label FROM devices JOIN documents USING (id) "
    "WHERE t_s >= ? ORDER BY t_s DESC, id DESC, place"
)


def add(db: sqlite3.Connection, diagnosis: Diagnosis) -> int | None:
    """Keep a document, redacted already, and give its number; None where the same one is kept.

    Raises DocumentError for one that JSON cannot hold.
    """
    raw = encode(diagnosis)
    digest = hashlib.sha256(raw).digest()
    if db.execute("SELECT 1 FROM documents WHERE digest = ?", (digest,)).fetchone() is not None:
        return None
    p = diagnosis.provenance
    head = (
        p.t_end_s,
        p.source,
        p.synthetic,
        _text(p.host),
        _text(p.driver_version),
        _text(p.advisor_version),
    )
    number = int(db.execute(_INTO_DOCUMENTS, (*head, digest, zlib.compress(raw))).fetchone()[0])
    db.executemany(_INTO_DEVICES, [(number, *row) for row in _device_rows(decode(raw))])
    return number


def document(db: sqlite3.Connection, number: int) -> Diagnosis | None:
    """The document of that number, brought up to date; None when none is kept. Raises HistoryError."""
    found = db.execute("SELECT body FROM documents WHERE id = ?", (number,)).fetchone()
    if found is None:
        return None
    try:
        return decode(_unpacked(found[0]))
    except (zlib.error, DocumentError) as error:
        raise HistoryError(f"diagnosis {number} cannot be read: {error}") from error


def has(db: sqlite3.Connection, number: int) -> bool:
    """Whether a diagnosis of that number is kept."""
    return db.execute("SELECT 1 FROM documents WHERE id = ?", (number,)).fetchone() is not None


def rows(db: sqlite3.Connection, since_s: float = -math.inf) -> list[KeptDiagnosis]:
    """Every device of every diagnosis since then, newest first. A row that makes no sense is left out."""
    least = since_s if math.isfinite(since_s) else -1e300
    return list(_readable(db.execute(_ROWS, (least,))))


def numbers(db: sqlite3.Connection) -> tuple[int, int | None, int | None]:
    """How many diagnoses are kept, and the first and last number."""
    count, first, last = db.execute("SELECT count(*), min(id), max(id) FROM documents").fetchone()
    return int(count), first, last


def _readable(found: Iterable[Sequence[Any]]) -> Iterable[KeptDiagnosis]:
    names = [field.encode_name for field in msgspec.structs.fields(KeptDiagnosis)]
    for values in found:
        record = dict(zip(names, values, strict=True))
        try:
            record["shares"] = msgspec.json.decode(record["shares"])
            record["synthetic"] = bool(record["synthetic"])
            yield msgspec.convert(record, KeptDiagnosis)
        except (msgspec.DecodeError, msgspec.ValidationError, TypeError):
            continue


def _unpacked(body: bytes) -> bytes:
    """At most what a document may have, however small it was packed."""
    opened = zlib.decompressobj()
    raw = opened.decompress(body, MAX_BYTES + 1)
    if not opened.eof and len(raw) <= MAX_BYTES:
        raise zlib.error("it is cut short")
    return raw


def _device_rows(diagnosis: Diagnosis) -> Iterable[tuple[Any, ...]]:
    seen = {device.key: device for device in diagnosis.provenance.devices}
    ladder = {row.key: row for row in diagnosis.ladder}
    for place, verdict in enumerate(diagnosis.verdicts):
        yield _device_row(place, verdict, seen.get(verdict.key), ladder.get(verdict.key))


def _device_row(place: int, v: Verdict, d: DeviceProvenance | None, row: LadderRow | None) -> tuple[Any, ...]:
    shares = msgspec.json.encode(v.shares).decode()
    what = (place, v.key, v.gpu, v.mig, v.device_name, d.ceilings_model if d else None)
    said = (v.class_, v.cause, v.confidence, shares)
    figures = (d.power_w_p50, d.power_w_p90, d.power_limit_w, d.sm_mhz_p50) if d else (None,) * 4
    return (*what, *said, *_money(row), *figures, v.ceilings_label or (d.ceilings_label if d else None))


def _money(row: LadderRow | None) -> tuple[Any, ...]:
    """Useful and wasted parts of the time, dollars wasted an hour, the price, and whose it is."""
    if row is None:
        return (None,) * 5
    basis = None if row.price_usd_h is None else row.basis
    return row.shares.get("useful"), wasted(row.shares), row.wasted_usd_h, row.price_usd_h, basis


def _text(raw: str | None) -> str | None:
    """What SQLite can hold: lone surrogates cannot be encoded."""
    return None if raw is None else raw.encode("utf-8", "replace").decode()

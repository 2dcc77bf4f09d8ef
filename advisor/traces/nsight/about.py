"""What an export says of itself: versions, host, when it began, whose ranks it holds.

META_DATA_CAPTURE holds the whole environment of the profiled program, keys and tokens with it. Only the ranks
of launchers are taken from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from advisor.traces.nsight.database import Database, text_of

_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
_WORLDS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
_VARIABLE = re.compile(r'^([A-Z_]+)="?(\d{1,7})"?$')
_EPOCH_FROM_NS = 10**17  # times beyond it are since 1970 and not since the capture began: three years
_WARNING = 2  # ENUM_DIAGNOSTIC_SEVERITY_LEVEL
_MAX_DIAGNOSTICS = 8


@dataclass(frozen=True, slots=True)
class About:
    """zero_ns: Unix time of the capture's start. base_ns: the same moment in the file's own times."""

    zero_ns: int | None
    base_ns: int
    host: str | None
    rank: int | None
    world_size: int | None
    facts: dict[str, str] = field(default_factory=dict)


def read_about(database: Database) -> About:
    """Everything but tables of events."""
    export = database.pairs("META_DATA_EXPORT", "name", "value")
    env = database.pairs("TARGET_INFO_SYSTEM_ENV", "name", "value")
    began = _whole(database.records("TARGET_INFO_SESSION_START_TIME", ("utcEpochNs",), 1), "utcEpochNs")
    launched = _launcher(database)
    _diagnostics(database)
    return About(
        zero_ns=began,
        base_ns=_base(database, export, began),
        host=env.get("Hostname") or None,
        rank=_first(launched, _RANKS),
        world_size=_first(launched, _WORLDS),
        facts=_facts(export, env, database),
    )


def _whole(rows: list[dict[str, object]], key: str) -> int | None:
    value = rows[0].get(key) if rows else None
    return value if isinstance(value, int) and value > 0 else None


def _base(database: Database, export: dict[str, str], began: int | None) -> int:
    """Where the capture's start lies in the file's times: 0, unless the export shifted or normalised them."""
    first = _first_time(database)
    if first is not None and first > _EPOCH_FROM_NS:
        return began if began is not None and began <= first else first
    shift = export.get("EXPORT_PARAM_TIME_SHIFT", "0")
    return int(shift) if re.fullmatch(r"-?\d{1,17}", shift) else 0


def _first_time(database: Database) -> int | None:
    for table in ("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_RUNTIME"):
        found = _whole(database.records(table, ("start",), 1), "start")
        if found is not None:
            return found
    return None


def _launcher(database: Database) -> dict[str, int]:
    """Ranks that a launcher set in the environment of the first process."""
    if not database.has("META_DATA_CAPTURE", "name", "value"):
        return {}
    query = (
        f"SELECT {database.text('value')} FROM META_DATA_CAPTURE "  # noqa: S608
        "WHERE name = 'PROCESS_0:ENVIRONMENT_VARIABLE' LIMIT 10000"
    )
    matches = [
        _VARIABLE.match(str(value)) for rows in database.rows("META_DATA_CAPTURE", query) for (value,) in rows
    ]
    wanted = {*_RANKS, *_WORLDS}
    return {m.group(1): int(m.group(2)) for m in matches if m is not None and m.group(1) in wanted}


def _first(found: dict[str, int], names: tuple[str, ...]) -> int | None:
    return next((found[name] for name in names if name in found), None)


def _facts(export: dict[str, str], env: dict[str, str], database: Database) -> dict[str, str]:
    capture = database.pairs("META_DATA_CAPTURE", "name", "value")
    said = {
        "profiler": f"Nsight Systems {export.get('EXPORT_PRODUCT_VERSION', '')}".strip(),
        "schema": export.get("EXPORT_SCHEMA_VERSION", ""),
        "driver": env.get("NvDriverVersion", ""),
        "os": env.get("OsDescription", ""),
        "cuda_graph_trace": capture.get("CUDA_GRAPH_TRACE_OPTIONS:MODE", "").lower(),
    }
    return {name: value for name, value in said.items() if value}


def _diagnostics(database: Database) -> None:
    """Warnings of the profiler itself (events lost, tracing not started) are losses."""
    rows = database.records("DIAGNOSTIC_EVENT", ("severity", "text"), 1000)
    texts = [
        text_of(row, "text")
        for row in rows
        if isinstance(row["severity"], int) and row["severity"] >= _WARNING
    ]
    for text in list(dict.fromkeys(t for t in texts if t))[:_MAX_DIAGNOSTICS]:
        database.lose("profiler-warning", f"the profiler warned: {text}")

"""Tables of the history, and how each version of the file becomes the next one."""

from __future__ import annotations

# "advr": tells our file from any other SQLite database.
APPLICATION_ID = 0x61647672

_DIAGNOSES = (
    """CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        t_s REAL NOT NULL,
        source TEXT NOT NULL,
        synthetic INTEGER NOT NULL,
        host TEXT NOT NULL,
        driver_version TEXT,
        advisor_version TEXT NOT NULL,
        digest BLOB NOT NULL UNIQUE,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX documents_by_time ON documents (t_s)",
    """CREATE TABLE devices (
        id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        key TEXT NOT NULL,
        gpu INTEGER NOT NULL,
        mig TEXT,
        name TEXT NOT NULL,
        model TEXT,
        class TEXT NOT NULL,
        cause TEXT NOT NULL,
        confidence REAL NOT NULL,
        shares TEXT NOT NULL,
        useful_frac REAL,
        wasted_frac REAL,
        wasted_usd_h REAL,
        price_usd_h REAL,
        price_basis TEXT,
        power_w_p50 REAL,
        power_w_p90 REAL,
        power_limit_w REAL,
        sm_mhz_p50 REAL,
        ceilings_label TEXT,
        PRIMARY KEY (id, place)
    ) WITHOUT ROWID""",
    "CREATE INDEX devices_by_key ON devices (key)",
)
_RUNS = (
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        t_s REAL NOT NULL,
        key TEXT NOT NULL,
        gpu INTEGER,
        mig TEXT,
        name TEXT NOT NULL,
        model TEXT,
        kind TEXT NOT NULL,
        mode TEXT NOT NULL,
        method_version INTEGER NOT NULL,
        versions TEXT NOT NULL,
        power_limit_w REAL,
        ecc INTEGER,
        contended INTEGER NOT NULL,
        UNIQUE (key, t_s)
    )""",
    "CREATE INDEX runs_by_time ON runs (t_s)",
    """CREATE TABLE figures (
        id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        metric TEXT NOT NULL,
        unit TEXT NOT NULL,
        value REAL,
        held INTEGER NOT NULL,
        p10 REAL,
        p90 REAL,
        cv REAL,
        valid TEXT NOT NULL,
        label TEXT NOT NULL,
        sm_mhz REAL,
        mem_mhz REAL,
        power_w REAL,
        temp_c REAL,
        throttle_reasons TEXT NOT NULL,
        PRIMARY KEY (id, metric)
    ) WITHOUT ROWID""",
    "CREATE INDEX figures_by_metric ON figures (metric)",
    # runs_from_s: runs of the ceilings' store from before that time were pruned, and stay out.
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID",
)

# Entry i turns version i of the file into version i + 1; a new file runs all of them.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_DIAGNOSES, _RUNS)
VERSION = len(MIGRATIONS)

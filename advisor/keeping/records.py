"""What the history gives back: rows of diagnoses, figures of probe runs, and the document of both."""

from __future__ import annotations

import msgspec

from rules.trend import Trend

SCHEMA_VERSION = 1


class KeptDiagnosis(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"class_": "class"}
):
    """One device of one diagnosis that was kept.

    id: of the diagnosis, for `advisor history show`; its devices share it. t_s: Unix time of its end.
    source: "live", "run", "replay" or "demo". synthetic: no GPU produced the figures. host: as a hash.
    useful_frac, wasted_frac: of the paid time, by the ladder; the rest is unknown.
    Missing figures were not measured or, of dollars, had no price.
    """

    id: int
    t_s: float
    source: str
    synthetic: bool
    host: str
    driver_version: str | None
    key: str
    gpu: int
    mig: str | None
    name: str
    model: str | None
    class_: str
    cause: str
    confidence: float
    shares: dict[str, float]
    useful_frac: float | None
    wasted_frac: float | None
    wasted_usd_h: float | None
    price_usd_h: float | None
    price_basis: str | None
    power_w_p50: float | None
    power_w_p90: float | None
    power_limit_w: float | None
    sm_mhz_p50: float | None
    ceilings_label: str | None


class KeptFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of one probe run, and what it was measured under.

    value is in `unit`; held: it is what the device sustains. valid: whether it may be a ceiling, and why not.
    gpu: the driver's index; None for the CPU. contended: somebody else used the device meanwhile.
    """

    t_s: float
    key: str
    gpu: int | None
    mig: str | None
    name: str
    model: str | None
    kind: str
    mode: str
    method_version: int
    versions: dict[str, str]
    power_limit_w: float | None
    ecc: bool | None
    contended: bool
    metric: str
    unit: str
    value: float | None
    held: bool
    p10: float | None
    p90: float | None
    cv: float | None
    valid: str
    label: str
    sm_mhz: float | None
    mem_mhz: float | None
    power_w: float | None
    temp_c: float | None
    throttle_reasons: tuple[str, ...]


class DeviceTrends(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device over time. gpu: its latest index. ceilings: of probe runs; workloads: of diagnoses.

    hosts: where it was seen, as hashes. synthetic: some of it was produced by no GPU; synthetic_diagnoses of
    its diagnoses are. price_usd_h, price_basis: of the newest diagnosis that has a price, and of every figure
    in dollars here. other_prices: of diagnoses whose dollars are left out for that, oldest first.
    """

    key: str
    gpu: int | None
    mig: str | None
    name: str
    diagnoses: int
    probe_runs: int
    t_start_s: float
    t_end_s: float
    hosts: tuple[str, ...] = ()
    synthetic: bool = False
    synthetic_diagnoses: int = 0
    price_usd_h: float | None = None
    price_basis: str | None = None
    other_prices: tuple[float, ...] = ()
    ceilings: tuple[Trend, ...] = ()
    workloads: tuple[Trend, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `advisor history` prints: the newest first, or each device's trends with --trends.

    path: the file. left_out: rows of diagnoses that --limit left out; it bounds probe runs, too.
    """

    schema_version: int = SCHEMA_VERSION
    path: str
    diagnoses: tuple[KeptDiagnosis, ...] = ()
    figures: tuple[KeptFigure, ...] = ()
    trends: tuple[DeviceTrends, ...] = ()
    left_out: int = 0


class Pruned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pruning removed. kept_diagnoses: how many stay. bytes_before, bytes_after: of the file."""

    diagnoses: int = 0
    probe_runs: int = 0
    kept_diagnoses: int = 0
    bytes_before: int = 0
    bytes_after: int = 0

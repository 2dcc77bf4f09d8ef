"""The Diagnosis: the one versioned document that every screen, report and export renders from."""

from __future__ import annotations

from typing import Literal

import msgspec

from probes.ceilings import Ceilings
from rules.bill import Bill
from rules.evidence import Evidence, Tier
from rules.finding import Finding, LadderRow, Price
from rules.power import Electricity
from rules.serving import ServingFigures
from rules.traces.records import TraceReport
from rules.verdict import Verdict
from rules.whatif import WhatIf

SCHEMA_VERSION = 1
# Stretches a window is cut into for charts and intervals: as many as a chart can show, and no more to attach.
SERIES_POINTS = 120


class Flag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stable reason code about the validity of the document, e.g. `short-window`, `gap`, `synthetic`."""

    code: str
    message: str
    key: str | None = None


class DeviceProvenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one row was observed. `unknown` names each missing fact with its reason.

    ceilings_label: how the ceilings came about. ceilings_measured: when, as ISO 8601 in UTC, where any
    of them was measured on this very device. ceilings_stale: why those may no longer hold, else None.
    electricity: what the board drew and what that costs, a part of its price and never added to it.
    """

    key: str
    gpu: int
    name: str
    mig: str | None = None
    tier: Tier = "nvml"
    windows: int = 0
    observed_s: float = 0.0
    ceilings_label: str | None = None
    ceilings_model: str | None = None
    ceilings_measured: str | None = None
    ceilings_stale: str | None = None
    power_limit_w: float | None = None
    power_w_p50: float | None = None
    power_w_p90: float | None = None
    power_w_max: float | None = None
    energy_j: float | None = None
    electricity: Electricity | None = None
    sm_mhz_p50: float | None = None
    sm_mhz_max: float | None = None
    temp_c_max: float | None = None
    mem_used_bytes: int | None = None
    mem_total_bytes: int | None = None
    ecc_enabled: bool | None = None
    thermally_settled: bool | None = None
    unknown: dict[str, str] = {}


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and how the figures were made. source: "live", "replay", "demo", "run" or "trace".

    select, ignore: the words by which findings were chosen, if any were. ignored: rule code -> how many of
    its findings are not in this document for that reason.
    """

    advisor_version: str
    created: str
    source: Literal["live", "replay", "demo", "run", "trace"]
    host: str
    t_start_s: float
    t_end_s: float
    interval_s: float
    gpm_interval_s: float
    driver_version: str | None = None
    cuda_version: str | None = None
    pynvml_version: str | None = None
    python_version: str | None = None
    cores: int | None = None
    command: str = ""
    note: str = ""
    synthetic: bool = False
    watch_cost_frac: float | None = None
    devices: tuple[DeviceProvenance, ...] = ()
    redacted: tuple[str, ...] = ()
    unknown: dict[str, str] = {}
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignored: dict[str, int] = {}


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node's sum over the ladder rows that have a price. unpriced: rows without one."""

    price_usd_h: float | None
    wasted_usd_h: float | None
    terms: dict[str, float] = {}
    unpriced: int = 0


class TimeSeries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device over the window in at most SERIES_POINTS stretches, oldest first; column by column.

    t_s: Unix time at the end of each stretch; duration_s: its length. shares: SHARES key -> its share of each
    stretch; over the keys they sum to 1. useful_frac: share of each stretch in which the device did what it
    can. figures: name (gr_active, sm_active, tensor_active, dram_active, power_w, sm_mhz, temp_c,
    mem_used_bytes) -> mean over each stretch, None where it was not read. Names that were never read are left
    out.
    """

    t_s: tuple[float, ...] = ()
    duration_s: tuple[float, ...] = ()
    shares: dict[str, tuple[float, ...]] = {}
    useful_frac: tuple[float, ...] = ()
    figures: dict[str, tuple[float | None, ...]] = {}


class Observed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one row's verdict and what-ifs were reached from, so that they can be reached again.

    evidence: without its sub-windows and stack samples. ceilings: those it was compared with.
    price: of one whole GPU.
    """

    key: str
    evidence: Evidence
    ceilings: Ceilings | None
    price: Price
    series: TimeSeries | None = None


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Verdicts, ladder and findings of one node over one window. Old versions stay readable.

    bills: the ladder summed by GPU, job and node. what_ifs: what fixes would buy. serving: inference engines
    that were asked. observed: what all of it was reached from. trace: what profiler traces show. Documents
    made for a screen have neither bills nor `observed`: advisor.bills makes the former from any document.
    """

    schema_version: int = SCHEMA_VERSION
    provenance: Provenance
    verdicts: tuple[Verdict, ...] = ()
    ladder: tuple[LadderRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    totals: Totals = Totals(price_usd_h=None, wasted_usd_h=None)
    flags: tuple[Flag, ...] = ()
    bills: tuple[Bill, ...] = ()
    what_ifs: tuple[WhatIf, ...] = ()
    serving: tuple[ServingFigures, ...] = ()
    observed: tuple[Observed, ...] = ()
    trace: TraceReport | None = None

"""Records of a probe run: the same in the worker's stream, in JSON, in the store and in every table.

One `Measurement` a figure, one `ProbeReport` a device, one `ProbeRun` a command.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = 1

Mode = Literal["quick", "default", "full"]
Kind = Literal["cuda", "cpu"]
# valid: may be used as a ceiling. degraded: real, yet far from what the card should do, or unsteady.
# rejected: cannot be right. unsupported: this card or installation has no such thing. failed: it broke.
Validity = Literal["valid", "degraded", "rejected", "unsupported", "failed"]
# contended: measured with --force beside another user of the device; never used as a ceiling.
MeasurementLabel = Literal["measured", "contended"]
Unit = Literal["bytes_s", "flop_s", "op_s", "s", "frac", "count"]


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How and under what circumstances one figure came about.

    method: the exact call or kernel, as docs/methodology.md names it. shape: such as "8192x8192x8192" (M×N×K)
    or "grid 528 x 512". buffer_bytes: bytes of one operand buffer. windows: timed windows; window_s: the
    median's length; calls: calls a window. clocks, power and temperature are medians over the run, sm_mhz_min
    and sm_mhz_max its 10th and 90th percentile. tried: alternatives (shapes, methods, sizes) and their
    medians in the record's unit. extra: further figures, with their unit in the name (`cycles`, ...).
    missing: what is not known, and why.
    """

    method: str = ""
    dtype: str | None = None
    shape: str | None = None
    buffer_bytes: int | None = None
    windows: int = 0
    window_s: float | None = None
    calls: int | None = None
    rerun: bool = False
    seed: int | None = None
    sm_mhz: float | None = None
    sm_mhz_min: float | None = None
    sm_mhz_max: float | None = None
    mem_mhz: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temp_c: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    pcie_gen: int | None = None
    pcie_width: int | None = None
    versions: dict[str, str] = {}
    tried: dict[str, float] = {}
    extra: dict[str, float] = {}
    missing: dict[str, str] = {}


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure, what it is relative to, and whether it may be used.

    median, p10, p90 are over timed windows in `unit`; cv is their standard deviation over their mean.
    of_spec: the ceiling (see `value`) over the dense data-sheet figure. of_clock: over what the chip could do
    at the SM clock seen during the run. burst: median of the first 100 ms after idle; sustained: what it
    holds. counters_at_ceiling: what GPM counters read meanwhile, 0 to 1, by the names live counters have.
    reason: why it is not valid; of a valid one a remark that a reader should know, such as that the clock
    moved under the power limit, and that takes nothing from its use as a ceiling.
    """

    probe: str
    metric: str
    unit: Unit
    median: float | None = None
    p10: float | None = None
    p90: float | None = None
    cv: float | None = None
    of_spec: float | None = None
    of_clock: float | None = None
    burst: float | None = None
    sustained: float | None = None
    label: MeasurementLabel = "measured"
    valid: Validity = "valid"
    reason: str | None = None
    counters_at_ceiling: dict[str, float] = {}
    conditions: Conditions = Conditions()

    @property
    def value(self) -> float | None:
        """What to divide by: what the device holds, else the median."""
        return self.median if self.sustained is None else self.sustained


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The probed device. key: UUID of the GPU or MIG instance, or "cpu:<hash of the CPU's identity>".

    index: the driver's (NVML's) index; None for the CPU. sm_mhz_max, power_limit_w: as the driver says.
    pcie_gen_max, pcie_width_max: the most that device and slot can together, which a virtual root port
    understates; pcie_gen_device_max: what the device can by itself.
    slice_frac: a MIG instance's share of its GPU's SMs. missing: what is not known, and why.
    """

    kind: Kind
    key: str
    name: str
    index: int | None = None
    mig_profile: str | None = None
    slice_frac: float | None = None
    model: str | None = None
    compute_capability: str | None = None
    sm_count: int | None = None
    l2_bytes: int | None = None
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    sm_mhz_max: float | None = None
    mem_mhz_max: float | None = None
    mem_bus_bits: int | None = None
    power_limit_w: float | None = None
    ecc_enabled: bool | None = None
    persistence: bool | None = None
    numa_node: int | None = None
    pcie_gen_max: int | None = None
    pcie_width_max: int | None = None
    pcie_gen_device_max: int | None = None
    cores: int | None = None
    missing: dict[str, str] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to measure, and for how long. names: probes in order; empty is all the device has.

    device: "cpu", a GPU's index as the driver counts, or the UUID of a GPU or MIG instance.
    sustained_s: length of the sustained GEMM loop; None is what the mode gives.
    """

    names: tuple[str, ...] = ()
    device: str = "0"
    mode: Mode = "default"
    sustained_s: float | None = None
    force: bool = False
    seed: int = 0


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one device did. t_s: Unix time of the start. method_version: see probes.METHOD_VERSION.

    versions: driver, cuda, torch, cupy, cublas, python, whichever were there. contended: why it was
    measured beside another user of the device, else None. interrupted: not every probe ran. refused:
    why nothing was measured, else None.
    """

    device: DeviceFacts
    mode: Mode
    t_s: float
    wall_s: float
    method_version: int
    advisor_version: str | None = None
    versions: dict[str, str] = {}
    contended: str | None = None
    interrupted: bool = False
    refused: str | None = None
    measurements: tuple[Measurement, ...] = ()
    missing: dict[str, str] = {}

    def measurement(self, metric: str) -> Measurement | None:
        """The figure called `metric` that counts, or None: valid before degraded, then the better."""
        from probes.metrics import best

        return best([m for m in self.measurements if m.metric == metric])


class Outlier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU that falls behind its siblings of the same model. frac: its figure over their median."""

    key: str
    index: int | None
    metric: str
    frac: float
    message: str


class ProbeRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one command measured: every device in turn, and those that fall behind their siblings."""

    schema_version: int = SCHEMA_VERSION
    reports: tuple[ProbeReport, ...] = ()
    outliers: tuple[Outlier, ...] = ()

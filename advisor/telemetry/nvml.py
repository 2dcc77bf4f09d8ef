"""What NVML and GPM say of every device, tick by tick, under the error policy of `nvml_errors`.

Tiers: `sample` reads the fast tier each time and the slow tier (ECC, row remapping, PCIe link, memory
temperature, clock settings) when asked, carrying its values forward in between; `sweep` takes a GPM
sub-window; processes are in `nvml_processes`, XIDs in `nvml_events`. Power is nvmlDeviceGetPowerUsage, on
Ampere and newer the average of the last second, which is what a 1 Hz tick stands for (field 186, the
instantaneous power, would alias). PCIe and NVLink bytes are counters read by one nvmlDeviceGetFieldValues;
nvmlDeviceGetPcieThroughput would block 20 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from advisor.telemetry import nvml_api as api
from advisor.telemetry.gpm import GpmWindows
from advisor.telemetry.gpm_metrics import GpmMetrics
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_devices import (
    MEMORY_INFO_V2,
    Device,
    Signature,
    list_devices,
    percent,
    same_layout,
    signature,
    with_former_names,
)
from advisor.telemetry.nvml_errors import DeviceCalls, DeviceLostError, Reading, describe
from advisor.telemetry.nvml_events import XidEvents
from advisor.telemetry.nvml_fields import FAST_FIELDS, SLOW_FIELDS, read_fields
from advisor.telemetry.records import DeviceInfo, Gpm, Sample

LOST_PROBE_S = 10.0
PENDING_MAX = 600

# nvmlClocksEventReasons, bit by bit.
CLOCKS_EVENT_REASONS = (
    "gpu_idle", "app_clocks", "sw_power_cap", "hw_slowdown", "sync_boost", "sw_thermal", "hw_thermal",
    "hw_power_brake", "display_clocks", "board_limit", "reliability",
)  # fmt: skip

_PER_GPU_ONLY = "not measured per MIG instance: see its GPU"
_PER_INSTANCE_ONLY = "not supported while MIG is on: see its instances"
_UNSUPPORTED = describe(api.NOT_SUPPORTED)
_LEFT_OUT = "left out on request"


def clocks_event_names(mask: int) -> tuple[str, ...]:
    """Names of the bits set; a bit newer than this table is named by its number."""
    known = len(CLOCKS_EVENT_REASONS)
    bits = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    return tuple(CLOCKS_EVENT_REASONS[bit] if bit < known else f"reason_bit_{bit}" for bit in bits)


def _utilization(rates: Any) -> tuple[float, float]:
    return percent(rates.gpu, "utilisation"), percent(rates.memory, "memory utilisation")


def _one_float(value: Any) -> tuple[float]:
    return (float(value),)


_MEMORY = Reading(
    ("mem_used_bytes", "mem_total_bytes"),
    lambda memory: (int(memory.used), int(memory.total)),
    (("nvmlDeviceGetMemoryInfo", (MEMORY_INFO_V2,)), ("nvmlDeviceGetMemoryInfo", ())),
)
_FAST = (
    Reading(("gpu_util_frac", "mem_util_frac"), _utilization, (("nvmlDeviceGetUtilizationRates", ()),)),
    _MEMORY,
    Reading(("power_w",), lambda mw: (mw / 1000.0,), (("nvmlDeviceGetPowerUsage", ()),)),
    Reading(("energy_j",), lambda mj: (mj / 1000.0,), (("nvmlDeviceGetTotalEnergyConsumption", ()),)),
    Reading(("sm_mhz",), _one_float, (("nvmlDeviceGetClockInfo", (1,)),)),
    Reading(("mem_mhz",), _one_float, (("nvmlDeviceGetClockInfo", (2,)),)),
    Reading(("temp_c",), _one_float, (("nvmlDeviceGetTemperature", (0,)),)),
    Reading(
        ("throttle_reasons",),
        lambda mask: (clocks_event_names(int(mask)),),
        (
            ("nvmlDeviceGetCurrentClocksEventReasons", ()),
            ("nvmlDeviceGetCurrentClocksThrottleReasons", ()),
        ),
    ),
)
_SLOW = (
    Reading(("pcie_gen",), lambda v: (int(v),), (("nvmlDeviceGetCurrPcieLinkGeneration", ()),)),
    Reading(("pcie_width",), lambda v: (int(v),), (("nvmlDeviceGetCurrPcieLinkWidth", ()),)),
    Reading(("pcie_replays",), lambda v: (int(v),), (("nvmlDeviceGetPcieReplayCounter", ()),)),
    Reading(("ecc_corrected",), lambda v: (int(v),), (("nvmlDeviceGetTotalEccErrors", (0, 0)),)),
    Reading(("ecc_uncorrected",), lambda v: (int(v),), (("nvmlDeviceGetTotalEccErrors", (1, 0)),)),
    Reading(
        ("remap_pending", "remap_failure", "remapped_rows"),
        lambda rows: (bool(rows[2]), bool(rows[3]), int(rows[0]) + int(rows[1])),
        (("nvmlDeviceGetRemappedRows", ()),),
    ),
)
_CLOCK_SETTINGS = (
    # 1 and 3: NVML_CLOCK_ID_APP_CLOCK_TARGET and NVML_CLOCK_ID_CUSTOMER_BOOST_MAX.
    Reading(
        ("sm_mhz_app",),
        _one_float,
        (("nvmlDeviceGetApplicationsClock", (1,)), ("nvmlDeviceGetClock", (1, 1))),
    ),
    Reading(
        ("sm_mhz_customer_max",),
        _one_float,
        (("nvmlDeviceGetMaxCustomerBoostClock", (1,)), ("nvmlDeviceGetClock", (1, 3))),
    ),
)
_INSTANCE_MISSING = dict.fromkeys(
    ("gpu_util_frac", "mem_util_frac", "power_w", "energy_j", "sm_mhz", "temp_c", "throttle_reasons"),
    _PER_GPU_ONLY,
)


class DeviceReader:
    """One GPU or MIG instance: its calls, its GPM windows, and whether it is lost."""

    def __init__(
        self, nvml: Nvml, device: Device, gpm: GpmWindows | None, clock: Callable[[], float]
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        self._calls = DeviceCalls(nvml, device.handle, clock)
        self._instance = device.info.parent_key is not None
        self._divided = bool(device.info.mig_enabled)
        self._slow: dict[str, Any] = {}
        self._pending: list[Gpm] = []
        self._gpm = gpm
        self._lost_until_s: float | None = None
        self._lost_reason = ""
        self.key = device.info.key
        if device.handle is None:
            self._lose(device.info.missing.get("device", "the driver does not open this GPU"))

    def with_gpm(self, info: DeviceInfo) -> DeviceInfo:
        """Try GPM on this device and put what came of it into its facts."""
        if self._gpm is None or self.lost:
            reason = self._lost_reason or _LEFT_OUT
            return msgspec.structs.replace(info, missing={**info.missing, "gpm": reason})
        try:
            return msgspec.structs.replace(info, gpm=self._gpm.open(self._clock()))
        except DeviceLostError as lost:
            self._lose(str(lost))
            return info

    @property
    def lost(self) -> bool:
        """Whether the driver last said that this device is lost."""
        return self._lost_until_s is not None

    def sweep(self, now_s: float, t_s: float) -> None:
        """Take the GPM sub-window that ends now (`now_s` monotonic, `t_s` Unix)."""
        if self._gpm is None or self.lost:
            return
        try:
            window = self._gpm.take(now_s, t_s)
        except DeviceLostError as lost:
            self._lose(str(lost))
            return
        if window is not None and len(self._pending) < PENDING_MAX:
            self._pending.append(window)

    def sample(self, t_s: float, slow: bool, xids: tuple[int, ...] = (), no_xids: str = "") -> Sample:
        """The device now, with the GPM sub-windows since the previous sample. A lost one says only that.

        xids: reported of it since then; no_xids: why none can be.
        """
        if self._lost_until_s is not None and (
            self._clock() < self._lost_until_s or self._calls.handle is None
        ):
            return self._lost_sample(t_s, xids)
        try:
            values = self._read(slow or self.lost)
        except DeviceLostError as lost:
            self._lose(str(lost))
            return self._lost_sample(t_s, xids)
        self._lost_until_s = None
        gpm, self._pending = tuple(self._pending), []
        missing = self._missing() | ({"xids": no_xids} if no_xids else {})
        return Sample(key=self.key, t_s=t_s, gpm=gpm, xids=xids, missing=missing, **values)

    def close(self) -> None:
        """Free what the driver lent."""
        if self._gpm is not None:
            self._gpm.close()

    def _read(self, slow: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if self._instance:
            self._calls.read(_MEMORY, values)
            return values
        for reading in _FAST:
            self._calls.read(reading, values)
        read_fields(self._nvml, self._calls, FAST_FIELDS, values)
        if slow:
            for reading in (*_SLOW, *_CLOCK_SETTINGS):
                self._calls.read(reading, self._slow)
            read_fields(self._nvml, self._calls, SLOW_FIELDS, self._slow)
        return values | self._slow

    def _missing(self) -> dict[str, str]:
        missing = dict(self._calls.missing)
        if self._instance:
            missing |= _INSTANCE_MISSING
        if self._gpm is not None:
            missing |= self._gpm.missing
            if self._gpm.problem is not None:
                missing["gpm"] = self._gpm.problem
        if self._divided:
            return {k: _PER_INSTANCE_ONLY if v == _UNSUPPORTED else v for k, v in missing.items()}
        return missing

    def _lose(self, reason: str) -> None:
        self._lost_until_s = self._clock() + LOST_PROBE_S
        self._lost_reason = reason
        self._slow = {}
        self._pending = []
        self.close()

    def _lost_sample(self, t_s: float, xids: tuple[int, ...]) -> Sample:
        missing = {"device": self._lost_reason}
        return Sample(key=self.key, t_s=t_s, state="lost", xids=xids, missing=missing)


class NvmlReader:
    """All devices. gpm_interval_s: length of a GPM sub-window, at least 0.1 s; None leaves GPM out."""

    def __init__(
        self,
        nvml: Nvml,
        *,
        gpm_interval_s: float | None = 0.2,
        clock: Callable[[], float] = time.monotonic,
        sysfs: Path = Path("/sys"),
    ) -> None:
        self._nvml = nvml
        self._gpm_interval_s = gpm_interval_s
        self._clock = clock
        self._sysfs = sysfs
        self._metrics = GpmMetrics(nvml)
        self._readers: list[DeviceReader] = []
        self._signature: Signature = ()
        self.listed: tuple[Device, ...] = ()
        self.devices: tuple[DeviceInfo, ...] = ()
        self._list()

    def sweep(self, t_s: float) -> None:
        """Take a GPM sub-window of every device. t_s: Unix time now; a device's turn may come later."""
        start_s = self._clock()
        for reader in self._readers:
            now_s = self._clock()
            reader.sweep(now_s, t_s + now_s - start_s)

    def samples(self, t_s: float, *, slow: bool) -> tuple[Sample, ...]:
        """Every device now. slow: read the slow tier too instead of carrying it forward."""
        events = self._events
        seen, missing = events.poll(), events.missing
        return tuple(r.sample(t_s, slow, seen.get(r.key, ()), missing.get(r.key, "")) for r in self._readers)

    def rescan(self) -> tuple[DeviceInfo, ...] | None:
        """The devices, listed anew, if a GPU came or went or a MIG layout changed; else None."""
        try:
            current = signature(self._nvml)
        except NvmlError:
            return None
        if same_layout(self._signature, current):
            return None
        self.close()
        self._list()
        return self.devices

    def close(self) -> None:
        """Free every GPM sample, and the event sets."""
        self._events.close()
        for reader in self._readers:
            reader.close()

    def _list(self) -> None:
        self._signature = signature(self._nvml)
        self.listed = with_former_names(list_devices(self._nvml, self._sysfs), self.listed)
        self._readers = [
            DeviceReader(self._nvml, device, self._windows(device), self._clock) for device in self.listed
        ]
        self._events = XidEvents(self._nvml, self.listed)
        pairs = zip(self._readers, self.listed, strict=True)
        self.devices = tuple(reader.with_gpm(device.info) for reader, device in pairs)

    def _windows(self, device: Device) -> GpmWindows | None:
        if self._gpm_interval_s is None or device.gpm_handle is None:
            return None
        return GpmWindows(
            self._nvml,
            self._metrics,
            device.gpm_handle,
            interval_s=self._gpm_interval_s,
            gi_id=device.info.gi_id,
            clock=self._clock,
        )

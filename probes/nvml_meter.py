"""The meter over NVML: clocks, power, heat, throttle reasons, PCIe link and GPM counters of a stretch.

A daemon thread a stretch makes every call, so that a driver which stops answering costs the stretch its
conditions and nothing else: `stop` waits for it for a while only.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from probes.gpm import Gpm
from probes.meter import FEWEST_CLEAN, GpmWindow, Meter, NoMeter, Observed, means
from probes.nvml import (
    CLOCK_MEM,
    CLOCK_SM,
    NOT_SUPPORTED,
    Asked,
    CannotProbeError,
    Device,
    Nvml,
    NvmlError,
    list_devices,
)
from probes.record import DeviceFacts
from probes.stats import quantile

SAMPLE_EVERY_S = 0.05
# A GPM sample is taken as soon as it may be; no sooner than this after the last look.
LEAST_WAIT_S = 1e-3
# A driver that has not answered for so long is taken to hang.
ANSWER_S = 2.0
# A throttle reason counts when it was there in this share of the samples.
REASON_SHARE = 0.1

# nvmlClocksEventReasons, bit by bit, by the names that live samples have.
REASONS = (
    "gpu_idle", "app_clocks", "sw_power_cap", "hw_slowdown", "sync_boost", "sw_thermal", "hw_thermal",
    "hw_power_brake", "display_clocks", "board_limit", "reliability",
)  # fmt: skip

_POWER_INSTANT = 186
_HANGS = f"the driver did not answer within {ANSWER_S:g} s"
_WHOLE_GPU = "NVML measures power of the whole GPU, not of a MIG instance"
_QUIET = "not read, so that no thread disturbs the measurement"
_TOO_SHORT = "the stretch was too short for four GPM windows (110 ms each)"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the device; None where the driver did not tell."""

    sm_mhz: float | None
    mem_mhz: float | None
    power_w: float | None
    temp_c: float | None
    reasons: tuple[str, ...] | None
    pcie_gen: int | None
    pcie_width: int | None


class _Stretch:
    """What one thread has seen so far."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.samples: list[Sample] = []
        self.windows: list[GpmWindow] = []
        self.power_limit_w: float | None = None
        self.missing: dict[str, str] = {}

    def end(self) -> _Stretch:
        """Tell its thread to finish."""
        self.over.set()
        return self


class NvmlMeter:
    """A `probes.meter.Meter` on one device. quiet: one look at the end, no thread while anything is timed."""

    def __init__(self, nvml: Nvml, device: Device, *, quiet: bool = False) -> None:
        self._nvml = nvml
        self._device = device
        self._quiet = quiet
        self._gpm: Gpm | None = None
        self._stretch = _Stretch().end()
        self._thread: threading.Thread | None = None
        self._sibling: NvmlMeter | None = None
        self._owns = not quiet
        self._closed = False

    def quiet(self) -> Meter:
        """The sibling that runs no thread while anything is timed. Closed with this one."""
        if self._sibling is None:
            self._sibling = NvmlMeter(self._nvml, self._device, quiet=True)
        return self._sibling

    def start(self) -> None:
        """Begin a stretch. Does nothing while the driver still hangs from the last one."""
        self._stretch.end()
        if self._closed or self._hangs():
            return
        self._stretch = _Stretch()
        if not self._quiet:
            self._run()

    def stop(self) -> Observed:
        """End the stretch and say what was seen, at the latest after `ANSWER_S`. Never raises."""
        if self._closed:
            return Observed(missing={"conditions": "the meter is closed"})
        if self._stretch.over.is_set():
            return Observed(missing={"conditions": _HANGS if self._hangs() else "no stretch was begun"})
        self._stretch.end()
        if self._quiet:
            self._run()
        if self._thread is not None:
            self._thread.join(ANSWER_S)
        return self._observed(self._stretch, hangs=self._hangs())

    def close(self) -> None:
        """Let go of the driver, unless it hangs. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._stretch.end()
        if self._sibling is not None:
            self._sibling.close()
        if self._thread is not None:
            self._thread.join(ANSWER_S)
        if self._hangs() or (self._sibling is not None and self._sibling._hangs()):
            return
        if self._gpm is not None:
            self._gpm.close()
        if self._owns:
            self._nvml.close()

    def _run(self) -> None:
        target = self._look_once if self._quiet else self._watch
        self._thread = threading.Thread(target=target, args=(self._stretch,), daemon=True, name="probe meter")
        self._thread.start()

    def _hangs(self) -> bool:
        """Whether the thread of a stretch that is over still waits for the driver."""
        if self._thread is None or not self._stretch.over.is_set():
            return False
        self._thread.join(SAMPLE_EVERY_S)
        return self._thread.is_alive()

    def _watch(self, stretch: _Stretch) -> None:
        """The thread: a GPM sample as often as it may be, a look every 50 ms, and one at the end."""
        try:
            asked = Asked(self._nvml, self._device.gpu)
            stretch.power_limit_w = self._power_limit(asked)
            gpm = self._gpm = self._gpm or Gpm(self._nvml, self._device.gpu, self._device.gi)
            gpm.begin()
            self._take(gpm, stretch)
            while not stretch.over.wait(min(SAMPLE_EVERY_S, max(LEAST_WAIT_S, gpm.due_s()))):
                self._take(gpm, stretch)
                stretch.samples.append(self._sample(asked))
            if not stretch.samples:
                stretch.samples.append(self._sample(asked))
            stretch.missing |= {**asked.missing, **_told_of_counters(gpm, stretch.windows)}
        except Exception as error:
            stretch.missing["conditions"] = f"{type(error).__name__}: {error}"[:200]

    def _look_once(self, stretch: _Stretch) -> None:
        try:
            asked = Asked(self._nvml, self._device.gpu)
            stretch.power_limit_w = self._power_limit(asked)
            stretch.samples.append(self._sample(asked))
            stretch.missing |= {
                **asked.missing,
                "counters": _QUIET,
                "sm_mhz_min": _QUIET,
                "sm_mhz_max": _QUIET,
            }
        except Exception as error:
            stretch.missing["conditions"] = f"{type(error).__name__}: {error}"[:200]

    def _take(self, gpm: Gpm, stretch: _Stretch) -> None:
        window = gpm.take()
        if window is not None:
            stretch.windows.append(window)

    def _power_limit(self, asked: Asked) -> float | None:
        if self._device.gi is not None:
            return None
        return _float(asked.get("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", of=_watts))

    def _sample(self, asked: Asked) -> Sample:
        return Sample(
            sm_mhz=asked.get("sm_mhz", "nvmlDeviceGetClockInfo", CLOCK_SM, of=float),
            mem_mhz=asked.get("mem_mhz", "nvmlDeviceGetClockInfo", CLOCK_MEM, of=float),
            power_w=self._power(asked),
            temp_c=asked.get("temp_c", "nvmlDeviceGetTemperature", 0, of=float),
            reasons=_reasons(asked),
            pcie_gen=asked.get("pcie_gen", "nvmlDeviceGetCurrPcieLinkGeneration", of=int),
            pcie_width=asked.get("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth", of=int),
        )

    def _power(self, asked: Asked) -> float | None:
        """Power now where the driver has that, else its average of the last second."""
        if self._device.gi is not None:
            asked.missing["power_w"] = asked.missing["power_limit_w"] = _WHOLE_GPU
            return None
        now = asked.get("power_w", "nvmlDeviceGetFieldValues", [_POWER_INSTANT], of=_field_watts)
        return _float(now if now is not None else asked.get("power_w", "nvmlDeviceGetPowerUsage", of=_watts))

    def _observed(self, stretch: _Stretch, *, hangs: bool) -> Observed:
        samples, windows, missing = tuple(stretch.samples), tuple(stretch.windows), dict(stretch.missing)
        if hangs:
            missing["conditions"] = _HANGS
        clocks = [s.sm_mhz for s in samples if s.sm_mhz is not None]
        spread = clocks if not self._quiet else []
        seen = Observed(
            samples=len(samples),
            sm_mhz=_at(clocks, 0.5),
            sm_mhz_min=_at(spread, 0.1),
            sm_mhz_max=_at(spread, 0.9),
            mem_mhz=_median([s.mem_mhz for s in samples]),
            power_w=_median([s.power_w for s in samples]),
            power_limit_w=stretch.power_limit_w,
            temp_c=_median([s.temp_c for s in samples]),
            throttle_reasons=lasting(samples),
            pcie_gen=max((s.pcie_gen for s in samples if s.pcie_gen is not None), default=None),
            pcie_width=max((s.pcie_width for s in samples if s.pcie_width is not None), default=None),
            counters=means(_inner(windows)),
            windows=windows,
        )
        absent = {name: why for name, why in missing.items() if getattr(seen, name, None) in (None, (), {})}
        return msgspec.structs.replace(seen, missing=absent)


def open_meter(facts: DeviceFacts) -> Meter:
    """The meter of this device, with an NVML of its own; a `NoMeter` with the reason where there is none."""
    if facts.kind != "cuda":
        return NoMeter("NVML knows no CPU")
    try:
        nvml = Nvml()
        return NvmlMeter(nvml, list_devices(nvml).find(facts.key))
    except (CannotProbeError, ImportError) as error:
        return NoMeter(str(error))


def reason_names(mask: int) -> tuple[str, ...]:
    """Names of the bits set; a bit newer than the table is named by its number."""
    bits = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    return tuple(REASONS[bit] if bit < len(REASONS) else f"reason_bit_{bit}" for bit in bits)


def lasting(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Throttle reasons there in a tenth of the samples or more, in the order of their bits."""
    seen = [s.reasons for s in samples if s.reasons is not None]
    counts = Counter(reason for reasons in seen for reason in reasons)
    order = {name: place for place, name in enumerate(REASONS)}
    held = [name for name, count in counts.items() if count >= REASON_SHARE * len(seen)]
    return tuple(sorted(held, key=lambda name: (order.get(name, len(order)), name)))


def _inner(windows: Sequence[GpmWindow]) -> Sequence[GpmWindow]:
    """Without the first and the last, which may hold other than the load; nothing where that leaves few."""
    return windows[1:-1] if len(windows) - 2 >= FEWEST_CLEAN else ()


def _told_of_counters(gpm: Gpm, windows: Sequence[GpmWindow]) -> dict[str, str]:
    if _inner(windows):
        return {f"counters.{name}": why for name, why in gpm.missing.items() if name != "counters"}
    return {"counters": gpm.missing.get("counters", _TOO_SHORT)}


def _reasons(asked: Asked) -> tuple[str, ...] | None:
    for function in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
        mask = asked.get("throttle_reasons", function, of=int)
        if mask is not None:
            return reason_names(mask)
    return None


def _field_watts(values: Any) -> float:
    """Raises NvmlError where the field itself was refused, or ValueError where it makes no sense."""
    if values[0].nvmlReturn:
        raise NvmlError(int(values[0].nvmlReturn or NOT_SUPPORTED), "nvmlDeviceGetFieldValues")
    return _watts(values[0].value.uiVal)


def _watts(milliwatts: int) -> float:
    return milliwatts / 1000.0


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _median(values: Sequence[float | None]) -> float | None:
    return _at([value for value in values if value is not None], 0.5)


def _at(values: Sequence[float], q: float) -> float | None:
    return quantile(values, q) if values else None

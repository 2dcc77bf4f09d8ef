"""NVSonar's own classifier, as installed, given the figures a recording holds."""

from __future__ import annotations

import importlib
from importlib import metadata
from types import SimpleNamespace
from typing import Any

from advisor.telemetry.records import DeviceInfo, Sample
from benchmarks.accuracy.rival import Rival, Seen
from benchmarks.workloads.spec import Label

# Its reason names, by NVML's.
_REASONS = {
    "sw_power_cap": "Software Power Cap",
    "hw_slowdown": "Hardware Slowdown",
    "sw_thermal": "Software Thermal Slowdown",
    "hw_thermal": "Hardware Thermal Slowdown",
    "hw_power_brake": "Hardware Power Brake",
}
_CRITICAL = frozenset({"hw_slowdown", "hw_thermal", "hw_power_brake"})
# Power and heat hold back what would otherwise compute: counted in its favour.
_CLASSES: dict[str, Label] = {
    "idle": "idle",
    "compute_bound": "compute",
    "memory_bandwidth_bound": "memory",
    "power_limited": "compute",
    "thermal_throttled": "compute",
    "data_starved": "host",
}
_MAPPING = (
    "compute_bound, power_limited and thermal_throttled as compute; memory_bandwidth_bound as memory; "
    "data_starved as host; idle as idle; balanced, memory_capacity_bound and unknown as no class; "
    "majority over one look a second"
)


def nvsonar() -> Rival:
    """The rival; `missing` where the package is not installed."""
    try:
        version = metadata.version("nvsonar")
        analysis = importlib.import_module("nvsonar.analysis")
    except (metadata.PackageNotFoundError, ImportError) as error:
        return _rival("", lambda _: [], f"not installed ({error}): pip install nvsonar")

    def looks(seen: Seen) -> list[Label | None]:
        return [_look(analysis, seen.info, sample) for sample in seen.samples]

    return _rival(version, looks, None)


def _rival(version: str, looks: Any, missing: str | None) -> Rival:
    return Rival(
        name="nvsonar",
        version=version,
        source="https://pypi.org/project/nvsonar/ (nvsonar.analysis.classify)",
        mapping=_MAPPING,
        looks=looks,
        sees="nvml",
        missing=missing,
    )


def _look(analysis: Any, info: DeviceInfo, sample: Sample) -> Label | None:
    return _CLASSES.get(analysis.classify(_metrics(info, sample)).bottleneck.value)


def _metrics(info: DeviceInfo, sample: Sample) -> Any:
    """What its classifier reads of a device: percentages, and None for what was not recorded."""
    reasons = [r for r in sample.throttle_reasons or () if r in _REASONS]
    severity = "critical" if _CRITICAL & set(reasons) else "warning" if reasons else "ok"
    clock_max = info.sm_mhz_max
    return SimpleNamespace(
        gpu_utilization=_percent(sample.gpu_util_frac),
        memory_utilization=_percent(sample.mem_util_frac),
        memory_used_pct=_share(sample.mem_used_bytes, sample.mem_total_bytes or info.memory_total_bytes),
        power_used_pct=_share(sample.power_w, info.power_limit_w),
        clock_reduction_pct=None
        if not clock_max or sample.sm_mhz is None
        else 100 - 100 * sample.sm_mhz / clock_max,
        temperature=sample.temp_c,
        throttle=SimpleNamespace(
            active_reasons=[SimpleNamespace(name=_REASONS[r]) for r in reasons],
            worst_severity=severity,
            is_throttled=bool(reasons),
        ),
        pcie=SimpleNamespace(is_degraded=False, max_link_gen=0, degradation_reason=""),
        ecc=SimpleNamespace(uncorrectable=0, correctable=0),
        fan_speed=None,
    )


def _percent(frac: float | None) -> int | None:
    return None if frac is None else round(100 * frac)


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else 100 * part / whole

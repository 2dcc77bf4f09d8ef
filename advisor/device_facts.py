"""Device facts: a device's properties, and what samples say of its links, memory and clocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from advisor.telemetry.records import DeviceInfo, Sample
from advisor.windows import growth, quantile, settled
from rules.evidence import Device


class Software(NamedTuple):
    """Versions of the driver and of the CUDA it supports, as the stream's header gives them."""

    driver_version: str | None
    cuda_version: str | None


NO_SOFTWARE = Software(None, None)


def device_of(
    info: DeviceInfo,
    whole: DeviceInfo,
    software: Software,
    samples: Sequence[Sample],
    xids: tuple[int, ...],
) -> Device:
    """What rules read of a device itself. whole: the GPU that an instance of MIG is a part of, or itself."""
    last = samples[-1] if samples else None
    return Device(
        name=whole.name,
        memory_total_bytes=info.memory_total_bytes,
        power_limit_w=info.power_limit_w if whole.key == info.key else None,
        power_limit_default_w=info.power_limit_default_w,
        sm_mhz_max=info.sm_mhz_max or whole.sm_mhz_max,
        # Links train down at idle, so the best state seen in the window is the one that counts.
        pcie_gen=max((s.pcie_gen for s in samples if s.pcie_gen), default=None),
        pcie_gen_max=info.pcie_gen_max,
        pcie_width=max((s.pcie_width for s in samples if s.pcie_width), default=None),
        pcie_width_max=info.pcie_width_max,
        ecc_uncorrected=last.ecc_uncorrected if last else None,
        remap_pending=last.remap_pending if last else None,
        remap_failure=last.remap_failure if last else None,
        remapped_rows=last.remapped_rows if last else None,
        compute_capability=info.compute_capability,
        sm_count=info.sm_count,
        driver_version=software.driver_version,
        cuda_version=software.cuda_version,
        persistence=info.persistence,
        sm_mhz_limit=_clock_limit(info, last),
        mem_mhz=quantile((s.mem_mhz for s in samples), 0.5),
        mem_mhz_max=info.mem_mhz_max,
        mem_temp_limit_c=info.mem_temp_limit_c,
        mem_temp_c_max=max((s.mem_temp_c for s in samples if s.mem_temp_c is not None), default=None),
        xids=xids,
        ecc_corrected=growth(s.ecc_corrected for s in samples),
        pcie_replays=growth(s.pcie_replays for s in samples),
        settled=settled(samples),
    )


def _clock_limit(info: DeviceInfo, last: Sample | None) -> float | None:
    """The lowest clock that a setting allows, where one is below the board's maximum.

    A board boosts beyond the application clock that it comes with, so only another one limits it; where
    the default is unknown, nobody can tell.
    """
    most = info.sm_mhz_max
    if last is None or most is None:
        return None
    default = info.sm_mhz_app_default
    app = last.sm_mhz_app if default is not None and last.sm_mhz_app != default else None
    set_below = [mhz for mhz in (app, last.sm_mhz_customer_max) if mhz is not None and 0.0 < mhz < most]
    return min(set_below, default=None)

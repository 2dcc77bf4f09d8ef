"""Sub-windows of made-up loads. The figures are planted, not measured on any GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from probes.ceilings import Ceilings, Reading
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Tier

Load = Mapping[str, Any]

# dram, any tensor, fp32: readings at the ceiling of a made-up card.
CEILINGS = Ceilings(
    model="made-up card",
    label="measured",
    readings=tuple(
        Reading(counter=name, frac=frac, label="measured", source="planted")
        for name, frac in (("dram_active", 0.9), ("tensor_active", 0.8), ("fp32", 0.8), ("hmma", 0.8))
    ),
    sm_mhz=1980.0,
)


def window(t_s: float = 0.2, duration_s: float = 0.2, **counters: Any) -> SubWindow:
    """A busy sub-window with quiet counters, changed by `counters`."""
    given: dict[str, Any] = {
        "has_process": True,
        "gr_active": 1.0,
        "sm_active": 0.9,
        "sm_occupancy": 0.5,
        "tensor_active": 0.05,
        "fp32": 0.05,
        "dram_active": 0.05,
        **counters,
    }
    return SubWindow(t_s=t_s, duration_s=duration_s, **given)


def series(*parts: tuple[int, Load], duration_s: float = 0.2) -> tuple[SubWindow, ...]:
    """(count, counters) parts one after the other."""
    made: list[SubWindow] = []
    for count, counters in parts:
        ends = range(len(made) + 1, len(made) + 1 + count)
        made.extend([window(t_s=end * duration_s, duration_s=duration_s, **counters) for end in ends])
    return tuple(made)


def evidence(
    windows: tuple[SubWindow, ...],
    *,
    tier: Tier = "counters",
    host: HostEvidence | None = None,
    **more: Any,
) -> Evidence:
    """Evidence over these sub-windows on a made-up card."""
    end = windows[-1].t_s if windows else 0.0
    given: dict[str, Any] = {
        "key": "GPU-made-up",
        "gpu": 0,
        "device": Device(name="NVIDIA H100 80GB HBM3", power_limit_w=700.0, sm_mhz_max=1980.0),
        "tier": tier,
        "t_start_s": 0.0,
        "t_end_s": end,
        "windows": windows,
        "host": host or HostEvidence(),
        **more,
    }
    return Evidence(**given)

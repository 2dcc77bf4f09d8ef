"""History: one point a tick and device, for charts."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.snapshot import HistoryPoint
from advisor.telemetry.records import Gpm, Sample
from rules.split import Split, total

# An hour at one point a second is more than a terminal can draw; memory stays flat.
HISTORY_POINTS = 600


def history_point(sample: Sample, splits: Sequence[Split]) -> HistoryPoint:
    """The tick's own shares and mean counters."""
    return HistoryPoint(
        t_s=sample.t_s,
        shares=total(splits).shares,
        gr_active=_mean(sample.gpm, "gr_active") if sample.gpm else sample.gpu_util_frac,
        sm_active=_mean(sample.gpm, "sm_active"),
        tensor_active=_mean(sample.gpm, "tensor_active"),
        dram_active=_mean(sample.gpm, "dram_active"),
        power_w=sample.power_w,
        sm_mhz=sample.sm_mhz,
        temp_c=sample.temp_c,
        mem_used_bytes=sample.mem_used_bytes,
    )


def gap_point(t_s: float) -> HistoryPoint:
    """A hole in the chart."""
    return HistoryPoint(t_s=t_s, gap=True)


def _mean(windows: Sequence[Gpm], counter: str) -> float | None:
    known = [(getattr(g, counter), g.duration_s) for g in windows]
    kept = [(value, seconds) for value, seconds in known if value is not None]
    seconds = sum(s for _, s in kept)
    return sum(v * s for v, s in kept) / seconds if seconds > 0 else None

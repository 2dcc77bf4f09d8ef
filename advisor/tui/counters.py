"""A device's counters against what they read at its ceilings."""

from __future__ import annotations

from advisor.snapshot import DeviceView
from advisor.tui import format as fmt
from advisor.tui.blocks import heading, paragraph
from advisor.tui.ceilings import device_words
from advisor.tui.charts.meter import meter
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left, wrap
from advisor.tui.text import safe

COUNTER_WORDS: dict[str, str] = {
    "gr_active": "engine busy",
    "sm_active": "SMs active",
    "sm_occupancy": "occupancy",
    "tensor_active": "tensor cores",
    "hmma": "tensor half",
    "imma": "tensor integer",
    "dfma": "tensor fp64 dfma",
    "dmma": "tensor fp64 dmma",
    "fp64": "fp64 pipe",
    "fp32": "fp32 pipe",
    "fp16": "fp16 pipe",
    "int_active": "integer pipe",
    "dram_active": "DRAM",
}
COUNTER_GROUP: dict[str, str] = {
    "dram_active": "memory",
    "gr_active": "",
    "sm_active": "",
    "sm_occupancy": "",
}


def counter_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    """Each counter against its reading at the ceiling; without GPM, NVML's two coarse figures."""
    rows = [heading("counters against ceilings", width, glyphs, f"ceilings {device_words(view)}")]
    rows += stale_rows(view, width)
    figures = _live_counters(view)
    if not figures:
        return [*rows, *_coarse_rows(view, width, glyphs)]
    readings = view.counters_at_ceiling
    return rows + [
        _counter_row(name, value, readings.get(name), width, glyphs) for name, value in figures.items()
    ]


def stale_rows(view: DeviceView, width: int) -> list[Row]:
    """Why measured ceilings may no longer hold, if so."""
    stale = view.ceilings.stale if view.ceilings else None
    return paragraph(f"ceilings stale: {stale}", width, "warn") if stale else []


def _live_counters(view: DeviceView) -> dict[str, float]:
    """The newest sub-window's counters that are known and worth a line, then the tick's means."""
    windows = view.sample.gpm if view.sample else ()
    if not windows:
        return {}
    newest = windows[-1]
    pipes = [name for name in view.counters_at_ceiling if name not in ("dram_active", "tensor_active")]
    names = dict.fromkeys(["gr_active", "sm_active", "sm_occupancy", "dram_active", "tensor_active", *pipes])
    found = {name: getattr(newest, name, None) for name in names}
    busy_pipes = {
        name for name, value in found.items() if value is not None and (name not in pipes or value > 0.005)
    }
    return {name: value for name, value in found.items() if value is not None and name in busy_pipes}


def _counter_row(name: str, value: float, at_ceiling: float | None, width: int, glyphs: Glyphs) -> Row:
    frac = value / at_ceiling if at_ceiling else value
    role = COUNTER_GROUP.get(name, "compute") or "strong"
    remark = f"{value:.2f} of {at_ceiling:.2f}" if at_ceiling else f"{value:.2f} of time"
    tail = f" {fmt.percent(frac):>5}  {remark:<14}"
    room = max(4, width - 14 - len(tail))
    return (Span(left(COUNTER_WORDS.get(name, name), 13) + " "), *meter(frac, room, glyphs, role), Span(tail))


def _coarse_rows(view: DeviceView, width: int, glyphs: Glyphs) -> list[Row]:
    sample = view.sample
    reason = view.info.missing.get("gpm") or "no GPM counters in the newest data"
    if sample is None:
        return [(Span(f"no data: {safe(view.state_reason) or 'none yet'}", "dim"),)]
    figures = (("utilisation", sample.gpu_util_frac), ("mem. control", sample.mem_util_frac))
    rows: list[Row] = []
    for name, value in figures:
        tail = f" {fmt.percent(value):>5}  of time"
        rows.append(
            (Span(left(name, 13) + " "), *meter(value, max(4, width - 14 - len(tail)), glyphs), Span(tail))
        )
    return [*rows, *((Span(line, "dim"),) for line in wrap(safe(reason), width))]

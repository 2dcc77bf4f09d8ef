"""One device of a timeline, where a person asked for that alone."""

from __future__ import annotations

from dataclasses import fields, replace

from advisor.traces.timeline import GpuTable, Timeline


def only_device(timeline: Timeline, device: int) -> Timeline:
    """The timeline with what ran on this device alone; the host's side stays whole."""
    kept = timeline.gpu.device == device
    columns = {column.name: getattr(timeline.gpu, column.name)[kept] for column in fields(GpuTable)}
    return replace(timeline, gpu=GpuTable(**columns))

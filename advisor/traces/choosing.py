"""Some devices of a timeline: one, where a person asked for that alone, or as many as can be looked at."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import GpuTable, Loss, Timeline

# The largest machines of one address space hold 72; a file of more is damaged, or was made to exhaust.
MOST_DEVICES = 256


def only_device(timeline: Timeline, device: int) -> Timeline:
    """The timeline with what ran on this device alone; the host's side stays whole."""
    return _with_rows(timeline, timeline.gpu.device == device)


def busiest_devices(timeline: Timeline, most: int = MOST_DEVICES) -> Timeline:
    """The timeline with the devices on which most intervals ran, and a loss that tells how many are left out;
    the same where it has no more of them."""
    devices, counts = np.unique(timeline.gpu.device, return_counts=True)
    if len(devices) <= most:
        return timeline
    chosen = devices[np.argsort(-counts, kind="stable")[:most]]
    kept = np.isin(timeline.gpu.device, chosen)
    message = f"{len(devices)} devices in one file: only the {most} with most intervals were looked at"
    loss = Loss("limit", message, int((~kept).sum()))
    return replace(_with_rows(timeline, kept), losses=(*timeline.losses, loss))


def _with_rows(timeline: Timeline, kept: NDArray[np.bool_]) -> Timeline:
    columns = {column.name: getattr(timeline.gpu, column.name)[kept] for column in fields(GpuTable)}
    return replace(timeline, gpu=GpuTable(**columns))

"""Why part of a device's idle time has no known cause."""

from __future__ import annotations

import numpy as np

from advisor.traces.attribution import KERNELS_MISSING, Attribution, Mask
from advisor.traces.intervals import Ints
from advisor.traces.timeline import UNKNOWN, Timeline
from rules.traces.host_names import launches_graph
from rules.traces.records import CAUSES


def why_unknown(timeline: Timeline, attribution: Attribution) -> str | None:
    """What most of the unknown idle time is due to, as a clause; None where no time is unknown."""
    idle = attribution.idle
    mask = idle.cause == CAUSES.index("unknown")
    if not mask.any():
        return None
    missing = next((loss.message for loss in timeline.losses if loss.code == KERNELS_MISSING), None)
    if missing is not None:
        return f"because {missing}"
    if len(timeline.host) == 0:
        return "because the trace holds nothing of the host"
    lengths = (idle.end_ns - idle.start_ns)[mask]
    queued, graphs = idle.queued[mask], _of_graphs(timeline, idle.next_row[mask])
    waiting, bare = int(lengths[queued].sum()), int(lengths[~queued].sum())
    if bare > waiting:
        return f"because for {_ms(bare)} the launch of what ran next is not in the trace"
    missing = (
        "as kernels inside graphs often are"
        if graphs[queued].any()
        else "or other programs shared the device"
    )
    return (
        f"because for {_ms(waiting)} work was queued and yet nothing ran that the trace shows: "
        f"records may be missing from it, {missing}"
    )


def _of_graphs(timeline: Timeline, rows: Ints) -> Mask:
    gpu, host = timeline.gpu, timeline.host
    result: Mask = gpu.graph[rows] > 0
    launched = np.flatnonzero(gpu.launch[rows] != UNKNOWN)
    names = host.name[gpu.launch[rows[launched]]]
    result[launched] |= np.array([launches_graph(timeline.names[name]) for name in names.tolist()], np.bool_)
    return result


def _ms(length_ns: int) -> str:
    return f"{length_ns / 1e6:.3g} ms"

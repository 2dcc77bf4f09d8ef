"""One device of one file: its figures, from one study of its kernels and one attribution of its time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces import kernels
from advisor.traces.attribution import Attribution, attribute
from advisor.traces.chains import chains
from advisor.traces.copies import copy_rows
from advisor.traces.gap_rows import gap_rows
from advisor.traces.host_figures import host_figures
from advisor.traces.intervals import Ints, Spans, intersect, union
from advisor.traces.steps import step_figures
from advisor.traces.strip import strip
from advisor.traces.timeline import UNKNOWN, Timeline
from advisor.traces.unknown_causes import why_unknown
from probes.ceilings import Ceilings
from rules.traces.records import BUSY, CAUSES, DeviceTrace
from rules.trust import label_of

# Options of PyTorch's profiler that lengthen the host's time, as its files name them.
OPTIONS = ("with_stack", "record_shapes", "profile_memory")


@dataclass(frozen=True)
class DeviceStudy:
    """What all figures of one device rest on. natures: per row of the GPU table, index into BUSY; only this
    device's rows are to be read."""

    timeline: Timeline
    kernels: kernels.Study
    natures: NDArray[np.uint8]
    attribution: Attribution


def device_study(
    timeline: Timeline, device: int, ceilings: Ceilings | None, natures: NDArray[np.uint8] | None = None
) -> DeviceStudy:
    """Kernels judged, and the device's time attributed, once.

    natures: the file's column, in which those of this device are written; without it one is made.
    """
    found = kernels.study(timeline, timeline.facts_of(device), ceilings)
    natures = kernels.no_natures(timeline) if natures is None else natures
    kernels.fill_natures(found, natures)
    return DeviceStudy(timeline, found, natures, attribute(timeline, device, natures))


def device_trace(
    study: DeviceStudy, file: int, name: str, ceilings: Ceilings | None, top: int = kernels.TOP
) -> DeviceTrace:
    """The record of one device. file: its number among the files; name: the file's, distinct among them.

    top: how many kernels are listed.
    """
    timeline, attribution = study.timeline, study.attribution
    facts = timeline.facts_of(attribution.device)
    return DeviceTrace(
        key=f"trace:{name}:gpu{attribution.device}",
        file=file,
        device=attribution.device,
        name=facts.name,
        rank=timeline.meta.rank,
        source=f"{PurePath(timeline.meta.path).name}, device {attribution.device}",
        **_times(attribution),
        **_rows(study),
        **_communication(study),
        **_kernels(study, top),
        gaps=gap_rows(timeline, attribution),
        steps=step_figures(timeline, attribution),
        host=host_figures(timeline, attribution),
        strip=strip(attribution),
        ceilings_label=label_of(ceilings),
        perturbed=tuple(name for name in OPTIONS if timeline.meta.facts.get(name) in ("1", "true", "True")),
        unknown=_unknown(study, facts.name, ceilings),
    )


def _times(attribution: Attribution) -> dict[str, Any]:
    """The span, busy and idle time, and their parts."""
    causes, busy = attribution.causes_ns().tolist(), attribution.busy_ns().tolist()
    idle_ns, span_ns = sum(causes), attribution.span_ns
    fractions = {cause: ns / idle_ns for cause, ns in zip(CAUSES, causes, strict=True)} if idle_ns else {}
    return {
        "start_us": attribution.start_ns / 1000,
        "span_us": span_ns / 1000,
        "busy_us": sum(busy) / 1000,
        "idle_us": idle_ns / 1000,
        "idle_frac": idle_ns / span_ns if span_ns else 0.0,
        "causes": {cause: ns / 1000 for cause, ns in zip(CAUSES, causes, strict=True)},
        "causes_frac": fractions,
        "busy": {nature: ns / 1000 for nature, ns in zip(BUSY, busy, strict=True)},
    }


def _rows(study: DeviceStudy) -> dict[str, Any]:
    """How much ran, and of that what no call in the trace launched."""
    low, high, gpu = study.kernels.low, study.kernels.high, study.timeline.gpu
    lone = low + np.flatnonzero(gpu.launch[low:high] == UNKNOWN)
    return {
        "events": high - low,
        "streams": int(np.unique(gpu.stream[low:high]).shape[0]),
        "uncorrelated_us": _covered(study, lone).total_ns / 1000,
    }


def _kernels(study: DeviceStudy, top: int) -> dict[str, Any]:
    """Kernels by name and by family, chains of them, and copies."""
    found = study.kernels
    listed = kernels.kernel_rows(found, top)
    return {
        "tensor_us": kernels.tensor_ns(found) / 1000,
        "kernels": listed.rows,
        "kernels_left": listed.left,
        "kernels_left_us": listed.left_us,
        "families": kernels.family_rows(found),
        "copies": copy_rows(found),
        "chains": chains(found, study.attribution),
    }


def _covered(study: DeviceStudy, rows: Ints) -> Spans:
    gpu = study.timeline.gpu
    return union(gpu.start_ns[rows], gpu.end_ns[rows])


def _communication(study: DeviceStudy) -> dict[str, Any]:
    """When collectives ran, and of that alone and beside other kernels."""
    rows = study.kernels.rows
    collective = study.natures[rows] == BUSY.index("communication")
    waiting, working = _covered(study, rows[collective]), _covered(study, rows[~collective])
    beside_ns = intersect(waiting, working).total_ns if len(waiting) else 0
    return {
        "communication_us": waiting.total_ns / 1000,
        "communication_exposed_us": (waiting.total_ns - beside_ns) / 1000,
        "communication_overlapped_us": beside_ns / 1000,
    }


def _unknown(study: DeviceStudy, name: str | None, ceilings: Ceilings | None) -> dict[str, str]:
    """Figure -> why it is not known."""
    found = {}
    why = why_unknown(study.timeline, study.attribution)
    if why is not None:
        found["causes"] = why
    if name is None:
        found["name"] = "the trace does not name the device"
    if ceilings is None:
        found["ceilings"] = "what this card can do is not known, so kernels go by their families"
    return found

"""Analyse: from timelines to the report of what they show, each heavy thing done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution
from advisor.traces.choosing import busiest_devices
from advisor.traces.cpu_side import cpu_figures
from advisor.traces.device_figures import device_study, device_trace
from advisor.traces.kernels import TOP, no_natures
from advisor.traces.ranks import rank_figures
from advisor.traces.timeline import Loss, Timeline
from probes.ceilings import Ceilings
from rules.traces.records import CpuFigures, DeviceTrace, TraceFile, TraceLoss, TraceReport

CeilingsOf = Callable[[Timeline, int], Ceilings | None]
OnDevice = tuple[int, int]


@dataclass(frozen=True)
class Analysis:
    """What traces show. attributions, ceilings: by (file, device), with files as in `timelines`.

    ceilings: what each device was compared with; a device without an entry was compared with nothing.
    natures: per file, of every row of its GPU table the index into BUSY.
    """

    report: TraceReport
    timelines: tuple[Timeline, ...]
    attributions: Mapping[OnDevice, Attribution]
    ceilings: Mapping[OnDevice, Ceilings] = field(default_factory=dict)
    natures: tuple[NDArray[np.uint8], ...] = ()


def analyse(timelines: Sequence[Timeline], ceilings_of: CeilingsOf, top: int = TOP) -> Analysis:
    """The report of one or several files. ceilings_of: what a device (of a file, by its number) can do.

    top: how many kernels of each device are listed.
    """
    attributions: dict[OnDevice, Attribution] = {}
    ceilings: dict[OnDevice, Ceilings] = {}
    devices: list[DeviceTrace] = []
    timelines = [busiest_devices(timeline) for timeline in timelines]
    names, natures = distinct_names(timelines), tuple(no_natures(timeline) for timeline in timelines)
    for file, timeline in enumerate(timelines):
        for device in timeline.device_numbers():
            limits = ceilings_of(timeline, device)
            study = device_study(timeline, device, limits, natures[file])
            attributions[file, device] = study.attribution
            if limits is not None:
                ceilings[file, device] = limits
            devices.append(device_trace(study, file, names[file], limits, top))
    several = len(attributions) > 1 or any(t.meta.rank is not None for t in timelines)
    ranks = rank_figures(timelines, attributions) if several else None
    report = TraceReport(
        files=tuple(trace_file(timeline) for timeline in timelines),
        devices=tuple(devices),
        ranks=ranks,
        cpu_only=not devices,
        cpu=_cpu_sides(timelines),
        notes=_notes(timelines) if devices else (),
    )
    return Analysis(report, tuple(timelines), attributions, ceilings, natures)


def _cpu_sides(timelines: Sequence[Timeline]) -> tuple[CpuFigures, ...]:
    """Of files without a device, what their CPU's side holds."""
    bare = [(file, timeline) for file, timeline in enumerate(timelines) if not timeline.device_numbers()]
    found = (cpu_figures(timeline, file) for file, timeline in bare)
    return tuple(figures for figures in found if figures is not None)


def trace_file(timeline: Timeline) -> TraceFile:
    """What is told of a file."""
    meta = timeline.meta
    return TraceFile(
        name=PurePath(meta.path).name,
        format=meta.format,
        size_bytes=meta.size_bytes,
        rank=meta.rank,
        world_size=meta.world_size,
        events=dict(meta.events),
        facts=dict(meta.facts),
        losses=tuple(_loss(loss) for loss in timeline.losses),
    )


def _loss(loss: Loss) -> TraceLoss:
    return TraceLoss(code=loss.code, message=loss.message, count=loss.count, offset=loss.offset)


def distinct_names(timelines: Sequence[Timeline]) -> tuple[str, ...]:
    """A name for each file, without folder and suffix; of equal ones the second is "run-2"."""
    found: list[str] = []
    for timeline in timelines:
        stem = PurePath(timeline.meta.path).name
        for suffix in (".gz", ".json", ".sqlite", ".trace", ".pt"):
            stem = stem.removesuffix(suffix)
        name, count = stem or "trace", 2
        while name in found:
            name, count = f"{stem or 'trace'}-{count}", count + 1
        found.append(name)
    return tuple(found)


def _notes(timelines: Sequence[Timeline]) -> tuple[str, ...]:
    """What a reader should know of the figures."""
    bare = [PurePath(t.meta.path).name for t in timelines if not t.device_numbers()]
    said = [f"{name} holds nothing that ran on a device" for name in bare]
    return tuple(said)

"""Lines of evidence from a trace: a metric, its value, and in which file and on which device it was read."""

from __future__ import annotations

from rules import thresholds as th
from rules.decide import against
from rules.traces.records import CAUSES, DeviceTrace
from rules.traces.shares import cause_frac, frac
from rules.verdict import EvidenceItem

CAUSE_WORDS: dict[str, str] = {
    "host_launch": "idle: the host had not launched the next work",
    "synchronisation": "idle: the host waited for the device and launched nothing",
    "data_loading": "idle: the host waited for a batch or made one",
    "copy_wait": "idle: the host sat in a copy",
    "communication_wait": "idle: the host waited for other ranks",
    "stream_dependency": "idle: queued work waited for another stream",
    "kernel_gap": "idle: from one queued kernel to the next",
    "checkpoint_io": "idle: checkpoints and files",
    "allocator": "idle: memory was allocated or freed",
    "profiler_overhead": "idle: the profiler's own work",
    "unknown": "idle, cause unknown",
}
BUSY_WORDS: dict[str, str] = {
    "compute": "busy: kernels of a compute-bound nature",
    "memory": "busy: kernels of a memory-bound nature",
    "latency": "busy: kernels near neither roof, small or slow",
    "other": "busy: kernels of unknown nature",
    "communication": "busy: collectives alone",
    "copy": "busy: copies and sets alone",
}
# Less of the time than this is told by reports, not by the verdict.
_LEAST = 0.01


def source_of(trace: DeviceTrace) -> str:
    """Where a figure was read: "trace: run.json.gz, device 0"."""
    return f"trace: {trace.source or trace.key}"


def item(
    trace: DeviceTrace,
    metric: str,
    value: float | str | None,
    unit: str = "frac",
    threshold: str | None = None,
) -> EvidenceItem:
    """One line read in a trace."""
    return EvidenceItem(metric=metric, value=value, unit=unit, threshold=threshold, source=source_of(trace))


def evidence_items(
    trace: DeviceTrace, memory: float | None, compute: float | None
) -> tuple[EvidenceItem, ...]:
    """The lines every traced verdict shows: idle time and its causes, busy time by kind, both roofs."""
    idle = [
        item(trace, "device idle", trace.idle_frac, threshold=against(trace.idle_frac, th.HOST_GAP.value))
    ]
    causes = sorted(CAUSES, key=lambda cause: -trace.causes.get(cause, 0.0))
    idle += [
        item(trace, CAUSE_WORDS[cause], cause_frac(trace, cause))
        for cause in causes
        if cause_frac(trace, cause) >= _LEAST
    ]
    busy = [
        item(trace, words, frac(trace, trace.busy.get(nature, 0.0)))
        for nature, words in BUSY_WORDS.items()
        if frac(trace, trace.busy.get(nature, 0.0)) >= _LEAST
    ]
    return (*idle, *busy, *_roofs(trace, memory, compute))


def _roofs(trace: DeviceTrace, memory: float | None, compute: float | None) -> list[EvidenceItem]:
    found = []
    for name, value in (("DRAM", memory), ("compute", compute)):
        if value is not None:
            metric = f"{name} roof fraction of kernels with known shapes"
            found.append(item(trace, metric, value, threshold=against(value, th.ROOF_HIGH.value)))
    return found

"""Why a verdict from a trace is unknown or weaker than it could be, and what would settle it."""

from __future__ import annotations

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.evidence import Evidence
from rules.traces.records import DeviceTrace
from rules.traces.shares import cause_frac, frac
from rules.trust import label_of
from rules.verdict import Class

_SAID = 0.02
# What each option of the profiler does to the traced program.
PERTURBED_WORDS: dict[str, str] = {
    "with_stack": "with_stack records every Python call",
    "record_shapes": "record_shapes keeps every operator's inputs",
    "profile_memory": "profile_memory records every allocation",
}


def percent(part: float) -> str:
    """0.384 -> "38 %"; one decimal below 10 %."""
    return f"{100 * part:.0f} %" if part >= 0.1 else f"{100 * part:.1f} %"


def doubts(evidence: Evidence, roofs_known: float) -> tuple[str, ...]:
    """What weakens the verdict, most telling first."""
    trace = evidence.trace
    if trace is None:
        return ("the trace holds nothing that ran on a device",)
    return (
        *_unknown_time(trace),
        *_perturbed(trace),
        *_short(trace),
        *_roofs(evidence, trace, roofs_known),
    )


def _unknown_time(trace: DeviceTrace) -> list[str]:
    said = [
        (cause_frac(trace, "unknown"), "of the time the device is idle and the trace does not say why"),
        (frac(trace, trace.busy.get("other", 0.0)), "of the time kernels ran whose nature is not known"),
        (cause_frac(trace, "profiler_overhead"), "of the time the device waited for the profiler itself"),
    ]
    why = trace.unknown.get("causes", "").removeprefix("because ")
    found = [f"{percent(part)} {words}" for part, words in said if part >= _SAID]
    return [f"{found[0]}: {why}", *found[1:]] if why and said[0][0] >= _SAID else found


def _perturbed(trace: DeviceTrace) -> list[str]:
    if not trace.perturbed:
        return []
    options = "; ".join(PERTURBED_WORDS.get(name, name) for name in trace.perturbed)
    return [f"the profiler slowed the host down ({options}): without it host time is shorter"]


def _short(trace: DeviceTrace) -> list[str]:
    if trace.span_us >= th.TRACE_SHORT_US.value:
        return []
    return [f"the trace spans {trace.span_us / 1000.0:.1f} ms of the device, a moment of the workload"]


def _roofs(evidence: Evidence, trace: DeviceTrace, known: float) -> list[str]:
    if trace.ceilings_label is None:
        of = evidence.device.name if trace.name else "this GPU, which the trace does not name"
        return [f"no ceiling is known for {of}: what limits kernels goes by their families"]
    if known < 0.5:
        return [
            f"how near kernels come to a roof is known for {percent(known)} of their time (shapes were not "
            "recorded, or names tell no work): the rest counts as useful"
        ]
    return []


def to_settle(class_: Class, evidence: Evidence, ceilings: Ceilings | None) -> tuple[str, ...]:
    """Sentences for a verdict that is unknown; most telling first."""
    trace = evidence.trace
    if class_ != "unknown" or trace is None:
        return ()
    found = []
    if cause_frac(trace, "unknown") >= th.SECONDARY.value:
        found.append("record the host as well: `activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]`")
    if label_of(ceilings) is None or frac(trace, trace.busy.get("other", 0.0)) >= th.SECONDARY.value:
        found.append("`ncu --set basic` tells kernel by kernel what limits it")
    return (*found, "`record_shapes=True` lets kernels be placed under their roofs")

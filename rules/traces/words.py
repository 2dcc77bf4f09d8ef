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
# Key of Evidence.missing that says what part of the file could not be read.
LOST = "lost"
# Key of Evidence.missing that says why kernels that ran are not in the trace.
NO_KERNELS = "kernels"
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
    lost = evidence.missing.get(LOST)
    return (
        *([f"only a part of the file could be read ({lost}): the rest may say otherwise"] if lost else []),
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
            "recorded, or names tell no work): how much of the rest was useful is unknown"
        ]
    return []


def to_settle(class_: Class, evidence: Evidence, ceilings: Ceilings | None) -> tuple[str, ...]:
    """Sentences for a verdict that is unknown, of what was not recorded yet; most telling first."""
    trace = evidence.trace
    if class_ != "unknown" or trace is None:
        return ()
    found = list(idle_settled(evidence, trace)) if _idle_unknown(trace) else []
    if label_of(ceilings) is None or frac(trace, trace.busy.get("other", 0.0)) >= th.SECONDARY.value:
        found.append("`ncu --set basic` tells kernel by kernel what limits it")
    if may_record_shapes(trace):
        found.append("`record_shapes=True` lets kernels be placed under their roofs")
    return tuple(found)


def _idle_unknown(trace: DeviceTrace) -> bool:
    return cause_frac(trace, "unknown") >= th.TRACE_UNEXPLAINED.value


def idle_settled(evidence: Evidence, trace: DeviceTrace) -> tuple[str, ...]:
    """What tells why a device was idle, by what the trace has already."""
    if NO_KERNELS in evidence.missing and LOST not in evidence.missing:
        return ("record kernels too: `nsys profile -t cuda,nvtx,osrt`, or `ProfilerActivity.CUDA`",)
    if LOST in evidence.missing:
        return ("read a whole copy of the file, or record it again",)
    if not has_host(trace):
        return ("record the host as well: `activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]`",)
    graphs = trace.chains is not None and trace.chains.graphed > 0
    return (
        "fewer steps in one trace: a profiler whose buffers are full drops records",
        *(
            ("`nsys profile --cuda-graph-trace=node` records the kernels inside CUDA graphs",)
            if graphs
            else ()
        ),
        "`nvidia-smi pmon` shows whether another process uses the device",
    )


def has_host(trace: DeviceTrace) -> bool:
    """Whether the trace holds calls of the host while the device was at work."""
    return trace.host is not None and bool(trace.host.calls)


def may_record_shapes(trace: DeviceTrace) -> bool:
    """Whether shapes are missing, of a profiler that can record them: Nsight Systems cannot."""
    known = "record_shapes" in trace.perturbed or any(row.known_frac > 0.0 for row in trace.kernels)
    return not known and ".sqlite," not in trace.source

"""Figures of traces: what analyses reduce a timeline to, and what rules, reports and screens read.

Durations are microseconds, as in the profilers' own files; each is a whole number of nanoseconds over 1,000.
Fractions are 0 to 1. Names come from the traced program and are hostile text.
"""

from __future__ import annotations

import msgspec

from rules.traces.kernel_records import ChainFigures, CopyRow, FamilyRow, KernelRow

# Why the device ran nothing: every idle nanosecond has exactly one of these.
CAUSES: tuple[str, ...] = (
    "host_launch",  # the host had not issued the next work yet: Python, dispatch, the launch call itself
    "synchronisation",  # the host waited for the device, and issued nothing meanwhile
    "data_loading",  # the host waited for a batch, or made one
    "copy_wait",  # the host sat in a copy between host and device
    "communication_wait",  # the host waited for other ranks
    "stream_dependency",  # work was queued, and waited for another stream or event
    "kernel_gap",  # work was queued on the same stream: the device takes a while from one kernel to the next
    "checkpoint_io",  # checkpoints and files
    "allocator",  # allocation and release of device or pinned memory
    "profiler_overhead",  # the profiler's own work
    "unknown",
)
# What the device did: every busy nanosecond has exactly one of these, the first that applies.
BUSY: tuple[str, ...] = (
    "compute",  # a kernel of a compute-bound nature ran
    "memory",  # else one of a memory-bound nature
    "latency",  # else one that neither limits: too small for the device, or measured far below both roofs
    "other",  # else a kernel whose nature is not known
    "communication",  # else a collective alone: exposed communication
    "copy",  # else a copy or a set alone
)


class TraceLoss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file did not give, as in advisor.traces.timeline.Loss."""

    code: str
    message: str
    count: int | None = None
    offset: int | None = None


class TraceFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file that was read. events: records met, by category."""

    name: str
    format: str
    size_bytes: int
    rank: int | None = None
    world_size: int | None = None
    events: dict[str, int] = {}
    facts: dict[str, str] = {}
    losses: tuple[TraceLoss, ...] = ()
    read_s: float | None = None


class GapRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One idle gap: where, how long, its causes, and what stood around it. start_us: since the zero."""

    start_us: float
    duration_us: float
    causes: dict[str, float]
    before: str | None = None
    after: str | None = None
    host: str | None = None


class StepRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step on one device: its time and how the device spent it. causes, busy: µs by CAUSES, by BUSY.

    phases: µs of the host. host_us: how long the program's own mark lasted. events: what ran on the device
    for this step, None where launches do not tell. partial: the profiler cut it.
    """

    number: int
    start_us: float
    duration_us: float
    busy_us: float
    causes: dict[str, float] = {}
    busy: dict[str, float] = {}
    phases: dict[str, float] = {}
    outlier: bool = False
    partial: bool = False
    host_us: float | None = None
    events: int | None = None


class StepMean(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mean of one figure over all whole steps. variance: of that mean, in µs², with its degrees of
    freedom; None with too few steps."""

    mean_us: float
    variance: float | None = None
    freedom: float | None = None


class StepFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps of one device. source: where steps came from ("ProfilerStep", "nvtx", "optimizer" (from the end
    of one step of an optimizer to the end of the next), "none", "inferred from repeating kernels").

    window: what a step's time is. "launches": from the end of the previous step's work on the device to the
    end of its own, told by which step launched what, so that steps follow each other without a gap and the
    wait for a step's first kernel is that step's (where no step is whole, the first one's time is that of its
    mark); "host": as the program marked it, since the trace does not tell what launched what; "kernels":
    from one repetition of the kernels to the next. mean_us, median_us,
    p90_us, max_us, mad_us (median absolute deviation): of whole steps. partial: steps that the profiler cut,
    which are in no median, unless there are no others. outliers: steps beyond the median by more than the
    usual spread allows, told in outlier_because. trend: change of step time from the first to the last third,
    as a fraction, with trend_noise as its 95 % half-width; None with too few steps. phases: forward,
    backward, optimizer, data, ...: µs of the host in a median step. causes, busy: µs of the device in a mean
    whole step; together they are mean_us. rows: the first ones and all outliers; rows_left: how many are not
    listed. means: "step.time", "cause.data_loading", "busy.compute", "phase.forward", ... -> of all whole
    steps, listed or not; what never occurs is left out. events_mean: what ran on the device in a mean step.
    notes: what a reader should know.
    """

    source: str
    count: int
    median_us: float | None = None
    p90_us: float | None = None
    max_us: float | None = None
    trend: float | None = None
    trend_noise: float | None = None
    phases: dict[str, float] = {}
    outliers: tuple[int, ...] = ()
    outlier_because: dict[str, str] = {}
    rows: tuple[StepRow, ...] = ()
    window: str = ""
    mean_us: float | None = None
    mad_us: float | None = None
    partial: tuple[int, ...] = ()
    causes: dict[str, float] = {}
    busy: dict[str, float] = {}
    rows_left: int = 0
    means: dict[str, StepMean] = {}
    events_mean: float | None = None
    notes: tuple[str, ...] = ()


class HostRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the host was in while the device waited for one cause.

    cause: key of CAUSES. name: the innermost operator, range or call around it, hostile text. idle_us: idle
    time of that cause under that name. count: idle stretches.
    """

    cause: str
    name: str
    idle_us: float
    count: int


class HostFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the host did while one device was traced.

    calls: role ("launch", "sync", "copy", "alloc", "data", ...) -> host calls within the device's span.
    steps: steps within it, 0 without. loader_frac: part of the steps' time in which the thread that marks
    them was in a DataLoader and the device ran nothing; None without steps. gaps: idle gaps in which the
    host had not launched the next work yet; median_gap_us: of them. long_gap_us: cause -> idle time in gaps
    of 1 ms or more. after_sync_us: of host_launch, what follows a synchronisation that had drained the queue;
    it is not in long_gap_us. rows: the largest of what stood behind idle time, named_frac: part of all idle
    time for which a name was looked up. short_kernels: kernels shorter than a launch takes.
    """

    calls: dict[str, int] = {}
    steps: int = 0
    loader_frac: float | None = None
    gaps: int = 0
    median_gap_us: float | None = None
    long_gap_us: dict[str, float] = {}
    after_sync_us: float = 0.0
    kernels: int = 0
    short_kernels: int = 0
    rows: tuple[HostRow, ...] = ()
    named_frac: float = 0.0


class Strip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device over time in equal stretches of `width_us`, oldest first: µs by cause and busy class."""

    width_us: float
    causes: dict[str, tuple[float, ...]] = {}
    busy: dict[str, tuple[float, ...]] = {}


class DeviceTrace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device of one file.

    span_us: from the start of the first to the end of the last interval on it. busy_us: the union of all
    kernels, copies and sets. idle_us + busy_us = span_us. causes: CAUSES key -> µs, summing to idle_us.
    busy: BUSY key -> µs, summing to busy_us. causes_frac: the same as parts of idle time (summing to 1;
    empty without idle time). communication_us: union of collectives; of it exposed_us alone and
    overlapped_us beside other kernels. tensor_us: union of kernels that use tensor cores. uncorrelated_us:
    union of GPU intervals without a launch in the trace. kernels: the top by time; kernels_left: how many
    names are not listed, with kernels_left_us. source: as evidence names it, "run.json.gz, device 0".
    perturbed: options of the profiler that slow the traced program down, such as "with_stack".
    """

    key: str
    file: int
    device: int
    span_us: float
    busy_us: float
    idle_us: float
    idle_frac: float
    causes: dict[str, float]
    busy: dict[str, float]
    causes_frac: dict[str, float] = {}
    name: str | None = None
    rank: int | None = None
    start_us: float = 0.0
    events: int = 0
    streams: int = 0
    communication_us: float = 0.0
    communication_exposed_us: float = 0.0
    communication_overlapped_us: float = 0.0
    tensor_us: float = 0.0
    uncorrelated_us: float = 0.0
    kernels: tuple[KernelRow, ...] = ()
    kernels_left: int = 0
    kernels_left_us: float = 0.0
    families: tuple[FamilyRow, ...] = ()
    copies: tuple[CopyRow, ...] = ()
    chains: ChainFigures | None = None
    gaps: tuple[GapRow, ...] = ()
    steps: StepFigures | None = None
    host: HostFigures | None = None
    strip: Strip | None = None
    ceilings_label: str | None = None
    source: str = ""
    perturbed: tuple[str, ...] = ()
    unknown: dict[str, str] = {}


class CollectiveRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One collective across the ranks of a job: how long ranks waited for the last to arrive.

    Clocks of different hosts are not compared: the wait of a rank is its duration less the shortest one.
    """

    name: str
    count: int
    total_us: float
    wait_us: float
    last_rank: int | None = None


class RankRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rank beside the others. wait_us: in collectives, for ranks that came later; of it
    wait_exposed_us while nothing else ran. last_frac: part of the matched collectives to which it came last.
    caused_us: mean wait of another rank for this one. work_us: busy time without communication. matched: of
    its collectives, how many were found on other ranks too."""

    rank: int
    device: int
    file: int
    span_us: float
    busy_us: float
    work_us: float
    exposed_us: float
    wait_us: float | None = None
    last_frac: float | None = None
    step_us: float | None = None
    wait_exposed_us: float | None = None
    caused_us: float | None = None
    matched: int | None = None
    collectives: int = 0


class RankFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ranks of one job. world_size: as the traces say; missing: ranks of it without a file.

    imbalance_frac: 1 - mean / max of work time. straggler: the rank that the others wait for, None where none
    stands out, with straggler_because. wait_frac: part of all ranks' time spent in collectives for later
    ranks. refused: why the files are not held against each other as ranks of one job; then the rows stand
    for themselves. work_of: what work_us is of ("steps 551 to 552", "the whole trace").
    """

    rows: tuple[RankRow, ...]
    world_size: int | None = None
    missing: int | None = None
    imbalance_frac: float | None = None
    straggler: int | None = None
    straggler_because: str = ""
    wait_frac: float | None = None
    exposed_frac: float | None = None
    collectives: tuple[CollectiveRow, ...] = ()
    unknown: dict[str, str] = {}
    refused: str | None = None
    work_of: str = "the whole trace"
    notes: tuple[str, ...] = ()


class CpuRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operator on the CPU. own_us: time in which no other operator ran within it, over all threads."""

    name: str
    own_us: float
    count: int


class CpuFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the CPU's side holds of a file in which nothing ran on a device.

    span_us: from the first to the last host interval. ops_us: time in operators, added up over threads.
    loader_us: time of the thread that marks the steps (else of the one that is longest in operators) in a
    DataLoader. steps, median_step_us: as the program marked them. rows: operators with most own time.
    """

    file: int
    span_us: float
    ops_us: float
    threads: int
    loader_us: float = 0.0
    steps: int = 0
    median_step_us: float | None = None
    rows: tuple[CpuRow, ...] = ()


class TraceReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that traces show, one record of a Diagnosis. devices: by file, then by number.

    cpu_only: no file holds anything that ran on a device. cpu: of files that hold nothing of the kind.
    notes: what a reader should know of the figures.
    """

    files: tuple[TraceFile, ...] = ()
    devices: tuple[DeviceTrace, ...] = ()
    ranks: RankFigures | None = None
    cpu_only: bool = False
    cpu: tuple[CpuFigures, ...] = ()
    notes: tuple[str, ...] = ()

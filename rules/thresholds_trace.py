"""Thresholds of the rules that read profiler traces. See rules.thresholds."""

from __future__ import annotations

from rules.threshold import Threshold, own

TRACE_SHARE = Threshold(
    "share of a traced device's time from which a measured loss is worth a finding",
    0.05,
    "XProf input-pipeline analysis: 5 % waiting is moderate; a trace measures it, so that less doubt is left",
)
TRACE_UNKNOWN = Threshold(
    "share of a traced device's time of unknown kind from which the verdict is unknown",
    0.5,
    own("more than half of the time is not accounted for"),
)
TRACE_SHORT_US = Threshold(
    "µs of traced time below which a verdict speaks of a moment and of no workload",
    5_000.0,
    own("a step of a small model takes some ms, and a verdict should have seen one"),
)
TRACE_FEW_STEPS = Threshold(
    "steps below which neither outliers nor a trend are spoken of",
    3.0,
    own("of two steps nobody can say which is the odd one"),
)
TRACE_SHORT_KERNEL_US = Threshold(
    "µs of a kernel below which launching it takes as long as running it",
    10.0,
    "HTA: a short kernel ends before its launch call does; launches take 3 to 10 µs through a framework",
)
TRACE_STRAGGLER = Threshold(
    "part of the ranks' time spent waiting for later ranks from which that is worth a finding",
    0.03,
    own("on hundreds of cards each percent is several cards"),
)
TRACE_OVERHEAD = Threshold(
    "share of a traced device's time that the profiler itself took from which its figures are doubtful",
    0.05,
    own("as TRACE_SHARE: what is worth a finding must not be the profiler's own doing"),
)
TRACE_OCCUPANCY = Threshold(
    "achieved occupancy below which a kernel has few warps to hide latency with",
    0.25,
    "Nsight Compute: low occupancy is one of the reasons of latency; a quarter hides little",
)
TRACE_WAVES = Threshold(
    "waves of blocks below which a grid does not fill the device once",
    1.0,
    "blocks over what the device holds at once: below 1 some SMs have nothing to do",
)
TRACE_STEP_TREND = Threshold(
    "change of step time from the first to the last third of a trace worth a finding",
    0.1,
    own("a tenth is more than clocks do while a card warms up"),
)
TRACE_PERTURBED = Threshold(
    "part by which each costly option of a profiler may lengthen the host's time",
    0.1,
    own("with_stack and record_shapes cost some µs an operator, beside ten or more that it takes anyway"),
)
TRACE_NATURE_ERROR = Threshold(
    "part of the time of kernels judged by their family whose nature may be another",
    0.15,
    own("small products wait for DRAM or latency, and some element-wise kernels stay in the cache"),
)
TRACE_QUEUED_US = Threshold(
    "µs that queued work may wait on an idle device before that is more than turnaround or launch latency",
    20.0,
    own("a kernel follows another after 1 to 2 µs, a launch reaches an idle device after 3 to 10 µs"),
)
TRACE_AWAY_US = Threshold(
    "µs without any call or operator from which a thread is taken to wait for another thread",
    100.0,
    own("between two operators an interpreter takes 10 to 50 µs; the backward pass's thread rests for ms"),
)
TRACE_SAME_END_US = Threshold(
    "µs within which two pieces of work ended at the same time",
    1.0,
    "timestamps of older files are whole µs; a kernel follows the one before on its stream after 1 to 2 µs",
)
TRACE_LAUNCHES_KNOWN = Threshold(
    "part of a device's rows with a known launch from which launches tell which step they belong to",
    0.5,
    own("captures lose some launches; with fewer than half the windows would be of what is left"),
)
TRACE_STEP_LOST = Threshold(
    "part of a step's launches or time that is missing from which the profiler cut it",
    0.02,
    own("a capture that ends with the step's mark loses the work that was still queued"),
)
TRACE_STEP_MAD = Threshold(
    "scaled median absolute deviations above the median that make a step an outlier",
    3.5,
    "Iglewicz and Hoaglin 1993: modified z-scores above 3.5 are labelled potential outliers",
)
TRACE_STEP_EXCESS = Threshold(
    "relative excess over the median below which no step is an outlier, however alike the others are",
    0.05,
    own("steps of a steady loop agree within 1 %, and a few percent of one step are worth nobody's time"),
)
TRACE_STEPS_SPREAD = Threshold(
    "steps below which there is no spread to hold one of them against",
    5.0,
    own("a median deviation of fewer is of one or two values"),
)
TRACE_STEPS_TREND = Threshold(
    "steps below which there is no trend",
    12.0,
    own("four steps in each third: with fewer, Student's t makes the interval wider than any trend"),
)
TRACE_PERIOD_AGREES = Threshold(
    "part of kernel names that agree at a distance from which kernels repeat at it",
    0.98,
    own("layers of one pass agree less, by what stands before and after them"),
)
TRACE_PERIOD_LEAST = Threshold(
    "fewest kernels that can be a step",
    5.0,
    own("forward, backward and an update launch more; loops over one kernel are no steps"),
)
TRACE_PHASE_REST_US = Threshold(
    "µs between two operators of one phase that still belong to it",
    500.0,
    own("an interpreter or a thread that is woken takes tens of µs, a phase takes ms"),
)
TRACE_MATCHED = Threshold(
    "part of the collectives of two ranks that must end together for the two to be held against each other",
    0.5,
    own("sampled captures lose many; by chance, at the tolerance taken, about a tenth end together"),
)
TRACE_MATCH_LEAST = Threshold(
    "fewest collectives that end together for two ranks to be held against each other",
    3.0,
    own("a clock difference that fits one or two pairs can always be found"),
)
TRACE_END_SKEW_US = Threshold(
    "µs within which the ends of one collective on two ranks lie, after their clocks' difference",
    1_000.0,
    "seen in a job of 128 ranks: up to 332 µs for collectives of 42 ms",
)
TRACE_WAIT_LEAST_US = Threshold(
    "µs below which nobody counts as last to arrive",
    10.0,
    own("ranks do not leave a collective at the same moment: some µs of its duration are no wait"),
)
TRACE_RANKS_APART_S = Threshold(
    "seconds between two ranks' captures from which they are not of one moment of a job",
    60.0,
    own("clocks of a cluster agree within seconds, and captures of one job begin at the same step"),
)
TRACE_COMMON_KERNELS = Threshold(
    "part of kernel time in kernels that both traces run, below which they may be two programs",
    0.1,
    own("two runs of one program shared over 0.9 of it, runs of different models 0 to 0.3"),
)
TRACE_COMMON_FAMILIES = Threshold(
    "part of kernel time in the same families of kernels, from which two traces may be of one program",
    0.5,
    own("another card or precision exchanges kernels, hardly families; other kinds of models shared less"),
)
TRACE_LAST_FRAC = Threshold(
    "part of the collectives to which a straggler comes last, where chance would give it less",
    0.5,
    own("who comes last more often than all others together sets the pace"),
)
TRACE_LAST_SIGMA = Threshold(
    "standard deviations above chance of coming last from which that is no chance",
    3.0,
    own("of a hundred ranks one would be above 2.3 by chance"),
)
TRACE_LAST_COST = Threshold(
    "part of the time that others wait for a rank from which it is spoken of",
    0.01,
    "HTA's straggler analysis: 1 % of the iteration time",
)
TRACE_SMALL_GRID = Threshold(
    "blocks per SM below which a grid is too small for the device, whatever its kernel does",
    0.8,
    "Nsight Compute SOLBottleneck: 80 % of a roof is a bottleneck, which fewer SMs cannot reach",
)
TRACE_RAMP_US = Threshold(
    "mean µs of a kernel below which starting and draining it take a good part of it",
    5.0,
    "an empty kernel takes 1.3 (from a CUDA graph) to 2.5 µs (from a stream) on Hopper: a quarter to half",
)
TRACE_FEW_FLOPS = Threshold(
    "flop per byte up to which a kernel is bound by memory on any card",
    16.0,
    "data sheets: a V100 does 17 fp32 flop per byte of its bandwidth without tensor cores, others more",
)
TRACE_CHAIN_KERNEL_US = Threshold(
    "µs of a kernel up to which launching it one by one can be what limits",
    20.0,
    "launches take 3 to 10 µs through a framework, twice that where the profiler watches",
)
TRACE_CHAIN_LEAST = Threshold(
    "kernels in a row from which a CUDA graph is worth its own launch",
    10.0,
    "a graph's launch costs about 15 µs once, one kernel's 2 to 3: gains begin at six to eight",
)
TRACE_CHAIN_GAP_US = Threshold(
    "µs between two kernels from which the host did something else than launching",
    200.0,
    own("twice what one operator takes under a profiler; ten launches and more could have been made"),
)
TRACE_LAUNCH_US = Threshold(
    "µs of a gap between two kernels that launching one by one explains in any trace",
    20.0,
    "launches take 3 to 10 µs through a framework, twice that where the profiler watches",
)
TRACE_GRAPH_KERNEL_US = Threshold(
    "µs from one kernel to the next inside a CUDA graph",
    1.3,
    "1.2 to 1.4 µs a node on Hopper and A100, 0.6 to 0.9 on smaller dies (RRZE gpu-benches, TB1017)",
)
TRACE_ALIGNED_GAIN = Threshold(
    "times as fast that a product on tensor cores is taken to run at best once its operands are aligned",
    2.0,
    own(
        "between nothing (8193x2501x5008 in bf16, H100: PyTorch float8_experimental, pull request 145) and "
        "the several times by which kernels that read 16 bytes at once exceed others in captures"
    ),
)
TRACE_TINY = Threshold(
    "part of a step below which a time is too small to speak of its relative change",
    0.01,
    own("a cause that goes from 20 to 60 µs of a step of 100 ms did not triple anything"),
)
TRACE_CALL_MOVED = Threshold(
    "relative change of a kernel's median launch from which it counts as faster or slower",
    0.05,
    own("clocks of one card move medians by a few percent from run to run"),
)
TRACE_KERNEL_MOVED = Threshold(
    "part of a step that a kernel's time must move by to be named",
    0.003,
    own("hundreds of kernels move a little; those named should explain the change"),
)
TRACE_SAME_WORK = Threshold(
    "ratio of what ran on the device up to which two traces without steps did the same work",
    1.02,
    own("the same program launches the same kernels, but for a few at the capture's ends"),
)
TRACE_STEP_WORK = Threshold(
    "ratio of what runs on the device in a step from which a step may be other work",
    1.5,
    own("fusion takes away a third of the kernels; accumulation or another model changes more"),
)
TRACE_OTHER_WORK = Threshold(
    "ratio of what runs on the device in a step from which two traces are of different work",
    20.0,
    own("a compiler or CUDA graphs take away most launches, and still not nineteen of twenty kernels"),
)
TRACE_CHANGE_TOLD = Threshold(
    "relative change of a step's time that is spoken of where too few steps give no interval",
    0.05,
    own("as TRACE_STEP_EXCESS: single steps differ by a few percent"),
)
TRACE_LONG_GAP_US = Threshold(
    "µs of a gap from which it is code of the host's and no slow launch",
    1_000.0,
    own("a hundred launches could have been made; operators under a profiler take 10 to 100 µs"),
)
TRACE_CAUSE_DOUBT = Threshold(
    "doubt about the cause of a host gap where a second cause takes as long as the first",
    0.5,
    own("of two causes that cost the same each is named first by chance"),
)
TRACE_MOST = Threshold(
    "part of a loss that one name must account for to be named in the claim",
    0.5,
    own("'most of it' is more than half"),
)
TRACE_ROOFS_KNOWN = Threshold(
    "part of the kernel time with a known roof fraction from which its mean stands for all",
    0.5,
    own("the mean of less than half may be of the odd kernels"),
)
TRACE_CAP_MEASURED = Threshold(
    "confidence that nothing exceeds which a trace measured",
    0.95,
    own("timestamps are to the nanosecond, but what an idle host thread waited for is inferred"),
)
TRACE_CAP_FAMILY = Threshold(
    "confidence that nothing exceeds which goes by the families of kernels",
    0.75,
    own("five of six kernels of a family have its nature (TRACE_NATURE_ERROR), less where shapes are odd"),
)
TRACE_CAP_SHORT = Threshold(
    "confidence that nothing exceeds which rests on a moment of a workload (TRACE_SHORT_US)",
    0.7,
    own("the moment is known well, the workload is not"),
)
TRACE_CAP_LOST = Threshold(
    "confidence that nothing exceeds which rests on the part of a file that could be read",
    0.6,
    own("nobody knows what the rest holds; a file of which half was lost has been seen to turn its verdict"),
)
TRACE_SURE_SIZE = Threshold(
    "confidence in a loss in kernels too small for the device, where grids tell that they are",
    0.7,
    own("a small grid can still be limited by its memory or its arithmetic"),
)
TRACE_SURE_SHORT = Threshold(
    "confidence in a loss in kernels that are short, where no grid is held against the device",
    0.5,
    own("a short kernel mostly starts and drains, but nobody has seen how it fills the device"),
)
TRACE_SURE_ROOFS = Threshold(
    "confidence in a loss below roofs that rest on shapes and ceilings",
    0.7,
    own("caches and padding are not seen, and a data sheet's ceiling is off by some percent"),
)
TRACE_SURE_OCCUPANCY = Threshold(
    "confidence that low occupancy limits a kernel",
    0.5,
    own("an estimate, and many kernels hide latency within a thread"),
)
TRACE_SURE_STEPS = Threshold(
    "confidence that odd steps are odd beyond what steps vary by",
    0.8,
    own("their time is measured; whether they belong to the usual run is not"),
)
TRACE_UNEXPLAINED = Threshold(
    "share of a traced device's time that is idle for no known reason from which that is a finding",
    0.15,
    own("as SECONDARY: from there another class could hide in it"),
)
TRACE_FILLED_FASTER = Threshold(
    "times as fast that work in kernels too small for the device runs at best",
    2.0,
    own("twice the work in a kernel that leaves half of the device empty takes the same time"),
)
TRACE_FUSED_FASTER = Threshold(
    "times as fast that element-wise kernels run at best once they are fused",
    2.0,
    "two kernels in one move half the bytes; longer chains more",
)

"""Every threshold of the project, in one table, each with its source.

A threshold is a starting point until it has been validated on labelled workloads; `source` says
where it comes from. Code refers to the constants; `table` lists them for docs and `advisor rules`.
"""

from __future__ import annotations

from rules.threshold import GUESS, NCU, own
from rules.threshold import Threshold as Threshold
from rules.thresholds_catalogue import *  # noqa: F403  (one namespace for all of them)
from rules.thresholds_history import *  # noqa: F403
from rules.thresholds_serving import *  # noqa: F403
from rules.thresholds_trace import *  # noqa: F403
from rules.thresholds_whatif import *  # noqa: F403

# --- classifier -------------------------------------------------------------------------------
ENGINE_IDLE = Threshold(
    "gr_active below which the engine counts as not running", 0.01, "economics: idle-held rule"
)
IDLE_HELD_MIN_S = Threshold(
    "seconds without any engine activity after which a held GPU is idle-held, not host-bound",
    5.0,
    own("steps of a program pause for milliseconds to a second, people and schedulers for longer"),
)
ROOF_HIGH = Threshold("roof fraction of busy time that names memory or compute", 0.6, NCU)
ROOF_HIGH_ERROR = Threshold(
    "how far that fraction may be off",
    0.1,
    "half of the step between Nsight Compute's bands, which are round numbers: 20, 60 and 80 %",
)
ROOF_BOUND = Threshold("roof fraction at which the roof is the bottleneck", 0.8, NCU)
CARRY = Threshold(
    "part of its own roof fraction that a kernel at one roof shows of the other",
    0.3,
    own(
        "large GEMMs move at least 0.1 to 0.3 of what DRAM could meanwhile, streaming kernels compute as much"
    ),
)
CARRY_ERROR = Threshold(
    "how far that part may be off",
    0.1,
    own("a third of it: 0.2 to 0.4 for most kernels, 0.1 to 0.5 for almost all"),
)
ROOF_SUM = Threshold(
    "sum of both roof fractions from which busy time holds kernels at either roof and nothing else",
    0.78,
    "ROOF_HIGH x (1 + CARRY): kernels of two kinds, each just at its roof",
)
HOST_GAP = Threshold(
    "host share worth a finding", 0.15, "DCGM/XProf practice (5 % moderate, 20 % high); gpuprof 15 %"
)
HOST_FIRST = Threshold(
    "host share that names the class even beside a larger roof share (a bound of 1.43x)",
    0.30,
    "gpuprof: loader 30 % is high; XProf: 20 %",
)
SECONDARY = Threshold(
    "share that makes a class the secondary one", 0.15, own("as HOST_GAP, what is worth a finding")
)
LAUNCH_SM_ACTIVE = Threshold(
    "busy-time sm_active below which short kernels, not the device, are suspected",
    0.5,
    "DCGM field guide: SM_ACTIVE < 0.5 is likely ineffective use",
)
LAUNCH_THREAD = Threshold(
    "CPU share of the launching thread that counts as pegged",
    0.9,
    own("a tenth for short waits, and for CPU time being counted in ticks of 10 ms"),
)
LAUNCH_GAP = Threshold(
    "gr_active from which a device hardly waits for launches, whatever the thread does",
    0.98,
    own("a queue that never runs dry is not what limits; a thread that spins in a wait is pegged too"),
)
LAUNCH_WAITS = Threshold(
    "share of the feeding thread's stack samples in a wait for the device from which it does not launch",
    0.5,
    own("more of its time than anything else can take"),
)
LAUNCH_PART = Threshold(
    "part of launch-bound busy time, beside what the roofs show, that launching itself takes",
    0.5,
    "Hopper: about 2.5 us a kernel from a stream, 1.3 us from a CUDA graph",
)
LAUNCH_PART_NVML = Threshold(
    "the same where utilisation, which covers the gaps between kernels, stands in for gr_active",
    0.75,
    "half of what is left once a gap as long as a kernel is taken out: 1 - 0.5 x 0.5",
)
LAUNCH_PART_ERROR = Threshold(
    "how far that part may be off", 0.25, own("nothing to all of it within two errors")
)
LAUNCH_OCCUPANCY = Threshold(
    "busy-time sm_occupancy below which kernels are too small to fill the SMs",
    0.15,
    own("a block of 256 threads on each SM fills 0.125 of its 2048"),
)
LOW_OCCUPANCY = Threshold(
    "busy-time sm_occupancy below which latency is hard to hide",
    0.25,
    own("16 of an SM's 64 warps, four for each of its schedulers"),
)
THROTTLE_NOTED = Threshold(
    "share of time a clock limit must hold to be named", 0.05, own("as SEVERITY_LOW, what is worth naming")
)
LINK_HIGH = Threshold("share of a PCIe or NVLink ceiling that names communication", 0.6, NCU)
UNKNOWN_MAX = Threshold("unknown share above which no verdict is given", 0.5, own("more is unseen than seen"))
MIN_OBSERVED_S = Threshold(
    "seconds of data below which no verdict is given", 1.0, own("five GPM windows of 200 ms")
)
CLOCK_LOW = Threshold(
    "share of the reference SM clock below which a throttled clock costs",
    0.97,
    own("two clock steps of 15 MHz are 1.5 %, and runs of a probe differ by 2 %"),
)
CEILING_EXCEEDED = Threshold(
    "multiple of a measured ceiling's counter reading above which the stored ceiling is too low",
    1.05,
    "twice the 2 % by which two probe runs may differ, and a counter's own rounding",
)
CEILING_EXCEEDED_S = Threshold(
    "seconds beyond a measured ceiling that say it is too low",
    1.0,
    own("five GPM windows, so no single odd reading"),
)
CEILING_BUSY = Threshold(
    "gr_active below which a counter while busy is too coarse to say that",
    0.5,
    own("a counter rounded to 0.01 is good to 2 % of half a window"),
)

# --- noise: how much a deciding lead may be off --------------------------------------------------
CEILING_ERROR_MEASURED = Threshold(
    "relative error of a reading at the ceiling that a probe took",
    0.02,
    "two runs of a probe are to agree within 2 %",
)
CEILING_ERROR_TYPICAL = Threshold(
    "relative error of a reading that is typical of the model, or was measured under other conditions",
    0.05,
    "healthy GPUs within one node spread by 5 % and more (gpu-fryer)",
)
CEILING_ERROR_ASSUMED = Threshold(
    "relative error of a reading taken from a data sheet, and of what NVML's figures stand for",
    0.10,
    "published bf16 GEMMs on one model spread from 0.74 to 0.81 of the data sheet, and a counter is no rate",
)
NVML_ROUNDING = Threshold(
    "rounding of NVML's utilisation and memory-controller time", 0.01, "nvml.h: whole percents"
)
NOISE_FLOOR = Threshold(
    "least noise of a lead, however steady the counters", 0.01, "counters and NVML figures of whole percents"
)
NOISE_BLOCKS = Threshold(
    "stretches of a window whose means tell how far its lead is off by chance",
    10.0,
    "method of batch means: 10 to 30 batches, each longer than what correlates neighbours (Schmeiser 1982)",
)

# --- nvml tier: no GPM, so the roofs are estimated ---------------------------------------------
NVML_MEM_UTIL_CEILING = Threshold(
    "NVML memory-controller time at a copy's full bandwidth",
    0.9,
    own("as for dram_active, of which a copy reaches about 0.9 on data-centre boards"),
)

NVML_IDLE_POWER = Threshold(
    "power of a board with nothing to do, over its limit",
    0.15,
    own("idle boards in use show a tenth to a fifth in nvidia-smi listings"),
)
NVML_DRAM_POWER = Threshold(
    "power above idle that DRAM traffic at its roof draws, over that of a GEMM at the limit", 0.6, GUESS
)

# --- host causes and catalogue -----------------------------------------------------------------
_XPROF = "XProf input pipeline: 5 % moderate, 20 % high; PyTorch profiler plug-in: data loader 5 %"
_GPUPROF = "gpuprof: loader 15 % medium, 30 % high"
DRIVER_SILENT_S = Threshold(
    "seconds a driver call may take before the GPU counts as failed",
    1.5,
    own("a tick and half of the next; calls take milliseconds"),
)
SEVERITY_HIGH = Threshold("share of paid time from which a finding is high", 0.30, _GPUPROF)
SEVERITY_MEDIUM = Threshold("share of paid time from which a finding is medium", 0.15, _GPUPROF)
SEVERITY_LOW = Threshold("share of paid time from which a finding is low, and worth naming", 0.05, _XPROF)
CAUSE_MIN = Threshold("confidence below which a host gap stays unattributed", 0.3, GUESS)
CPU_THROTTLED = Threshold(
    "share of wall time throttled by the cgroup that counts",
    0.05,
    own("as SEVERITY_LOW, what is worth naming"),
)
THREAD_WAITING = Threshold(
    "CPU share of the busiest thread below which it mostly waits",
    0.5,
    own("it waits for longer than it works"),
)
THREAD_SYSTEM = Threshold(
    "part of the busiest thread's core spent in the kernel that points away from launching",
    0.3,
    own("launching runs in user space, spinning and blocking waits in the kernel"),
)
SWITCHES_S = Threshold(
    "voluntary context switches per second that point to blocking waits",
    500.0,
    own("at least one blocking wait in each step of two milliseconds"),
)
DISK_WAIT = Threshold(
    "share of looks at which a process waited uninterruptibly that counts",
    0.1,
    own("one look of ten; fewer may be chance"),
)
PSI_IO = Threshold(
    "share of time some task of the node waited for I/O that counts",
    0.2,
    own("as XProf's 20 %, from which waiting for input is high"),
)
TRANSFER_EXPLAINS = Threshold(
    "part of the gap that bytes over the link's copy rate must fill to blame transfers", 0.3, GUESS
)
REMOTE_NUMA = Threshold(
    "share of allowed CPUs on another NUMA node than the GPU's from which a process counts as far away",
    0.95,
    "an unpinned process is allowed the CPUs of all nodes, 7/8 of them remote on a node of eight domains",
)
NO_DEMAND_CORES = Threshold(
    "CPU cores below which a process asks for next to nothing",
    0.1,
    own("event loops that only poll take a few percent of a core"),
)
GAP_REGULAR = Threshold(
    "coefficient of variation of gr_active over sub-windows below which gaps are regular", 0.25, GUESS
)
SMALL_MEMORY = Threshold(
    "memory use below which the batch can grow", 0.5, "Gao et al., ICSE'24: peak memory at most 50 %"
)
DECODE_TENSOR = Threshold(
    "busy-time tensor activity below which memory-bound matrix work has too few rows",
    0.3,
    own("half of the roof fraction that would name the tensor cores"),
)
TENSOR_IDLE = Threshold(
    "busy-time tensor activity below which tensor cores count as unused",
    0.02,
    "PyTorch profiler plug-in: tensor-core time 0 on a card that has them",
)
LINK_UNDER_LOAD = Threshold(
    "gr_active above which the PCIe link should run at full speed",
    0.05,
    own("links train down at rest, and any steady work keeps them up"),
)
POWER_LIMIT_LOW = Threshold(
    "share of the default power limit, or of a probe's, below which it was lowered",
    0.98,
    own("limits are whole watts, and runs of a probe differ by 2 %"),
)
STACK_SAMPLES = Threshold(
    "stack samples of the feeding thread below which shares of them say nothing",
    20.0,
    "binomial error of a share of 0.5 is 0.11 at 20 samples, and less than HOST_GAP",
)
STACK_SHARE = Threshold(
    "share of the feeding thread's stack samples that counts as a cause",
    0.15,
    "as HOST_GAP: gpuprof, loader 15 % of a step is medium",
)
DEEPER_CAUSE = Threshold(
    "confidence of a shortage (CPU quota, cores, storage) above which what a thread does is its symptom",
    0.7,
    GUESS,
)
IO_SEEN = Threshold(
    "bytes per second a process reads or writes on storage above which a wait there is no mere pipe or cache",
    1e6,
    own("a slow disk still delivers tens of MB/s (a 7200 rpm disk about 100)"),
)
CPU_WAIT = Threshold(
    "share of time the busiest thread could run and had no core that counts",
    0.10,
    own("two thirds of HOST_GAP, so most of a gap worth a finding"),
)
PSI_CPU = Threshold(
    "share of time some task of the node waited for a core that counts", 0.2, own("as PSI_IO")
)
PSI_MEMORY = Threshold(
    "share of time some task of the node waited for memory that counts",
    0.05,
    own("as SEVERITY_LOW; a node with enough memory never waits for it"),
)
GIL_THREADS = Threshold(
    "threads below which the GIL is not suspected from outside",
    4.0,
    own("a program without a pool has a few threads of its runtime"),
)
GIL_CORES_LOW = Threshold(
    "cores of all threads together from which one lock may bind them",
    0.8,
    own("one core, less what handing the lock over costs"),
)
GIL_CORES_HIGH = Threshold(
    "cores of all threads together up to which one lock may bind them",
    1.3,
    "CPython: one thread at a time runs Python code; C code that lets go of the lock adds the rest",
)
CHECKPOINT_WRITE = Threshold(
    "bytes a second written by the process that are more than logs",
    50e6,
    own("a tenth of gpuprof's disk-bound 500 MB/s"),
)


def table() -> tuple[Threshold, ...]:
    """Every threshold of the project, those of rules alone first."""
    return tuple(value for value in globals().values() if isinstance(value, Threshold))

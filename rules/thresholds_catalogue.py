"""Thresholds of rules alone: clocks, health, pipes, the shape of kernels, capacity. See rules.thresholds."""

from __future__ import annotations

from rules.threshold import GUESS, Threshold, own

# --- clocks, siblings, health, node --------------------------------------------------------------
CLOCK_PINNED = Threshold(
    "part of the board's highest SM clock below which a setting counts as pinning it low",
    0.9,
    own("healthy data-centre boards run light loads within a tenth of their highest clock"),
)
CLOCK_FLAT_LOW = Threshold(
    "part of the board's highest SM clock below which a clock that stands still counts as locked",
    0.75,
    own("workstation boards name a maximum that they boost to 0.8 of under load"),
)
CLOCK_FLAT = Threshold(
    "spread of the SM clock, over its highest, of a clock that stands still",
    0.01,
    own("a clock step of 15 MHz is 0.8 % of 1980 MHz"),
)
CLOCK_FLAT_S = Threshold(
    "seconds at work for which a clock must stand still to count as locked",
    3.0,
    own("three samples of the clock, one a second"),
)
OWN_CLOCK = Threshold(
    "part of the clock that the probe's GEMMs held below which a card is worse than it was",
    0.93,
    own("runs of a probe agree within 2 %, and programs that draw more than a GEMM differ by less"),
)
SIBLING_BUSY = Threshold(
    "gr_active from which a GPU counts as at work, to compare or judge clocks",
    0.5,
    own("at work for longer than not"),
)
SIBLING_BEHIND = Threshold(
    "part of its siblings' median SM clock below which a GPU falls behind",
    0.95,
    "probes.outliers: silicon spreads by 5 % and more in one node, 2.5 % to either side of the median",
)
SIBLING_FAR_BEHIND = Threshold(
    "part of its siblings' median SM clock below which that is high", 0.9, "gpu-fryer: 10 % below the best"
)
MEM_CLOCK_LOW = Threshold(
    "part of the highest memory clock below which a working card's memory counts as slow",
    0.9,
    own("workstation boards compute with memory at 0.95 of its highest clock"),
)
MEM_TEMP_LIMIT = Threshold(
    "memory temperature, in degrees Celsius, at its limit where the board states none",
    95.0,
    "nvidia-smi -q of A100 and H100 boards",
)
MEM_TEMP_MARGIN = Threshold(
    "degrees Celsius below its limit from which memory counts as close to it",
    5.0,
    own("more than the degree that readings jitter by, less than a healthy board keeps"),
)
PCIE_REPLAYS_MIN = Threshold(
    "PCIe replays a minute that count", 8.0, "DCGM: DCGM_LIMIT_MAX_PCIREPLAY_RATE, 8 a minute"
)
ECC_CORRECTED_MIN = Threshold("corrected memory errors a minute that are more than a mention", 10.0, GUESS)
SWAP_GROWTH = Threshold("bytes by which swap in use grows within a window that count", 64.0 * 2**20, GUESS)
NODE_CPU_FULL = Threshold(
    "share of all cores' time in use at which a node has none to spare",
    0.9,
    own("as LAUNCH_THREAD, for all cores"),
)
CPUS_PER_GPU = Threshold(
    "CPUs that feeding one GPU takes at least: one launches, one loads, one for the rest",
    3.0,
    own("one each for the thread that launches, one loader and the runtime's own threads"),
)


# --- compute, memory, shape of kernels, capacity ------------------------------------------------
TF32_PAYS = Threshold(
    "ratio of TF32's GEMM rate to fp32's from which allowing TF32 pays",
    1.3,
    "least ratio between neighbouring precisions in the probes' own checks; 1.0 on GeForce and L40",
)
FP64_SLOW = Threshold(
    "ratio of fp64's rate to fp32's below which a card has no fast fp64",
    0.1,
    "data sheets: 1/2 on V100, A100 and H100; 1/32 to 1/64 on T4, A10, L4, L40S and GeForce",
)
PIPE_IN_USE = Threshold(
    "part of a pipe's own ceiling from which the pipe counts as in use",
    0.2,
    "Nsight Compute HighPipeUtilization: below 20 % a pipe is under-used",
)
SOME_ARITHMETIC = Threshold(
    "busy-time activity of the fp32 or fp16 pipe that says a kernel does more than copy",
    0.02,
    own("as TENSOR_IDLE, what is more than rounding"),
)
SM_UNEVEN = Threshold(
    "busy-time sm_active below which SMs without work are worth naming",
    0.9,
    own("Nsight Compute LaunchConfiguration: a last wave that costs 20 % or more"),
)
MEMORY_FULL = Threshold(
    "part of device memory in use from which the next larger allocation may fail",
    0.95,
    "PyTorch profiler plug-in and gpuprof warn from 90 %; servers reserve 90 % on purpose",
)
LOW_USE = Threshold("useful share below which a batch is too small", 0.5, "Gao et al., ICSE'24: at most 50 %")
SMALL_CARD = Threshold(
    "90th percentile of roofs, SMs and memory below which a quarter of the card would do",
    0.2,
    "MIG 2g.20gb of an H100 80GB has 2/7 of the SMs and 2/8 of the memory; a fifth leaves room",
)
SUSTAINED_S = Threshold(
    "seconds of data before a smaller card is spoken of",
    60.0,
    own("a minute holds hundreds of steps or requests"),
)
ONE_WAY = Threshold(
    "ratio of PCIe traffic one way to the other from which it is copies from or to the host",
    3.0,
    own("a ring all-reduce receives as much as it sends"),
)

"""A small physical model of an H100-like card: what kernels demand, what counters then read, what it draws.

Synthetic throughout. Peak rates are the data sheet's (probes/gpu_specs.csv) or follow from FLOPs a clock and
SM. What kernels reach and what counters read at saturation is chosen near public figures. No figure here was
taken from a rule's threshold, and none was read from a GPU.

Guessed, for want of a public figure: how long the engine counts as active past a kernel (`engine_hold_s`,
`nvml_hold_s`), PCIe traffic of a launch, which counters fp8 moves, and the shape of NVML's memory time.
"""

from __future__ import annotations

import random
from typing import Literal

import msgspec

Precision = Literal["bf16", "fp16", "tf32", "fp8", "int8", "fp64"]

# Dense FLOPs (int8: operations) a clock and SM of compute capability 9.0.
TENSOR_PER_CLOCK: dict[str, float] = {
    "bf16": 4096, "fp16": 4096, "tf32": 2048, "fp8": 8192, "int8": 8192, "fp64": 256,
}  # fmt: skip
FP32_PER_CLOCK = 256.0
FP64_PER_CLOCK = 128.0

# Which counter of one kind of tensor instruction moves beside the one of any kind. For fp8 there is none that
# is known to (no GPM metric names it).
TENSOR_COUNTER: dict[str, str] = {
    "bf16": "hmma", "fp16": "hmma", "tf32": "hmma", "int8": "imma", "fp64": "dmma",
}  # fmt: skip

# Joules a FLOP at the boost clock. Set so that a large bf16 product of random data meets 700 W near 1.5 GHz,
# which is where such cards are seen to settle (about 730 TFLOP/s sustained).
_TENSOR_PJ: dict[str, float] = {
    "bf16": 0.9, "fp16": 0.88, "tf32": 1.75, "fp8": 0.45, "int8": 0.3, "fp64": 7.0,
}  # fmt: skip
_FP32_PJ = 5.0
_FP64_PJ = 11.0
_DRAM_PJ_BYTE = 50.0
_SM_W = 100.0
_INT_W = 70.0
# Energy of one operation goes with the square of the voltage, and voltage with some of the clock.
_VOLTAGE_EXPONENT = 1.2

# The most a pipe's counter reads: the best kernels leave a few issue slots empty.
SATURATED: dict[str, float] = {
    "tensor_active": 0.95, "hmma": 0.95, "imma": 0.95, "dmma": 0.95, "fp32": 0.97, "fp64": 0.97, "fp16": 0.97,
    "int_active": 0.97,
}  # fmt: skip

# Kernels' own names of the counters a card has beside the timing ones.
WORK_COUNTERS = (
    "int_active", "tensor_active", "dfma", "hmma", "dmma", "imma", "dram_active", "fp64", "fp32", "fp16",
)  # fmt: skip


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of kernel does while it runs.

    copy: useful bytes a second as a share of what a copy reaches on the card. writes: share of them written.
    overfetch: DRAM traffic per useful byte (sectors fetched for less than they hold).
    tensor, fp32, fp64, fp16, integer: share of that pipe's issue cycles, over all SMs. fill: share of SMs
    with a warp, as a mean over the kernel with its tail. warps: share of the warp slots of such an
    SM. length_s: of one launch.
    """

    copy: float = 0.0
    writes: float = 0.5
    overfetch: float = 1.0
    precision: Precision = "bf16"
    tensor: float = 0.0
    fp32: float = 0.0
    fp64: float = 0.0
    fp16: float = 0.0
    integer: float = 0.05
    fill: float = 0.98
    warps: float = 0.6
    length_s: float = 1e-3


def turns(writes: float) -> float:
    """How often the memory interface turns between reads and writes: 1 for a copy, 0 where all go one way."""
    return 2.0 * min(writes, 1.0 - writes)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One card. copy_frac, read_frac: of the peak bandwidth, by a copy and by a read.

    turnaround: cycles that the memory interface is busy beyond the transfers themselves, per share of writes.
    engine_hold_s: how long the graphics engine counts as active past a kernel's end; nvml_hold_s: the same
    for NVML's utilisation, which is coarser. probe: what the card's own GEMM probes keep busy, by kind.
    """

    name: str = "SIMULATED H100-like card"
    sms: int = 132
    boost_mhz: float = 1980.0
    idle_mhz: float = 345.0
    mem_mhz: float = 2619.0
    memory_bytes: int = 81559 << 20
    peak_bytes_s: float = 3.35e12
    copy_frac: float = 0.896
    read_frac: float = 0.949
    turnaround: float = 0.038
    engine_hold_s: float = 2e-6
    nvml_hold_s: float = 15e-6
    h2d_bytes_s: float = 54e9
    power_limit_w: float = 700.0
    idle_w: float = 70.0
    context_w: float = 45.0
    leak: float = 1.0
    probe: dict[str, float] = {}

    @property
    def copy_bytes_s(self) -> float:
        """Bytes read plus written by a copy."""
        return self.peak_bytes_s * self.copy_frac

    def traffic_bytes_s(self, kernel: Kernel) -> float:
        """DRAM traffic of a kernel while it runs: no more than its mix of reads and writes allows."""
        wanted = kernel.copy * kernel.overfetch * self.copy_bytes_s
        best = self.read_frac - (self.read_frac - self.copy_frac) * turns(kernel.writes)
        return min(wanted, best * self.peak_bytes_s)

    def useful_bytes_s(self, kernel: Kernel) -> float:
        """What the program counts of that traffic."""
        return self.traffic_bytes_s(kernel) / kernel.overfetch

    def flops_s(self, kernel: Kernel, mhz: float) -> float:
        """FLOPs (int8: operations) a second at an SM clock, over all pipes."""
        per_clock = (
            kernel.tensor * TENSOR_PER_CLOCK[kernel.precision]
            + kernel.fp32 * FP32_PER_CLOCK
            + kernel.fp64 * FP64_PER_CLOCK
        )
        return per_clock * self.sms * mhz * 1e6

    def reads(self, kernel: Kernel) -> dict[str, float]:
        """The counters of work while it runs, 0 to 1. Pipe counters count cycles, so no clock is in them."""
        found = {
            "int_active": kernel.integer,
            "tensor_active": kernel.tensor,
            "fp64": kernel.fp64,
            "fp32": kernel.fp32,
            "fp16": kernel.fp16,
            "dram_active": self.dram_active(kernel),
        }
        if kernel.tensor and kernel.precision in TENSOR_COUNTER:
            found[TENSOR_COUNTER[kernel.precision]] = kernel.tensor
        return found

    def dram_active(self, kernel: Kernel) -> float:
        """Share of cycles the memory interface is busy: transfers, and turning between reads and writes."""
        share = self.traffic_bytes_s(kernel) / self.peak_bytes_s
        return share * (1.0 + self.turnaround * turns(kernel.writes))

    def saturated(self, counter: str) -> float:
        """The most a counter can read, over a window in which its unit does nothing else."""
        if counter == "dram_active":
            return max(self.read_frac, self.copy_frac * (1.0 + self.turnaround))
        return SATURATED.get(counter, 1.0)

    def dynamic_w(self, kernel: Kernel, mhz: float) -> float:
        """Power beyond that of a card with an idle context, while the kernel runs at this clock."""
        ratio = mhz / self.boost_mhz
        voltage: float = ratio**_VOLTAGE_EXPONENT
        tensor = TENSOR_PER_CLOCK[kernel.precision] * kernel.tensor * _TENSOR_PJ[kernel.precision]
        plain = FP32_PER_CLOCK * kernel.fp32 * _FP32_PJ + FP64_PER_CLOCK * kernel.fp64 * _FP64_PJ
        operations_w = (tensor + plain) * self.sms * mhz * 1e6 * 1e-12
        cycles_w = (_SM_W * kernel.fill * (0.4 + 0.6 * kernel.warps) + _INT_W * kernel.integer) * ratio
        memory_w = self.traffic_bytes_s(kernel) * _DRAM_PJ_BYTE * 1e-12
        return self.leak * (operations_w + cycles_w) * voltage + memory_w

    def clock_mhz(self, shares: dict[Kernel, float]) -> float:
        """The clock held under the power limit by work with these shares of time; steps of 15 MHz."""
        mhz = self.boost_mhz
        while mhz > self.idle_mhz and self.mean_w(shares, mhz) > self.power_limit_w:
            mhz -= 15.0
        return mhz

    def mean_w(self, shares: dict[Kernel, float], mhz: float) -> float:
        """Mean power of a card with a context, for kernels that run these shares of the time."""
        return self.idle_w + self.context_w + sum(s * self.dynamic_w(k, mhz) for k, s in shares.items())


# Share of issue cycles that a card's large GEMMs keep its pipe busy.
PROBE_DUTY = {
    "bf16": 0.88, "fp16": 0.885, "tf32": 0.87, "fp8": 0.8, "int8": 0.78, "fp64": 0.9, "fp32": 0.87,
}  # fmt: skip


def card_of(seed: int) -> Card:
    """The card of one corpus: specimens differ by a few per cent in bandwidth, power and what GEMMs reach."""
    rng = random.Random(f"card {seed}")
    copy_frac = 0.896 * rng.uniform(0.985, 1.01)
    return Card(
        copy_frac=copy_frac,
        read_frac=copy_frac * rng.uniform(1.045, 1.06),
        turnaround=rng.uniform(0.03, 0.04),
        engine_hold_s=rng.uniform(1.5e-6, 2.5e-6),
        nvml_hold_s=rng.uniform(8e-6, 20e-6),
        h2d_bytes_s=54e9 * rng.uniform(0.96, 1.02),
        idle_w=rng.uniform(66.0, 74.0),
        leak=rng.uniform(0.96, 1.04),
        probe={name: min(0.93, duty * rng.uniform(0.97, 1.03)) for name, duty in PROBE_DUTY.items()},
    )

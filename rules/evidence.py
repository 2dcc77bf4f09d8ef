"""Evidence: one workload on one GPU or MIG instance over one window, reduced to what rules read.

Every figure is optional: `None` says unknown, and `missing` says why. Fractions are 0 to 1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.serving import ServingFigures
from rules.stacks import Stacks
from rules.traces.records import DeviceTrace, RankFigures

Tier = Literal["counters", "nvml", "trace"]


class SubWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The finest slice a verdict is formed over: 200 ms with GPM, otherwise one tick.

    has_process: True when any process holds the device, None when it cannot be seen.
    gr_active: share of the slice with any engine running. In the `nvml` tier it is NVML's
        utilisation, which is coarser (a window of 1/6 to 1 s) and says so through the tier.
    mem_util_frac: NVML's memory-controller time, the nvml tier's substitute for dram_active.
    throttle_reasons: NVML clocks-event-reason names seen, e.g. "sw_power_cap".
    lost: the device did not answer; the slice counts as unknown.
    launching: a thread of the workload was pegged on a core meanwhile (see rules.classify.is_launching).
    """

    t_s: float
    duration_s: float
    has_process: bool | None = None
    gr_active: float | None = None
    sm_active: float | None = None
    sm_occupancy: float | None = None
    tensor_active: float | None = None
    hmma: float | None = None
    imma: float | None = None
    dfma: float | None = None
    dmma: float | None = None
    int_active: float | None = None
    fp64: float | None = None
    fp32: float | None = None
    fp16: float | None = None
    dram_active: float | None = None
    pcie_rx_bytes_s: float | None = None
    pcie_tx_bytes_s: float | None = None
    nvlink_rx_bytes_s: float | None = None
    nvlink_tx_bytes_s: float | None = None
    mem_util_frac: float | None = None
    power_w: float | None = None
    sm_mhz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    lost: bool = False
    launching: bool = False


class Workload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who uses the device: the process with the most device memory, and its job.

    name: a short, untrusted label (script or program name). job: "slurm:123", "pod:<uid>",
    "container:<id>" or None. others: how many further processes hold the device.
    """

    pid: int
    name: str
    user: str | None = None
    job: str | None = None
    others: int = 0


class HostEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the host did meanwhile: of the workload's processes where `process_*`, of the node otherwise.

    process_cpu_cores: cores used by the process and its children together (2.5 = two and a half).
    main_thread_cpu_frac: median share of one core used by the process's busiest thread.
    children_cpu_frac: cores that all children use together.
    main_thread_wait_frac: time that thread could have run and no CPU was free for it.
    children_busy: children at 0.9 of a core or more, out of `children`.
    children_dstate_frac, process_dstate_frac: share of looks at which it waited uninterruptibly (disk, NFS).
    psi_*: share of time some task waited for that resource (/proc/pressure `some avg10` / 100).
    throttled_frac: share of wall time the cgroup was throttled by its CPU quota.
    cpus_allowed: cores the process may run on; cpu_quota_cores: the cgroup's limit in cores.
    remote_numa_frac: share of the process's allowed CPUs on another NUMA node than the GPU's.
    threads: threads of the process itself. mem_used_frac: of the node's memory. swap_used_bytes: at the end
    of the window; swap_growth_bytes: how much it grew in it.
    stacks: what its threads were seen doing, where somebody asked for a look (see rules.stacks).
    """

    process_cpu_cores: float | None = None
    main_thread_cpu_frac: float | None = None
    main_thread_system_frac: float | None = None
    main_thread_wait_frac: float | None = None
    children: int | None = None
    children_busy: int | None = None
    children_cpu_frac: float | None = None
    children_dstate_frac: float | None = None
    process_dstate_frac: float | None = None
    voluntary_switches_s: float | None = None
    io_read_bytes_s: float | None = None
    io_write_bytes_s: float | None = None
    psi_cpu_frac: float | None = None
    psi_io_frac: float | None = None
    psi_memory_frac: float | None = None
    throttled_frac: float | None = None
    cpu_quota_cores: float | None = None
    cpus_allowed: int | None = None
    node_cpu_frac: float | None = None
    node_cores: int | None = None
    remote_numa_frac: float | None = None
    gpu_numa_node: int | None = None
    governor: str | None = None
    threads: int | None = None
    mem_used_frac: float | None = None
    swap_used_bytes: int | None = None
    swap_growth_bytes: int | None = None
    stacks: Stacks | None = None

    @property
    def thread_demand_frac(self) -> float | None:
        """The share of a core that the busiest thread asks for: what it got and what it waited for."""
        got = self.main_thread_cpu_frac
        return None if got is None else min(1.0, got + (self.main_thread_wait_frac or 0.0))


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts of the device that rules compare against. Missing facts are None.

    sm_mhz_limit: the highest SM clock that settings (application or locked clocks) allow, where that is less
    than sm_mhz_max. mem_mhz: the median over the window. mem_temp_limit_c: the memory's highest operating
    temperature. xids: error numbers the driver reported in the
    window. ecc_corrected, pcie_replays: counted in the window. remapped_rows: rows of memory replaced by
    spare ones since the card was made. settled: the core's temperature no longer rises; None where a window
    cannot tell.
    """

    name: str
    memory_total_bytes: int | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    sm_mhz_max: float | None = None
    pcie_gen: int | None = None
    pcie_gen_max: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    ecc_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failure: bool | None = None
    compute_capability: str | None = None
    sm_count: int | None = None
    driver_version: str | None = None
    cuda_version: str | None = None
    persistence: bool | None = None
    sm_mhz_limit: float | None = None
    mem_mhz: float | None = None
    mem_mhz_max: float | None = None
    mem_temp_c_max: float | None = None
    mem_temp_limit_c: float | None = None
    xids: tuple[int, ...] = ()
    ecc_corrected: int | None = None
    pcie_replays: int | None = None
    remapped_rows: int | None = None
    settled: bool | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One workload over one window. `key` is the UUID of the GPU or MIG instance.

    gpu: the device's NVML index; mig: MIG profile and instance such as "1g.10gb/7", or None.
    price_share: the part of the GPU's price this row stands for (1.0, or a MIG slice's share).
    energy_j: by the energy counter, over the energy_s seconds between its first and last reading.
    gap_s: time inside the window with no data (driver silent, worker restarted).
    throttle_frac: reason name -> share of observed time.
    server: the program that the workload serves requests with, as far as command lines tell (its own, its
    parents'). mps: an MPS server is among the processes on the device. serving: what an inference engine on
    this device says of itself, where one was asked. trace: what a profiler's trace shows of the device, in
    the tier `trace`, which has no sub-windows; ranks: of the job's ranks, where several were read.
    """

    key: str
    gpu: int
    device: Device
    tier: Tier
    t_start_s: float
    t_end_s: float
    mig: str | None = None
    price_share: float = 1.0
    workload: Workload | None = None
    server: str | None = None
    mps: bool = False
    windows: tuple[SubWindow, ...] = ()
    host: HostEvidence = HostEvidence()
    mem_used_bytes: int | None = None
    power_w_p50: float | None = None
    power_w_p90: float | None = None
    power_w_max: float | None = None
    energy_j: float | None = None
    energy_s: float | None = None
    temp_c_max: float | None = None
    throttle_frac: dict[str, float] = {}
    gap_s: float = 0.0
    lost_reason: str | None = None
    silent_since_s: float | None = None
    silent_reason: str | None = None
    silent_blame: Literal["driver", "sampler"] = "driver"
    serving: ServingFigures | None = None
    trace: DeviceTrace | None = None
    ranks: RankFigures | None = None
    missing: dict[str, str] = {}

"""Records of the sample stream: what the sampler sends, a recording holds, and a replay gives back.

A stream is one `Hello`, then `Frame`s, with a `Gap` wherever time passed without data, and an `End`.
A recording is the same stream as JSON Lines. Missing is None, and the record's `missing` says why.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from probes.ceilings import Ceilings
from rules.engine_reading import Reading
from rules.stacks import Stacks

SCHEMA_VERSION = 1


class Gpm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """GPM counters over one sub-window of `duration_s` that ended at `t_s` (Unix). Fractions 0 to 1."""

    t_s: float
    duration_s: float
    gr_active: float | None = None
    sm_active: float | None = None
    sm_occupancy: float | None = None
    int_active: float | None = None
    tensor_active: float | None = None
    dfma: float | None = None
    hmma: float | None = None
    dmma: float | None = None
    imma: float | None = None
    dram_active: float | None = None
    fp64: float | None = None
    fp32: float | None = None
    fp16: float | None = None
    pcie_tx_bytes_s: float | None = None
    pcie_rx_bytes_s: float | None = None
    nvlink_rx_bytes_s: float | None = None
    nvlink_tx_bytes_s: float | None = None


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Static facts of one GPU or MIG instance, read once.

    key: UUID of the GPU or MIG instance. parent_key, mig_profile, gi_id, ci_id: for MIG instances only.
    slice_frac: a MIG instance's share of its GPU's SMs. A GPU with MIG enabled is listed too, with
    mig_enabled=True, and is not a place where work runs itself. sm_mhz_app_default: the application clock
    that the board comes with, beyond which it boosts as long as nobody sets another.
    """

    key: str
    index: int
    name: str
    uuid: str
    pci_bus_id: str | None = None
    parent_key: str | None = None
    mig_enabled: bool | None = None
    mig_profile: str | None = None
    gi_id: int | None = None
    ci_id: int | None = None
    slice_frac: float | None = None
    memory_total_bytes: int | None = None
    compute_capability: str | None = None
    sm_count: int | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    power_limit_max_w: float | None = None
    sm_mhz_max: float | None = None
    sm_mhz_app_default: float | None = None
    mem_mhz_max: float | None = None
    mem_temp_limit_c: float | None = None
    pcie_gen_max: int | None = None
    pcie_width_max: int | None = None
    numa_node: int | None = None
    cpu_affinity: str | None = None
    ecc_enabled: bool | None = None
    persistence: bool | None = None
    gpm: bool | None = None
    missing: dict[str, str] = {}


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One device at one instant. `gpm` holds the sub-windows since the previous sample, oldest first.

    sm_mhz_app: the application clock that is set. sm_mhz_customer_max: the highest clock its owner allows.
    remapped_rows: rows of memory replaced by spare ones, ever. xids: errors since the previous sample.
    """

    key: str
    t_s: float
    state: Literal["ok", "lost"] = "ok"
    gpu_util_frac: float | None = None
    mem_util_frac: float | None = None
    mem_used_bytes: int | None = None
    mem_total_bytes: int | None = None
    power_w: float | None = None
    energy_j: float | None = None
    sm_mhz: float | None = None
    mem_mhz: float | None = None
    sm_mhz_app: float | None = None
    sm_mhz_customer_max: float | None = None
    temp_c: float | None = None
    mem_temp_c: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    pcie_gen: int | None = None
    pcie_width: int | None = None
    pcie_replays: int | None = None
    pcie_tx_bytes: int | None = None
    pcie_rx_bytes: int | None = None
    nvlink_tx_bytes: int | None = None
    nvlink_rx_bytes: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failure: bool | None = None
    remapped_rows: int | None = None
    xids: tuple[int, ...] = ()
    gpm: tuple[Gpm, ...] = ()
    missing: dict[str, str] = {}


class ProcessSample(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One process on one device. CPU figures are shares of one core since the previous look.

    key: the device. name: program or script name, untrusted. command: only as far as a job or cause
    needs it, redacted. server: a program known to serve requests in its command line or a parent's.
    job: "slurm:<id>", "pod:<uid>", "container:<id>". partition: Slurm's, by its environment.
    state: psutil's name ("running", "sleeping", "disk-sleep", ...).
    children_cpu_frac: cores that all its descendants use together (7.5 = seven and a half).
    busiest_thread_wait_frac: time in which that thread could have run and no CPU was free for it.
    children_busy: children that use 0.9 of a core or more, or would if a CPU were free for them.
    busiest_thread_system_frac: the part of the busiest thread's CPU spent in the kernel.
    """

    key: str
    pid: int
    name: str
    command: str | None = None
    server: str | None = None
    user: str | None = None
    job: str | None = None
    partition: str | None = None
    mem_used_bytes: int | None = None
    sm_frac: float | None = None
    state: str | None = None
    cpu_frac: float | None = None
    busiest_thread_frac: float | None = None
    busiest_thread_system_frac: float | None = None
    busiest_thread_wait_frac: float | None = None
    threads: int | None = None
    children: int | None = None
    children_busy: int | None = None
    children_cpu_frac: float | None = None
    children_dstate: int | None = None
    voluntary_switches_s: float | None = None
    io_read_bytes_s: float | None = None
    io_write_bytes_s: float | None = None
    cpus_allowed: int | None = None
    remote_numa_frac: float | None = None
    throttled_frac: float | None = None
    cpu_quota_cores: float | None = None
    missing: dict[str, str] = {}


class HostSample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The node at one instant. cpu_fracs: one entry a core. psi_*: /proc/pressure `some avg10` / 100.

    throttled_frac: share of wall time this process's own cgroup was throttled by its quota.
    """

    t_s: float
    cpu_fracs: tuple[float, ...] = ()
    load_1m: float | None = None
    psi_cpu_frac: float | None = None
    psi_io_frac: float | None = None
    psi_memory_frac: float | None = None
    mem_used_bytes: int | None = None
    mem_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    disk_read_bytes_s: float | None = None
    disk_write_bytes_s: float | None = None
    throttled_frac: float | None = None
    cpu_quota_cores: float | None = None
    missing: dict[str, str] = {}


class HostInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Static facts of the node. `host` is a stable hash (see advisor.reports.redact), never the name.

    What may set a price: provider and instance are the cloud and its type of instance, as far as firmware
    names them (advisor.cloud; None is no cloud, or one that does not say); partition is Slurm's, of the job
    that the recorder itself ran in; label is a person's word for the node.
    """

    host: str
    cores: int | None = None
    numa_nodes: int | None = None
    governor: str | None = None
    kernel: str | None = None
    python: str | None = None
    container: bool | None = None
    provider: str | None = None
    instance: str | None = None
    partition: str | None = None
    label: str | None = None
    missing: dict[str, str] = {}


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hello"):
    """First of a stream. synthetic: the data came from the simulated library, and says so wherever shown.

    ceilings: key of a device -> what probes measured on this very one; a device without an entry was not
    probed. They travel with the stream, so that a replay elsewhere divides by the same figures.
    """

    schema_version: int = SCHEMA_VERSION
    t_s: float
    advisor_version: str
    driver_version: str | None = None
    cuda_version: str | None = None
    pynvml_version: str | None = None
    interval_s: float = 1.0
    gpm_interval_s: float = 0.2
    host: HostInfo
    devices: tuple[DeviceInfo, ...] = ()
    synthetic: bool = False
    note: str = ""
    redacted: tuple[str, ...] = ()
    ceilings: dict[str, Ceilings] = {}


class Frame(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="frame", omit_defaults=True
):
    """One tick. processes and host are None on ticks at which they were not looked at.

    cost_s: wall time the tick's own calls took. devices: re-read facts after a hot change, else None;
    ceilings: then as in Hello, for those devices.
    """

    seq: int
    t_s: float
    samples: tuple[Sample, ...] = ()
    processes: tuple[ProcessSample, ...] | None = None
    host: HostSample | None = None
    cost_s: float | None = None
    devices: tuple[DeviceInfo, ...] | None = None
    ceilings: dict[str, Ceilings] = {}


class StackLook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stacks"):
    """A look inside the process that uses a device, which somebody asked for; it was over at t_s.

    key: the device. A reader that does not know this message skips it, and loses nothing else.
    """

    t_s: float
    key: str
    stacks: Stacks


class EngineLook(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="engine", omit_defaults=True
):
    """An inference engine that was asked for its metrics at t_s.

    endpoint: host and port. engine: as in ServingFigures. keys: devices that its processes hold, as far as
    that is visible. readings: one a model; empty where it could not be read, and `problem` says why.
    A reader that does not know this message skips it, and loses nothing else.
    """

    t_s: float
    endpoint: str
    engine: str = ""
    keys: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()
    problem: str = ""


class Gap(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gap", omit_defaults=True
):
    """No data from t_s on. kind: `silent` (driver not answering), `restart` (worker died and was
    restarted), `paused`. A later Frame ends it. blame: whose fault it is; a sampler that was stopped or
    crashed says nothing about the GPUs."""

    t_s: float
    kind: Literal["silent", "restart", "paused"]
    reason: str
    blame: Literal["driver", "sampler"] = "driver"


class End(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="end", omit_defaults=True
):
    """The stream is over. error: it could not go on; fix: what to do about that."""

    t_s: float
    reason: str
    error: bool = False
    fix: str = ""


Message = Hello | Frame | StackLook | EngineLook | Gap | End

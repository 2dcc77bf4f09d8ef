"""gputui's rules after its documentation, those that name what limits a workload.

Its hints about faults say nothing of a bottleneck and are left out. Recordings hold neither P-states nor
iowait: an SM clock under a third of its maximum stands for a parked P-state, the node's I/O pressure for
iowait.
"""

from __future__ import annotations

from advisor.telemetry.records import DeviceInfo, HostSample, Sample
from benchmarks.accuracy.rival import Rival, Seen, mean
from benchmarks.workloads.spec import Label

_PARKED_BYTES = 1 << 30
_PARKED_CLOCK = 1 / 3
_CUTS = frozenset({"sw_power_cap", "hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})
_MAPPING = (
    "memory-bandwidth-bound as memory; potential-cpu-bound-preprocessing and potential-io-bound-pipeline as "
    "host; gpu-parked as idle; confirmed-throttle as compute; no hint as no class; majority over one look a "
    "second"
)


def gputui() -> Rival:
    """The rival."""
    return Rival(
        name="gputui",
        version="0.1.0, rules of README.md and docs/EVALUATION.md",
        source="https://github.com/Indraputrabh/gputui/blob/main/docs/EVALUATION.md",
        mapping=_MAPPING,
        looks=looks,
        sees="nvml",
    )


def looks(seen: Seen) -> list[Label | None]:
    """What its hints say at each sample, with the host as last seen before it."""
    return [hint(seen.info, sample, _host_at(seen.host, sample.t_s)) for sample in seen.samples]


def hint(info: DeviceInfo, sample: Sample, host: HostSample | None) -> Label | None:
    """The hint that fires first: what the driver states before what is correlated."""
    util, memory = sample.gpu_util_frac, sample.mem_util_frac
    if _CUTS.intersection(sample.throttle_reasons or ()):
        return "compute"
    if _parked(info, sample):
        return "idle"
    if util is None:
        return None
    if memory is not None and util < 0.50 and memory > 0.80:
        return "memory"
    return "host" if host is not None and util < 0.60 and _host_is_busy(host) else None


def _parked(info: DeviceInfo, sample: Sample) -> bool:
    if sample.sm_mhz is None or not info.sm_mhz_max:
        return False
    return (sample.mem_used_bytes or 0) > _PARKED_BYTES and sample.sm_mhz < _PARKED_CLOCK * info.sm_mhz_max


def _host_is_busy(host: HostSample) -> bool:
    return (mean(host.cpu_fracs) or 0.0) > 0.50 or (host.psi_io_frac or 0.0) > 0.15


def _host_at(host: tuple[HostSample, ...], t_s: float) -> HostSample | None:
    return next((h for h in reversed(host) if h.t_s <= t_s + 1e-6), host[0] if host else None)

"""Tracks: what is kept of each device while a stream goes by, and the Evidence made of it.

A `Track` keeps the sub-windows of the last `window_s` seconds (all of them when None), each already
split by the classifier, so that a live verdict costs a sum and not a re-reading. A full track is
compacted, never truncated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from advisor.compaction import halve, thin
from advisor.host_facts import node_facts, process_facts
from advisor.telemetry.records import DeviceInfo, Gpm, HostInfo, HostSample, ProcessSample, Sample
from probes.ceilings import Ceilings
from rules.classify import Split, is_launching, limits_of, split
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Tier, Workload
from rules.roofs import Limits

# Memory the driver itself keeps on an unused device; less than this is nobody's.
DRIVER_RESERVE_BYTES = 1 << 30

_GPM_FIELDS = tuple(f for f in Gpm.__struct_fields__ if f not in ("t_s", "duration_s"))


class Track:
    """One GPU or MIG instance over time."""

    def __init__(self, info: DeviceInfo, parent: DeviceInfo | None, ceilings: Ceilings | None) -> None:
        self.info = info
        self.parent = parent
        self.ceilings = ceilings
        self.samples: deque[Sample] = deque()
        self.windows: deque[tuple[SubWindow, Split]] = deque()
        self.looks: deque[tuple[float, tuple[ProcessSample, ...]]] = deque()
        self.gaps: deque[tuple[float, float]] = deque()
        self.silent_since_s: float | None = None
        self.seen_gpm = False
        self._limits: Limits = limits_of(self._blank(), ceilings)
        self.last_s: float | None = None
        self._launching = False
        self.removed = False

    @property
    def tier(self) -> Tier:
        """`counters` once GPM has answered, else `nvml`."""
        return "counters" if self.seen_gpm else "nvml"

    @property
    def processes(self) -> tuple[ProcessSample, ...]:
        """The latest look at the device's processes."""
        return self.looks[-1][1] if self.looks else ()

    def all_processes(self) -> list[ProcessSample]:
        """Every process seen in the window, once a look."""
        return [p for _, look in self.looks for p in look]

    @property
    def lost_reason(self) -> str | None:
        """Why the device is lost at the end of the stream, or None."""
        if self.removed:
            return "the driver no longer lists this device"
        if not self.samples or self.samples[-1].state != "lost":
            return None
        reasons = self.samples[-1].missing
        return reasons.get("device") or next(iter(reasons.values()), "the driver reports this GPU as lost")

    def add_look(self, t_s: float, processes: tuple[ProcessSample, ...]) -> None:
        """Keep one look at the processes."""
        self.looks.append((t_s, processes))
        thin(self.looks)
        self._launching = is_launching(self.host_evidence(None, None))

    def add_sample(self, sample: Sample, interval_s: float) -> list[Split]:
        """Keep one sample, split its sub-windows, and return the splits."""
        self._end_silence(sample.t_s)
        made = self._sub_windows(sample, interval_s)
        self.last_s = sample.t_s
        self.samples.append(sample)
        splits = []
        for window in made:
            part = split(window, self.tier, self.ceilings, self._limits, launching=self._launching)
            self.windows.append((window, part))
            splits.append(part)
        halve(self.windows)
        thin(self.samples)
        return splits

    def add_silence(self, t_s: float) -> None:
        """The driver stopped answering at t_s."""
        if self.silent_since_s is None:
            self.silent_since_s = t_s

    def forget(self, before_s: float) -> None:
        """Drop what ended before this time; the last sample and look stay."""
        while self.windows and self.windows[0][0].t_s < before_s:
            self.windows.popleft()
        for kept in (self.looks, self.samples):
            while len(kept) > 1 and _time_of(kept[0]) < before_s:
                kept.popleft()
        while self.gaps and self.gaps[0][1] < before_s:
            self.gaps.popleft()

    def _end_silence(self, t_s: float) -> None:
        if self.silent_since_s is not None:
            self.gaps.append((self.silent_since_s, t_s))
            self.silent_since_s = None

    def _sub_windows(self, sample: Sample, interval_s: float) -> list[SubWindow]:
        if sample.state == "lost":
            return [SubWindow(t_s=sample.t_s, duration_s=self._elapsed(sample, interval_s), lost=True)]
        if sample.gpm:
            if not self.seen_gpm:  # coarse figures from before GPM answered are not mixed in
                self.seen_gpm = True
                self.windows.clear()
            return [self._from_gpm(g, sample) for g in sample.gpm]
        if self.seen_gpm or (self.info.gpm and self.last_s is None):
            return []
        return [self._from_nvml(sample, interval_s)]

    def _elapsed(self, sample: Sample, interval_s: float) -> float:
        if self.last_s is None:
            return interval_s
        return min(max(sample.t_s - self.last_s, 0.0), 3.0 * interval_s)

    def _from_gpm(self, g: Gpm, sample: Sample) -> SubWindow:
        counters = {name: getattr(g, name) for name in _GPM_FIELDS}
        return SubWindow(t_s=g.t_s, duration_s=g.duration_s, **counters, **self._around(sample))

    def _from_nvml(self, sample: Sample, interval_s: float) -> SubWindow:
        return SubWindow(
            t_s=sample.t_s,
            duration_s=self._elapsed(sample, interval_s),
            gr_active=sample.gpu_util_frac,
            mem_util_frac=sample.mem_util_frac,
            **self._around(sample),
        )

    def _around(self, sample: Sample) -> dict[str, Any]:
        return {
            "has_process": self._has_process(sample),
            "power_w": sample.power_w,
            "sm_mhz": sample.sm_mhz,
            "throttle_reasons": sample.throttle_reasons or (),
        }

    def _has_process(self, sample: Sample) -> bool | None:
        if not self.looks:
            return None
        if self.processes:
            return True
        used = sample.mem_used_bytes
        if used is None:
            return False
        reserve = max(DRIVER_RESERVE_BYTES, (self.info.memory_total_bytes or 0) // 50)
        # In a container other people's processes are invisible, but the memory they hold is not.
        return used > reserve

    # --- evidence ------------------------------------------------------------------------------

    def evidence(
        self, host: Sequence[HostSample], info: HostInfo | None, start_s: float, end_s: float
    ) -> Evidence:
        """What rules read of this device between start_s and end_s."""
        windows = tuple(w for w, _ in self.windows)
        samples = list(self.samples)
        return Evidence(
            key=self.info.key,
            gpu=self.info.index,
            mig=mig_label(self.info),
            device=self._device(samples),
            tier=self.tier,
            t_start_s=start_s,
            t_end_s=end_s,
            price_share=1.0 if self.parent is None else (self.info.slice_frac or 0.0),
            workload=self._workload(),
            windows=windows,
            host=self.host_evidence(host, info),
            mem_used_bytes=samples[-1].mem_used_bytes if samples else None,
            power_w_p50=quantile((s.power_w for s in samples), 0.5),
            power_w_p90=quantile((s.power_w for s in samples), 0.9),
            energy_j=_difference([s.energy_j for s in samples]),
            temp_c_max=max((s.temp_c for s in samples if s.temp_c is not None), default=None),
            throttle_frac=_reason_fracs(samples),
            pcie_bytes_s_max=_pcie_rate(samples, windows),
            gap_s=sum(min(b, end_s) - max(a, start_s) for a, b in self.gaps) + self._silent_for(end_s),
            lost_reason=self.lost_reason,
            silent_since_s=self.silent_since_s,
            missing=self._missing(),
        )

    def _silent_for(self, end_s: float) -> float:
        return 0.0 if self.silent_since_s is None else max(0.0, end_s - self.silent_since_s)

    def _blank(self) -> Evidence:
        return Evidence(
            key=self.info.key,
            gpu=self.info.index,
            device=self._device([]),
            tier="nvml",
            t_start_s=0.0,
            t_end_s=0.0,
        )

    def _device(self, samples: Sequence[Sample]) -> Device:
        last = samples[-1] if samples else None
        whole = self.parent or self.info
        return Device(
            name=whole.name,
            memory_total_bytes=self.info.memory_total_bytes,
            power_limit_w=self.info.power_limit_w if self.parent is None else None,
            power_limit_default_w=self.info.power_limit_default_w,
            sm_mhz_max=self.info.sm_mhz_max or whole.sm_mhz_max,
            # Links train down at idle, so the best state seen in the window is the one that counts.
            pcie_gen=max((s.pcie_gen for s in samples if s.pcie_gen), default=None),
            pcie_gen_max=self.info.pcie_gen_max,
            pcie_width=max((s.pcie_width for s in samples if s.pcie_width), default=None),
            pcie_width_max=self.info.pcie_width_max,
            ecc_uncorrected=last.ecc_uncorrected if last else None,
            remap_pending=last.remap_pending if last else None,
            remap_failure=last.remap_failure if last else None,
        )

    def _missing(self) -> dict[str, str]:
        latest = self.samples[-1].missing if self.samples else {}
        return {**self.info.missing, **latest}

    def _workload(self) -> Workload | None:
        main = main_process(self.processes)
        if main is None:
            return None
        return Workload(
            pid=main.pid, name=main.name, user=main.user, job=main.job, others=len(self.processes) - 1
        )

    def host_evidence(self, host: Sequence[HostSample] | None, info: HostInfo | None) -> HostEvidence:
        """What the workload's own process did, and the node around it."""
        main = main_process(self.processes)
        mine = [p for _, look in self.looks for p in look if main is not None and p.pid == main.pid]
        return HostEvidence(**process_facts(mine), **node_facts(host or (), info, self.info.numa_node))


def main_process(processes: Sequence[ProcessSample]) -> ProcessSample | None:
    """The process that holds the most of the device's memory; the busiest of those that hold the same."""
    return max(processes, key=lambda p: (p.mem_used_bytes or 0, p.cpu_frac or 0.0), default=None)


def mig_label(info: DeviceInfo) -> str | None:
    """ "1g.10gb/7" for a MIG instance: its profile and GPU instance id. None for a whole GPU."""
    if info.parent_key is None:
        return None
    return f"{info.mig_profile or 'slice'}/{info.gi_id if info.gi_id is not None else '?'}"


def quantile(values: Iterable[float | None], q: float) -> float | None:
    """The q-quantile of the known values (nearest rank), None when there are none."""
    known = sorted(v for v in values if v is not None)
    return known[min(len(known) - 1, int(q * len(known)))] if known else None


def _time_of(kept: Sample | tuple[float, tuple[ProcessSample, ...]]) -> float:
    return kept.t_s if isinstance(kept, Sample) else kept[0]


def _difference(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return known[-1] - known[0] if len(known) > 1 and known[-1] >= known[0] else None


def _reason_fracs(samples: Sequence[Sample]) -> dict[str, float]:
    known = [s.throttle_reasons for s in samples if s.throttle_reasons is not None]
    names = {name for reasons in known for name in reasons}
    return {name: sum(name in r for r in known) / len(known) for name in sorted(names)}


def _pcie_rate(samples: Sequence[Sample], windows: Sequence[SubWindow]) -> float | None:
    """The highest PCIe rate of either direction, by GPM where there is one, else by NVML's byte counters."""
    counted = [r for w in windows for r in (w.pcie_rx_bytes_s, w.pcie_tx_bytes_s) if r is not None]
    for before, after in zip(samples, list(samples)[1:], strict=False):
        seconds = after.t_s - before.t_s
        for name in ("pcie_rx_bytes", "pcie_tx_bytes"):
            a, b = getattr(before, name), getattr(after, name)
            if a is not None and b is not None and b >= a and seconds > 0:
                counted.append((b - a) / seconds)
    return max(counted, default=None)

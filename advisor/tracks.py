"""Tracks: what is kept of each device while a stream goes by, and the Evidence made of it.

A `Track` keeps the sub-windows of the last `window_s` seconds (all of them when None), each already
split by the classifier, so that a live verdict costs a sum and not a re-reading. Time that no sub-window
covers (a silence, a counter that stopped) is kept as a sub-window without counters: paid for, unknown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from advisor.compaction import Piece, Series, keep_first, merge_pieces
from advisor.device_facts import NO_SOFTWARE, Software, device_of
from advisor.history import HISTORY_POINTS, gap_point, history_point
from advisor.host_facts import is_mps, main_process, process_facts, without_mps
from advisor.slices import mig_label, price_share
from advisor.snapshot import HistoryPoint
from advisor.telemetry.records import DeviceInfo, Gap, Gpm, ProcessSample, Sample, StackLook
from advisor.windows import quantile, rate, reason_fracs
from probes.ceilings import Ceilings
from rules.classify import is_launching, limits_of, split
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Tier, Workload
from rules.roofs import Limits, sensible
from rules.split import Split
from rules.stacks import Stacks

# Memory the driver itself keeps on an unused device; less than this is nobody's.
DRIVER_RESERVE_BYTES = 1 << 30
# Ticks without a counter before their time is given up as unknown; one or two may just be late.
PATIENCE_TICKS = 3.0
# Whether a thread is pegged is asked of the last looks only: a run has phases.
RECENT_LOOKS = 3

# Far more than anybody reads; a storm of them must not fill the memory.
XIDS_KEPT = 256

# On a screen a look inside a process stands for this long beyond the window: what a program does, it repeats.
LOOK_HOLDS_S = 600.0

Look = tuple[float, tuple[ProcessSample, ...]]

_GPM_FIELDS = tuple(f for f in Gpm.__struct_fields__ if f not in ("t_s", "duration_s"))


class Track:
    """One GPU or MIG instance over time."""

    def __init__(
        self,
        info: DeviceInfo,
        parent: DeviceInfo | None,
        ceilings: Ceilings | None,
        software: Software = NO_SOFTWARE,
    ) -> None:
        self.info = info
        self.parent = parent
        self.software = software
        self.ceilings = ceilings
        self.removed = False
        self.silence: Gap | None = None
        self.restart()
        self._limits: Limits = limits_of(self._blank(), ceilings)

    def restart(self) -> None:
        """Forget what was seen; the device stays."""
        self.samples: Series[Sample] = Series(keep_first)
        self.windows: Series[Piece] = Series(merge_pieces)
        self.looks: Series[Look] = Series(keep_first)
        self.history: deque[HistoryPoint] = deque(maxlen=HISTORY_POINTS)
        self.xids: deque[tuple[float, int]] = deque(maxlen=XIDS_KEPT)
        self.sample: Sample | None = None
        self.seen_gpm = False
        self.inside: StackLook | None = None
        self.last_s: float | None = None
        self._covered_s: float | None = None
        self._recent: deque[ProcessSample] = deque(maxlen=RECENT_LOOKS)
        self._launching = False
        self._nonsense: dict[str, tuple[float, str]] = {}

    @property
    def tier(self) -> Tier:
        """`counters` once GPM has answered, else `nvml`."""
        return "counters" if self.seen_gpm else "nvml"

    @property
    def processes(self) -> tuple[ProcessSample, ...]:
        """The latest look at the device's processes."""
        return self.looks.latest[1] if self.looks.latest else ()

    def all_processes(self) -> list[ProcessSample]:
        """Every process seen in the window, once a look."""
        return [p for _, look in self.looks for p in look] + list(self.processes)

    @property
    def lost_reason(self) -> str | None:
        """Why the device is lost at the end of the stream, or None."""
        if self.removed:
            return "the driver no longer lists this device"
        last = self.samples.latest
        if last is None or last.state != "lost":
            return None
        known = last.missing
        return known.get("device") or next(iter(known.values()), "the driver reports this GPU as lost")

    def add_look(self, t_s: float, processes: tuple[ProcessSample, ...]) -> None:
        """Keep one look at the processes."""
        self.looks.append((t_s, processes))
        main = main_process(processes)
        if main is not None:
            self._recent.append(main)
        self._launching = main is not None and is_launching(HostEvidence(**process_facts(self._recent)))

    def add_inside(self, seen: StackLook) -> None:
        """Keep the latest look inside the process; one that failed does not replace one that did not."""
        worse = not seen.stacks.groups and self.inside is not None and self.inside.stacks.groups
        if not worse or (self.inside is not None and self.inside.stacks.pid != seen.stacks.pid):
            self.inside = seen

    def add_sample(self, sample: Sample, interval_s: float) -> None:
        """Keep one sample and its sub-windows, split."""
        self.silence = None
        made = self._with_holes(self._sub_windows(sample, interval_s), interval_s)
        self.last_s = sample.t_s
        self.sample = sample
        self.xids.extend((sample.t_s, xid) for xid in sample.xids)
        # Of the past only the sub-windows keep the counters.
        self.samples.append(msgspec.structs.replace(sample, gpm=()) if sample.gpm else sample)
        splits = [split(window, self.tier, self.ceilings, self._limits) for window in made]
        for piece in zip(made, splits, strict=True):
            self.windows.append(piece)
        self.history.append(history_point(sample, splits))

    def add_silence(self, gap: Gap) -> None:
        """Data stopped. A silence that changes its reason began when it began."""
        since_s = gap.t_s if self.silence is None else self.silence.t_s
        self.silence = msgspec.structs.replace(gap, t_s=since_s)
        self._hole(gap.t_s)

    def skip(self, t_s: float) -> None:
        """From t_s on time passes that nobody watched (a pause): it is not missing data."""
        self.last_s = self._covered_s = None
        self._hole(t_s)

    def _hole(self, t_s: float) -> None:
        """A hole in the chart, after its last point: a call that hangs may have begun before that one."""
        self.history.append(gap_point(max(t_s, self.history[-1].t_s) if self.history else t_s))

    def forget(self, before_s: float) -> None:
        """Drop what ended before this time; the latest sample and look stay."""
        self.windows.drop(lambda piece: piece[0].t_s < before_s)
        self.samples.drop(lambda sample: sample.t_s < before_s)
        self.looks.drop(lambda look: look[0] < before_s)
        if self.inside is not None and self.inside.t_s < before_s - LOOK_HOLDS_S:
            self.inside = None
        self._nonsense = {k: seen for k, seen in self._nonsense.items() if seen[0] >= before_s}
        while self.xids and self.xids[0][0] < before_s:
            self.xids.popleft()

    def _sub_windows(self, sample: Sample, interval_s: float) -> list[SubWindow]:
        if sample.state == "lost":
            return [SubWindow(t_s=sample.t_s, duration_s=self._elapsed(sample, interval_s), lost=True)]
        timed = [g for g in sample.gpm if math.isfinite(g.t_s) and 0.0 < g.duration_s < math.inf]
        if timed:
            if not self.seen_gpm:  # coarse figures from before GPM answered are not mixed in
                self.seen_gpm = True
                self.windows = Series(merge_pieces)
            return [self._from_gpm(g, sample) for g in timed]
        if self.seen_gpm:
            return self._without_counters(sample, interval_s)
        if self.info.gpm and self.last_s is None:  # the first sample of a device with GPM has none yet
            return []
        return [self._from_nvml(sample, interval_s)]

    def _without_counters(self, sample: Sample, interval_s: float) -> list[SubWindow]:
        """GPM has stopped answering: after a few ticks the time is unknown."""
        missing_s = sample.t_s - (self._covered_s if self._covered_s is not None else sample.t_s)
        if missing_s < PATIENCE_TICKS * interval_s:
            return []
        return [SubWindow(t_s=sample.t_s, duration_s=missing_s)]

    def _with_holes(self, made: Sequence[SubWindow], interval_s: float) -> list[SubWindow]:
        """The sub-windows, with an empty one wherever time before them is covered by none."""
        whole: list[SubWindow] = []
        for window in made:
            start_s = window.t_s - window.duration_s
            if self._covered_s is not None and start_s - self._covered_s > 0.5 * interval_s:
                whole.append(SubWindow(t_s=start_s, duration_s=start_s - self._covered_s))
            whole.append(window)
            self._covered_s = max(window.t_s, self._covered_s or window.t_s)
        return whole

    def _elapsed(self, sample: Sample, interval_s: float) -> float:
        if self.last_s is None:
            return interval_s
        return min(max(sample.t_s - self.last_s, 0.0), PATIENCE_TICKS * interval_s)

    def _from_gpm(self, g: Gpm, sample: Sample) -> SubWindow:
        counters = self._believed("gpm.", {name: getattr(g, name) for name in _GPM_FIELDS}, g.t_s)
        return SubWindow(t_s=g.t_s, duration_s=g.duration_s, **counters, **self._around(sample))

    def _from_nvml(self, sample: Sample, interval_s: float) -> SubWindow:
        last = self.samples.latest
        figures = {
            "gr_active": sample.gpu_util_frac,
            "mem_util_frac": sample.mem_util_frac,
            "pcie_rx_bytes_s": rate(last, sample, "pcie_rx_bytes"),
            "pcie_tx_bytes_s": rate(last, sample, "pcie_tx_bytes"),
            "nvlink_rx_bytes_s": rate(last, sample, "nvlink_rx_bytes"),
            "nvlink_tx_bytes_s": rate(last, sample, "nvlink_tx_bytes"),
        }
        elapsed_s = self._elapsed(sample, interval_s)
        believed = self._believed("nvml.", figures, sample.t_s)
        return SubWindow(t_s=sample.t_s, duration_s=elapsed_s, **believed, **self._around(sample))

    def _believed(self, kind: str, figures: dict[str, Any], t_s: float) -> dict[str, Any]:
        """The figures, None for what is no number, endless or below 0; `missing` then says why."""
        wrong = {name: v for name, v in figures.items() if v is not None and not sensible(v)}
        if not wrong:
            return figures
        for name, value in wrong.items():
            self._nonsense[kind + name] = (t_s, f"a value was read that makes no sense ({value:g})")
        return {**figures, **dict.fromkeys(wrong)}

    def _around(self, sample: Sample) -> dict[str, Any]:
        figures = {"power_w": sample.power_w, "sm_mhz": sample.sm_mhz}
        return {
            "has_process": self._has_process(sample),
            "throttle_reasons": sample.throttle_reasons or (),
            "launching": self._launching,
            **self._believed("nvml.", figures, sample.t_s),
        }

    def _has_process(self, sample: Sample) -> bool | None:
        if self.looks.latest is None:
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

    def splits(self) -> tuple[Split, ...]:
        """The splits of the sub-windows kept."""
        return tuple(part for _, part in self.windows)

    def evidence(self, node: Mapping[str, Any], start_s: float, end_s: float) -> Evidence:
        """What rules read of this device between start_s and end_s. node: `host_facts.node_facts`."""
        samples, last = list(self.samples), self.samples.latest
        share = price_share(self.info, self.parent)
        energy_j, energy_s = self._energy(samples)
        nonsense = {name: why for name, (_, why) in self._nonsense.items()}
        return Evidence(
            key=self.info.key,
            gpu=self.info.index,
            mig=mig_label(self.info),
            device=self._device(samples),
            tier=self.tier,
            t_start_s=start_s,
            t_end_s=end_s,
            price_share=share if share is not None else 0.0,
            workload=self._workload(),
            server=self._server(),
            mps=any(is_mps(p) for p in self._look()),
            windows=tuple(w for w, _ in self.windows),
            host=self._host_evidence(node),
            mem_used_bytes=last.mem_used_bytes if last else None,
            power_w_p50=quantile((s.power_w for s in samples), 0.5),
            power_w_p90=quantile((s.power_w for s in samples), 0.9),
            power_w_max=max((s.power_w for s in samples if s.power_w is not None), default=None),
            energy_j=energy_j,
            energy_s=energy_s,
            temp_c_max=max((s.temp_c for s in samples if s.temp_c is not None), default=None),
            throttle_frac=reason_fracs(samples),
            gap_s=self._unseen_s() + self._silent_for(end_s),
            lost_reason=self.lost_reason,
            silent_since_s=self.silence.t_s if self.silence else None,
            silent_reason=self.silence.reason if self.silence else None,
            silent_blame=self.silence.blame if self.silence else "driver",
            missing={**self.info.missing, **(last.missing if last else {}), **nonsense},
        )

    def _unseen_s(self) -> float:
        """Seconds without data, those of a lost device left out: they have a reason of their own."""
        return sum([part.duration_s - part.seen_s for w, part in self.windows if not w.lost])

    def _silent_for(self, end_s: float) -> float:
        return 0.0 if self.silence is None else max(0.0, end_s - self.silence.t_s)

    def _energy(self, samples: Sequence[Sample]) -> tuple[float | None, float | None]:
        """Joules by the counter and the seconds between its readings; None where it did not count on."""
        last = self.samples.latest
        first = next((s for s in samples if s.energy_j is not None), None)
        if first is None or first.energy_j is None or last is None or last.energy_j is None:
            return None, None
        if last.energy_j < first.energy_j:
            return None, None
        return last.energy_j - first.energy_j, last.t_s - first.t_s

    def _blank(self) -> Evidence:
        device = self._device([])
        return Evidence(
            key=self.info.key, gpu=self.info.index, device=device, tier="nvml", t_start_s=0.0, t_end_s=0.0
        )

    def _device(self, samples: Sequence[Sample]) -> Device:
        whole = self.parent or self.info
        return device_of(self.info, whole, self.software, samples, tuple(xid for _, xid in self.xids))

    def _look(self) -> tuple[ProcessSample, ...]:
        """The newest look that saw any process."""
        newest_first = [self.processes, *(look for _, look in reversed(list(self.looks)))]
        return tuple(next((look for look in newest_first if look), ()))

    def _main(self) -> tuple[ProcessSample, int] | None:
        """The main process of the newest look that saw any, and how many others it saw beside MPS."""
        seen = self._look()
        main = main_process(seen)
        return None if main is None else (main, len(without_mps(seen)) - 1)

    def _workload(self) -> Workload | None:
        found = self._main()
        if found is None:
            return None
        main, others = found
        return Workload(pid=main.pid, name=main.name, user=main.user, job=main.job, others=others)

    def _server(self) -> str | None:
        found = self._main()
        return found[0].server if found is not None else None

    def _host_evidence(self, node: Mapping[str, Any]) -> HostEvidence:
        """What the workload's own process did, and the node around it."""
        found = self._main()
        mine = [p for _, look in self.looks for p in look if found is not None and p.pid == found[0].pid]
        inside = self._inside_of(found[0].pid) if found is not None else None
        facts = process_facts(mine)
        return HostEvidence(**facts, **node, gpu_numa_node=self.info.numa_node, stacks=inside)

    def _inside_of(self, pid: int) -> Stacks | None:
        """The look inside this process, if there was one."""
        seen = self.inside.stacks if self.inside is not None else None
        return seen if seen is not None and seen.pid == pid else None

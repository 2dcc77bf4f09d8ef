"""The simulated node: what /proc would show of a program's process and of the host around it."""

from __future__ import annotations

import random
from typing import Any

from advisor.telemetry.processes import FIRST_LOOK
from advisor.telemetry.records import HostInfo, HostSample, ProcessSample
from benchmarks.accuracy.simulated.timeline import Meter, Run

CORES = 104
HOST = HostInfo(
    host="simulated", cores=CORES, numa_nodes=2, governor="performance", kernel="6.8.0", python="3.12.3"
)
_MEMORY_BYTES = 1008 << 30
# /proc counts CPU time in ticks of 10 ms, and a look covers five seconds.
_TICK = 0.002
_BUSY_CHILD = 0.9
_NEEDS_TWO = (
    "cpu_frac", "busiest_thread_frac", "busiest_thread_system_frac", "busiest_thread_wait_frac",
    "children_busy", "children_cpu_frac", "voluntary_switches_s", "io_read_bytes_s", "io_write_bytes_s",
    "throttled_frac",
)  # fmt: skip


class Node:
    """Looks at one run's process and host. Randomness comes from `rng`: take looks once, in order."""

    def __init__(self, run: Run, meter: Meter, key: str, pid: int, rng: random.Random) -> None:
        self._run = run
        self._meter = meter
        self._key = key
        self._pid = pid
        self._rng = rng
        self._looked_s: float | None = None
        self._cores = sorted(rng.sample(range(CORES), 16))

    def look(self, t_s: float) -> tuple[ProcessSample, ...]:
        """The process at a time of the run; rates since the look before, of which the first has none."""
        if not self._run.program.process:
            return ()
        before, self._looked_s = self._looked_s, t_s
        facts = self._rates(before, t_s) if before is not None else {}
        missing = {} if facts else dict.fromkeys(_NEEDS_TWO, FIRST_LOOK)
        host = self._run.program.host
        return (
            ProcessSample(
                key=self._key,
                pid=self._pid,
                name=f"simulated_{self._run.program.name}.py",
                mem_used_bytes=self.memory_bytes,
                state=self._state(t_s),
                threads=host.threads,
                children=host.children,
                children_dstate=sum(self._rng.random() < host.children_dstate for _ in range(host.children)),
                cpus_allowed=host.cpus_allowed or CORES,
                remote_numa_frac=0.0 if host.cpus_allowed else 0.5,
                cpu_quota_cores=host.quota_cores,
                missing=missing,
                **facts,
            ),
        )

    @property
    def memory_bytes(self) -> int:
        """What the process holds of the card."""
        return int(self._run.program.memory_gib * (1 << 30))

    def _state(self, t_s: float) -> str:
        host = self._run.program.host
        if self._rng.random() < host.dstate:
            return "disk-sleep"
        thread = self._meter.over(max(0.0, t_s - 0.02), max(0.02, t_s)).thread
        return "running" if self._rng.random() < thread else "sleeping"

    def _rates(self, before_s: float, t_s: float) -> dict[str, Any]:
        host = self._run.program.host
        feeding = self._meter.over(before_s, t_s).thread
        busiest = self._near(max(feeding, host.busiest or 0.0))
        children = [self._near(host.child) for _ in range(host.children)]
        if host.slow is not None and children:
            children[0] = self._near(host.slow)
        busy = sum(min(1.0, used + host.child_wait) >= _BUSY_CHILD for used in children)
        facts: dict[str, Any] = {
            "cpu_frac": _ticks(busiest + self._near(host.other, 4.0)),
            "busiest_thread_frac": busiest,
            "busiest_thread_system_frac": _ticks(busiest * host.system * self._rng.uniform(0.9, 1.1)),
            "busiest_thread_wait_frac": _ticks(
                min(1.0 - busiest, host.wait * self._rng.uniform(0.9, 1.1) + 0.001)
            ),
            "children_busy": busy,
            "voluntary_switches_s": round(host.switches_s * self._rng.uniform(0.85, 1.15), 1),
            "io_read_bytes_s": round(host.read_bytes_s * self._rng.uniform(0.85, 1.15)),
            "io_write_bytes_s": round(host.write_bytes_s * self._rng.uniform(0.6, 1.4)),
            "throttled_frac": round(host.throttled * self._rng.uniform(0.95, 1.05), 4),
        }
        if children:
            facts["children_cpu_frac"] = _ticks(sum(children))
        return facts

    def _near(self, share: float, most: float = 1.0) -> float:
        return _ticks(min(most, max(0.0, share * self._rng.uniform(0.97, 1.02))))

    def host_sample(self, t_s: float, unix_s: float) -> HostSample:
        """The node at a time of the run."""
        rng, host = self._rng, self._run.program.host
        cores = self._core_fracs(t_s)
        return HostSample(
            t_s=unix_s,
            cpu_fracs=tuple(round(min(1.0, share), 3) for share in cores),
            load_1m=round(sum(cores), 2),
            psi_cpu_frac=_pressure(host.psi_cpu, rng),
            psi_io_frac=_pressure(host.psi_io, rng),
            psi_memory_frac=0.0,
            mem_used_bytes=(212 << 30) + rng.randrange(1 << 28),
            mem_total_bytes=_MEMORY_BYTES,
            swap_used_bytes=0,
            disk_read_bytes_s=round(host.read_bytes_s * rng.uniform(0.8, 1.2)),
            disk_write_bytes_s=round(host.write_bytes_s * rng.uniform(0.5, 1.5) + 2e5),
            throttled_frac=0.0,
            missing={"cpu_quota_cores": "no CPU quota is set on this cgroup"},
        )

    def _core_fracs(self, t_s: float) -> list[float]:
        """Shares of cores: other programs everywhere, and this one's threads where they may run."""
        host = self._run.program.host
        cores = [max(0.0, self._rng.gauss(host.node, 0.015)) for _ in range(CORES)]
        if not self._run.program.process:
            return cores
        thread = self._meter.over(max(0.0, t_s - 1.0), max(0.1, t_s)).thread
        children = [host.child] * host.children
        if children and host.slow is not None:
            children[0] = host.slow
        places = self._cores[: host.cpus_allowed or len(self._cores)]
        for n, share in enumerate((thread, host.other, *children)):
            cores[places[n % len(places)]] += share
        return cores


def _ticks(share: float) -> float:
    return round(round(share / _TICK) * _TICK, 3)


def _pressure(share: float, rng: random.Random) -> float:
    """As /proc/pressure prints it: per cent with two digits."""
    return round(min(1.0, share * rng.uniform(0.92, 1.08)), 4)

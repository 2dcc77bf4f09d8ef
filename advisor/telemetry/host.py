"""The host: cores, pressure, memory, disk, and the limits of this process's own cgroup.

Counters come from psutil. Read here are only what it lacks: pressure (PSI), throttling by the cgroup's quota,
and facts of the node.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import psutil

from advisor.cloud import read_cloud
from advisor.reports.redact import host_hash
from advisor.telemetry import cgroups, procfs
from advisor.telemetry.jobs import job_of, partition_name
from advisor.telemetry.procfs import noted
from advisor.telemetry.records import HostInfo, HostSample

FIRST_LOOK = "first look: a rate needs two"
TOO_SOON = "less than 0.05 s since the previous look"
PSI_OFF = "PSI is off in this kernel (boot with psi=1)"
NO_STAT = "/proc/stat cannot be read"
NO_MEMINFO = "/proc/meminfo does not say"

# Per-core time is counted in ticks of 10 ms; below five of them a share says nothing.
_SHORTEST_S = 0.05
# Devices that pass I/O on to others, or hold it in memory: counting them would count bytes twice.
_STACKED_DISK = re.compile(r"loop|ram|zram|dm-|md|sr|fd|nvme\d+c\d+n")
_PSI_SOME = re.compile(r"^some avg10=(\d{1,3}\.\d{1,4})\b", re.MULTILINE)
_CONTAINER_MARKS = (".dockerenv", "run/.containerenv", "run/systemd/container", ".singularity.d")
_CONTAINER_ROOT = re.compile(r"docker|containerd|/containers/|crio|kubelet|enroot|podman")

# What psutil raises on files of /proc that are not there, may not be read, or say something else.
_UNREADABLE = (OSError, psutil.Error, ValueError, TypeError, LookupError, RuntimeError)
_Answer = TypeVar("_Answer")


class _Core(NamedTuple):
    busy_s: float
    total_s: float


class _Look(NamedTuple):
    """What the next look's rates are taken against."""

    t_s: float
    cores: tuple[_Core, ...]
    disks: tuple[int, int] | None
    limits: cgroups.CpuLimits


class HostReader:
    """Reads the host. One reader per stream: rates need its memory.

    root: where /proc and /sys are, for what is read here; psutil goes by psutil.PROCFS_PATH.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._clock = clock
        self._monotonic = monotonic
        self._cgroups = cgroups.Cgroups(root)
        self._previous: _Look | None = None

    def info(self) -> HostInfo:
        """Static facts of the node; the host's name only as a hash."""
        missing: dict[str, str] = {}
        governor = self._governor()
        cloud = read_cloud(self._root)
        if cloud.provider is not None:
            noted(missing, "instance", cloud.instance, cloud.why)
        return HostInfo(
            host=host_hash(self._line("proc/sys/kernel/hostname") or platform.node() or "unknown"),
            cores=noted(missing, "cores", len(_cores()) or None, NO_STAT),
            numa_nodes=noted(
                missing, "numa_nodes", self._numa_nodes(), "/sys/devices/system/node is not here"
            ),
            governor=noted(
                missing, "governor", governor, "no cpufreq here (virtual machine, or set by firmware)"
            ),
            kernel=self._line("proc/sys/kernel/osrelease") or platform.release() or None,
            python=platform.python_version(),
            container=self.in_container(),
            provider=cloud.provider,
            instance=cloud.instance,
            partition=partition_name(os.environ.get("SLURM_JOB_PARTITION")),
            label=_label(),
            missing=missing,
        )

    def in_container(self) -> bool:
        """Whether this looks like a container: a runtime's mark, its cgroup, or its kind of root mount."""
        if any((self._root / mark).exists() for mark in _CONTAINER_MARKS):
            return True
        job = job_of(self._text("proc/self/cgroup"))
        return (job is not None and not job.startswith("slurm")) or self._has_container_root()

    def _has_container_root(self) -> bool:
        for line in self._text("proc/self/mountinfo").splitlines():
            fields = line.split()
            if len(fields) > 4 and fields[4] == "/" and " - overlay " in line:
                return bool(_CONTAINER_ROOT.search(line))
        return False

    def sample(self) -> HostSample:
        """The node now. Rates are since the previous call; the first call has none and says so."""
        missing: dict[str, str] = {}
        now = _Look(self._monotonic(), _cores(), self._disks(), self._own_limits())
        before, why = self._baseline(now)
        memory, swap = _asked(psutil.virtual_memory), _asked(psutil.swap_memory)
        load = _asked(psutil.getloadavg)
        read, written = _disk_rates(before, now)
        no_disk = why if now.disks else "no disk is listed in /proc/diskstats"
        return HostSample(
            t_s=self._clock(),
            cpu_fracs=noted(missing, "cpu_fracs", _core_fracs(before, now), why if now.cores else NO_STAT)
            or (),
            load_1m=noted(missing, "load_1m", load[0] if load else None, "/proc/loadavg cannot be read"),
            psi_cpu_frac=self._pressure("cpu", missing),
            psi_io_frac=self._pressure("io", missing),
            psi_memory_frac=self._pressure("memory", missing),
            mem_used_bytes=noted(
                missing, "mem_used_bytes", memory.total - memory.available if memory else None, NO_MEMINFO
            ),
            mem_total_bytes=noted(missing, "mem_total_bytes", memory.total if memory else None, NO_MEMINFO),
            swap_used_bytes=noted(missing, "swap_used_bytes", swap.used if swap else None, NO_MEMINFO),
            disk_read_bytes_s=noted(missing, "disk_read_bytes_s", read, no_disk),
            disk_write_bytes_s=noted(missing, "disk_write_bytes_s", written, no_disk),
            throttled_frac=noted(missing, "throttled_frac", *_throttled(before, now, why)),
            cpu_quota_cores=noted(
                missing, "cpu_quota_cores", now.limits.quota_cores, now.limits.reason or cgroups.NO_QUOTA
            ),
            missing=missing,
        )

    def _baseline(self, now: _Look) -> tuple[_Look | None, str]:
        """The look to take rates against, or why there is none. A look that came too soon is not kept."""
        before = self._previous
        if before is not None and now.t_s - before.t_s < _SHORTEST_S:
            return None, TOO_SOON
        self._previous = now
        return before, FIRST_LOOK if before is None else "a counter went back (reset, or a core went offline)"

    def _text(self, name: str) -> str:
        return procfs.read_or_none(self._root / name) or ""

    def _line(self, name: str) -> str:
        return self._text(name).strip()

    def _disks(self) -> tuple[int, int] | None:
        """Bytes read and written since boot, summed over whole physical disks."""
        counters = _asked(lambda: psutil.disk_io_counters(perdisk=True, nowrap=False)) or {}
        disks = [counters[name] for name in self._whole_disks() if name in counters]
        if not disks:
            return None
        return sum(disk.read_bytes for disk in disks), sum(disk.write_bytes for disk in disks)

    def _whole_disks(self) -> frozenset[str]:
        try:
            names = (entry.name for entry in (self._root / "sys/block").iterdir())
            return frozenset(name for name in names if not _STACKED_DISK.match(name))
        except OSError:
            return frozenset()

    def _own_limits(self) -> cgroups.CpuLimits:
        return self._cgroups.limits(self._text("proc/self/cgroup"))

    def _pressure(self, resource: str, missing: dict[str, str]) -> float | None:
        """Share of the last 10 s in which some task waited for it (Documentation/accounting/psi.rst)."""
        try:
            text = procfs.read_text(self._root / "proc/pressure" / resource)
        except PermissionError:
            return noted(
                missing, f"psi_{resource}_frac", None, f"no permission to read /proc/pressure/{resource}"
            )
        except OSError:
            text = ""
        found = _PSI_SOME.search(text)
        return noted(missing, f"psi_{resource}_frac", float(found[1]) / 100 if found else None, PSI_OFF)

    def _numa_nodes(self) -> int | None:
        """Nodes that have CPUs: GPU memory shows up as nodes without."""
        base = self._root / "sys/devices/system/node"
        try:
            return len(procfs.parse_cpu_list(procfs.read_text(base / "has_cpu"))) or None
        except (OSError, ValueError):
            return len(list(base.glob("node[0-9]*"))) or None

    def _governor(self) -> str | None:
        paths = (self._root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
        names = sorted({name for path in paths if (name := (procfs.read_or_none(path) or "").strip())})
        return " and ".join(names) or None


def _label() -> str | None:
    """What a person calls this node. A configuration that cannot be read names nothing."""
    from advisor.config import ConfigError, load

    try:
        return load({}, os.environ).label or None
    except ConfigError:
        return None


def _asked(question: Callable[[], _Answer]) -> _Answer | None:
    """What psutil answers; None where it cannot."""
    try:
        return question()
    except _UNREADABLE:
        return None


def _cores() -> tuple[_Core, ...]:
    """Time of each online core. Busy is everything but idle and waiting for I/O.

    User time holds guest time already (proc_stat(5)), so columns stop at `steal`, the eighth.
    """
    times = _asked(lambda: psutil.cpu_times(percpu=True)) or []
    totals = ((sum(core[:8]), core) for core in times)
    return tuple(_Core(total_s - core.idle - core.iowait, total_s) for total_s, core in totals)


def _core_fracs(before: _Look | None, now: _Look) -> tuple[float, ...] | None:
    """Shares by core; None when a core came or went, since it is not said which."""
    if before is None or len(before.cores) != len(now.cores):
        return None
    return tuple(_busy(old, new) for old, new in zip(before.cores, now.cores, strict=True)) or None


def _busy(old: _Core, new: _Core) -> float:
    """A core that went offline and came back may count from less than before; it then reads as idle."""
    total_s = new.total_s - old.total_s
    return round(min(1.0, max(0.0, (new.busy_s - old.busy_s) / total_s)), 4) if total_s > 0 else 0.0


def _disk_rates(before: _Look | None, now: _Look) -> tuple[float | None, float | None]:
    if before is None or before.disks is None or now.disks is None:
        return None, None
    elapsed_s = now.t_s - before.t_s
    read, written = now.disks[0] - before.disks[0], now.disks[1] - before.disks[1]
    return (None, None) if read < 0 or written < 0 else (read / elapsed_s, written / elapsed_s)


def _throttled(before: _Look | None, now: _Look, why: str) -> tuple[float | None, str]:
    """The share of time throttled, and the reason where it is unknown."""
    if not now.limits.has_counters:
        return None, now.limits.reason or cgroups.NO_COUNTERS
    if before is None:
        return None, why
    return cgroups.throttled_frac(before.limits, now.limits, now.t_s - before.t_s), "the cgroup changed"

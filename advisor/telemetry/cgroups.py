"""CPU limits of a cgroup, versions 1 and 2: its quota in cores, and how long it was throttled by it.

A limit can sit on any ancestor (a pod's above its container's), so every visible level is read. The files are
described in Documentation/admin-guide/cgroup-v2.rst and Documentation/scheduler/sched-bwc.rst of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from advisor.telemetry import procfs

NO_QUOTA = "no CPU quota is set on this cgroup"
NOT_VISIBLE = "the cgroup is not visible here (another cgroup namespace, or /sys/fs/cgroup is not mounted)"
NO_COUNTERS = "the cgroup has no throttling counters (it is the root, or has no cpu controller)"


class Level(NamedTuple):
    """One cgroup's own limit and counters; cumulative since it was made."""

    quota_cores: float | None
    period_s: float | None
    throttled_s: float | None
    throttled_periods: int | None


class CpuLimits(NamedTuple):
    """Every level from the cgroup up to the root of its mount, the cgroup's own first."""

    levels: dict[str, Level]
    reason: str = ""

    @property
    def quota_cores(self) -> float | None:
        """The tightest quota of all levels."""
        quotas = [level.quota_cores for level in self.levels.values() if level.quota_cores is not None]
        return min(quotas, default=None)

    @property
    def has_counters(self) -> bool:
        return any(level.throttled_s is not None for level in self.levels.values())


class Mount(NamedTuple):
    """Where a hierarchy is mounted, and which of its cgroups is seen there as the root."""

    point: PurePosixPath
    root: str


class Cgroups:
    """Finds and reads cgroups below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._version1, self._version2 = _mounts(procfs.read_or_none(root / "proc/self/mountinfo") or "")

    def limits(self, cgroup_text: str) -> CpuLimits:
        """Limits of the process whose /proc/<pid>/cgroup reads `cgroup_text`."""
        first, second = _cpu_paths(cgroup_text)
        if first is not None:
            point = self._version1 or Mount(PurePosixPath("/sys/fs/cgroup/cpu,cpuacct"), "/")
            return self._read(point, first, _level_v1)
        if second is not None:
            return self._read(
                self._version2 or Mount(PurePosixPath("/sys/fs/cgroup"), "/"), second, _level_v2
            )
        return CpuLimits({}, NOT_VISIBLE)

    def _read(self, mount: Mount, path: str, read_level: Callable[[Path], Level]) -> CpuLimits:
        top = self._root / mount.point.relative_to("/")
        folder = _folder(top, mount.root, path)
        if folder is None:
            return CpuLimits({}, NOT_VISIBLE)
        levels = {}
        while True:
            levels[str(folder)] = read_level(folder)
            if folder == top:
                return CpuLimits(levels)
            folder = folder.parent


def _mounts(mountinfo: str) -> tuple[Mount | None, Mount | None]:
    """The mounts of the version 1 cpu controller and of version 2, from /proc/self/mountinfo."""
    version1 = version2 = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        mount = Mount(PurePosixPath(fields[4]), fields[3])
        if kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            version1 = version1 or mount
        elif kind[0] == "cgroup2":
            version2 = version2 or mount
    return version1, version2


def _cpu_paths(cgroup_text: str) -> tuple[str | None, str | None]:
    """The process's path in the version 1 cpu hierarchy, and in version 2."""
    version1 = version2 = None
    for line in cgroup_text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "cpu" in controllers.split(","):
            version1 = path
        elif hierarchy == "0" and not controllers:
            version2 = path
    return version1, version2


def _folder(top: Path, mount_root: str, path: str) -> Path | None:
    """Where a cgroup's files are: below the mount, less the part of the path that the mount already is.

    A container without a cgroup namespace sees the node's path, yet has its own cgroup mounted as the root.
    """
    if not path.startswith("/") or ".." in path.split("/"):
        return None
    relative = path
    if mount_root != "/" and (path + "/").startswith(mount_root + "/"):
        relative = path[len(mount_root) :]
    folder = top / relative.strip("/")
    return folder if folder.is_dir() else None


def _level_v2(folder: Path) -> Level:
    """cpu.max is "<quota> <period>" in microseconds, or "max <period>"."""
    quota, period = _microseconds(procfs.read_or_none(folder / "cpu.max") or "")
    stat = _counters(folder / "cpu.stat")
    throttled = stat.get("throttled_usec")
    return Level(
        quota_cores=quota / period if quota is not None and period else None,
        period_s=period / 1e6 if period else None,
        throttled_s=None if throttled is None else throttled / 1e6,
        throttled_periods=stat.get("nr_throttled"),
    )


def _level_v1(folder: Path) -> Level:
    """cpu.cfs_quota_us is -1 without a limit; throttled_time is in nanoseconds."""
    quota = _integer(folder / "cpu.cfs_quota_us")
    period = _integer(folder / "cpu.cfs_period_us")
    stat = _counters(folder / "cpu.stat")
    throttled = stat.get("throttled_time")
    return Level(
        quota_cores=quota / period if quota is not None and quota > 0 and period else None,
        period_s=period / 1e6 if period else None,
        throttled_s=None if throttled is None else throttled / 1e9,
        throttled_periods=stat.get("nr_throttled"),
    )


def _microseconds(text: str) -> tuple[int | None, int | None]:
    values = [int(word) if word.isdecimal() else None for word in text.split()[:2]]
    return (values[0], values[1]) if len(values) == 2 else (None, None)


def _integer(path: Path) -> int | None:
    text = (procfs.read_or_none(path) or "").strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _counters(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in (procfs.read_or_none(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def throttled_frac(before: CpuLimits, after: CpuLimits, elapsed_s: float) -> float | None:
    """Share of wall time throttled between two looks: the most throttled level's. None when unknown.

    The kernel sums throttled time over CPUs, so it can pass wall time; a level is throttled at most for the
    whole of each period it was throttled in, which bounds it.
    """
    if elapsed_s <= 0:
        return None
    shares = [
        _level_frac(before.levels[name], level, elapsed_s)
        for name, level in after.levels.items()
        if name in before.levels
    ]
    return max((share for share in shares if share is not None), default=None)


def _level_frac(before: Level, after: Level, elapsed_s: float) -> float | None:
    if before.throttled_s is None or after.throttled_s is None:
        return None
    bounds = [elapsed_s, after.throttled_s - before.throttled_s]
    if after.period_s and before.throttled_periods is not None and after.throttled_periods is not None:
        bounds.append((after.throttled_periods - before.throttled_periods) * after.period_s)
    return max(0.0, min(bounds) / elapsed_s)

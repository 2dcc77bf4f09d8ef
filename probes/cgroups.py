"""What cgroups leave to this process: CPU quota, throttling, memory. Versions 1 and 2.

A limit can sit on any ancestor, so every visible level is read. The files are described in
Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from probes.hostfiles import ROOT, read_int, read_text

NOT_VISIBLE = "the cgroup is not visible here"
NO_QUOTA = "no CPU quota is set"
NO_COUNTERS = "the cgroup has no throttling counters"
# Version 1 says "no limit" with the largest page-aligned number; no machine has an exbibyte.
_UNLIMITED = 1 << 60


class CpuQuota(msgspec.Struct, frozen=True, kw_only=True):
    """The tightest quota of all levels, in cores, and what throttling counted so far, over all levels.

    missing: what is not known, and why.
    """

    cores: float | None = None
    throttled_periods: int | None = None
    throttled_s: float | None = None
    missing: dict[str, str] = {}


def cpu_quota(root: Path = ROOT) -> CpuQuota:
    """This process's CPU quota now. Counters grow from the cgroup's making: compare two looks."""
    version, levels = _levels("cpu", root)
    if not levels:
        return CpuQuota(missing={"cgroup_quota_cores": NOT_VISIBLE, "throttled_periods": NOT_VISIBLE})
    quotas = [q for level in levels if (q := _quota(level, version)) is not None]
    counts = [c for level in levels if (c := _throttled(level, version)) is not None]
    missing = {} if quotas else {"cgroup_quota_cores": NO_QUOTA}
    if not counts:
        missing["throttled_periods"] = NO_COUNTERS
    return CpuQuota(
        cores=min(quotas, default=None),
        throttled_periods=sum(periods for periods, _ in counts) if counts else None,
        throttled_s=sum(seconds for _, seconds in counts) if counts else None,
        missing=missing,
    )


def memory_left(root: Path = ROOT) -> tuple[int | None, int | None]:
    """The tightest memory limit of all levels, and the least that a level leaves; None without a limit.

    Idle page cache can be reclaimed, so it counts as left.
    """
    version, levels = _levels("memory", root)
    *names, idle = _MEMORY_V2 if version == 2 else _MEMORY_V1
    limits: list[int] = []
    left: list[int] = []
    for level in levels:
        limit, used = (read_int(level / name) for name in names)
        if limit is not None and 0 <= limit < _UNLIMITED:
            limits.append(limit)
            left.append(max(0, limit - (used or 0) + _stat(level / "memory.stat").get(idle, 0)))
    return min(limits, default=None), min(left, default=None)


# Limit, use, and the line of memory.stat that counts idle page cache.
_MEMORY_V2 = ("memory.max", "memory.current", "inactive_file")
_MEMORY_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _quota(level: Path, version: int) -> float | None:
    """Version 2: cpu.max is "<quota or max> <period>"; version 1: -1 means none. Microseconds."""
    if version == 2:
        words = (read_text(level / "cpu.max") or "").split()
        quota, period = (int(w) if w.isdecimal() else None for w in (*words, "", "")[:2])
    else:
        quota, period = read_int(level / "cpu.cfs_quota_us"), read_int(level / "cpu.cfs_period_us")
    return quota / period if quota and quota > 0 and period and period > 0 else None


def _throttled(level: Path, version: int) -> tuple[int, float] | None:
    """Throttled periods and seconds. Seconds are summed over the level's CPUs."""
    stat = _stat(level / "cpu.stat")
    if "nr_throttled" not in stat:
        return None
    seconds = stat.get("throttled_usec", 0) / 1e6 if version == 2 else stat.get("throttled_time", 0) / 1e9
    return stat["nr_throttled"], seconds


def _stat(path: Path) -> dict[str, int]:
    """A file of lines "<name> <number>"."""
    pairs = (line.split() for line in (read_text(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _levels(controller: str, root: Path) -> tuple[int, tuple[Path, ...]]:
    """The version that has the controller, and its folders from this process's cgroup up to the mount."""
    paths = _paths(read_text(root / "proc/self/cgroup") or "", controller)
    for version, mount, mount_root in _mounts(read_text(root / "proc/self/mountinfo") or "", controller):
        if version in paths:
            top = root / mount.relative_to("/")
            return version, tuple(_upward(top, _below(paths[version], mount_root)))
    return 2, ()


def _paths(text: str, controller: str) -> dict[int, str]:
    """This process's cgroup by version. Where version 1 has the controller, version 2 cannot."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return {1: path}
        if hierarchy == "0" and not controllers:
            found[2] = path
    return found


def _mounts(text: str, controller: str) -> Iterator[tuple[int, PurePosixPath, str]]:
    """Mounts that may have the controller: version, mount point, and which cgroup is its root."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and controller in kind[2].split(",")):
            yield (2 if kind[0] == "cgroup2" else 1), PurePosixPath(fields[4]), fields[3]


def _below(path: str, mount_root: str) -> str:
    """A cgroup's path below its mount: a container may see the node's path, yet have its own as the root."""
    if mount_root != "/" and f"{path}/".startswith(f"{mount_root}/"):
        path = path[len(mount_root) :]
    return path.strip("/")


def _upward(top: Path, path: str) -> Iterator[Path]:
    """Folders from the cgroup's own up to the mount; none where it is not visible."""
    if ".." in path.split("/") or not (top / path).is_dir():
        return
    folder = top / path
    while folder != top:
        yield folder
        folder = folder.parent
    yield top

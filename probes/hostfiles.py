"""The host as /proc and /sys tell it: cores, caches, SMT, NUMA nodes, governors. Missing files are None.

Paths and formats: Documentation/ABI/testing/sysfs-devices-system-cpu and proc(5). `root` is for tests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")
_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_text(path: Path) -> str | None:
    """A small file's text without the white space around it; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """A file that holds one integer; None where it cannot be read or says something else."""
    text = read_text(path) or ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None


def cpu_list(text: str | None) -> frozenset[int]:
    """The kernel's list format, such as "0-3,8,10-11"; what cannot be read is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        match = re.fullmatch(r"\s*([0-9]{1,6})(?:-([0-9]{1,6}))?\s*", part)
        if match:
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def allowed_cores() -> frozenset[int]:
    """Hardware threads this thread may run on."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return frozenset(range(os.cpu_count() or 1))


def online_cores(root: Path = ROOT) -> frozenset[int]:
    """Hardware threads that are online; empty where unknown."""
    return cpu_list(read_text(root / _CPU / "online"))


def siblings(core: int, root: Path = ROOT) -> frozenset[int]:
    """Hardware threads of the same physical core, itself among them."""
    topology = root / _CPU / f"cpu{core}/topology"
    text = read_text(topology / "core_cpus_list") or read_text(topology / "thread_siblings_list")
    return cpu_list(text) | {core}


def one_per_core(cores: Iterable[int], root: Path = ROOT) -> tuple[int, ...]:
    """The lowest of each physical core's hardware threads."""
    left = sorted(cores)
    taken: dict[frozenset[int], int] = {}
    for core in left:
        taken.setdefault(siblings(core, root), core)
    return tuple(taken.values())


def package(core: int, root: Path = ROOT) -> int | None:
    """The socket a hardware thread is in."""
    return read_int(root / _CPU / f"cpu{core}/topology/physical_package_id")


def last_level(core: int, root: Path = ROOT) -> tuple[frozenset[int], int] | None:
    """Who shares a hardware thread's last-level cache, and its bytes; None where the caches are not shown."""
    found: list[tuple[int, frozenset[int], int]] = []
    for index in sorted((root / _CPU / f"cpu{core}/cache").glob("index[0-9]*")):
        level, size = read_int(index / "level"), _size(read_text(index / "size"))
        if level is not None and size is not None and read_text(index / "type") != "Instruction":
            found.append((level, cpu_list(read_text(index / "shared_cpu_list")) | {core}, size))
    top = max(found, key=lambda cache: cache[0], default=None)
    return None if top is None else (top[1], top[2])


def cache_bytes(cores: Iterable[int], root: Path = ROOT) -> int | None:
    """All last-level caches that these hardware threads reach, together; None where not shown."""
    shared = {found for core in cores if (found := last_level(core, root)) is not None}
    return sum(size for _, size in shared) or None


def numa_nodes(root: Path = ROOT) -> dict[int, frozenset[int]]:
    """NUMA nodes and their hardware threads; empty where the kernel shows none."""
    nodes = sorted((root / _NODE).glob("node[0-9]*"))
    return {int(node.name[4:]): cpu_list(read_text(node / "cpulist")) for node in nodes}


def smt_active(root: Path = ROOT) -> bool | None:
    """Whether physical cores run several hardware threads."""
    active = read_int(root / _CPU / "smt/active")
    return None if active is None else active == 1


def governors(cores: Iterable[int], root: Path = ROOT) -> dict[int, str]:
    """The frequency governor of each hardware thread that has one."""
    read = ((core, read_text(root / _CPU / f"cpu{core}/cpufreq/scaling_governor")) for core in cores)
    return {core: text for core, text in read if text}


def memory_bytes(root: Path = ROOT) -> tuple[int | None, int | None]:
    """MemTotal and MemAvailable, in bytes."""
    text = read_text(root / "proc/meminfo") or ""
    read = dict(re.findall(r"^(\w+):\s+([0-9]{1,15}) kB$", text, re.MULTILINE))
    total, available = read.get("MemTotal"), read.get("MemAvailable")
    return (
        None if total is None else int(total) * 1024,
        None if available is None else int(available) * 1024,
    )


def _size(text: str | None) -> int | None:
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text or "")
    return int(match[1]) * _SIZES[match[2]] if match else None

"""The host's CPU as a device: who it is, how many cores are ours, its caches and its memory."""

from __future__ import annotations

import hashlib
import platform
import re
from pathlib import Path

from probes import cgroups, hostfiles
from probes.hostfiles import ROOT, read_text
from probes.record import DeviceFacts

# ARM's own cores by part number (Documentation/arch/arm64/cpu-feature-registers.rst gives the register;
# the numbers are in each core's technical reference manual). Others go by implementer and part.
_ARM_PARTS = {
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0c": "Neoverse N1",
    "0xd40": "Neoverse V1",
    "0xd49": "Neoverse N2",
    "0xd4f": "Neoverse V2",
}
_ARM_LTD = "0x41"
# Fields of /proc/cpuinfo that say what the CPU is; microcode, clocks and flags change under a kernel.
_IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping")
_IDENTITY_ARM = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision")


def cpu_facts(root: Path = ROOT) -> DeviceFacts:
    """The CPU this process runs on, as far as /proc and /sys tell.

    cores: hardware threads the process may use. l2_bytes: the last-level caches they reach, together.
    memory_total_bytes, memory_free_bytes: the cgroup's where it has a limit. Never raises.
    """
    fields = cpuinfo(read_text(root / "proc/cpuinfo") or "")
    allowed = hostfiles.allowed_cores()
    cache = hostfiles.cache_bytes(allowed, root)
    total, free = memory(root)
    found = {"l2_bytes": cache, "memory_total_bytes": total, "memory_free_bytes": free}
    return DeviceFacts(
        kind="cpu",
        key=key(fields, root),
        name=name(fields),
        l2_bytes=cache,
        memory_total_bytes=total,
        memory_free_bytes=free,
        cores=len(allowed),
        missing={what: _WHY[what] for what, value in found.items() if value is None},
    )


_WHY = {
    "l2_bytes": "/sys/devices/system/cpu shows no caches",
    "memory_total_bytes": "/proc/meminfo cannot be read",
    "memory_free_bytes": "/proc/meminfo has no MemAvailable",
}


def cpuinfo(text: str) -> dict[str, str]:
    """/proc/cpuinfo's first block."""
    fields: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        word, _, value = line.partition(":")
        fields[word.strip()] = value.strip()
    return fields


def name(fields: dict[str, str]) -> str:
    """The model as the kernel calls it; on ARM, whose kernel gives numbers, the core's name or those."""
    called = fields.get("model name") or fields.get("cpu") or fields.get("Processor")
    if called:
        return re.sub(r"\s+", " ", called)
    maker, part = fields.get("CPU implementer"), fields.get("CPU part")
    if maker and part:
        known = _ARM_PARTS.get(part) if maker == _ARM_LTD else None
        return known or f"ARM implementer {maker} part {part}"
    return f"unknown {platform.machine() or 'CPU'}"


def key(fields: dict[str, str], root: Path = ROOT) -> str:
    """ "cpu:" and a hash that stays the same on this host while its CPU does.

    From the model, the cores online and the machine's id (or its name), neither of which can be read back.
    A container that is allowed fewer cores of the same host keeps its key.
    """
    told = [f"{word}={fields.get(word, '')}" for word in (*_IDENTITY, *_IDENTITY_ARM)]
    told += [platform.machine(), str(len(hostfiles.online_cores(root))), _machine(root)]
    return "cpu:" + hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def memory(root: Path = ROOT) -> tuple[int | None, int | None]:
    """Bytes of memory in all, and bytes that can be had now: the host's, or its cgroup's where less."""
    total, available = hostfiles.memory_bytes(root)
    limit, left = cgroups.memory_left(root)
    return _least(total, limit), _least(available, left)


def _machine(root: Path) -> str:
    return read_text(root / "etc/machine-id") or platform.node()


def _least(host: int | None, group: int | None) -> int | None:
    known = [value for value in (host, group) if value is not None]
    return min(known, default=None)

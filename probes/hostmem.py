"""How much host memory may be pinned: what the kernel has left, and what a container's limit leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.lab import UnsupportedError

# Of what is left: pinned pages can neither be swapped nor reclaimed.
PINNED_SHARE = 0.25
_KIB = 1024
# A version 1 limit this high is none.
_NO_LIMIT = 1 << 60
_PIN_UNKNOWN_BYTES = 64 << 20


def may_pin_bytes(root: Path = Path("/")) -> int:
    """A quarter of the host memory that is left; 64 MiB where nobody says how much there is."""
    room = room_bytes(root)
    return _PIN_UNKNOWN_BYTES if room is None else int(room * PINNED_SHARE)


def room_bytes(root: Path = Path("/")) -> int | None:
    """Host memory that can be had: the kernel's MemAvailable, or less where a cgroup limits it."""
    rooms = [r for r in (available_bytes(root), *cgroup_rooms(root)) if r is not None]
    return max(0, min(rooms)) if rooms else None


def available_bytes(root: Path) -> int | None:
    """MemAvailable of /proc/meminfo."""
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * _KIB
    return None


def cgroup_rooms(root: Path) -> Iterator[int | None]:
    """What each memory limit on the way up from this process's control group leaves."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _rooms(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _rooms(root / "sys/fs/cgroup/memory", path, *v1)


def _rooms(mount: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int | None]:
    """Limit less use of the group and of those above it; idle page cache can be reclaimed, so is no use."""
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            return
        most, used = _number(folder / limit), _number(folder / usage)
        if most is not None and used is not None and most < _NO_LIMIT:
            yield most - used + _stat(folder / "memory.stat", cache)


def _stat(path: Path, key: str) -> int:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def give_pinned_back(torch: Any) -> None:
    """Free the pinned memory that torch keeps for later. Raises UnsupportedError where torch has no way."""
    for name in ("_host_emptyCache", "_accelerator_emptyHostCache"):
        if hasattr(torch._C, name):
            getattr(torch._C, name)()
            return
    raise UnsupportedError(f"torch {torch.__version__} cannot give pinned memory back")

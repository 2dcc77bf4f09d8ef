"""How much host memory may be pinned: what the kernel has left, and what a container's limit leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from probes import cgroups, hostfiles
from probes.hostfiles import ROOT
from probes.lab import UnsupportedError

# Of what is left: pinned pages can neither be swapped nor reclaimed.
PINNED_SHARE = 0.25
_PIN_UNKNOWN_BYTES = 64 << 20


def may_pin_bytes(root: Path = ROOT) -> int:
    """A quarter of the host memory that is left; 64 MiB where nobody says how much there is."""
    room = room_bytes(root)
    return _PIN_UNKNOWN_BYTES if room is None else int(room * PINNED_SHARE)


def room_bytes(root: Path = ROOT) -> int | None:
    """Host memory that can be had: the kernel's MemAvailable, or less where a cgroup limits it."""
    _, available = hostfiles.memory_bytes(root)
    _, left = cgroups.memory_left(root)
    return min((room for room in (available, left) if room is not None), default=None)


def give_pinned_back(torch: Any) -> None:
    """Free the pinned memory that torch keeps for later. Raises UnsupportedError where torch has no way."""
    for name in ("_host_emptyCache", "_accelerator_emptyHostCache"):
        if hasattr(torch._C, name):
            getattr(torch._C, name)()
            return
    raise UnsupportedError(f"torch {torch.__version__} cannot give pinned memory back")

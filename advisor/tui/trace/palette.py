"""What the device and the host did: glyph, colour and words for each. Blocks are work, letters waits."""

from __future__ import annotations

from typing import NamedTuple

from rules.traces.host_names import HostRole
from rules.traces.records import BUSY, CAUSES


class Look(NamedTuple):
    """How one class is drawn. plain: its glyph in ASCII. role: whose colour it has. short: words for a narrow
    legend.
    """

    glyph: str
    plain: str
    role: str
    words: str
    short: str = ""


LOOKS: dict[str, Look] = {
    "compute": Look("█", "C", "compute", "compute-bound kernels", "compute"),
    "memory": Look("▓", "M", "memory", "memory-bound kernels", "memory"),
    "latency": Look("▒", "L", "device", "kernels near neither roof", "latency"),
    "other": Look("░", "O", "unknown", "kernels of unknown nature", "other"),
    "communication": Look("▞", "N", "link", "communication, exposed", "comm"),
    "copy": Look("═", "=", "link", "copies and sets alone", "copy"),
    "host_launch": Look("h", "h", "host", "host launch", "launch"),
    "synchronisation": Look("s", "s", "title", "synchronisation", "sync"),
    "data_loading": Look("d", "d", "bad", "data loading", "data"),
    "copy_wait": Look("c", "c", "memory", "copy wait", "copy wait"),
    "communication_wait": Look("n", "n", "link", "communication wait", "comm wait"),
    "stream_dependency": Look("w", "w", "device", "stream dependency", "stream"),
    "kernel_gap": Look("g", "g", "idle", "kernel to kernel", "kernel gap"),
    "checkpoint_io": Look("i", "i", "money", "checkpoint, I/O", "I/O"),
    "allocator": Look("a", "a", "good", "allocator", "alloc"),
    "profiler_overhead": Look("p", "p", "dim", "profiler overhead", "profiler"),
    "unknown": Look("?", "?", "unknown", "unknown", "unknown"),
}
# From the bottom of a column to its top.
ORDER: tuple[str, ...] = (*BUSY, *CAUSES)

# In the order in which they win where host intervals are nested.
HOST_LOOKS: dict[HostRole, Look] = {
    HostRole.OVERHEAD: Look("p", "p", "dim", "profiler"),
    HostRole.DATA: Look("d", "d", "bad", "data loading"),
    HostRole.IO: Look("i", "i", "money", "checkpoint, I/O"),
    HostRole.COMM: Look("n", "n", "link", "wait for ranks"),
    HostRole.ALLOC: Look("a", "a", "good", "allocator"),
    HostRole.COPY: Look("c", "c", "memory", "copy call"),
    HostRole.SYNC: Look("s", "s", "title", "wait for the device"),
    HostRole.LAUNCH: Look("l", "l", "host", "launch call"),
    HostRole.OTHER: Look("-", "-", "idle", "operators, Python"),
}


def is_idle(name: str) -> bool:
    """Whether it is a cause of idle time."""
    return name in CAUSES


def glyph(look: Look, ascii_only: bool) -> str:
    """What it is drawn with."""
    return look.plain if ascii_only else look.glyph

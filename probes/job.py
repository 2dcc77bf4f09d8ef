"""What a probe worker is asked to do: one JSON object on its stdin."""

from __future__ import annotations

import msgspec

from probes.record import DeviceFacts, Plan
from probes.registry import Probe

# Exit codes of a worker that ends early on purpose: after a lost device, a new process may go on.
DEVICE_LOST = 70
PARENT_GONE = 71


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Probes still to run on a device, in order.

    events_fd: the inherited pipe that takes the events. parent_pid: who asks; the worker dies with it.
    resumed: an earlier worker of this run found the device free, or `contended`, and ended on the way. Its
    traces may still be on the device, so that nobody looks again. time_left_s: how long to measure on the
    open device; probes that would begin later are left out.
    """

    plan: Plan
    facts: DeviceFacts
    probes: tuple[Probe, ...]
    events_fd: int
    parent_pid: int
    resumed: bool = False
    contended: str | None = None
    time_left_s: float = 1e9

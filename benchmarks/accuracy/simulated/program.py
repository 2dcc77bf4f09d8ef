"""Simulated programs: a repeating cycle of phases, the process around it."""

from __future__ import annotations

import msgspec

from benchmarks.accuracy.simulated.card import Kernel
from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.spec import Label, Workload


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a cycle. kernel: what runs on the GPU, None for nothing.

    run: share of the phase in which a kernel runs; the rest are pauses between launches. belongs: the class
    that its running time belongs to, by construction. thread: share of a core that the feeding thread takes
    meanwhile; a thread that waits for the GPU by spinning, or has filled the launch queue, takes all of it.
    spread: the duration varies evenly by this share around `seconds`. rx, tx: bytes a second over PCIe.
    """

    seconds: float
    kernel: Kernel | None = None
    run: float = 1.0
    belongs: Label = "host"
    thread: float = 1.0
    spread: float = 0.02
    rx_bytes_s: float = 0.0
    tx_bytes_s: float = 0.0


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What /proc shows of the process and its node, beside what follows from the phases.

    busiest: CPU of the busiest thread where that is not the feeding one. other: CPU of the further threads.
    child: CPU of each child. slow: CPU of the first child where that differs. dstate, children_dstate:
    share of looks at which the process, or a child, waits for I/O. node: CPU share of the other programs.
    """

    busiest: float | None = None
    other: float = 0.04
    system: float = 0.2
    wait: float = 0.0
    threads: int = 36
    children: int = 0
    child: float = 0.0
    slow: float | None = None
    child_wait: float = 0.0
    dstate: float = 0.0
    children_dstate: float = 0.0
    switches_s: float = 40.0
    read_bytes_s: float = 0.0
    write_bytes_s: float = 0.0
    quota_cores: float | None = None
    throttled: float = 0.0
    cpus_allowed: int | None = None
    psi_cpu: float = 0.005
    psi_io: float = 0.002
    node: float = 0.03


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The simulated counterpart of the workload of this name, which also says what it is labelled as.

    fixed_s: seconds of a cycle with the known fix. memory_gib: held. power_limit_w: where somebody lowered
    it. silent_s: from when to when no data came. hidden: counters that this recording lacks. process: False
    where nobody uses the card.
    """

    name: str
    cycle: tuple[Phase, ...]
    host: Host = Host()
    fixed_s: float | None = None
    memory_gib: float = 24.0
    power_limit_w: float | None = None
    silent_s: tuple[float, float] | None = None
    hidden: tuple[str, ...] = ()
    process: bool = True

    @property
    def workload(self) -> Workload:
        """Its label, cause and kind of truth. KeyError where the catalogue has none of this name."""
        return WORKLOADS[self.name]

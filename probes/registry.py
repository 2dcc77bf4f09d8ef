"""Which probes there are. A probe is one generator function with a docstring, in one of the modules below."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from probes.record import Kind, Measurement

if TYPE_CHECKING:
    from probes.lab import Lab

Run = Callable[["Lab"], Iterator[Measurement]]


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One probe: its name on the command line, the device it is for, and where its function is.

    budget_s: what it may take in default mode; quick is a fifth, full four times. A probe leaves out its
    least wanted parts when that is over, and says so.

    Seconds on an H100-class node that is simulated by published rates (see the tests), no GPU's; importing
    torch, starting CUDA and looking who uses the GPU are taken to need some 6 s before:

        ==========  =====  =======  ==========================================================================
        probe       quick  default  what it goes to
        ==========  =====  =======  ==========================================================================
        host          0.3      1.8  windows of 0.02 to 0.1 s
        launch        0.8      1.7  importing cupy 0.6; wall clock and torch's graphs not in quick mode
        dispatch      0.2      0.5  8 or 20 batches of 200; other ways to call not in quick mode
        allocator     0.2      0.4  pinning 64 MiB takes some 0.03
        transfer      0.7      4.6  copies of 64 or 256 MiB; NUMA nodes not in quick mode
        latency       0.5      1.7  compiling 0.2; a launch takes up to 0.01; 5 or 17 working sets
        bandwidth     1.4      6.5  compiling 0.2; 0.4 where counters are read; the second way not in quick
        tensor        5.0     22.5  8 precisions, 0.5 each at least
        ==========  =====  =======  ==========================================================================
        all           9.1     39.7

    quick_s: what it may take in quick mode where that is less than a fifth.
    """

    name: str
    kind: Kind
    title: str
    target: str
    budget_s: float
    quick_s: float | None = None

    def load(self) -> Run:
        """Import the function. Its module may need torch and cupy only once it runs."""
        module, name = self.target.split(":")
        run: Run = getattr(importlib.import_module(module), name)
        return run


# In the order in which they run. Host figures come first, while the card is cool and idle; GEMMs, which
# heat it, last.
PROBES: tuple[Probe, ...] = (
    Probe(name="host", kind="cuda", title="host", target="probes.host:host", budget_s=2),
    Probe(name="launch", kind="cuda", title="kernel launch", target="probes.launch:launch", budget_s=5),
    Probe(
        name="dispatch", kind="cuda", title="torch dispatch", target="probes.dispatch:dispatch", budget_s=1.5
    ),
    Probe(
        name="allocator", kind="cuda", title="allocator", target="probes.allocator:allocator", budget_s=1.5
    ),
    Probe(name="transfer", kind="cuda", title="transfers", target="probes.transfer:transfer", budget_s=6),
    Probe(name="latency", kind="cuda", title="latency", target="probes.latency:latency", budget_s=2.5),
    Probe(name="bandwidth", kind="cuda", title="bandwidth", target="probes.bandwidth:bandwidth", budget_s=9),
    Probe(name="tensor", kind="cuda", title="GEMM", target="probes.tensor:tensor", budget_s=25, quick_s=4),
    Probe(name="host", kind="cpu", title="host", target="probes.host:host", budget_s=2),
    Probe(name="cores", kind="cpu", title="core to core", target="probes.cores:cores", budget_s=3),
    Probe(name="membw", kind="cpu", title="memory", target="probes.membw:membw", budget_s=10),
    Probe(name="gemm", kind="cpu", title="GEMM", target="probes.gemm:gemm", budget_s=15),
)
# What people call a probe of the other kind of device.
ALIASES: dict[Kind, dict[str, str]] = {
    "cpu": {"bandwidth": "membw", "tensor": "gemm"},
    "cuda": {"gemm": "tensor"},
}


def names(kind: Kind) -> tuple[str, ...]:
    """The probes of a kind of device, in the order in which they run."""
    return tuple(p.name for p in PROBES if p.kind == kind)


def chosen(kind: Kind, wanted: tuple[str, ...]) -> tuple[Probe, ...]:
    """The probes called so, in the order in which they run; all when none is named.

    Raises ValueError with the names there are.
    """
    aliases = ALIASES[kind]
    asked = {aliases.get(name, name) for name in wanted}
    if unknown := sorted(asked - set(names(kind))):
        raise ValueError(
            f"no probe of a {kind} device is called {unknown[0]!r}; there are {', '.join(names(kind))}"
        )
    return tuple(p for p in PROBES if p.kind == kind and (not asked or p.name in asked))
